"""What a cluster begins with: planted objects are what creating them would have stored."""

from __future__ import annotations

import gzip

import orjson
import pytest

from cloudwright.apiserver import bootstrap
from cloudwright.apiserver.authz import ChainAuthorizer
from cloudwright.apiserver.core import ApiCore
from cloudwright.apiserver.seeds import seed, wishes
from cloudwright.model.objects import uid_of
from tests.unit.apiserver_core.kit import opened

pytestmark = pytest.mark.anyio


async def test_the_file_has_what_creating_the_objects_stores(tmp_path):
    """Else: ``python scripts/generate_seeds.py``."""
    async with opened(tmp_path) as store:
        made = await wishes.make(ApiCore(store, ChainAuthorizer(store)))
    kept = seed.load()
    assert [one.key for one in kept] == [one.key for one in made]
    for one, other in zip(kept, made, strict=True):
        assert one.decoded() == other.decoded(), f"{one.key}: run scripts/generate_seeds.py"


async def test_planted_objects_have_ids_times_and_revisions_of_their_own(tmp_path):
    async with opened(tmp_path) as store:
        core = await bootstrap.start(store, ChainAuthorizer(store))
        records = (await store.page("/")).records
        objects = [orjson.loads(record.value) for record in records]
    assert sorted(record.key for record in records) == sorted(one.key for one in seed.load())
    assert len({uid_of(obj) for obj in objects}) == len(objects)
    for record, obj in zip(records, objects, strict=True):
        metadata = obj["metadata"]
        assert metadata["resourceVersion"] == str(record.revision)
        assert metadata["creationTimestamp"].startswith(f"{core.clock.now():%Y-%m-%d}")
        assert seed.UID not in record.value
        assert seed.NOW not in record.value


async def test_what_is_there_stays_as_it_is(tmp_path):
    async with opened(tmp_path) as store:
        core = await bootstrap.start(store, ChainAuthorizer(store))
        before = store.revision
        await bootstrap.start(store, ChainAuthorizer(store))
        assert store.revision == before
        kept = seed.load()
        await seed.plant(core, kept)  # somebody else was faster: his objects stay
        assert store.revision == before


def test_the_file_is_reproducible():
    packed = seed.FILE.read_bytes()
    text = gzip.decompress(packed)
    assert text == wishes.packed(seed.load())
    assert gzip.compress(text, 9, mtime=0)[:10] == packed[:10]
