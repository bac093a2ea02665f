"""``Reconciler[T]``: a controller of your own in one class. See docs/how-to/write-a-reconciler.md.

You say what an object's wish means (``reconcile``) and, if something outside of the API must be
cleaned up, what its end means (``cleanup``). Everything else is done here: watching, queueing,
retries with back-off, the finalizer, owner references, conditions, events.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar, cast

from cloudwright.client.client import Client
from cloudwright.model import conditions
from cloudwright.model.objects import (
    Object,
    controller_of,
    deleting,
    finalizers_of,
    generation,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from cloudwright.model.resources import Resource
from cloudwright.operator.access import Access
from cloudwright.operator.engines.actions import Delete, Note
from cloudwright.operator.engines.sync import bring, stamped
from cloudwright.operator.engines.templates import copy
from cloudwright.operator.manager import DONE, Controller, Result

T = TypeVar("T")


class Context:
    """What a reconciliation can do; made for one object and one call."""

    def __init__(self, controller: Controller, obj: Object) -> None:
        self._controller = controller
        self.object: Object = obj
        """The object as the cache has it: not to be changed."""
        self.status: Object = copy(obj.get("status") or {})
        """A copy of the status; written after ``reconcile`` if you changed it."""

    @property
    def api(self) -> Access:
        """Reads past the cache, and writes that honour the dry run."""
        return self._controller.api

    @property
    def client(self) -> Client:
        """The client itself, for whatever ``api`` has no word for."""
        return self._controller.api.client

    def now(self) -> datetime:
        """The time of day; take this one, tests turn its hands."""
        return self._controller.now()

    def cached(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """An object of a kind in ``owns`` or ``watches``, from the shared cache."""
        cache = self._controller.manager.cache(resource)
        return cache.get(f"{namespace}/{name}" if namespace else name)

    def owned(self, resource: Resource) -> list[Object]:
        """The cached objects of that kind whose controller this object is."""
        cache = self._controller.manager.cache(resource)
        uid = uid_of(self.object)
        return [
            obj
            for obj in cache.owned_by(self.object)
            if (controller_of(obj) or {}).get("uid") == uid
        ]

    async def apply(self, resource: Resource, child: Object) -> bool:
        """Create or update a child of this object; returns whether anything was written.

        Namespace and owner reference are filled in. Raises ``Clash`` when an object of that name
        belongs to somebody else, and ``FieldsOwned`` with ``Config.server_side_apply`` when some of
        its fields do.
        """
        wish = copy(child)
        wish.setdefault("apiVersion", resource.api_version)
        wish.setdefault("kind", resource.kind)
        if resource.namespaced:
            wish["metadata"].setdefault("namespace", namespace_of(self.object))
        wish["metadata"]["ownerReferences"] = [owner_reference(self.object)]
        actual = self.cached(resource, namespace_of(wish), name_of(wish))
        apply = self._controller.manager.config.server_side_apply
        action = bring(resource, self.object, stamped(wish), actual, apply=apply)
        if action is not None:
            await self.api.perform(action)
        return action is not None

    async def remove(self, resource: Resource, obj: Object) -> None:
        """Delete an object; a missing one is fine."""
        await self.api.perform(Delete(resource, namespace_of(obj), name_of(obj), uid_of(obj)))

    async def event(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Tell people about it: ``kubectl describe`` shows it."""
        note = Note("Warning" if warning else "Normal", reason, message)
        await self.api.tell(self.object, [note])

    def condition(
        self, kind: str, status: conditions.Status, reason: str, message: str = ""
    ) -> None:
        """Set a condition in ``status``."""
        self.status["conditions"] = conditions.set_condition(
            self.status.get("conditions"),
            kind,
            status,
            reason,
            message,
            self.now(),
            generation(self.object),
        )


class Reconciler(Controller, Generic[T]):
    """Brings objects of one kind to their wish. ``T`` is what ``parse`` makes of an object."""

    resource: ClassVar[Resource]
    """The kind."""
    owns: ClassVar[Sequence[Resource]] = ()
    """Kinds of children: a change of one is a change of its owner."""
    watches: ClassVar[Sequence[Resource]] = ()
    """Other kinds that matter; ``concerns`` says to whom."""
    finalizer: ClassVar[str] = ""
    """``domain/name``; set it when ``cleanup`` must run before an object goes."""

    def parse(self, obj: Object) -> T:
        """The object as you like to read it (by default the JSON mapping itself).

        A ``ValueError`` becomes condition ``Valid=False`` and an event; the object is looked at
        again when it changes.
        """
        return cast("T", obj)

    async def reconcile(self, obj: T, context: Context) -> Result | None:
        """Make the world as ``obj`` wishes. Called again after any change and any exception, so
        it must be repeatable. ``Result(requeue_after=60)`` asks to be called again later.
        """
        raise NotImplementedError

    async def cleanup(self, obj: T, context: Context) -> Result | None:
        """Undo what is outside of the API; called until it returns without ``requeue_after``.
        Children with owner references go by themselves.
        """
        return None

    def concerns(self, resource: Resource, obj: Object) -> Iterable[str]:
        """The keys (``namespace/name``) of those to whom an object of a kind in ``watches``
        matters: they are looked at again when it changes, and when it goes.
        """
        raise NotImplementedError

    def all(self, namespace: str = "") -> list[Object]:
        """Every object of the kind (in a namespace), from the cache."""
        return self._cache.all(namespace)

    # -- what is done for you

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "resource" in cls.__dict__ and "name" not in cls.__dict__:
            cls.name = cls.resource.plural

    def setup(self) -> None:
        """Watch the kind and those it owns."""
        self._cache = self.watch(self.resource)
        for resource in self.owns:
            self.watch(resource, self._of_child)
        for resource in self.watches:
            self.watch(resource, partial(self.concerns, resource))

    def _of_child(self, child: Object) -> list[str]:
        owner = controller_of(child)
        if owner is None or owner["kind"] != self.resource.kind:
            return []
        space = f"{namespace_of(child)}/" if self.resource.namespaced else ""
        return [f"{space}{owner['name']}"]

    async def sync(self, key: str) -> Result:
        """The steps around ``reconcile``: finalizer, parsing, clean-up, status."""
        obj = self._cache.get(key)
        if obj is None:
            return DONE
        if not deleting(obj) and self.finalizer and self.finalizer not in finalizers_of(obj):
            obj = await self._set_finalizers(obj, [*finalizers_of(obj), self.finalizer])
        context = Context(self, obj)
        try:
            parsed = self.parse(obj)
        except ValueError as error:
            return await self._invalid(obj, context, str(error))
        if deleting(obj):
            return await self._end(obj, parsed, context)
        if conditions.find(context.status.get("conditions"), "Valid"):
            context.condition("Valid", "True", "Valid")
        result = await self.reconcile(parsed, context)
        await self.api.write_status(self.resource, context.object, context.status)
        return result or DONE

    async def _end(self, obj: Object, parsed: T, context: Context) -> Result:
        if not self.finalizer or self.finalizer not in finalizers_of(obj):
            return DONE
        result = await self.cleanup(parsed, context)
        if result is not None and result.requeue_after is not None:
            await self.api.write_status(self.resource, obj, context.status)
            return result
        kept = [entry for entry in finalizers_of(obj) if entry != self.finalizer]
        await self._set_finalizers(obj, kept)
        return DONE

    async def _invalid(self, obj: Object, context: Context, message: str) -> Result:
        known = conditions.find(context.status.get("conditions"), "Valid") or {}
        context.condition("Valid", "False", "Invalid", message)
        await self.api.write_status(self.resource, obj, context.status)
        if known.get("message") != message:
            await context.event("Invalid", message, warning=True)
        return DONE

    async def _set_finalizers(self, obj: Object, finalizers: list[str]) -> Object:
        changed = copy(obj)
        changed["metadata"]["finalizers"] = finalizers
        return await self.api.update(self.resource, changed)
