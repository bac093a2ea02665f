"""The two ways an object gets into the store: as a new one, and as a guarded change of an old one.

Both run the same gauntlet, in upstream's order:

1. names, fields (``fieldchecks``) and, for a new object, its namespace and definition;
2. the kind's defaults and what its strategy resets;
3. the owners of its fields (``managed``), kept beside the object until both are encoded;
4. **admission**: every rule's ``mutate`` on one ``Review`` (``obj`` is changed in place, or
   replaced by another dict), then defaults and pruning again if a rule says that it changed
   something (``Review.changed``), the kind's validation, every rule's ``validate``;
5. encoding, and a transaction that holds only if nothing changed in between.

``Review.obj`` never has ``metadata.managedFields``; ``Review.old`` has them as they are stored.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import orjson

from cloudwright.apiserver import (
    encoding,
    fieldchecks,
    metadata,
    namespaces,
    options,
    refusals,
    strategies,
)
from cloudwright.apiserver.admission import Operation, Review
from cloudwright.apiserver.audit import notes
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import (
    MODIFIED,
    ApiError,
    conflict,
    not_found,
    too_large,
)
from cloudwright.apiserver.managed import Managed
from cloudwright.apiserver.options import WriteOptions
from cloudwright.apiserver.refusals import check_kind, check_names, check_place, raise_invalid
from cloudwright.apiserver.special import Special
from cloudwright.apiserver.store.interface import Compare, Record, Template, Txn, Write
from cloudwright.model.objects import Object, name_of

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

__all__ = [
    "Written",
    "admit_deletion",
    "change",
    "check_kind",
    "check_names",
    "check_place",
    "create",
    "remove",
]

Change = Callable[[Object], Object]
"""``change(old)`` gives the new object; both in the form of the call's version. May raise."""
Own = Callable[[Record, Object], Managed]
"""``own(record, new)`` tells the owners where they are not those of an ordinary update."""
_NAME_ATTEMPTS = 8
_UIDS = 64


class Written(NamedTuple):
    """What a write left behind. ``removed``: the change let a deleted object go."""

    record: Record
    removed: bool = False
    unchanged: bool = False


async def create(
    core: ApiCore,
    call: Call,
    obj: Object,
    wanted: WriteOptions | None = None,
    *,
    owned: Managed | None = None,
    checked: bool = False,
) -> Written:
    """Store a new object; ``owned`` are its owners where it comes of a server-side apply,
    ``checked`` says that its kind and fields were looked at.

    A name that the server makes up and that is taken is made up anew, eight times.

    Raises:
        ApiError: 400, 403, 404 (namespace), 409, 413, 422 or 500 (a ``resourceVersion``).
    """
    wanted = wanted or options.read(call)
    if (call.group, call.plural) in core.registry.closed:
        raise namespaces.ending(call)
    if not checked:
        check_kind(call, obj)
        obj = fieldchecks.check(call, obj, wanted)
    check_place(call, obj)
    _unique_owners(call, obj)
    if not metadata.needs_name(obj):
        return await _create_once(core, call, obj, wanted, owned)
    saved = orjson.dumps(obj)
    attempts = _NAME_ATTEMPTS
    while True:
        attempts -= 1
        try:
            return await _create_once(core, call, orjson.loads(saved), wanted, owned)
        except ApiError as error:
            if error.reason != "AlreadyExists" or attempts <= 0:
                raise


async def _create_once(
    core: ApiCore, call: Call, obj: Object, wanted: WriteOptions, owned: Managed | None
) -> Written:
    served, now, dry_run = call.served, core.clock.now(), call.dry_run
    parent = await core.places.compare(call)
    pinned = metadata.begin(obj, namespace=call.namespace, now=now, uid=_uid(), random=os.urandom)
    obj = served.kind.prepare_create(obj, now)
    strategies.begin_generation(served, obj)
    raw = None
    if owned is None:
        raw = _stored_already(call, obj)
        owned = core.ownership.update(call, None, raw or obj, wanted.manager, now)
    obj["metadata"].pop("managedFields", None)
    review = _review(call, "CREATE", name_of(obj), obj, None, dry_run)
    review.managed = owned.fields
    with core.special(call, obj, None) as special:
        obj = await _admit(core, call, review, None, special)
        if special.changes or not (review.untouched and len(core.admission) == 1):
            raw = None
        template = _encode(core, call, obj, owned, raw)
        key = served.key(call.namespace, name_of(obj))
        if pinned and wanted is not None and call.verb == "create":
            raise refusals.version_on_create()
        while True:
            compares = (Compare(key, 0), *parent)
            if dry_run:
                if (taken := await core.store.get(key)) is not None:
                    raise refusals.taken(call, obj, taken)
                return Written(Record(key, 0, 0, encoding.unstamped(template)))
            outcome = await core.store.commit(Txn(compares, Write(key, template)))
            if outcome.record is not None:
                special.keep()
                return Written(outcome.record)
            if outcome.failed is not None and outcome.failed.key == key:
                raise refusals.taken(call, obj, await core.store.get(key))
            parent = await core.places.compare(call, again=True)


def _stored_already(call: Call, obj: Object) -> bytes | None:
    """``obj`` as it is stored, unless that is another form: it is encoded once then."""
    served = call.served
    if served.view is not None or obj["apiVersion"] != served.storage_version:
        return None
    return None if "managedFields" in obj["metadata"] else encoding.ordered(obj)


async def change(
    core: ApiCore,
    call: Call,
    alter: Change,
    *,
    attempts: int = 1,
    wanted: WriteOptions | None = None,
    own: Own | None = None,
) -> Written:
    """Read the call's object, alter it, and write it back if nobody else wrote in between.

    ``alter`` gets an object that it may change. It runs again on the newer object, up to
    ``attempts`` times, unless its result names a ``resourceVersion``.

    Raises:
        ApiError: 404, 409, 422, or what ``alter`` raises.
    """
    wanted = wanted or options.read(call)
    key = call.served.key(call.namespace, call.name)
    while True:
        attempts -= 1
        record = await core.store.get(key)
        if record is None:
            raise not_found(call.group, call.plural, call.name)
        old = encoding.shown(call.served, record.value)
        new = alter(encoding.shown(call.served, record.value))
        pinned = refusals.check_version(call, new, old, record)
        written = await _change_once(core, call, record, old, new, wanted, own)
        if written is not None:
            return written
        if pinned or attempts <= 0:
            raise conflict(call.group, call.plural, call.name, MODIFIED)


async def _change_once(
    core: ApiCore,
    call: Call,
    record: Record,
    old: Object,
    new: Object,
    wanted: WriteOptions,
    own: Own | None,
) -> Written | None:
    served, dry_run = call.served, call.dry_run
    check_place(call, new)
    _unique_owners(call, new)
    metadata.carry_over(new, old)
    new = _keep_other_half(call, new, old)
    new = served.kind.prepare_update(new, old)
    strategies.bump_generation(served, new, old)
    if own is not None:
        owned = own(record, new)
    else:
        live = _live(call, record, old)
        owned = core.ownership.update(call, live, new, wanted.manager, core.clock.now())
    new["metadata"].pop("managedFields", None)
    review = _review(call, "UPDATE", call.name, new, old, dry_run)
    review.managed = owned.fields
    with core.special(call, new, old) as special:
        new = await _admit(core, call, review, old, special)
        template = _encode(core, call, new, owned)
        if _same(template, owned, record):
            return Written(record, unchanged=True)
        removed = metadata.gone(new) and not namespaces.held(call, new)
        if dry_run:
            value = template.stamp(record.revision)
            return Written(Record(record.key, record.revision, 0, value), removed)
        txn = Txn((Compare(record.key, record.revision),), Write(record.key, template, removed))
        outcome = await core.store.commit(txn)
        if outcome.record is None:
            return None
        special.keep()
    if removed:
        await core.removed(call, new)
    return Written(outcome.record, removed)


_uids: list[str] = []


def _uid() -> str:
    """A random UUID (RFC 9562, version 4) as text, made in advance with many others."""
    if not _uids:
        many = os.urandom(16 * _UIDS)
        _uids.extend(_uuid(bytearray(many[at : at + 16])) for at in range(0, len(many), 16))
    return _uids.pop()


def _uuid(raw: bytearray) -> str:
    """``uuid.uuid4`` takes several times as long."""
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _unique_owners(call: Call, obj: Object) -> None:
    dropped = metadata.unique_owners(obj)
    if dropped:
        call.warnings.append(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner "
            "references in 1.20+, and may reject such requests as early as 1.24; please fix your "
            f"requests; duplicate UID(s) observed: {', '.join(dropped)}"
        )


def _live(call: Call, record: Record, old: Object) -> bytes:
    """The old object in the form of the call's version."""
    if call.served.view is None and call.served.storage_version == old["apiVersion"]:
        return record.value
    return orjson.dumps(old)


def _same(template: Template, owned: Managed, record: Record) -> bool:
    """Whether the write changes nothing, or nothing but the time of an owner."""
    value = template.stamp(record.revision)
    if _equal(value, record.value):
        return True
    if owned.same is None or owned.fields is None:
        return False
    return _equal(value.replace(owned.fields, owned.same, 1), record.value)


def _equal(one: bytes, two: bytes) -> bool:
    # Members may stand in another order.
    return one == two or (len(one) == len(two) and orjson.loads(one) == orjson.loads(two))


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
        raise_invalid(call, name_of(old), list(await rule.validate(review)))
    _noted(call, review)


def _keep_other_half(call: Call, new: Object, old: Object) -> Object:
    """The status only changes through its subresource, and all else only outside of it."""
    if "status" not in call.served.resource.subresources:
        return new
    if call.subresource == "status":
        kept = dict(old)
        kept.pop("status", None)
        if "status" in new:
            kept["status"] = new["status"]
        given = new["metadata"]
        kept["metadata"] = given if not call.served.custom else dict(old["metadata"])
        if "managedFields" in given:
            kept["metadata"]["managedFields"] = given["managedFields"]
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
        query=call.request.query,
    )


async def _admit(
    core: ApiCore, call: Call, review: Review, old: Object | None, special: Special
) -> Object:
    """The object as admission leaves it, and valid."""
    for rule in core.admission:
        await rule.mutate(review)
    obj = review.obj
    assert obj is not None, "no rule may take the object away"
    if review.changed:  # by a stranger: what it added has no defaults yet, or is unknown
        obj = review.obj = fieldchecks.settled(call, obj, old)
    await special.permit()
    found = metadata.validate(obj, old)
    found += special.errors()
    if not (old is not None and call.subresource == "finalize"):
        verdict = call.served.kind.validate(obj, old)
        found += verdict
        call.warnings += getattr(verdict, "warnings", ())
    if not found and old is None:
        found = metadata.path_errors(obj)
    if not found:
        for rule in core.admission:
            found += await rule.validate(review)
    if found:
        raise_invalid(call, name_of(obj), found)
    _noted(call, review)
    return obj


def _encode(
    core: ApiCore, call: Call, obj: Object, owned: Managed, raw: bytes | None = None
) -> Template:
    """Encoded; too large a list of owners is left out rather than refusing the object. ``raw``:
    what ``obj`` is in storage form, if that is known.
    """
    if raw is None:
        raw = encoding.ordered(encoding.stored(call.served, obj))
    template = encoding.split(raw, owned.fields)
    limit = core.config.object_bytes_max
    if len(template.head) + len(template.tail) > limit:
        template = encoding.split(raw)
        if len(template.head) + len(template.tail) > limit:
            raise too_large(limit)
    return template


def _noted(call: Call, review: Review) -> None:
    """Pass on what the rules said beside yes and no."""
    if not review.warnings and not review.annotations:
        return
    call.warnings += review.warnings
    for key, value in review.annotations.items():
        notes.note(key, value)
