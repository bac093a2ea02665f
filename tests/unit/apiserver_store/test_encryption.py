"""Values that are encrypted in the store, and plain for everybody above it."""

from __future__ import annotations

import base64
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from cloudwright._base.clock import ManualClock
from cloudwright.apiserver import encoding
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.errors import StoreCorruptError
from cloudwright.apiserver.store.encryption import configuration
from cloudwright.apiserver.store.encryption.configuration import EncryptionProblem, Rules
from cloudwright.apiserver.store.encryption.sealed import SealedStore
from cloudwright.apiserver.store.interface import Compare, Event, Txn, Write
from cloudwright.apiserver.store.sqlite import SqliteStore, open_store

pytestmark = pytest.mark.anyio
KEY, OTHER = "/core/secrets/default/a", "/core/configmaps/default/a"
WORD = "open sesame"


def key(name: str, length: int = 32) -> dict[str, str]:
    return {"name": name, "secret": base64.b64encode(os.urandom(length)).decode()}


def rules(*providers: Any, resources: tuple[str, ...] = ("secrets",)) -> Rules:
    entry = {"resources": list(resources), "providers": list(providers)}
    return configuration.rules({"kind": "EncryptionConfiguration", "resources": [entry]})


def opened(directory: Path) -> Any:
    return open_store(StoreConfig(directory / "store.db"), ManualClock())


def secret(word: str = WORD) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"w": word}}


async def put(store: Any, where: str = KEY, revision: int = 0, word: str = WORD) -> Any:
    write = Write(where, encoding.template(secret(word)))
    outcome = await store.commit(Txn((Compare(where, revision),), write))
    assert outcome.record is not None
    return outcome.record


def raw(store: SqliteStore, directory: Path) -> bytes:
    del store
    with sqlite3.connect(directory / "store.db") as connection:
        return b"".join(
            bytes(value) if isinstance(value, bytes) else str(value).encode()
            for row in connection.execute("SELECT * FROM current")
            for value in row
            if value is not None
        )


@pytest.mark.parametrize("kind", ["aesgcm", "aescbc"])
async def test_what_is_listed_is_encrypted_below_and_plain_above(tmp_path: Path, kind: str) -> None:
    async with opened(tmp_path) as store:
        sealed = SealedStore(store, rules({kind: {"keys": [key("k1")]}}, {"identity": {}}))
        seen: list[Event] = []

        class Cache:
            def event(self, event: Event) -> None:
                seen.append(event)

            def lost(self) -> None:
                raise AssertionError("nothing was missed")

        sealed.listen(Cache())
        watch = sealed.watch("/core/secrets/", after=await sealed.newest())
        written = await put(sealed)
        await put(sealed, OTHER)
        found = await sealed.get(KEY)
        assert found == written
        obj = encoding.decode(written.value)
        assert obj["data"] == {"w": WORD}
        assert obj["metadata"]["resourceVersion"] == str(written.revision)
        page = await sealed.page("/core/")
        assert [one.key for one in page.records] == [OTHER, KEY]
        assert all(WORD.encode() in one.value for one in page.records)
        again = await put(sealed, KEY, written.revision, "other word")
        events = await watch.batch()
        events += await watch.batch() if len(events) < 2 else []
        assert [WORD.encode() in event.value for event in events] == [True, False]
        assert events[1].previous == written.value
        assert [event.value for event in seen if event.key == KEY][-1] == again.value
        watch.close()
        below = await store.get(KEY)
        assert below is not None
        assert below.value.startswith(f"k8s:enc:{kind}:v1:k1:".encode())
        plain = await store.get(OTHER)
        assert plain is not None
        assert WORD.encode() in plain.value


async def test_the_file_does_not_know_the_word(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(SealedStore(store, rules({"aesgcm": {"keys": [key("k")]}})), word="hush-hush")
        assert b"hush-hush" not in raw(store, tmp_path)
        assert b"k8s:enc:aesgcm" in raw(store, tmp_path)


async def test_a_value_is_good_only_in_its_place_and_with_its_key(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        sealed = SealedStore(store, rules({"aesgcm": {"keys": [key("k")]}}))
        await put(sealed)
        below = await store.get(KEY)
        assert below is not None
        moved = "/core/secrets/default/b"
        template = encoding.Template(below.value[: below.value.rindex(b":") + 1], b"")
        await store.commit(Txn((), Write(moved, template)))
        with pytest.raises(StoreCorruptError):
            await sealed.get(moved)
        for providers in (({"aesgcm": {"keys": [key("k")]}},), ({"identity": {}},)):
            with pytest.raises(StoreCorruptError):
                await SealedStore(store, rules(*providers)).get(KEY)


async def test_plain_values_need_the_identity_provider(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store)
        gcm = {"aesgcm": {"keys": [key("k")]}}
        with pytest.raises(StoreCorruptError):
            await SealedStore(store, rules(gcm)).get(KEY)
        assert await SealedStore(store, rules(gcm, {"identity": {}})).get(KEY) is not None


async def test_keys_are_changed_by_writing_anew(tmp_path: Path) -> None:
    old, new = key("old"), key("new")
    async with opened(tmp_path) as store:
        await put(store)
        first = SealedStore(store, rules({"aesgcm": {"keys": [old]}}, {"identity": {}}))
        assert await first.renew() == 1
        assert await first.renew() == 0
        second = SealedStore(store, rules({"aesgcm": {"keys": [new, old]}}))
        found = await second.get(KEY)
        assert found is not None
        assert encoding.decode(found.value)["data"] == {"w": WORD}
        assert await second.renew() == 1
        last = SealedStore(store, rules({"identity": {}}, {"aesgcm": {"keys": [new]}}))
        assert await last.renew() == 1
        below = await store.get(KEY)
        assert below is not None
        assert encoding.decode(below.value)["data"] == {"w": WORD}


@pytest.mark.parametrize(
    ("pattern", "listed"),
    [
        ("secrets", ["/core/secrets/n/a"]),
        ("*.", ["/core/secrets/n/a", "/core/pods/n/a"]),
        ("*.apps", ["/apps/deployments/n/a"]),
        ("boxes.example.org", ["/example.org/boxes/n/a"]),
        ("*.*", ["/core/pods/n/a", "/apps/deployments/n/a", "/example.org/boxes/n/a"]),
    ],
)
async def test_kinds_are_named_as_upstream_names_them(pattern: str, listed: list[str]) -> None:
    found = rules({"aesgcm": {"keys": [key("k")]}}, resources=(pattern,))
    every = ["/core/secrets/n/a", "/core/pods/n/a", "/apps/deployments/n/a"]
    every.append("/example.org/boxes/n/a")
    matched = [one for one in every if found.of(one) is not None]
    assert set(listed) <= set(matched)
    if pattern != "*.*":
        assert matched == listed


@pytest.mark.parametrize(
    ("providers", "said"),
    [
        ([], "providers: at least one"),
        ([{"secretbox": {"keys": [key("k")]}}], "secretbox: not supported"),
        ([{"kms": {}}], "kms: not supported"),
        ([{"aesgcm": {"keys": []}}], "keys: at least one"),
        ([{"aesgcm": {"keys": [{"name": "k", "secret": "eHg="}]}}], "16, 24 or 32 bytes"),
        ([{"aesgcm": {"keys": [{"name": "", "secret": "eHg="}]}}], "name: required"),
    ],
)
async def test_wrong_configurations_name_the_field(providers: list[Any], said: str) -> None:
    with pytest.raises(EncryptionProblem) as error:
        rules(*providers)
    assert said in error.value.message


async def test_our_own_key_is_made_once_and_private(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(SealedStore(store, configuration.load("secrets", tmp_path / "pki")))
        again = SealedStore(store, configuration.load("secrets", tmp_path / "pki"))
        assert await again.get(KEY) is not None
    file = tmp_path / "pki" / "encryption.key"
    assert file.stat().st_mode & 0o777 == 0o600
