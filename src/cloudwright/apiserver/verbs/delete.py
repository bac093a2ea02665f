"""``DELETE`` on an object and on a collection: preconditions, finalizers, grace, propagation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cloudwright.apiserver import bodies, encoding, gojson, metadata, namespaces, writes
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import (
    MODIFIED,
    ApiError,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
)
from cloudwright.apiserver.replies import reply, reply_json
from cloudwright.apiserver.status import success
from cloudwright.apiserver.store.interface import Compare, Record, Txn, Write
from cloudwright.apiserver.verbs import list as listing
from cloudwright.apiserver.verbs import show
from cloudwright.client.transport import Reply
from cloudwright.model import fields
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object, finalizers_of, name_of, namespace_of

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_POLICIES = {"Foreground": FOREGROUND, "Orphan": ORPHAN, "Background": None}
_GRACE_SECONDS = 30
_ATTEMPTS = 16
# Kinds whose deletion answers with the object that is gone, as upstream's registries say.
_RETURNED = frozenset(
    {
        *(("", plural) for plural in ("namespaces", "persistentvolumeclaims", "pods")),
        *(("", plural) for plural in ("persistentvolumes", "podtemplates", "resourcequotas")),
        *(("", plural) for plural in ("serviceaccounts", "services")),
        *(("storage.k8s.io", plural) for plural in ("csidrivers", "csinodes", "storageclasses")),
        *(
            ("storage.k8s.io", plural)
            for plural in ("volumeattachments", "volumeattributesclasses")
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Options:
    """``metav1.DeleteOptions``, as far as it is honoured."""

    grace_seconds: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""


async def delete(core: ApiCore, call: Call, options: Options | None = None) -> Reply:
    """200 with the object that is now being deleted, or with a Status when it is gone."""
    options = options or parse_options(call)
    obj, record = await delete_one(core, call, options)
    if record is not None:
        return show.record(core, call, record)
    if (call.group, call.plural) in _RETURNED:
        return show.record(core, call, _last_form(core, call, obj))
    body = success(call.group, call.plural, name_of(obj), obj["metadata"]["uid"])
    return reply_json(200, body, show.warning_headers(call))


def _last_form(core: ApiCore, call: Call, obj: Object) -> Record:
    """An object that is gone, as it last was; a pod says when it ended."""
    if call.plural == "pods":
        metadata.mark_deleted(obj, core.clock.now(), 0)
    revision = int(obj["metadata"].get("resourceVersion") or 0)
    template = encoding.template(encoding.stored(call.served, obj))
    return Record("", revision, 0, template.stamp(revision))


async def delete_collection(core: ApiCore, call: Call) -> Reply:
    """200 with the list of what was deleted (as it was before)."""
    options = parse_options(call)
    found = await listing.find(core, call)
    for record in found.records:
        obj = encoding.decode(record.value)
        one = replace_name(call, namespace_of(obj), name_of(obj))
        try:
            await delete_one(core, one, options)
        except ApiError as error:
            if error.http_status != 404:
                raise
    items = [encoding.item_bytes(call.served, record.value) for record in found.records]
    resource = call.served.resource
    body = encoding.list_bytes(resource.api_version, call.served.list_kind, found.metadata, items)
    return reply(200, body, show.warning_headers(call))


def replace_name(call: Call, namespace: str, name: str) -> Call:
    """The same call about one object."""
    return replace(call, namespace=namespace, name=name)


async def delete_one(core: ApiCore, call: Call, options: Options) -> tuple[Object, Record | None]:
    """Delete the call's object, or mark it for deletion.

    Returns the object as it was, and its record when it is still there, marked.
    """
    key = call.served.key(call.namespace, call.name)
    for _ in range(_ATTEMPTS):
        record = await core.store.get(key)
        if record is None:
            raise not_found(call.group, call.plural, call.name)
        obj = encoding.shown(call.served, record.value)
        _check_preconditions(call, options, obj, record)
        if call.plural == "namespaces" and not call.group and call.name in namespaces.PERMANENT:
            raise forbidden("", "namespaces", call.name, "this namespace may not be deleted")
        await writes.admit_deletion(core, call, obj)
        done = await _attempt(core, call, options, record, obj)
        if done is not None:
            return obj, done if done.revision != -1 else None
    raise conflict(call.group, call.plural, call.name, MODIFIED)


_GONE = Record("", -1, 0, b"")


async def _attempt(
    core: ApiCore, call: Call, options: Options, record: Record, old: Object
) -> Record | None:
    """One try; ``None`` when somebody else wrote in between, ``_GONE`` when the key is deleted."""
    obj = encoding.shown(call.served, record.value)
    now = core.clock.now()
    _set_propagation(obj, options.propagation)
    core.before_deletion(call, obj)
    grace = _grace(call, options, obj)
    held = bool(finalizers_of(obj) or namespaces.held(call, obj))
    dry_run = call.dry_run
    if not held and not grace:
        if dry_run:
            return _GONE
        return _GONE if await writes.remove(core, call, record, obj) is not None else None
    _mark(obj, now, grace)
    core.marking(call, obj)
    template = encoding.template(encoding.stored(call.served, obj))
    if dry_run or template.stamp(record.revision) == record.value:
        if not dry_run:
            await core.marked(call, obj)  # again: the first time may have failed half way
        return record._replace(value=template.stamp(record.revision))
    txn = Txn((Compare(record.key, record.revision),), Write(record.key, template))
    outcome = await core.store.commit(txn)
    if outcome.record is not None:
        await core.marked(call, obj)
    return outcome.record


def _mark(obj: Object, now: Any, grace: int) -> None:
    """Set the deletion time, or bring it forward; it never moves back."""
    found = obj["metadata"]
    if not found.get("deletionTimestamp") or grace < int(
        found.get("deletionGracePeriodSeconds") or 0
    ):
        metadata.mark_deleted(obj, now + timedelta(seconds=grace), grace)


def _grace(call: Call, options: Options, obj: Object) -> int:
    """Seconds that the object still may take. Only pods on a node have any."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if call.plural != "pods" or call.group or not spec.get("nodeName"):
        return 0
    if status.get("phase") in ("Succeeded", "Failed"):
        return 0
    asked = options.grace_seconds
    if asked is None:
        asked = spec.get("terminationGracePeriodSeconds")
    grace = _GRACE_SECONDS if asked is None else max(int(asked), 0)
    if obj["metadata"].get("deletionTimestamp"):
        grace = min(grace, int(obj["metadata"].get("deletionGracePeriodSeconds") or 0))
    return grace


def _set_propagation(obj: Object, policy: str) -> None:
    if not policy:
        return
    kept = [name for name in finalizers_of(obj) if name not in (FOREGROUND, ORPHAN)]
    added = _POLICIES[policy]
    finalizers = [*kept, added] if added else kept
    if finalizers:
        obj["metadata"]["finalizers"] = finalizers
    else:
        obj["metadata"].pop("finalizers", None)


def _check_preconditions(call: Call, options: Options, obj: Object, record: Record) -> None:
    found, kind = obj["metadata"]["uid"], call.served.resource.kind
    if options.uid and options.uid != found:
        message = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record "
            f"({found}). The object might have been deleted and then recreated"
        )
        raise conflict(call.group, kind, call.name, message)
    if options.resource_version and options.resource_version != str(record.revision):
        message = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match "
            f"the ResourceVersion in record ({record.revision}). The object might have been "
            "modified"
        )
        raise conflict(call.group, kind, call.name, message)


def parse_options(call: Call) -> Options:
    """The options in the body (``DeleteOptions``) and, where it is silent, in the query.

    Raises:
        ApiError: 400, one of them is malformed; 422, one has a value that is not allowed.
    """
    body: Object = {}
    if call.request.body:
        body = bodies.decode_object(call.request.body, bodies.media_type(call.request.headers))
        kind, version = body.get("kind"), body.get("apiVersion")
        if kind and kind != "DeleteOptions":
            raise bad_request(
                f'no kind "{kind}" is registered for version "{version}" in scheme '
                '"pkg/runtime/scheme.go:111"'
            )
    preconditions = body.get("preconditions") or {}
    grace = body.get("gracePeriodSeconds")
    if grace is None:
        grace = call.query.count("gracePeriodSeconds")
    policy = body.get("propagationPolicy") or call.query.get("propagationPolicy")
    orphan = body.get("orphanDependents")
    for name, given, kind, go in (
        ("gracePeriodSeconds", grace, int, "int64"),
        ("propagationPolicy", policy, str, "v1.DeletionPropagation"),
        ("preconditions", preconditions, dict, "v1.Preconditions"),
    ):
        if given is not None and type(given) is not kind:
            what = gojson.mismatch(given, "").removesuffix("Go value of type ")
            raise bad_request(f"{what}Go struct field DeleteOptions.{name} of type {go}")
    wrong = _unsupported(policy, orphan, body.get("dryRun"))
    if wrong:
        causes = [error.as_cause() for error in wrong]
        raise invalid("meta.k8s.io", "DeleteOptions", "", causes)
    if not policy and orphan is not None:
        policy = "Orphan" if orphan else "Background"
    if body.get("dryRun"):
        call.dry = True
    return Options(
        grace,
        policy or "",
        str(preconditions.get("uid") or ""),
        str(preconditions.get("resourceVersion") or ""),
    )


def _unsupported(policy: Any, orphan: Any, dry_run: Any) -> list[FieldError]:
    """What is wrong with values that upstream checks after decoding."""
    found: list[FieldError] = []
    if policy and orphan is not None:
        message = "orphanDependents and deletionPropagation cannot be both set"
        found.append(fields.invalid("propagationPolicy", policy, message))
    elif policy and policy not in _POLICIES:
        names = ("Foreground", "Background", "Orphan", "nil")
        found.append(fields.not_supported("propagationPolicy", policy, names))
    if dry_run not in (None, [], ["All"]):
        found.append(fields.not_supported("dryRun", dry_run, ("All",)))
    return found
