"""The two ways an object gets into the store: as a new one, and as a guarded change of an old one.

Both run the same gauntlet: the kind's defaults, mutating admission, the kind's validation,
validating admission, encoding, and a transaction that holds only if nothing changed in between.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudwright.apiserver import encoding, fieldchecks, metadata, namespaces
from cloudwright.apiserver.admission import Operation, Review
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import (
    MODIFIED,
    already_exists,
    bad_request,
    conflict,
    invalid,
    method_not_allowed,
    not_found,
    qualified,
    too_large,
)
from cloudwright.apiserver.special import Special
from cloudwright.apiserver.store.interface import Compare, Record, Template, Txn, Write
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object, name_of

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

Change = Callable[[Object], Object]
"""``change(old)`` gives the new object; both in the form of the call's version. May raise."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a write left behind. ``removed``: the change let a deleted object go."""

    record: Record
    removed: bool = False
    unchanged: bool = False


async def create(core: ApiCore, call: Call, obj: Object) -> Written:
    """Store a new object.

    Raises:
        ApiError: 400, 403, 404 (namespace), 409, 413 or 422.
    """
    served, dry_run = call.served, call.dry_run
    if (call.group, call.plural) in core.registry.closed:
        what = qualified(call.plural, call.group)
        raise method_not_allowed("POST", f"{what}: its definition is being deleted")
    check_names(call, obj)
    obj = fieldchecks.check(call, obj)
    now = core.clock.now()
    metadata.begin(
        obj, namespace=call.namespace, now=now, uid=str(uuid.uuid4()), random=os.urandom(8)
    )
    obj = served.kind.prepare_create(obj, now)
    name = name_of(obj)
    if name and await core.store.get(served.key(call.namespace, name)) is not None:
        raise already_exists(call.group, call.plural, name)
    review = _review(call, "CREATE", name, obj, None, dry_run)
    with core.special(call, obj, None) as special:
        await _admit(core, call, review, obj, None, special)
        template = _encode(core, call, obj)
        name = name_of(obj)
        key = served.key(call.namespace, name)
        while True:
            compares = (Compare(key, 0), *await namespaces.namespace_compare(core.store, call))
            if dry_run:
                return Written(Record(key, 0, 0, template.stamp(0)))
            outcome = await core.store.commit(Txn(compares, Write(key, template)))
            if outcome.record is not None:
                special.keep()
                return Written(outcome.record)
            if outcome.failed is not None and outcome.failed.key == key:
                raise already_exists(call.group, call.plural, name)


async def change(core: ApiCore, call: Call, alter: Change, *, attempts: int = 1) -> Written:
    """Read the call's object, alter it, and write it back if nobody else wrote in between.

    ``alter`` runs again on the newer object, up to ``attempts`` times, unless its result names a
    ``resourceVersion``.

    Raises:
        ApiError: 404, 409, 422, or what ``alter`` raises.
    """
    key = call.served.key(call.namespace, call.name)
    dry_run = call.dry_run
    while True:
        attempts -= 1
        record = await core.store.get(key)
        if record is None:
            raise not_found(call.group, call.plural, call.name)
        old = encoding.shown(call.served, record.value)
        new = alter(encoding.shown(call.served, record.value))
        pinned = _check_version(call, new, record)
        written = await _change_once(core, call, record, old, new, dry_run)
        if written is not None:
            return written
        if pinned or attempts <= 0:
            raise conflict(call.group, call.plural, call.name, MODIFIED)


async def _change_once(
    core: ApiCore, call: Call, record: Record, old: Object, new: Object, dry_run: bool
) -> Written | None:
    check_names(call, new)
    metadata.carry_over(new, old)
    new = _keep_other_half(call, new, old)
    new = call.served.kind.prepare_update(new, old)
    metadata.bump_generation(new, old)
    review = _review(call, "UPDATE", call.name, new, old, dry_run)
    with core.special(call, new, old) as special:
        await _admit(core, call, review, new, old, special)
        template = _encode(core, call, new)
        if template.stamp(record.revision) == record.value:
            return Written(record, unchanged=True)
        removed = metadata.gone(new) and not namespaces.held(call, new)
        if dry_run:
            return Written(
                Record(record.key, record.revision, 0, template.stamp(record.revision)), removed
            )
        txn = Txn((Compare(record.key, record.revision),), Write(record.key, template, removed))
        outcome = await core.store.commit(txn)
        if outcome.record is None:
            return None
        special.keep()
    if removed:
        await core.removed(call, new)
    return Written(outcome.record, removed)


async def remove(core: ApiCore, call: Call, record: Record, obj: Object) -> Record | None:
    """Delete the key; ``None`` when somebody else wrote it in between."""
    template = encoding.template(encoding.stored(call.served, obj))
    txn = Txn((Compare(record.key, record.revision),), Write(record.key, template, delete=True))
    outcome = await core.store.commit(txn)
    if outcome.record is not None:
        await core.removed(call, obj)
    return outcome.record


async def admit_deletion(core: ApiCore, call: Call, old: Object) -> None:
    """Let admission refuse the deletion of ``old``."""
    review = _review(call, "DELETE", name_of(old), None, old, call.dry_run)
    for rule in core.admission:
        await rule.mutate(review)
    for rule in core.admission:
        _raise_invalid(call, name_of(old), list(await rule.validate(review)))
    call.warnings += review.warnings


def check_names(call: Call, obj: Object) -> None:
    """The object must be of the kind, namespace and name that the path says.

    Raises:
        ApiError: 400 or 422.
    """
    resource = call.served.resource
    api_version, kind = (
        obj.setdefault("apiVersion", resource.api_version),
        obj.setdefault("kind", resource.kind),
    )
    if (api_version, kind) != (resource.api_version, resource.kind):
        raise bad_request(
            f"the object provided is {api_version} {kind}, "
            f"but this path serves {resource.api_version} {resource.kind}"
        )
    shape = metadata.shape_errors(obj)
    _raise_invalid(call, call.name, shape)
    found = obj.setdefault("metadata", {})
    namespace = found.get("namespace") or call.namespace
    if resource.namespaced and namespace != call.namespace:
        raise bad_request(
            f"the namespace of the provided object does not match the namespace sent on the "
            f"request: {namespace} is not {call.namespace}"
        )
    if call.name and found.get("name", call.name) != call.name:
        raise bad_request(
            f"the name of the object ({found['name']}) does not match the name on the URL "
            f"({call.name})"
        )


def _check_version(call: Call, new: Object, record: Record) -> bool:
    """Whether the new object names the version it was made from; it must be the current one."""
    given = new.get("metadata")
    given = given if isinstance(given, dict) else {}
    if given.get("uid") and given["uid"] != encoding.decode(record.value)["metadata"]["uid"]:
        raise conflict(
            call.group,
            call.plural,
            call.name,
            f"Precondition failed: UID in precondition: {given['uid']}, "
            f"UID in object meta: {encoding.decode(record.value)['metadata']['uid']}",
        )
    version = given.get("resourceVersion")
    if version in (None, "", "0"):
        return False
    if version != str(record.revision):
        raise conflict(call.group, call.plural, call.name, MODIFIED)
    return True


def _keep_other_half(call: Call, new: Object, old: Object) -> Object:
    """The status only changes through its subresource, and all else only outside of it."""
    if "status" not in call.served.resource.subresources:
        return new
    if call.subresource == "status":
        kept = dict(old)
        kept.pop("status", None)
        if "status" in new:
            kept["status"] = new["status"]
        if not call.served.custom:
            kept["metadata"] = new["metadata"]
        return kept
    if call.subresource in ("", "scale", "finalize"):
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    return new


def _review(
    call: Call, operation: Operation, name: str, obj: Object | None, old: Object | None, dry: bool
) -> Review:
    return Review(
        user=call.user,
        operation=operation,
        resource=call.served.resource,
        subresource=call.subresource,
        namespace=call.namespace,
        name=name,
        obj=obj,
        old=old,
        dry_run=dry,
    )


async def _admit(
    core: ApiCore,
    call: Call,
    review: Review,
    obj: Object,
    old: Object | None,
    special: Special,
) -> None:
    for rule in core.admission:
        await rule.mutate(review)
    await special.permit()
    found = metadata.validate(obj, old)
    found += special.errors()
    if not (old is not None and call.subresource == "finalize"):
        found += call.served.kind.validate(obj, old)
    if not found:
        for rule in core.admission:
            found += await rule.validate(review)
    _raise_invalid(call, name_of(obj), found)
    call.warnings += review.warnings


def _raise_invalid(call: Call, name: str, found: list[FieldError]) -> None:
    if found:
        unique = list({str(error): error for error in found}.values())
        causes = [error.as_cause() for error in unique]
        raise invalid(call.group, call.served.resource.kind, name, causes)


def _encode(core: ApiCore, call: Call, obj: Object) -> Template:
    template = encoding.template(encoding.stored(call.served, obj))
    limit = core.config.object_bytes_max
    if len(template.head) + len(template.tail) > limit:
        raise too_large(limit)
    return template
