from __future__ import annotations

import pytest

from cloudwright.client import discovery
from cloudwright.model import resources


@pytest.mark.parametrize(
    ("word", "resource"),
    [
        ("po", resources.POD),
        ("pods", resources.POD),
        ("Pod", resources.POD),
        ("deploy.apps", resources.DEPLOYMENT),
        ("deployments.v1.apps", resources.DEPLOYMENT),
        ("ms", resources.MICRO_SERVICE),
        ("MicroService", resources.MICRO_SERVICE),
        ("ms.platform.example.com", resources.MICRO_SERVICE),
        ("rt", resources.ROUTE),
        ("ev", resources.EVENT),
        ("events.events.k8s.io", resources.EVENT_V1),
        ("pods.apps", None),
        ("gizmos", None),
    ],
)
def test_words_name_resources(word: str, resource: resources.Resource | None) -> None:
    assert discovery.match(word) == resource


def test_discovery_documents_become_resources() -> None:
    document = {
        "groupVersion": "example.com/v1",
        "resources": [
            {"name": "gizmos", "kind": "Gizmo", "namespaced": True, "shortNames": ["gz"]},
            {"name": "gizmos/status", "kind": "Gizmo"},
            {"name": "worlds", "kind": "World", "singularName": "world"},
        ],
    }
    gizmo, world = discovery.resources_of(document)
    assert (gizmo.group, gizmo.version, gizmo.singular) == ("example.com", "v1", "gizmo")
    assert gizmo.subresources == {"status"}
    assert gizmo.namespaced
    assert not world.namespaced
    assert discovery.match("gz", [gizmo, world]) == gizmo
    assert discovery.by_kind("example.com/v1", "World", [gizmo, world]) == world
    assert discovery.by_kind("v1", "World", [gizmo, world]) is None
    groups = {"groups": [{"preferredVersion": {"groupVersion": "a/v1"}}, {"versions": []}]}
    assert discovery.group_versions(groups) == ["a/v1"]


def test_an_unknown_word_gets_the_nearest() -> None:
    error = discovery.unknown("pdos", resources.BUILT_IN)
    assert error.hint == "did you mean pods?"
    assert error.exit_code == 3
