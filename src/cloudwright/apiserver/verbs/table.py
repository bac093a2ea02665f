"""Which function serves a verb or a subresource. Each is loaded when it is first asked for: a
server that just started, or is only read, does not load how to write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from cloudwright.apiserver.replies import StreamReply
from cloudwright.client.transport import Reply

if TYPE_CHECKING:
    from cloudwright.apiserver.calls import Call
    from cloudwright.apiserver.core import ApiCore

Answer = Reply | StreamReply
Handler = Callable[["ApiCore", "Call"], Awaitable[Answer]]
"""Serves a verb or a subresource; the user was authorized before. May raise ``ApiError``."""


class Verbs(dict[str, Handler]):
    """The handlers of the verbs that were asked for. Raises ``KeyError``: no such verb."""

    def __missing__(self, verb: str) -> Handler:
        handler = self[verb] = _VERBS[verb]()
        return handler


def _create() -> Handler:
    from cloudwright.apiserver.verbs.create import create

    return create


def _get() -> Handler:
    from cloudwright.apiserver.verbs.get import get

    return get


def _list() -> Handler:
    from cloudwright.apiserver.verbs.list import list_

    return list_


def _watch() -> Handler:
    from cloudwright.apiserver.verbs.watch import watch

    return watch


def _update() -> Handler:
    from cloudwright.apiserver.verbs.update import update

    return update


def _patch() -> Handler:
    from cloudwright.apiserver.verbs.patch import patch

    return patch


def _delete() -> Handler:
    from cloudwright.apiserver.verbs.delete import delete

    return delete


def _delete_collection() -> Handler:
    from cloudwright.apiserver.verbs.delete import delete_collection

    return delete_collection


async def _bind(core: ApiCore, call: Call) -> Answer:
    from cloudwright.apiserver.verbs import pods

    return await pods.bind(core, call)


async def _bind_by_name(core: ApiCore, call: Call) -> Answer:
    from cloudwright.apiserver.verbs import podparts

    return await podparts.bind(core, call)


async def _alter(core: ApiCore, call: Call) -> Answer:
    from cloudwright.apiserver.verbs import podparts

    return await podparts.alter(core, call)


async def _evict(core: ApiCore, call: Call) -> Answer:
    from cloudwright.apiserver.verbs import eviction

    return await eviction.evict(core, call)


async def _finalize(core: ApiCore, call: Call) -> Answer:
    from cloudwright.apiserver.verbs import finalize

    return await finalize.finalize(core, call)


_VERBS: dict[str, Callable[[], Handler]] = {
    "create": _create,
    "get": _get,
    "list": _list,
    "watch": _watch,
    "update": _update,
    "patch": _patch,
    "delete": _delete,
    "deletecollection": _delete_collection,
}
SUBRESOURCES: dict[tuple[str, str, str], Handler] = {
    ("", "bindings", ""): _bind_by_name,
    ("", "pods", "binding"): _bind,
    ("", "pods", "ephemeralcontainers"): _alter,
    ("", "pods", "resize"): _alter,
    ("", "pods", "eviction"): _evict,
    ("", "namespaces", "finalize"): _finalize,
}
"""Handlers of subresources (group, plural, name) that serve every verb themselves; without a name:
of a whole resource.
"""
