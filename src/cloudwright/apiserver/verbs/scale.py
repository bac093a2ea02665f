"""The scale subresource: ``autoscaling/v1 Scale`` in front of two numbers of an object."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from cloudwright.apiserver import bodies, encoding, gojson, options, refusals, writes
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import bad_request, conflict, invalid, not_found
from cloudwright.apiserver.managed import SCALE, Managed
from cloudwright.apiserver.patches import Patch
from cloudwright.apiserver.registry import ScalePaths
from cloudwright.apiserver.replies import reply_json
from cloudwright.apiserver.store.interface import Record
from cloudwright.apiserver.verbs import apply
from cloudwright.client.transport import Reply
from cloudwright.model import selectors
from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore


async def scale(core: ApiCore, call: Call) -> Reply:
    """Read, replace, patch or apply the Scale of an object."""
    paths = call.served.scale
    assert paths is not None, "only registered for resources with a scale"
    if call.verb == "get":
        record = await core.store.get(call.served.key(call.namespace, call.name))
        if record is None:
            raise not_found(call.group, call.plural, call.name)
        return _shown(call, paths, record)
    change = _Change(core, call, paths)
    written = await writes.change(
        core,
        call,
        change.alter,
        attempts=core.config.patch_attempts,
        wanted=change.options,
        own=change.own,
    )
    return _shown(call, paths, written.record)


class _Change:
    """One write of a Scale, on one object after another."""

    def __init__(self, core: ApiCore, call: Call, paths: ScalePaths) -> None:
        self._core, self._call, self._paths = core, call, paths
        kind = bodies.media_type(call.request.headers)
        self.options = options.read(call, kind)
        self._patch = self._applied = self._given = None
        if call.verb == "update":
            self._given = bodies.read(call, "Scale")
        elif kind == apply.MEDIA_TYPE:
            self._applied = apply.decode(call, self.options)
            apply.check(self._applied, SCALE, "Scale")
        else:
            self._patch = Patch(replace(call, served=_plain(call)))
        self._managed = Managed()

    def alter(self, old: Object) -> Object:
        """The object with the new number."""
        core, served, now = self._core, self._call.served, self._core.clock.now()
        managed = old["metadata"].get("managedFields")
        before = of(old, self._paths)
        shown = core.ownership.of_scale(served, managed)
        if shown:
            before["metadata"]["managedFields"] = shown
        if self._applied is not None:
            with apply.refused(self._applied):
                wanted, owners = core.ownership.apply_scale(
                    before,
                    self._applied,
                    self.options.manager,
                    now,
                    force=self.options.force,
                )
        else:
            wanted = self._wanted(orjson.loads(orjson.dumps(before)))
            self._check_types(wanted)
            typed = {**before, **wanted, "spec": _spec(_replicas(self._call, wanted))}
            live = {**before, "spec": _spec(before["spec"]["replicas"])}
            owners = core.ownership.update_scale(live, typed, self.options.manager, now)
        self._managed = core.ownership.from_scale(served, managed, owners)
        return self._put(old, wanted, before)

    def own(self, _record: Record, _new: Object) -> Managed:
        """The owners that go with the last ``alter``."""
        return self._managed

    def _check_types(self, wanted: Object) -> None:
        """Refuse a patch that makes something else than a Scale. Raises ``ApiError`` 422."""
        spec = wanted.get("spec")
        number = spec.get("replicas", 0) if isinstance(spec, dict) else 0
        if self._patch is not None and type(number) is not int:
            what = gojson.mismatch(number, "").removesuffix("Go value of type ")
            message = f"{what}Go struct field ScaleSpec.spec.replicas of type int32"
            raise refusals.patch_refused(self._call, wanted, message)

    def _wanted(self, before: Object) -> Object:
        if self._patch is None:
            assert self._given is not None, "either given or patched"
            return self._given
        return self._patch.apply(before)

    def _put(self, old: Object, wanted: Object, before: Object) -> Object:
        call, found = self._call, wanted.get("metadata")
        found = found if isinstance(found, dict) else {}
        uid = old["metadata"].get("uid")
        if found.get("uid") and found["uid"] != uid:
            message = (
                f"Precondition failed: UID in precondition: {found['uid']}, "
                f"UID in object meta: {uid}"
            )
            raise conflict(call.group, f"{call.plural}/scale", call.name, message)
        if (found.get("name") or call.name) != call.name:
            raise bad_request(
                f"the name of the object ({found['name']}) does not match the name on the URL "
                f"({call.name})"
            )
        _put(old, self._paths.spec_replicas, _replicas(call, wanted))
        version = found.get("resourceVersion")
        # What a patch was made on is not what its sender asked for.
        kept = self._given is None and version == before["metadata"].get("resourceVersion")
        old["metadata"]["resourceVersion"] = "" if kept else version or ""
        return old


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


def _spec(replicas: int) -> Object:
    """As Go writes it: zero is left out."""
    return {"replicas": replicas} if replicas else {}


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
