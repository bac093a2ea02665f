"""The scale subresource: ``autoscaling/v1 Scale`` in front of two numbers of an object."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cloudwright.apiserver import bodies, encoding, writes
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import bad_request, invalid, not_found
from cloudwright.apiserver.patches import Patch
from cloudwright.apiserver.registry import ScalePaths
from cloudwright.apiserver.replies import reply_json
from cloudwright.apiserver.store.interface import Record
from cloudwright.client.transport import Reply
from cloudwright.model import selectors
from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore


async def scale(core: ApiCore, call: Call) -> Reply:
    """Read, replace or patch the Scale of an object."""
    paths = call.served.scale
    assert paths is not None, "only registered for resources with a scale"
    if call.verb == "get":
        record = await core.store.get(call.served.key(call.namespace, call.name))
        if record is None:
            raise not_found(call.group, call.plural, call.name)
        return _shown(call, paths, record)
    change = Patch(replace(call, served=_plain(call))) if call.verb == "patch" else None
    given = None
    if change is None:
        given = bodies.decode_object(call.request.body, bodies.media_type(call.request.headers))

    def alter(old: Object) -> Object:
        before = of(old, paths)
        if change is not None:
            before["metadata"].pop("resourceVersion")
        wanted = given if change is None else change.apply(before)
        assert wanted is not None, "either given or patched"
        replicas = _replicas(call, wanted)
        _put(old, paths.spec_replicas, replicas)
        version = (wanted.get("metadata") or {}).get("resourceVersion")
        old["metadata"]["resourceVersion"] = version or ""
        return old

    attempts = core.config.patch_attempts
    written = await writes.change(core, call, alter, attempts=attempts)
    return _shown(call, paths, written.record)


def of(obj: Object, paths: ScalePaths) -> Object:
    """The Scale of an object."""
    found = obj["metadata"]
    names = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Object = {"replicas": _at(obj, paths.status_replicas) or 0}
    selector = _selector(obj, paths)
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: found[name] for name in names if name in found},
        "spec": {"replicas": _at(obj, paths.spec_replicas) or 0},
        "status": status,
    }


def _shown(call: Call, paths: ScalePaths, record: Record) -> Reply:
    return reply_json(200, of(encoding.shown(call.served, record.value), paths))


def _plain(call: Call) -> Any:
    # A Scale has no lists: a strategic merge patch of it needs no merge keys of its own.
    return replace(call.served, patch_keys=True)


def _replicas(call: Call, scale: Object) -> int:
    if scale.get("kind", "Scale") != "Scale":
        raise bad_request(f"the body must be a Scale, not a {scale['kind']}")
    spec = scale.get("spec")
    replicas = spec.get("replicas", 0) if isinstance(spec, dict) else None
    if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 0:
        cause = {
            "reason": "FieldValueInvalid",
            "message": f"Invalid value: {replicas}: must be greater than or equal to 0",
            "field": "spec.replicas",
        }
        raise invalid("autoscaling", "Scale", call.name, [cause])
    return replicas


def _selector(obj: Object, paths: ScalePaths) -> str:
    if paths.selector:
        return str(_at(obj, paths.selector) or "")
    selector = _at(obj, "spec.selector")
    if not isinstance(selector, dict):
        return ""
    return str(selectors.from_label_selector(selector))


def _at(obj: Object, path: str) -> Any:
    value: Any = obj
    for part in path.removeprefix(".").split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _put(obj: Object, path: str, value: Any) -> None:
    *parents, last = path.removeprefix(".").split(".")
    for part in parents:
        obj = obj.setdefault(part, {})
    obj[last] = value
