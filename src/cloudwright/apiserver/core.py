"""The Kubernetes API without HTTP: a request of a known user in, a reply or a stream out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cloudwright._base import logs
from cloudwright._base.clock import Clock, SystemClock
from cloudwright.apiserver import built_ins, calls, reviews, synthetic
from cloudwright.apiserver.admission import Admission
from cloudwright.apiserver.audit import notes
from cloudwright.apiserver.authz.index import GROUP
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.clusterips import ClusterIPs
from cloudwright.apiserver.config import CoreConfig
from cloudwright.apiserver.conversions import Conversions, NeedsConversionError
from cloudwright.apiserver.errors import (
    ApiError,
    StoreError,
    bad_request,
    forbidden,
    from_store,
    no_such_method,
    no_such_path,
    qualified,
    too_large,
)
from cloudwright.apiserver.identity import Attributes, Authorizer, User
from cloudwright.apiserver.managed import Ownership
from cloudwright.apiserver.namespaces import Places
from cloudwright.apiserver.registry import Registry
from cloudwright.apiserver.special import JobWrite, NamespaceWrite, PodWrite, Special
from cloudwright.apiserver.status import failure_reply
from cloudwright.apiserver.store.interface import Store
from cloudwright.apiserver.verbs import show, table
from cloudwright.apiserver.verbs.table import Answer, Handler
from cloudwright.apiserver.vitals import Vitals
from cloudwright.client.transport import Request
from cloudwright.model import resources
from cloudwright.model.objects import Object, finalizers_of, uid_of
from cloudwright.model.resources import API_SERVICE
from cloudwright.model.streams import PodStreams

if TYPE_CHECKING:
    from cloudwright.apiserver.aggregation.aggregator import Aggregator, Foreign
    from cloudwright.apiserver.audit import Auditor
    from cloudwright.apiserver.resource_metrics import ResourceMetrics

_log = logs.get("apiserver")

_CONVERSIONS_MAX = 64
"""Objects that one request may have converted one after the other (lists ask for all at once)."""

_DEFINITION = resources.CUSTOM_RESOURCE_DEFINITION
_SPECIAL_PLURALS = frozenset(
    (_DEFINITION.plural, "namespaces", "services", "pods", "jobs", "certificatesigningrequests")
)
_SPECIAL_GROUPS = frozenset((GROUP, API_SERVICE.group))
_NOT_SPECIAL = Special()
_NOT_SPECIAL.changes = False
__all__ = ["Answer", "ApiCore", "Handler"]


class ApiCore:
    """Serves every resource path (``/api/v1/…``, ``/apis/GROUP/VERSION/…``).

    Make it with ``bootstrap.start``, which also loads what the store already defines.
    """

    def __init__(
        self,
        store: Store,
        authorizer: Authorizer,
        *,
        config: CoreConfig | None = None,
        clock: Clock | None = None,
        admission: Sequence[Admission] = (),
    ) -> None:
        self.store = store
        self.config = config or CoreConfig()
        self.clock = clock or SystemClock()
        self.started = self.clock.now()
        self.admission: list[Admission] = list(admission)
        self.registry = Registry(built_ins.served())
        self.conversions = Conversions()
        self.ownership = Ownership(self.registry)
        self.addresses = ClusterIPs(self.config.service_cidr, self.config.reserved_ips)
        self.places = Places(store)
        self.vitals = Vitals(store)
        self.authorizer = authorizer
        self.audit: Auditor | None = None
        """Told of every request, once there is a policy."""
        self.tokens: reviews.TokenKnower | None = None
        """Who answers ``TokenReview`` s; the face's authenticator."""
        self.aggregator: Aggregator | None = None
        """Who knows other API servers behind this one."""
        self.resource_metrics: ResourceMetrics | None = None
        """What pods and nodes use, where somebody measures it."""
        self.streams: PodStreams | None = None
        """Whoever runs the pods, once a node is attached."""
        self.cleaning: dict[str, bool] = {}
        """Definitions whose instances are being deleted; whether to look again at the end."""
        self._verbs: dict[str, Handler] = table.Verbs()
        self._subresources = dict(table.SUBRESOURCES)

    def on_subresource(self, group: str, plural: str, name: str, handler: Handler) -> None:
        """Let ``handler`` serve a subresource (``log``, ``exec``, ``token`` …) for every verb."""
        self._subresources[(group, plural, name)] = handler

    async def handle(
        self,
        request: Request,
        user: User,
        call: Call | None = None,
        wanted: Attributes | None = None,
    ) -> Answer:
        """The answer to ``request`` by ``user``; every failure is a ``metav1.Status`` reply.

        ``call``: the same request, understood before; ``wanted``: its attributes.
        """
        try:
            if len(request.body) > self.config.body_bytes_max:
                raise too_large(self.config.body_bytes_max)
            review = reviews.find(request.path)
            if review is not None:
                return await reviews.answer(*review, request, user, self.authorizer, self.tokens)
            call = call or await self._understood(request, user)
            await self.permit(user, wanted or call.attributes)
            try:
                return await self._handler(call)(self, call)
            except NeedsConversionError as need:
                return await self._converted(call, need)
        except ApiError as error:
            if call is not None and call.warnings:
                error.headers = {**show.warning_headers(call), **error.headers}
            return failure_reply(error)
        except StoreError as error:
            return failure_reply(from_store(error))
        except RecursionError:
            return failure_reply(bad_request("the body is nested too deeply"))
        except Exception:
            # The room's border: a bug must not take the connection, or others, with it.
            _log.exception("a request failed", extra={"path": request.path})
            return failure_reply(ApiError(500, "InternalError", "an internal error occurred"))

    async def _understood(self, request: Request, user: User) -> Call:
        """The call; what is served nowhere is told only to who may ask for it.

        Raises:
            ApiError: 403, 404, 405.
        """
        try:
            return calls.parse(request, user, self.registry)
        except ApiError as error:
            wanted = calls.asked_for(request) if error.http_status == 404 else None
            if wanted is not None:
                await self.permit(user, wanted)
            raise

    async def _converted(self, call: Call, need: NeedsConversionError) -> Answer:
        """The handler's answer; it runs again each time that a webhook has converted something."""
        for _ in range(_CONVERSIONS_MAX - 1):
            await self.conversions.ask(need)
            call.warnings.clear()
            try:
                return await self._handler(call)(self, call)
            except NeedsConversionError as next_need:
                need = next_need
        raise ApiError(500, "InternalError", "the conversion webhook's answers never agree")

    async def authorize(self, call: Call) -> None:
        """Let the authorizer decide.

        Raises:
            ApiError: 403, it says no.
        """
        await self.permit(call.user, call.attributes)

    def foreign(self) -> Sequence[Foreign]:
        """What other API servers serve."""
        return () if self.aggregator is None else self.aggregator.all()

    def verb(self, name: str) -> Handler:
        """Who serves a verb of resources that are stored."""
        return self._verbs[name]

    async def permit(self, user: User, wanted: Attributes) -> None:
        """Let the authorizer decide. Raises ``ApiError`` 403."""
        verdict = await self.authorizer.authorize(user, wanted)
        if self.audit is not None:
            notes.decided(verdict.allowed, verdict.reason)
        if not verdict.allowed:
            reason = f": {verdict.reason}" if verdict.reason else ""
            message = wanted.denial(user.name) + reason
            raise forbidden(wanted.group, wanted.resource, wanted.name, message)

    def special(self, call: Call, new: Object, old: Object | None) -> Special:
        """What this write does beside storing the object."""
        resource = call.served.resource
        if resource.plural not in _SPECIAL_PLURALS and resource.group not in _SPECIAL_GROUPS:
            return _NOT_SPECIAL
        if _is_definition(call):
            from cloudwright.apiserver.definitions import DefinitionWrite

            return DefinitionWrite(self, call, new, old, self.clock.now())
        if call.group == "" and call.plural == "namespaces":
            return NamespaceWrite(new, old, call.subresource)
        if call.group == GROUP:
            from cloudwright.apiserver.authz.escalation import RoleWrite

            return RoleWrite(self.authorizer, call, new, old)
        if call.group == "" and call.plural == "services":
            from cloudwright.apiserver.services import ServiceWrite

            return ServiceWrite(self.addresses, new, old)
        if old is not None and _changes_pod(call):
            return PodWrite(new, old)
        if call.plural == "jobs" and call.group == "batch" and old is None:
            return JobWrite(new)
        if call.plural == "certificatesigningrequests":
            from cloudwright.apiserver.signing import SigningRequestWrite

            return SigningRequestWrite(call, new, old, self.clock.now())
        if call.group == API_SERVICE.group:
            return synthetic.Entry(self, call, new, old)
        return _NOT_SPECIAL

    def before_deletion(self, call: Call, obj: Object) -> None:
        """What an object gets when it is to be deleted, before it is marked or removed."""
        if _is_definition(call) and not obj["metadata"].get("deletionTimestamp"):
            from cloudwright.apiserver import crds

            kept = [name for name in finalizers_of(obj) if name != crds.CLEANUP]
            obj["metadata"]["finalizers"] = [*kept, crds.CLEANUP]

    def marking(self, call: Call, obj: Object) -> None:
        """What the status of an object says once it is marked for deletion."""
        if _is_definition(call):
            from cloudwright.apiserver import crds

            crds.settle(obj, self.registry.all(), self.clock.now())
        elif call.group == "" and call.plural == "namespaces":
            obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
            obj["metadata"].pop("deletionGracePeriodSeconds", None)

    async def marked(self, call: Call, obj: Object) -> None:
        """``obj`` is marked for deletion, on disk."""
        if _is_definition(call):
            from cloudwright.apiserver import definitions

            definitions.register(self.registry, obj, self.conversions)
            await definitions.clean_up(self, call.user, call.name)

    async def removed(self, call: Call, obj: Object) -> None:
        """``obj`` is gone, on disk."""
        if _is_definition(call):
            from cloudwright.apiserver import definitions

            spec = obj["spec"]
            group, plural = spec["group"], spec["names"]["plural"]
            found = [one for one in self.registry.all() if one.resource.group == group]
            if any(one.custom and one.resource.plural == plural for one in found):
                self.registry.remove(group, plural)
            await definitions.reconsider(self, call.user, group)
        elif call.served.custom:
            from cloudwright.apiserver import definitions

            await definitions.clean_up(self, call.user, qualified(call.plural, call.group))
        elif call.group == "" and call.plural == "services":
            address = (obj.get("spec") or {}).get("clusterIP", "")
            self.addresses.release(address, uid_of(obj))
            self.addresses.node_ports.forget(uid_of(obj))

    def _handler(self, call: Call) -> Handler:
        subresource = call.subresource
        if not subresource:
            if (call.group, call.plural) in synthetic.SOURCES:
                if synthetic.is_stored(call):
                    return synthetic.write
                return synthetic.serve
            if call.verb not in call.served.resource.verbs:
                raise no_such_method()
            own = self._subresources.get((call.group, call.plural, ""))
            return own or self._verbs[call.verb]
        own = self._subresources.get((call.group, call.plural, subresource))
        if own is not None:
            return own
        if subresource not in call.served.resource.subresources:
            raise no_such_path()
        if subresource in ("status", "approval") and call.verb in ("get", "update", "patch"):
            return self._verbs[call.verb]
        if subresource == "scale" and call.verb in ("get", "update", "patch"):
            from cloudwright.apiserver.verbs import scale

            return scale.scale
        raise no_such_method()


def _is_definition(call: Call) -> bool:
    return call.plural == _DEFINITION.plural and call.group == _DEFINITION.group


def _changes_pod(call: Call) -> bool:
    """Whether it is an ordinary change of a pod, by none of its subresources."""
    if call.plural != "pods" or call.group or call.subresource:
        return False
    return call.verb in ("update", "patch")
