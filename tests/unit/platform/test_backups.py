"""Backup while in use, restore, and every way in which a restore may be interrupted or refused."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import stat
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from cloudwright._base.clock import ManualClock
from cloudwright._base.errors import ConflictError, NotFoundError
from cloudwright._base.paths import Paths
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.errors import CompactedError
from cloudwright.apiserver.store.backup import LEAP
from cloudwright.apiserver.store.sqlite import SqliteStore, open_store
from cloudwright.cli.main import main
from cloudwright.platform import backups
from cloudwright.platform.archive import BadArchive
from cloudwright.platform.errors import AlreadyRunning
from tests.unit.apiserver_store.kit import put, wrote

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened(paths: Paths) -> AsyncIterator[SqliteStore]:
    async with open_store(StoreConfig(paths.database), ManualClock()) as store:
        yield store


@pytest.fixture
async def paths(tmp_path: Path) -> Paths:
    found = Paths.find(tmp_path / "state")
    async with opened(found) as store:
        for number in range(50):
            await put(store, f"/p/{number:02}", "first" * 100)
    found.pki.mkdir(mode=0o700)
    (found.pki / "ca.pem").write_text("certificate")
    (found.pki / "mesh").mkdir(0o700)
    (found.pki / "mesh" / "ca.key").write_text("secret")
    (found.pki / "mesh" / "ca.key").chmod(0o600)
    (found.state / "apiserver" / "tokens.json").write_text("{}")
    (found.state / "config.toml").write_text('bridge = "cw7"\n')
    (found.state / "images").mkdir()
    (found.state / "images" / "large").write_text("not saved")
    return found


async def content(paths: Paths) -> tuple[dict[str, bytes], int]:
    async with opened(paths) as store:
        page = await store.page("/")
        return {record.key: record.value for record in page.records}, page.revision


def files(paths: Paths) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(paths.state)): (path.read_text(), stat.S_IMODE(path.stat().st_mode))
        for name in ("pki", "config.toml", "apiserver/tokens.json")
        for path in (paths.state / name, *(paths.state / name).rglob("*"))
        if path.is_file()
    }


async def test_a_backup_while_writing_is_of_one_moment(paths: Paths, tmp_path: Path) -> None:
    target = tmp_path / "one.cwb"
    async with opened(paths) as store:
        stop = False

        async def write() -> None:
            # Both keys change in step: a copy of one moment has them at most one apart.
            number = 0
            while not stop:
                number += 1
                await put(store, "/q/a", str(number))
                await put(store, "/q/b", str(number))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            while store.revision < 100:
                await anyio.sleep(0.001)
            manifest = await anyio.to_thread.run_sync(lambda: backups.create(paths, target))
            stop = True
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    shutil.rmtree(paths.state)
    done = backups.restore(paths, target)
    assert done.kept is None
    values, revision = await content(paths)
    assert len(values) == manifest.keys == 52
    first, second = (int(values[key].split(b">")[1]) for key in ("/q/a", "/q/b"))
    assert first - second in (0, 1)
    assert revision == done.revision == manifest.revision + LEAP


async def test_everything_comes_back(paths: Paths, tmp_path: Path) -> None:
    before, saved = files(paths), (await content(paths))[0]
    backups.create(paths, tmp_path / "b")
    async with opened(paths) as store:
        await put(store, "/p/00", "second")
        await put(store, "/p/99", "second")
    (paths.pki / "ca.pem").write_text("another")
    (paths.pki / "newer.pem").write_text("another")
    done = backups.restore(paths, tmp_path / "b")
    assert files(paths) == before
    assert (await content(paths))[0] == saved
    assert (paths.state / "images" / "large").exists()
    assert done.kept is not None
    assert (done.kept / "pki" / "newer.pem").exists()
    assert (done.kept / "apiserver" / "store.db").exists()


async def test_clients_of_before_are_told_to_list_again(paths: Paths, tmp_path: Path) -> None:
    backups.create(paths, tmp_path / "b")
    async with opened(paths) as store:
        seen = (await wrote(store, "/p/00", "lost")).revision
    backups.restore(paths, tmp_path / "b")
    async with opened(paths) as store:
        with pytest.raises(CompactedError):
            store.watch("/p/", after=seen)
        with pytest.raises(CompactedError):
            await store.page("/p/", revision=seen)
        again = store.watch("/p/", after=store.revision)
        written = await wrote(store, "/p/00", "new")
        assert written.revision > seen + LEAP / 2
        assert [event.key for event in await again.batch()] == ["/p/00"]
        assert (await store.check()).problems == []


async def test_a_restore_of_a_restored_store_goes_further(paths: Paths, tmp_path: Path) -> None:
    backups.create(paths, tmp_path / "b")
    first = backups.restore(paths, tmp_path / "b").revision
    backups.create(paths, tmp_path / "c")
    assert backups.restore(paths, tmp_path / "c").revision == first + LEAP


async def test_a_running_platform_is_not_restored(paths: Paths, tmp_path: Path) -> None:
    backups.create(paths, tmp_path / "b")
    async with opened(paths) as store:
        with pytest.raises(AlreadyRunning):
            backups.restore(paths, tmp_path / "b")
        await put(store, "/p/00", "goes on")


@pytest.mark.parametrize("seed", range(25))
async def test_a_damaged_backup_is_refused_and_nothing_touched(
    paths: Paths, tmp_path: Path, seed: int
) -> None:
    target = tmp_path / "b"
    backups.create(paths, target)
    whole = bytearray(target.read_bytes())
    rng = random.Random(seed)
    if seed % 3 == 0:
        del whole[rng.randrange(len(whole) - 8) :]
    else:
        at = rng.randrange(20, len(whole) - 8)
        whole[at] ^= 1 << rng.randrange(8)
    target.write_bytes(whole)
    before, saved = files(paths), await content(paths)
    try:
        backups.restore(paths, target)
    except BadArchive:
        assert files(paths) == before
        assert await content(paths) == saved
        assert not (paths.state / ".restore").exists()
    else:
        # A flipped bit may be in what gzip does not look at; the content is then good.
        assert (await content(paths))[0] == saved[0]
        assert files(paths) == before


def repacked(source: Path, target: Path, change: object) -> None:
    """``source`` with its manifest and members changed."""
    with tarfile.open(source) as old, tarfile.open(target, "w:gz") as new:
        members = {m.name: old.extractfile(m).read() for m in old}  # type: ignore[union-attr]
        manifest = json.loads(members["manifest.json"])
        change(manifest, members)  # type: ignore[operator]
        members["manifest.json"] = json.dumps(manifest).encode()
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            new.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda manifest, _: manifest.update(format=2), "has format 2"),
        (lambda manifest, _: manifest.update(kind="other"), "no backup of Cloudwright's"),
        (lambda manifest, _: manifest.pop("files"), "its manifest is bad"),
        (lambda _, members: members.update({"../evil": b"x"}), "not what the manifest says"),
        (lambda _, members: members.pop("pki/ca.pem"), "pki/ca.pem is missing"),
        (
            lambda manifest, members: (
                manifest["files"][1].update(path="../evil"),
                members.update({"../evil": members.pop(manifest["files"][1]["path"], b"")}),
            ),
            "not a path inside",
        ),
        (
            lambda manifest, members: (
                manifest["files"].append({"path": "x/y", "bytes": 0, "mode": 384,
                    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}),
                members.update({"x/y": b""}),
            ),
            "does not belong",
        ),
    ],
)  # fmt: skip
async def test_a_strange_archive_is_refused(
    paths: Paths, tmp_path: Path, change: object, text: str
) -> None:
    backups.create(paths, tmp_path / "b")
    repacked(tmp_path / "b", tmp_path / "c", change)
    with pytest.raises(BadArchive, match=text):
        backups.restore(paths, tmp_path / "c")
    assert not (tmp_path / "evil").exists()


async def test_a_damaged_store_gives_no_backup(paths: Paths, tmp_path: Path) -> None:
    data = bytearray(paths.database.read_bytes())
    at = data.index(b"firstfirst")
    data[at] ^= 4
    paths.database.write_bytes(data)
    with pytest.raises(Exception, match="not what was written"):
        backups.create(paths, tmp_path / "b")
    assert list(tmp_path.glob("*b*")) == []


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", range(12))
async def test_a_killed_restore_is_finished_or_never_began(
    paths: Paths, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    backups.create(paths, tmp_path / "b")
    saved = (await content(paths))[0]
    async with opened(paths) as store:
        await put(store, "/p/00", "second")
    newer = (await content(paths))[0]
    count = 0
    rename = Path.rename

    def counted(self: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count == step // 2 + 1 and step % 2 == 0:
            raise Killed
        done = rename(self, target)
        if count == step // 2 + 1:
            raise Killed
        return done

    monkeypatch.setattr(Path, "rename", counted)
    try:
        backups.restore(paths, tmp_path / "b")
    except Killed:
        pass
    monkeypatch.setattr(Path, "rename", rename)
    decided = not (step == 0 and count == 1)
    backups.finish(paths)
    assert (await content(paths))[0] == (saved if decided else newer)
    assert not (paths.state / ".restore-ready").exists()


async def test_odd_targets(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "b").write_text("precious")
    with pytest.raises(ConflictError, match="exists already"):
        backups.create(paths, tmp_path / "b")
    assert (tmp_path / "b").read_text() == "precious"
    backups.create(paths, tmp_path / "b", overwrite=True)
    assert backups.verify(tmp_path / "b").keys == 50
    with pytest.raises(NotFoundError, match="no store"):
        backups.create(Paths.find(tmp_path / "nowhere"), tmp_path / "c")
    with pytest.raises(BadArchive, match="cannot be read"):
        backups.verify(tmp_path / "nothing")


async def test_the_verbs(paths: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, where = str(tmp_path / "b.cwb"), ["--state-dir", str(paths.state)]
    assert main(["backup", target, *where, "-o", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["keys"] == 50
    assert {"apiserver/store.db", "pki/ca.pem"} <= {entry["path"] for entry in facts["files"]}
    assert main(["backup", target, *where]) == 7
    assert main(["backup", "--verify", target]) == 0
    assert "is good: 50 objects" in capsys.readouterr().out
    assert main(["restore", target, *where]) == 2  # nobody there to say yes
    assert main(["restore", target, *where, "--yes"]) == 0
    assert "the state before is kept in" in capsys.readouterr().out
    os.truncate(target, 1000)
    assert main(["restore", "--verify", target]) == 1
    assert "damaged" in capsys.readouterr().err
