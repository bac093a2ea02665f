"""Owners of built-in kinds' fields, as upstream's library has them.

``upstream_managed.json`` has generated histories of objects (updates and applies by several
managers) with the results of apimachinery's ``managedfields`` 0.36.3.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from cloudwright.apiserver import managed, native
from cloudwright.model.objects import Object

_TABLE = Path(__file__).parent / "upstream_managed.json"


def _cases() -> list[Any]:
    cases: list[Any] = orjson.loads(_TABLE.read_bytes())
    return [pytest.param(case, id=f"{case['kind']}-{at}") for at, case in enumerate(cases)]


def _step(
    schema: native.MergeSchema, case: Object, live: bytes | None, step: Object
) -> tuple[Object, bytes | None]:
    """The object that a step leaves, in Go's form, and its owners."""
    version = "/".join(part for part in (case["group"], case["version"]) if part)
    ignored = native.MergeFields(case.get("ignored") or [])
    given = orjson.dumps(step["object"])
    who = (version, step["manager"], step["subresource"], "2026-01-01T00:00:00Z", ignored)
    if step["verb"] == "apply":
        found, fields, _ = native.managed_apply(schema, live, given, *who, step["force"])
        return orjson.loads(schema.shape(found)), fields
    new = schema.shape(given)
    fields, _ = native.managed_update(schema, live, new, *who)
    return orjson.loads(new), fields


def _sorted(obj: Object) -> Object:
    owners = obj["metadata"].get("managedFields", [])
    for owner in owners:
        owner.pop("time", None)
    owners.sort(key=lambda owner: orjson.dumps(owner, option=orjson.OPT_SORT_KEYS))
    return obj


@pytest.mark.parametrize("case", _cases())
def test_histories_end_as_upstream_ends_them(case: Object) -> None:
    schema = managed.built_in(case["definition"])
    live: bytes | None = None
    for step, wanted in zip(case["steps"], case["results"], strict=True):
        if "causes" in wanted:
            with pytest.raises(native.MergeConflict) as caught:
                _step(schema, case, live, step)
            found = [[f"conflict with {manager}", field] for manager, field in caught.value.args[0]]
            assert sorted(found) == sorted(wanted["causes"])
        elif "error" in wanted:
            with pytest.raises(native.MergeError) as failed:
                _step(schema, case, live, step)
            assert wanted["error"].endswith(str(failed.value))
        else:
            obj, fields = _step(schema, case, live, step)
            obj.setdefault("metadata", {}).pop("managedFields", None)
            if fields is not None:
                obj["metadata"]["managedFields"] = orjson.loads(fields)
            obj["metadata"]["uid"] = "u"
            live = orjson.dumps(obj)
            assert _sorted(obj) == _sorted(wanted["object"])
