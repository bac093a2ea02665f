"""Bringing one child to what its owner wishes: create, update, leave alone, or a clash."""

from __future__ import annotations

from cloudwright.model.objects import Object, annotations_of, name_of, owned_by
from cloudwright.model.resources import Resource
from cloudwright.operator.engines.actions import Apply, Create, Update
from cloudwright.operator.engines.revisions import APPLIED, APPLIED_TEMPLATE
from cloudwright.operator.engines.templates import copy, digest, grants

_CONTENT = ("spec", "data", "binaryData")
_SERVER_OWNED = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
"""Fields of a Service that the server chose and that a later wish must not take away."""


class Clash(Exception):
    """An object of the child's name exists and belongs to somebody else."""

    def __init__(self, child: Object) -> None:
        super().__init__(
            f"{child['kind']} {name_of(child)} exists and is not managed by this MicroService"
        )
        self.child = child


def stamped(wish: Object) -> Object:
    """The wish with a digest of itself as annotation, so that removed fields are noticed."""
    result = copy(wish)
    annotations = {**annotations_of(wish), APPLIED: digest(wish)}
    if "template" in (wish.get("spec") or {}):
        annotations[APPLIED_TEMPLATE] = digest(wish["spec"]["template"])
    result["metadata"]["annotations"] = annotations
    return result


def restamped(wish: Object) -> Object:
    """A stamped wish that was changed afterwards, stamped anew."""
    result = copy(wish)
    for key in (APPLIED, APPLIED_TEMPLATE):
        result["metadata"].get("annotations", {}).pop(key, None)
    return stamped(result)


def current(wish: Object, actual: Object | None) -> bool:
    """Whether ``actual`` is what a (stamped) wish asks for."""
    if actual is None:
        return False
    asked = annotations_of(wish).get(APPLIED)
    if annotations_of(actual).get(APPLIED) != asked:
        return False
    parts = {key: wish[key] for key in _CONTENT if key in wish}
    metadata = {key: wish["metadata"].get(key) or {} for key in ("labels", "annotations")}
    return grants(actual, parts) and grants(actual["metadata"], metadata)


def bring(
    resource: Resource, owner: Object, wish: Object, actual: Object | None, *, apply: bool = False
) -> Create | Update | Apply | None:
    """What makes ``actual`` into the (stamped) wish; ``None`` when nothing is to be done.

    With ``apply`` only the wish's own fields are written, by server-side apply.

    Raises:
        Clash: the object belongs to somebody else.
    """
    if actual is None:
        return Create(resource, wish)
    if not owned_by(actual, owner):
        raise Clash(actual)
    if current(wish, actual):
        return None
    if apply:
        return Apply(resource, wish, actual)
    changed = copy(actual)
    for key in ("labels", "annotations"):
        before = changed["metadata"].get(key) or {}
        changed["metadata"][key] = {**before, **(wish["metadata"].get(key) or {})}
    changed["metadata"]["ownerReferences"] = wish["metadata"]["ownerReferences"]
    for key in _CONTENT:
        if key in wish:
            changed[key] = copy({"x": wish[key]})["x"]
        elif key in changed:
            del changed[key]
    if _same_template(wish, actual):
        # Keeps what others put there, such as the time of `kubectl rollout restart`.
        changed["spec"]["template"] = copy(actual["spec"]["template"])
    if wish["kind"] == "Service":
        for key in _SERVER_OWNED:
            if key in (actual.get("spec") or {}):
                changed["spec"].setdefault(key, actual["spec"][key])
    return Update(resource, changed)


def _same_template(wish: Object, actual: Object) -> bool:
    """Whether a pod template needs no change, although something else does."""
    asked = annotations_of(wish).get(APPLIED_TEMPLATE)
    if asked is None or annotations_of(actual).get(APPLIED_TEMPLATE) != asked:
        return False
    return grants(actual["spec"].get("template"), wish["spec"]["template"])
