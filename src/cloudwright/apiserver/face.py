"""One HTTP request: who asks, whether he may, and which part answers. Knows no sockets.

The answer is a whole ``Reply``, a ``StreamReply`` or a ``Door`` (a stream that needs the
connection itself).
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from cloudwright._base import logs
from cloudwright._base.errors import (
    CloudwrightError,
    ConflictError,
    NotAllowedError,
    NotFoundError,
    TimedOutError,
    UnreachableError,
    UsageError,
)
from cloudwright.apiserver import calls, encoding, health, negotiation, reviews, synthetic
from cloudwright.apiserver.audit import notes
from cloudwright.apiserver.authn import Authenticator, Peer, impersonation, issuer
from cloudwright.apiserver.calls import Call, Query
from cloudwright.apiserver.core import ApiCore
from cloudwright.apiserver.documents import Documents
from cloudwright.apiserver.errors import (
    ApiError,
    no_such_method,
    no_such_path,
    not_found,
    unauthorized,
)
from cloudwright.apiserver.flow.control import FlowControl
from cloudwright.apiserver.health import Health
from cloudwright.apiserver.http_vitals import HttpVitals
from cloudwright.apiserver.identity import Attributes, Authorizer, User
from cloudwright.apiserver.proxies.door import ProxyDoor, is_proxied
from cloudwright.apiserver.replies import JSON, StreamReply, reply_json
from cloudwright.apiserver.status import failure_reply
from cloudwright.apiserver.streams.containers import SUBRESOURCES, container_of
from cloudwright.client.transport import Reply, Request
from cloudwright.model import protobuf
from cloudwright.model.objects import Object
from cloudwright.model.resources import POD
from cloudwright.model.streams import PodStreams

if TYPE_CHECKING:
    from cloudwright.apiserver.aggregation.aggregator import Foreign

_log = logs.get("apiserver")
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Door:
    """An exec, attach or port-forward that may go on; ``streams.doors.serve`` does the rest."""

    pod: Object
    subresource: str
    query: Query
    streams: PodStreams


Answer = Reply | StreamReply | Door | ProxyDoor


class Face:
    """Everything between HTTP and the core."""

    def __init__(
        self,
        core: ApiCore,
        authenticator: Authenticator,
        authorizer: Authorizer,
        *,
        streams: PodStreams | None = None,
        checks: Health | None = None,
    ) -> None:
        self._core = core
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._streams = core.streams = streams
        self._documents = Documents(core.registry, core.foreign)
        self.health = checks or Health()
        self.vitals = HttpVitals(core.vitals)
        self.flow = FlowControl(core.store)
        core.vitals.add(self.flow.metrics())

    async def answer(self, request: Request, peer: Peer | None) -> Answer:
        """The answer to ``request`` of ``peer``, encoded as he wants it; every failure is a
        ``metav1.Status``.
        """
        if "%" in request.path and _BAD_ESCAPE.search(request.path):
            return Reply(400, {"content-type": "text/plain; charset=utf-8"}, b"400 Bad Request")
        answer = self._answer if self._core.audit is None else self._audited
        if is_proxied(request.path):
            return await answer(request, peer)
        accept = request.headers.get("accept", "")
        refused = negotiation.refusal(request, accept)
        if negotiation.plain(accept):
            return refused or await answer(request, peer)
        if refused is not None:
            return negotiation.shown(refused, accept)
        found = await answer(request, peer)
        return found if isinstance(found, Door | ProxyDoor) else negotiation.shown(found, accept)

    async def _audited(self, request: Request, peer: Peer | None) -> Answer:
        audit = self._core.audit
        assert audit is not None, "asked for where there is a policy"
        try:
            user = await self._authenticator.user(peer, request.headers)
        except CloudwrightError:
            user = None
        shown = request
        if request.headers.get("content-type", "").startswith(protobuf.MEDIA_TYPE):
            with suppress(protobuf.ProtobufError):  # the answer says what is wrong with the body
                shown = _as_json(request)
        return await audit.around(shown, user, lambda: self._answer(request, peer))

    async def _answer(self, request: Request, peer: Peer | None) -> Answer:
        try:
            if request.headers.get("content-type", "").startswith(
                protobuf.MEDIA_TYPE
            ) and not is_proxied(request.path):
                with suppress(protobuf.ProtobufError):  # whoever reads the body says what is wrong
                    request = _as_json(request)
            return await self._route(request, peer)
        except CloudwrightError as error:
            return failure_reply(as_api_error(error))
        except Exception:
            # The room's border: a bug, or a broken node, must not end other requests.
            _log.exception("a request failed", extra={"path": request.path})
            return failure_reply(ApiError(500, "InternalError", "an internal error occurred"))

    async def _route(self, request: Request, peer: Peer | None) -> Answer:
        user = peer.user if peer else await self._authenticator.user(None, request.headers)
        path = request.path.rstrip("/") or "/"
        first = path.split("/", 2)[1]
        if (request.method, request.path) not in self._core.registry.targets:  # what was met before
            for_all = await self._for_all(request, path, first)
            if for_all is not None:
                return for_all
        if user is None:
            user = self._authenticator.stranger(path)
        if user is None:
            raise unauthorized()
        if impersonation.wanted(request.headers):
            user = await impersonation.act(user, request.headers, self._authorizer)
            notes.impersonates(user)
        if first == "apis" and self._core.aggregator is not None:
            foreign = self._core.aggregator.find(path)
            if foreign is not None:
                return await self._elsewhere(request, path, user, foreign)
        if first in ("api", "apis") and not self._is_discovery(path):
            call = self._understood(request, user)
            if call is not None:
                wanted = call.attributes
                if not call.subresource:
                    handle = partial(self._core.handle, request, user, call, wanted)
                    return await self.flow.run(user, wanted, handle)
                answer = partial(self._resource, request, user, call)
                if call.subresource == "proxy" and is_proxied(request.path):
                    return await answer()  # may take long, and takes no seat meanwhile, as upstream
                return await self.flow.run(user, wanted, answer)
            if path.startswith("/apis/") and not self._is_known(path):
                return _page_not_found()
            return await self._core.handle(request, user)
        other = partial(self._other, request, path, first, user)
        return await self.flow.run(user, Attributes(request.method.lower(), path=path), other)

    async def _for_all(self, request: Request, path: str, first: str) -> Reply | None:
        """What anybody may ask."""
        if f"/{first}" in health.PATHS:
            exclude = [value for name, value in request.query if name == "exclude"]
            verbose = any(name == "verbose" for name, _ in request.query)
            return await self.health.answer(path, verbose=verbose, exclude=exclude)
        if path == "/version":
            if request.method not in ("GET", "HEAD"):
                raise no_such_method()
            return reply_json(200, self._documents.version())
        return None

    async def _elsewhere(self, request: Request, path: str, user: User, foreign: Foreign) -> Answer:
        """What another API server serves: whoever may, is answered by it."""
        aggregator = self._core.aggregator
        assert aggregator is not None, "it found the foreign server"
        asked = None if self._is_discovery(path) else calls.asked_for(request)
        wanted = asked or Attributes(request.method.lower(), path=path)

        async def answer() -> Answer:
            if asked is None:
                await self._permit_path(user, wanted)
            else:
                await self._core.permit(user, wanted)
            return await aggregator.answer(foreign, request, user)

        return await self.flow.run(user, wanted, answer)

    def _understood(self, request: Request, user: User) -> Call | None:
        """What is asked for; ``None``: the core says what is wrong with it, or it is a review."""
        try:
            return calls.parse(request, user, self._core.registry)
        except ApiError:
            return None

    def _is_known(self, path: str) -> bool:
        """Whether the path is of a built-in group, or of a custom kind in a version of it."""
        wanted = calls.asked_for(Request("GET", path))
        group, version = [*path.split("/")[2:4], ""][:2]
        if any(review.group == group for review in reviews.REVIEWS):
            return True
        entries = [one for one in self._core.registry.all() if one.resource.group == group]
        if any(not entry.custom for entry in entries):
            return True
        plural = wanted.resource if wanted is not None else ""
        return any((e.resource.version, e.resource.plural) == (version, plural) for e in entries)

    @staticmethod
    def _is_discovery(path: str) -> bool:
        depth = path.count("/")
        return depth <= 2 if path.startswith("/api/") or path == "/api" else depth <= 3

    async def _other(self, request: Request, path: str, first: str, user: User) -> Answer:
        """Paths that are no resources."""
        verb = request.method.lower()
        await self._permit_path(user, Attributes(verb, path=path))
        accept = request.headers.get("accept", "")
        found: Reply | None = None
        if request.path.startswith("//") or request.path == "/metrics/" or verb == "connect":
            return _page_not_found()
        if request.method not in ("GET", "HEAD") and path not in ("/", "/metrics"):
            raise no_such_method()
        if path == "/metrics":
            found = self.vitals.answer()
        elif path == "/openapi/v2":
            found = self._documents.v2.answer(accept)
        elif path == "/openapi/v3" or path.startswith("/openapi/v3/"):
            found = self._documents.v3.answer(path, accept)
        elif path in issuer.PATHS and self._authenticator.accounts is not None:
            base = f"https://{request.headers.get('host', 'localhost')}"
            found = issuer.answer(path, self._authenticator.accounts, base)
        elif first in ("api", "apis", ""):
            found = self._documents.discovery.answer(path, accept)
        if found is None and path.startswith("/apis/") and self._is_known(path):
            raise no_such_path()
        if found is None:
            return _page_not_found()
        return _unless_known(found, request.headers)

    async def _permit_path(self, user: User, wanted: Attributes) -> None:
        """Raises ``ApiError`` 403 for whom the path is not."""
        verdict = await self._authorizer.authorize(user, wanted)
        if not verdict.allowed:
            reason = f": {verdict.reason}" if verdict.reason else ""
            message = f"forbidden: {wanted.denial(user.name)}{reason}"
            raise ApiError(403, "Forbidden", message, details={})

    async def _resource(self, request: Request, user: User, call: Call) -> Answer:
        streams = (*SUBRESOURCES, "log")
        if call.subresource in streams and call.group == "" and call.plural == POD.plural:
            return await self._pod_stream(call)
        if call.subresource == "proxy" and is_proxied(request.path):
            # Imported when first needed: most servers never pass a request on.
            from cloudwright.apiserver.proxies import passing

            return await passing.serve(self._core, call, self._streams)
        return await self._core.handle(request, user, call)

    async def _pod_stream(self, call: Call) -> Answer:
        """A stream of a pod: log, exec, attach or portforward."""
        # Upgrades may come as GET, but starting a process is no reading.
        call.verb = "get" if call.subresource == "log" else "create"
        await self._core.authorize(call)
        pod = await self._pod(call)
        if self._streams is None:
            raise ApiError(
                501, "NotImplemented", "no node is attached to this API server: it has no streams"
            )
        if call.subresource != "log":
            from cloudwright.apiserver.admission import connects

            await connects.admit(self._core, call)
            return Door(pod, call.subresource, call.query, self._streams)
        if call.request.method != "GET":
            raise ApiError(405, "MethodNotAllowed", "a log can only be read")
        from cloudwright.apiserver.streams import podlogs

        container = container_of(pod, call.query.get("container"))
        query = Query([("container", container), *call.request.query])
        return await podlogs.answer(self._streams, call.namespace, call.name, query)

    async def _pod(self, call: Call) -> Object:
        served = call.served
        record = await self._core.store.get(served.key(call.namespace, call.name))
        if record is None:
            raise not_found("", call.plural, call.name)
        return encoding.shown(served, record.value)

    async def may_repeat(self, request: Request, peer: Peer | None) -> bool:
        """Whether who was just allowed this read may do every read like it (of any name), so that
        later ones need not be asked about.
        """
        if self._core.audit is not None and self._core.audit.keeps_reads:
            return False  # every request is to be seen here
        user = await self._authenticator.user(peer, request.headers)
        if user is None:
            return False
        call = calls.parse(request, user, self._core.registry)
        if (call.group, call.plural) in synthetic.SOURCES:
            return False
        call.name = ""
        return (await self._authorizer.authorize(user, call.attributes)).allowed


def _page_not_found() -> Reply:
    """What paths get that are no resources and not served."""
    headers = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
    return Reply(404, headers, b"404 page not found\n")


def _as_json(request: Request) -> Request:
    """A protobuf request as the same in JSON.

    Raises:
        ProtobufError: the body cannot be read.
    """
    if not request.body:
        return request
    body = protobuf.decode_json(request.body)
    headers = {**request.headers, "content-type": JSON}
    return replace(request, headers=headers, body=body)


def as_api_error(error: CloudwrightError) -> ApiError:
    """A failure of another room as an answer."""
    if isinstance(error, ApiError):
        return error
    kinds: tuple[tuple[type[CloudwrightError], int, str], ...] = (
        (NotFoundError, 404, "NotFound"),
        (UsageError, 400, "BadRequest"),
        (NotAllowedError, 403, "Forbidden"),
        (ConflictError, 409, "Conflict"),
        (TimedOutError, 504, "Timeout"),
        (UnreachableError, 503, "ServiceUnavailable"),
    )
    for kind, code, reason in kinds:
        if isinstance(error, kind):
            return ApiError(code, reason, error.message, hint=error.hint)
    return ApiError(500, "InternalError", error.message, hint=error.hint)


def _unless_known(found: Reply, headers: Mapping[str, str]) -> Reply:
    """304 when the client has this content already; unpacked for one that takes no gzip."""
    tag = found.headers.get("etag")
    known = headers.get("if-none-match")
    if tag and known and tag in [one.strip() for one in known.split(",")]:
        return Reply(304, {"etag": tag}, b"")
    packed = found.headers.get("content-encoding") == "gzip"
    if packed and "gzip" not in headers.get("accept-encoding", ""):
        plain = {name: v for name, v in found.headers.items() if name != "content-encoding"}
        return Reply(found.status, plain, gzip.decompress(found.body))
    return found
