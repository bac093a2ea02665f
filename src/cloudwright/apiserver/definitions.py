"""CustomResourceDefinitions at work: registering what they serve, removing what they defined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from cloudwright.apiserver import crdchecks, crds, encoding, writes
from cloudwright.apiserver.calls import Call, Query
from cloudwright.apiserver.conversions import Conversions
from cloudwright.apiserver.errors import ApiError
from cloudwright.apiserver.identity import User
from cloudwright.apiserver.registry import Registry, Served, storage_of
from cloudwright.apiserver.special import Special
from cloudwright.apiserver.verbs import delete as deletion
from cloudwright.client.transport import Request
from cloudwright.model import resources
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object, name_of, namespace_of

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

RESOURCE = resources.CUSTOM_RESOURCE_DEFINITION
STORAGE = storage_of(RESOURCE.group, RESOURCE.plural)
_PAGE = 200


class DefinitionWrite(Special):
    """A definition gets its status in the same write, and is served once that is on disk."""

    def __init__(
        self, core: ApiCore, call: Call, new: Object, old: Object | None, now: datetime
    ) -> None:
        self._core = core
        self._crd = new
        self._errors = crdchecks.validate(new, old)
        if self._errors:
            return
        crds.settle(new, core.registry.all(), now)
        spec = new["spec"]
        if old is None and is_built_in(core.registry, spec["group"], spec["names"]["plural"]):
            call.warnings.append(
                f"{name_of(new)} is served by the platform itself: this definition has no effect, "
                "the built-in schema stays in force"
            )

    def errors(self) -> Sequence[FieldError]:
        """What is wrong with the definition."""
        return self._errors

    def keep(self) -> None:
        """Serve it."""
        register(self._core.registry, self._crd, self._core.conversions)


def is_built_in(registry: Registry, group: str, plural: str) -> bool:
    """Whether a resource is served without a definition."""
    return any(
        not entry.custom and (entry.resource.group, entry.resource.plural) == (group, plural)
        for entry in registry.all()
    )


def register(registry: Registry, crd: Object, conversions: Conversions) -> None:
    """Serve what an established definition says, unless that is built in."""
    group, plural = crd["spec"]["group"], crd["spec"]["names"]["plural"]
    before = [
        entry
        for entry in registry.all()
        if (entry.resource.group, entry.resource.plural) == (group, plural)
    ]
    if any(not entry.custom for entry in before) or not crds.established(crd):
        return
    wanted = crds.served(crd, conversions)
    if before:
        registry.remove(group, plural)
    for entry in wanted:
        registry.add(entry)
    if crd["metadata"].get("deletionTimestamp"):
        registry.closed.add((group, plural))


async def load(core: ApiCore, user: User) -> None:
    """Serve every stored definition, and go on as ``user`` with the deletion of those that end."""
    page = await core.store.page(STORAGE)
    for record in page.records:
        register(core.registry, encoding.decode(record.value), core.conversions)
    for record in page.records:
        await clean_up(core, user, name_of(encoding.decode(record.value)))


async def clean_up(core: ApiCore, user: User, name: str) -> None:
    """Delete the instances of a definition that is being deleted; let it go when none is left.

    One at a time: each instance that goes asks for this again, and lets the one at work look once
    more.
    """
    if name in core.cleaning:
        core.cleaning[name] = True
        return
    again = core.cleaning[name] = True
    try:
        while again:
            core.cleaning[name] = False
            await _clean_up_once(core, user, name)
            again = core.cleaning[name]
    finally:
        del core.cleaning[name]


async def _clean_up_once(core: ApiCore, user: User, name: str) -> None:
    record = await core.store.get(f"{STORAGE}/{name}")
    if record is None or b'"deletionTimestamp"' not in record.value:
        return
    crd = encoding.decode(record.value)
    if not crd["metadata"].get("deletionTimestamp"):
        return
    prefix = storage_of(crd["spec"]["group"], crd["spec"]["names"]["plural"])
    served = next(iter(crds.served(crd)), None)
    ours = served is not None and _ours(core.registry, served)
    if served is not None and ours:
        await _delete_instances(core, user, served)
    if not ours or await core.store.count(prefix) == 0:
        await _release(core, user, name)


async def reconsider(core: ApiCore, user: User, group: str) -> None:
    """A definition went: another one of its group may now have the names that it asks for."""
    for record in (await core.store.page(STORAGE)).records:
        crd = encoding.decode(record.value)
        if crd["spec"]["group"] == group and not crds.accepted(crd):
            await _settle_again(core, user, name_of(crd), lambda found: found)


async def _delete_instances(core: ApiCore, user: User, served: Served) -> None:
    after, more = "", True
    while more:
        page = await core.store.page(served.storage, after=after, limit=_PAGE)
        more = page.more
        for record in page.records:
            after = record.key
            obj = encoding.decode(record.value)
            if obj["metadata"].get("deletionTimestamp"):
                continue
            one = _call(user, served, namespace_of(obj), name_of(obj))
            try:
                await deletion.delete_one(core, one, deletion.Options())
            except ApiError as error:
                if error.http_status != 404:
                    raise


async def _release(core: ApiCore, user: User, name: str) -> None:
    def alter(crd: Object) -> Object:
        kept = [one for one in crd["metadata"].get("finalizers", []) if one != crds.CLEANUP]
        crd["metadata"]["finalizers"] = kept
        return crd

    await _settle_again(core, user, name, alter)


async def _settle_again(
    core: ApiCore, user: User, name: str, change: Callable[[Object], Object]
) -> None:
    """Write a definition, so that its status follows from what is served now."""
    served = core.registry.find(RESOURCE.group, RESOURCE.version, RESOURCE.plural)
    assert served is not None, "definitions are built in"

    def alter(crd: Object) -> Object:
        crd["metadata"]["resourceVersion"] = ""
        return change(crd)

    try:
        one = _call(user, served, "", name)
        await writes.change(core, one, alter, attempts=core.config.patch_attempts)
    except ApiError as error:
        if error.http_status != 404:
            raise


def _ours(registry: Registry, served: Served) -> bool:
    """Whether the instances are the definition's own, not those of a built-in kind."""
    resource = served.resource
    found = registry.find(resource.group, resource.version, resource.plural)
    return found is not None and found.custom


def _call(user: User, served: Served, namespace: str, name: str) -> Call:
    """A call about one object on behalf of ``user``."""
    request = Request("DELETE", served.resource.path(namespace, name))
    return Call(request, user, served, "delete", namespace, name, "", Query(()), [])
