"""What only the store on etcd has: members, certificates, lost connections, lost history."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from cloudwright._base.clock import ManualClock
from cloudwright._base.errors import UsageError
from cloudwright.apiserver import tls
from cloudwright.apiserver.errors import (
    SlowWatcherError,
    StoreCorruptError,
    StoreError,
    StoreUnreachableError,
)
from cloudwright.apiserver.store.etcd.config import EtcdConfig, parse
from cloudwright.apiserver.store.etcd.pb import etcd_pb2 as pb
from cloudwright.apiserver.store.etcd.store import EtcdStore, open_etcd
from tests import etcd
from tests.unit.apiserver_store.conftest import Opener
from tests.unit.apiserver_store.kit import Seen, put, taken, wrote

pytestmark = pytest.mark.anyio


@pytest.fixture
def on_etcd(one_etcd: etcd.Etcd, tmp_path: Path, one_loop: None) -> Opener:
    return Opener(tmp_path, one_etcd.endpoint)


@pytest.fixture
def three(tmp_path: Path, one_loop: None) -> Iterator[list[etcd.Etcd]]:
    with etcd.cluster(tmp_path) as members:
        yield members


async def patiently(store: EtcdStore, key: str) -> None:
    """Write, as often as it takes."""
    with anyio.fail_after(60):
        while True:
            try:
                await put(store, key)
                return
            except StoreUnreachableError:
                await anyio.sleep(0.1)


async def test_any_member_may_be_killed(three: list[etcd.Etcd]) -> None:
    endpoints = tuple(member.endpoint for member in three)
    config = EtcdConfig(endpoints, request_seconds=2.0, start_seconds=60.0)
    async with open_etcd(config, ManualClock()) as store:
        watch, keys = store.watch("/p/", after=store.revision), []
        for number, member in enumerate(three):
            await patiently(store, f"/p/{number}/before")
            member.kill()
            await patiently(store, f"/p/{number}/without")
            assert await store.get(f"/p/{number}/before") is not None
            member.start()
            await anyio.to_thread.run_sync(member.wait)
            await patiently(store, f"/p/{number}/after")
            keys += [f"/p/{number}/{word}" for word in ("before", "without", "after")]
        page = await store.page("/p/")
        assert [record.key for record in page.records] == sorted(keys)
        seen: list[str] = []
        with anyio.fail_after(60):
            while len(set(seen)) < len(keys):
                seen += [event.key for event in await watch.batch()]
        # A write whose answer was lost may have been made twice, never left out.
        assert list(dict.fromkeys(seen)) == keys


async def test_a_frozen_member_is_left(three: list[etcd.Etcd]) -> None:
    endpoints = tuple(member.endpoint for member in three)
    config = EtcdConfig(endpoints, request_seconds=1.0, start_seconds=60.0)
    async with open_etcd(config, ManualClock()) as store:
        await patiently(store, "/p/a")
        three[0].freeze(True)
        try:
            await patiently(store, "/p/b")
            with anyio.fail_after(60):
                assert await store.get("/p/a") is not None
        finally:
            three[0].freeze(False)


@pytest.fixture
def secure(tmp_path: Path, one_loop: None) -> Iterator[tuple[etcd.Etcd, tls.Pki]]:
    pki = tls.Pki(tmp_path / "pki")
    pair = pki.server(["localhost", "127.0.0.1"])
    words = ("--cert-file", str(pair.certificate_file), "--key-file", str(pair.key_file))
    words += ("--client-cert-auth", "--trusted-ca-file", str(pki.ca.certificate_file))
    with etcd.running(tmp_path, words) as running:
        yield running, pki


async def test_client_certificates(secure: tuple[etcd.Etcd, tls.Pki], tmp_path: Path) -> None:
    member, pki = secure
    pair = pki.client("etcd", "cloudwright")
    ca = pki.ca.certificate_file
    text = f"etcd://{member.endpoint}/x?ca={ca}&cert={pair.certificate_file}&key={pair.key_file}"
    async with open_etcd(parse(text), ManualClock()) as store:
        assert (await wrote(store, "/p/a")).create_revision > 0
    for wrong in (f"etcds://{member.endpoint}?ca={ca}", f"etcd://{member.endpoint}"):
        config = EtcdConfig(**{**_fields(parse(wrong)), "start_seconds": 0.0})
        with pytest.raises(StoreUnreachableError, match="does not answer"):
            async with open_etcd(config, ManualClock()):
                pass


def _fields(config: EtcdConfig) -> dict[str, object]:
    return {name: getattr(config, name) for name in EtcdConfig.__slots__}


async def test_nobody_there(one_loop: None) -> None:
    with socket.socket() as taken_port:
        taken_port.bind(("127.0.0.1", 0))  # bound, but nobody listens
        endpoint = f"127.0.0.1:{taken_port.getsockname()[1]}"
        with pytest.raises(StoreUnreachableError, match=endpoint) as refused:
            async with open_etcd(EtcdConfig((endpoint,), start_seconds=0.3), ManualClock()):
                pass
        assert "majority" in (refused.value.hint or "")


async def test_missed_history_ends_watches_and_tells_listeners(
    tmp_path: Path, one_loop: None
) -> None:
    with etcd.running(tmp_path) as member:
        config = EtcdConfig((member.endpoint,), request_seconds=30.0)
        async with open_etcd(config, ManualClock()) as store:
            seen = Seen()
            store.listen(seen)
            for number in range(6):
                await put(store, f"/p/{number}")
            watch = store.watch("/p/", after=store.revision)
            newest = store.revision
            await store._members.read("compact", pb.CompactionRequest(revision=newest - 1))
            # As one that was cut off before the last writes, for longer than history is kept.
            store.hub.published = newest - 4
            member.kill()
            member.start()
            await anyio.to_thread.run_sync(member.wait)
            with anyio.fail_after(60):
                while not seen.losses:
                    await anyio.sleep(0.02)
            with pytest.raises(SlowWatcherError):
                await watch.batch()
            assert seen.losses == 1
            assert store.revision == newest
            assert len((await store.page("/p/")).records) == 6
            again = store.watch("/p/", after=store.revision)
            record = await wrote(store, "/p/9")
            assert [event.revision for event in await taken(again, 1)] == [record.revision]


async def test_a_value_of_somebody_else_is_named(on_etcd: Opener) -> None:
    async with on_etcd() as store:
        await put(store, "/p/a")
        key = f"{on_etcd.prefix}/p/b".encode()
        request = pb.TxnRequest(
            success=[pb.RequestOp(request_put=pb.PutRequest(key=key, value=b"?"))]
        )
        await store._members.write(request)
        with pytest.raises(StoreCorruptError, match="not written by Cloudwright"):
            await store.get("/p/b")
        assert await store.get("/p/a") is not None
        # The feed goes over it.
        assert (await wrote(store, "/p/c")).revision == store.revision


async def test_a_write_whose_answer_was_lost_is_looked_up(
    on_etcd: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    import grpc
    from grpc.aio import AioRpcError, Metadata

    async with on_etcd() as store:
        member = store._members.current
        real = member.txn

        async def deaf(request: object, **more: object) -> object:
            await real(request, **more)
            raise AioRpcError(
                grpc.StatusCode.UNAVAILABLE, Metadata(), Metadata(), "connection reset"
            )

        monkeypatch.setattr(member, "txn", deaf)
        record = await wrote(store, "/p/a", "arrived", 0)
        assert await store.get("/p/a") == record
        with pytest.raises(StoreUnreachableError):
            await put(store, "/p/b", "nobody guards it")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("sqlit", "not an etcd store"),
        ("etcd://", "endpoints are missing"),
        ("etcd://host", "is not HOST:PORT"),
        ("etcd://host:99999", "is not HOST:PORT"),
        ("etcd://user@host:1", "is not HOST:PORT"),
        ("etcd://h:1?speed=fast", "no setting 'speed'"),
        ("etcd://h:1?ca=/nowhere", "no file /nowhere"),
    ],
)
def test_bad_names_of_stores(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse(text)


def test_names_of_stores(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    found = parse(f"etcd://a:1,[::1]:2/x/y/?cert={tmp_path}/f&key={tmp_path}/f")
    assert found.endpoints == ("a:1", "[::1]:2")
    assert (found.prefix, found.tls, found.ca) == ("/x/y", True, None)
    assert parse("etcd://a:1").prefix == "/cloudwright"
    assert not parse("etcd://a:1").tls


def test_grpc_is_not_imported_unless_it_is_used() -> None:
    script = (
        "import sys, cloudwright.platform.daemon, cloudwright.apiserver.__main__\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('grpc', 'google')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


async def test_writes_after_the_end_are_refused(on_etcd: Opener) -> None:
    async with on_etcd() as store:
        await put(store, "/p/a")
    with pytest.raises(StoreError, match="closed"):
        await put(store, "/p/b")
