"""Server-side apply: our updates become our apply, conflicts are told by field and owner."""

from __future__ import annotations

from typing import Any

from cloudwright.model.objects import Object
from cloudwright.operator.engines import applying
from cloudwright.operator.engines.applying import MANAGER


def entry(manager: str, operation: str, **more: Any) -> Object:
    return {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {}}, **more}


def owned(*entries: Object) -> Object:
    return {"metadata": {"name": "x", "managedFields": list(entries)}}


def test_an_update_becomes_an_apply() -> None:
    other, status = entry("kubectl", "Update"), entry(MANAGER, "Update", subresource="status")
    found = applying.taken_over(owned(other, status, entry("cloudwright", "Update")))
    assert found == [other, status, entry(MANAGER, "Apply")]
    assert applying.taken_over(owned(*found)) is None


def test_an_apply_that_is_there_keeps_its_fields() -> None:
    applied = {**entry(MANAGER, "Apply"), "fieldsV1": {"f:data": {}}}
    found = applying.taken_over(owned(applied, entry(MANAGER, "Update")))
    assert found == [applied]


def test_nothing_of_ours() -> None:
    assert applying.taken_over(owned(entry("kubectl", "Update"))) is None
    assert applying.taken_over({"metadata": {}}) is None


def test_a_conflict_in_words() -> None:
    causes = [
        {"field": ".spec.replicas", "message": 'conflict with "hpa" using apps/v1'},
        {"field": ".spec.paused", "message": "unclear"},
    ]
    told = applying.conflict("Deployment", owned(), causes)
    assert told == "Deployment x: .spec.paused, .spec.replicas (hpa)"
