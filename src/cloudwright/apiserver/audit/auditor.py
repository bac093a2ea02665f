"""Follows requests through their stages and tells the sinks."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, cast

import anyio

from cloudwright._base.clock import Clock, rfc3339_micro
from cloudwright.apiserver import calls
from cloudwright.apiserver.audit.events import Story, event, uri_of
from cloudwright.apiserver.audit.notes import current
from cloudwright.apiserver.audit.policy import COMPLETE, PANIC, RECEIVED, STARTED, About, Policy
from cloudwright.apiserver.audit.sinks import Sink
from cloudwright.apiserver.errors import ApiError
from cloudwright.apiserver.identity import User
from cloudwright.apiserver.replies import StreamReply
from cloudwright.client.transport import Reply, Request

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

A = TypeVar("A")
_NOBODY = User("")


class Auditor:
    """Keeps what a policy wants kept. ``run`` must run for the sinks to write."""

    def __init__(self, core: ApiCore, policy: Policy, sinks: Sequence[Sink], clock: Clock) -> None:
        self._core = core
        self._policy = policy
        self._sinks = tuple(sinks)
        self._clock = clock
        self.keeps_reads = policy.keeps_reads()
        """Whether reads may have to be kept: then none may be answered unseen."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Auditor]:
        """Write events until the block ends."""
        async with anyio.create_task_group() as tasks:
            for sink in self._sinks:
                tasks.start_soon(sink.run)
            yield self
            tasks.cancel_scope.cancel()

    async def around(
        self, request: Request, user: User | None, answer: Callable[[], Awaitable[A]]
    ) -> A:
        """``await answer()``, with an event at each stage that the policy keeps."""
        about, version = self._about(request, user or _NOBODY)
        decision = self._policy.decide(about)
        if decision.level == "None":
            return await answer()
        headers = request.headers
        given = headers.get("audit-id", "")
        story = Story(
            audit_id=given if 0 < len(given) <= 64 else str(uuid.uuid4()),
            decision=decision,
            about=about,
            user=user,
            uri=uri_of(request.path, request.query),
            received=self._now(),
            agent=headers.get("user-agent", ""),
            sources=_sources(headers.get("x-forwarded-for", "")),
            version=version,
            body=request.body,
        )
        await self._tell(story, RECEIVED)
        token = current.set(story)
        try:
            found = await answer()
        except Exception:
            await self._tell(story, PANIC, 500)
            raise
        finally:
            current.reset(token)
        return await self._ended(story, found)

    async def _ended(self, story: Story, found: A) -> A:
        if isinstance(found, Reply):
            _decided(story, found.status)
            await self._tell(story, COMPLETE, found.status, found.body)
        elif isinstance(found, StreamReply):
            _decided(story, found.status)
            await self._tell(story, STARTED, found.status)
            watched = replace(found, body=_Watched(self, story, found), watch=None)
            return cast("A", watched)
        else:  # a door: the connection goes on without us
            _decided(story, 101)
            await self._tell(story, STARTED, 101)
            await self._tell(story, COMPLETE, 101)
        return found

    async def complete(self, story: Story, code: int) -> None:
        """The stream that the request has opened is over."""
        await self._tell(story, COMPLETE, code)

    async def _tell(
        self, story: Story, stage: str, code: int = 0, answer: bytes | None = None
    ) -> None:
        if story.decision.keeps(stage):
            made = event(story, stage, self._now(), code, answer)
            for sink in self._sinks:
                await sink.put(made)

    def _now(self) -> str:
        return rfc3339_micro(self._clock.now())

    def _about(self, request: Request, user: User) -> tuple[About, str]:
        verb = request.method.lower()
        if request.path.startswith(("/api/", "/apis/")):
            try:
                call = calls.parse(request, user, self._core.registry)
            except ApiError:
                return About(user.name, user.groups, verb, request.path), ""
            about = About(
                user.name,
                user.groups,
                call.verb,
                request.path,
                True,
                call.group,
                call.plural,
                call.subresource,
                call.namespace,
                call.name,
            )
            return about, call.served.resource.version
        return About(user.name, user.groups, verb, request.path), ""


class _Watched:
    """The body of a stream; tells when it is closed, also when nobody has read it."""

    def __init__(self, auditor: Auditor, story: Story, reply: StreamReply) -> None:
        self._auditor = auditor
        self._story = story
        self._reply = reply
        self._open = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await self._reply.body.__anext__()

    async def aclose(self) -> None:
        """Close the stream."""
        if self._open:
            self._open = False
            await self._reply.close()
            await self._auditor.complete(self._story, self._reply.status)


def _decided(story: Story, code: int) -> None:
    """What authorization has said, where nobody said why."""
    forbidden = code == 403
    story.annotations.setdefault(
        "authorization.k8s.io/decision", "forbid" if forbidden else "allow"
    )
    story.annotations.setdefault("authorization.k8s.io/reason", "")


def _sources(forwarded: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in forwarded.split(",") if one.strip())
