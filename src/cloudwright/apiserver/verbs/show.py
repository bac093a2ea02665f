"""One object as a reply, in the form that the client accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudwright.apiserver import encoding, representation
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.replies import reply, reply_json
from cloudwright.apiserver.store.interface import Record
from cloudwright.client.transport import Reply

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore


def warning_headers(call: Call) -> dict[str, str]:
    """The call's warnings as one ``Warning`` header value (RFC 7234, code 299)."""
    deprecated = call.served.warning
    if not call.warnings and not deprecated:
        return {}
    texts = [deprecated, *call.warnings] if deprecated else call.warnings
    return {"warning": ", ".join(f"299 - {_quoted(text)}" for text in texts[:50])}


def record(core: ApiCore, call: Call, found: Record, status: int = 200) -> Reply:
    """A stored object."""
    form = representation.wanted(call)
    headers = warning_headers(call)
    if form == "plain":
        return reply(status, encoding.shown_bytes(call.served, found.value), headers)
    obj = encoding.shown(call.served, found.value)
    if form == "partial":
        representation.check_partial(call, single=True)
        return reply_json(status, encoding.partial(obj), headers)
    metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
    body: dict[str, Any] = representation.table(call, [obj], metadata, core.clock.now())
    return reply_json(status, body, headers)


def _quoted(text: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'
