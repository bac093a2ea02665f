from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from cloudwright._base.errors import CloudwrightError, NotFoundError, UsageError
from cloudwright.model.objects import uid_of
from cloudwright.node import logs
from cloudwright.node.streams import NodeStreams
from tests.unit.node.fakes import Program
from tests.unit.node.world import container_status, world

pytestmark = pytest.mark.anyio


def line(second: int, text: str, tag: str = "F") -> str:
    return f"2026-11-24T08:00:{second:02}.000000000Z stdout {tag} {text}\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    (tmp_path / "0.log.2").write_text(line(1, "one"))
    (tmp_path / "0.log.1").write_text(line(2, "two") + line(3, "thr", "P"))
    path.write_text(line(3, "ee") + line(4, "four") + line(5, "five")[:-4])
    return path


def text(path: Path, **options: object) -> str:
    return b"".join(logs.read(path, logs.Options(**options))).decode()  # type: ignore[arg-type]


def test_rotated_parts_and_partial_lines_are_joined(log: Path) -> None:
    assert text(log) == "one\ntwo\nthree\nfour\n"
    assert text(log, timestamps=True).splitlines()[2] == "2026-11-24T08:00:03.000000000Z three"


def test_tail_since_and_limit(log: Path) -> None:
    assert text(log, tail=2) == "three\nfour\n"
    assert text(log, tail=0) == ""
    assert text(log, tail=99) == "one\ntwo\nthree\nfour\n"
    assert text(log, since=datetime(2026, 11, 24, 8, 0, 3, tzinfo=UTC)) == "three\nfour\n"
    assert text(log, limit=6) == "one\ntw"


async def test_follows_growth_and_rotation_until_the_end(log: Path) -> None:
    ended = anyio.Event()
    got: list[str] = []
    enough = anyio.Event()

    async def read() -> None:
        async with aclosing(logs.follow(log, logs.Options(tail=1), ended)) as chunks:
            async for chunk in chunks:
                got.append(chunk.decode())
                if "six" in chunk.decode():
                    enough.set()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            while not got:
                await anyio.sleep(0.005)
            with log.open("a") as file:
                file.write(line(5, "five")[-4:] + line(6, "six"))
            await enough.wait()
            for number in (2, 1):
                log.with_name(f"0.log.{number}").rename(log.with_name(f"0.log.{number + 1}"))
            with log.open("a") as file:
                file.write(line(7, "seven"))
            log.rename(log.with_name("0.log.1"))
            log.write_text(line(8, "eight"))
            ended.set()
    assert "".join(got) == "four\nfive\nsix\nseven\neight\n"


async def test_streams_of_a_pod(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running() as agent:
        w.runtime.programs["app"] = [Program(1, output=("first",)), Program(output=("second",))]
        w.runtime.execs[("echo", "hi")] = (3, "hi\n")
        uid = uid_of(await w.create())
        await w.until(lambda p: container_status(p).get("restartCount") == 1)
        await w.ready()
        streams = NodeStreams(agent)

        async def read(**options: object) -> str:
            chunks = streams.logs("default", "p", **options)  # type: ignore[arg-type]
            return b"".join([chunk async for chunk in chunks]).decode()

        assert await read() == "second\n"
        assert await read(previous=True) == "first\n"
        sidecar = w.paths.pod_logs / f"default_p_{uid}" / "sidecar" / "0.log"
        sidecar.write_text(line(1, "proxied"))
        assert await read(container="sidecar") == "proxied\n"
        session = await streams.exec(
            "default", "p", container=None, argv=("echo", "hi"), tty=False, stdin=False
        )
        assert [data async for _, data in session.output()] == [b"hi\n"]
        assert await session.wait() == 3
        with pytest.raises(NotFoundError, match='no container "x"'):
            await read(container="x")
        with pytest.raises(NotFoundError, match="does not run on node here"):
            await streams.connect("default", "other", 80)
        with pytest.raises(UsageError, match="RFC 3339"):
            await read(since_time="yesterday")

        followed: list[str] = []

        async def follow() -> None:
            async for chunk in streams.logs("default", "p", follow=True):
                followed.append(chunk.decode())

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow)
                while not followed:
                    await anyio.sleep(0.005)
                w.runtime.end(next(i for i in w.runtime.running() if i.endswith("-1")), 0)
        assert followed == ["second\n"]
        assert uid in w.mesh.enrolled


async def test_a_container_that_did_not_start_has_no_logs_but_a_reason(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running() as agent:
        await w.create(container={"image": "no:1"})
        await w.until(lambda p: "waiting" in container_status(p).get("state", {}))
        await w.until(lambda p: "Image" in container_status(p)["state"]["waiting"]["reason"])
        with pytest.raises(CloudwrightError, match=r"is waiting to start: .*ImagePull"):
            await anext(NodeStreams(agent).logs("default", "p"))
