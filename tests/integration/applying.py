"""A MicroService whose children have other owners too, on any API."""

from __future__ import annotations

from typing import Any

from cloudwright.model.conditions import find
from cloudwright.model.objects import Object, annotations_of
from cloudwright.model.resources import DEPLOYMENT, MICRO_SERVICE
from cloudwright.operator.engines.applying import CONDITION, MANAGER
from tests.integration.operator_world import World

NAME = "shared"
_OTHER = "autoscaler"


def _said(service: Object) -> Object:
    found: Object = find((service.get("status") or {}).get("conditions"), CONDITION) or {}
    return found


async def _take(w: World, *, spec: Object, annotations: Object | None = None) -> None:
    """Somebody else applies fields of the Deployment, with force."""
    wish: Object = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": "default", "annotations": annotations or {}},
        "spec": spec,
    }
    await w.client.apply_server_side(DEPLOYMENT, wish, field_manager=_OTHER, force=True)


async def _version(w: World, version: str) -> None:
    await w.client.patch(MICRO_SERVICE, NAME, {"spec": {"version": version}}, "default")


def _runs(version: str) -> Any:
    return lambda o: o["spec"]["template"]["spec"]["containers"][0]["image"].endswith(f":{version}")


async def others_keep_their_fields(w: World) -> None:
    """What others own stays; what we wish and others own is told, not taken; then it is ours."""
    spec = {"version": "1.0.1", "replicas": 1, "image": "shop"}
    head = {"name": NAME, "namespace": "default"}
    kind = {"apiVersion": "platform.example.com/v1", "kind": "MicroService"}
    await w.client.create(MICRO_SERVICE, {**kind, "metadata": head, "spec": spec})
    await w.until(DEPLOYMENT, NAME, _runs("1.0.1"))
    grace = {"template": {"spec": {"terminationGracePeriodSeconds": 77}}}
    await _take(w, spec=grace, annotations={"example.com/mark": "theirs"})
    await _version(w, "1.0.2")
    found = await w.until(DEPLOYMENT, NAME, _runs("1.0.2"))
    assert found["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 77
    assert annotations_of(found)["example.com/mark"] == "theirs"
    ours = [e for e in found["metadata"]["managedFields"] if e["manager"] == MANAGER]
    assert [one["operation"] for one in ours] == ["Apply"]
    # Now somebody else decides about a field that we wish to set.
    await _take(w, spec={**grace, "replicas": 3}, annotations={"example.com/mark": "theirs"})
    told = await w.until(MICRO_SERVICE, NAME, lambda o: _said(o).get("status") == "False")
    assert "Deployment shared: .spec.replicas (autoscaler)" in _said(told)["message"]
    assert (await w.client.get(DEPLOYMENT, NAME, "default"))["spec"]["replicas"] == 3
    # They give it up: the next change is ours again.
    await _take(w, spec=grace, annotations={"example.com/mark": "theirs"})
    await _version(w, "1.0.3")
    found = await w.until(DEPLOYMENT, NAME, _runs("1.0.3"))
    assert found["spec"]["replicas"] == 1
    await w.until(MICRO_SERVICE, NAME, lambda o: not _said(o))
    await w.client.delete(MICRO_SERVICE, NAME, "default")
    await w.until_gone(DEPLOYMENT, NAME)
