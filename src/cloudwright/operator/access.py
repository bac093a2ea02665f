"""How controllers write: engine actions, status, events; with a dry run that only notes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError
from cloudwright.client.client import Client
from cloudwright.client.errors import AlreadyExists, ApiError, Conflict, NotFound
from cloudwright.client.recorder import Recorder
from cloudwright.model.objects import (
    Object,
    controller_of,
    key_of,
    name_of,
    namespace_of,
    resource_version,
    uid_of,
)
from cloudwright.model.resources import NAMESPACE, Resource
from cloudwright.operator.discovery import discover
from cloudwright.operator.engines import applying
from cloudwright.operator.engines.actions import (
    Action,
    Apply,
    Create,
    Delete,
    Note,
    Patch,
    Update,
)
from cloudwright.operator.errors import FieldsOwned
from cloudwright.operator.vitals import Vitals

_LOG = logs.get("operator")


class Access:
    """One controller's door to the API."""

    def __init__(
        self,
        client: Client,
        recorder: Recorder,
        vitals: Vitals,
        *,
        controller: str,
        dry_run: bool = False,
        field_manager: str = "",
    ) -> None:
        self.client = client
        self.dry_run = dry_run
        self.intended: list[Action] = []
        """With ``dry_run``: what would have been done, in order."""
        self._recorder = recorder
        self._vitals = vitals
        self._controller = controller
        self._field_manager = field_manager

    # -- reading past the caches

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """The object as the server has it now. Raises ``NotFoundError``."""
        return await self.client.get(resource, name, namespace)

    async def find(
        self, resource: Resource, namespace: str = "", *, field_selector: str = ""
    ) -> list[Object]:
        """The objects as the server has them now."""
        found = await self.client.list(resource, namespace, field_selector=field_selector)
        return found.items

    async def discover(self) -> list[Resource]:
        """Every kind that can be listed, watched and deleted, in its preferred version."""
        return await discover(self.client)

    @staticmethod
    def answered(error: CloudwrightError) -> bool:
        """Whether an error is the server's refusal, so that nothing was written for certain."""
        return isinstance(error, ApiError) and error.http_status < 500

    @staticmethod
    def namespace_ends(error: CloudwrightError) -> bool:
        """Whether a creation was refused because its namespace is being deleted: no use to try."""
        return isinstance(error, ApiError) and any(
            cause.get("reason") == "NamespaceTerminating" for cause in error.causes
        )

    # -- writing

    async def create(self, resource: Resource, obj: Object) -> Object:
        """Create; returns the object as stored."""
        if self._only_noted(Create(resource, obj)):
            return obj
        self._count("create", resource)
        return await self.client.create(resource, obj)

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        """Replace. Raises ``ConflictError`` when the object has changed since it was read."""
        if self._only_noted(Update(resource, obj)):
            return obj
        self._count("update", resource)
        return await self.client.update(resource, obj, subresource=subresource)

    async def write_status(self, resource: Resource, obj: Object, status: Object | None) -> Object:
        """Write the status if it differs; returns the object with it.

        Raises:
            ConflictError: the object has changed since it was read.
        """
        if status is None or status == (obj.get("status") or {}):
            return obj
        changed = {**obj, "status": status}
        if self.dry_run:
            _LOG.info("dry run: would write the status of %s %s", resource.kind, key_of(obj))
            return changed
        self._count("update-status", resource)
        try:
            return await self.client.update_status(resource, changed)
        except NotFound:
            return changed  # deleted meanwhile: nobody needs its status

    async def perform(self, action: Action) -> None:
        """Carry out what an engine asked for."""
        if self._only_noted(action):
            return
        match action:
            case Create(resource, obj):
                await self._ensure(resource, obj)
            case Update(resource, obj):
                self._count("update", resource)
                await self.client.update(resource, obj)
            case Apply():
                await self._apply(action)
            case Patch(resource, namespace, name, body):
                self._count("patch", resource)
                await self.client.patch(resource, name, body, namespace)
            case Delete():
                await self._delete(action)

    async def perform_all(self, actions: Iterable[Action]) -> None:
        """Carry out several actions in order; the first failure ends it."""
        for action in actions:
            await self.perform(action)

    async def _ensure(self, resource: Resource, obj: Object) -> None:
        self._count("create", resource)
        try:
            await self.client.create(resource, obj, field_manager=self._field_manager)
        except AlreadyExists:
            # A stale view, or a crash after the first try: fine if it has the same owner.
            actual = await self.client.get(resource, name_of(obj), namespace_of(obj))
            ours, theirs = controller_of(obj), controller_of(actual)
            if (ours or {}).get("uid") != (theirs or {}).get("uid"):
                raise

    async def _apply(self, action: Apply) -> None:
        """Raises ``FieldsOwned`` when others own some of the fields."""
        resource, name, space = action.resource, name_of(action.obj), namespace_of(action.obj)
        self._count("apply", resource)
        owners = applying.taken_over(action.before)
        if owners is not None:
            guard = {"resourceVersion": resource_version(action.before)}
            body = {"metadata": {"managedFields": owners, **guard}}
            await self.client.patch(resource, name, body, space)
        metadata = {**action.obj["metadata"], "uid": uid_of(action.before)}
        wish = {**action.obj, "metadata": metadata}
        wish.setdefault("apiVersion", resource.api_version)
        try:
            await self.client.apply_server_side(
                resource, wish, space or None, field_manager=applying.MANAGER
            )
        except Conflict as error:
            if not any(one.get("reason") == "FieldManagerConflict" for one in error.causes):
                raise
            told = applying.conflict(resource.kind, action.obj, error.causes)
            raise FieldsOwned(told) from error

    async def _delete(self, action: Delete) -> None:
        self._count("delete", action.resource)
        try:
            await self.client.delete(
                action.resource,
                action.name,
                action.namespace,
                grace_seconds=action.grace_seconds,
                propagation=action.propagation or "",
                uid=action.uid,
                missing_ok=True,
            )
        except Conflict:
            actual = await self._find(action)
            if actual is not None and uid_of(actual) == action.uid:
                raise

    async def _find(self, action: Delete) -> Object | None:
        try:
            return await self.client.get(action.resource, action.name, action.namespace)
        except NotFound:
            return None

    async def finalize_namespace(self, namespace: Object) -> None:
        """Write ``spec.finalizers`` of a namespace through its ``finalize`` subresource."""
        if self._only_noted(Update(NAMESPACE, namespace)):
            return
        self._count("finalize", NAMESPACE)
        try:
            await self.client.update(NAMESPACE, namespace, subresource="finalize")
        except NotFound:
            _LOG.debug("namespace %s is gone already", name_of(namespace))

    async def tell(self, about: Object, notes: Sequence[Note]) -> None:
        """Record events about an object. One that cannot be written is only logged."""
        if self.dry_run:
            return
        for note in notes:
            await self._recorder.event(about, note.type, note.reason, note.message)

    def _only_noted(self, action: Action) -> bool:
        if self.dry_run:
            self.intended.append(action)
            _LOG.info("dry run: would %s", told(action))
        return self.dry_run

    def _count(self, verb: str, resource: Resource) -> None:
        self._vitals.writes.labels(self._controller, verb, resource.kind).inc()


def told(action: Action) -> str:
    """What an action does, in words: ``update Deployment default/payment``."""
    match action:
        case Create(resource, obj) | Update(resource, obj) | Apply(resource, obj):
            verb = type(action).__name__.lower()
            return f"{verb} {resource.kind} {key_of(obj)}"
        case Patch(resource, namespace, name, body):
            where = f"{namespace}/{name}".lstrip("/")
            return f"patch {resource.kind} {where}: {json.dumps(body, default=str)}"
        case Delete(resource, namespace, name):
            return f"delete {resource.kind} {namespace}/{name}".replace(" /", " ")
