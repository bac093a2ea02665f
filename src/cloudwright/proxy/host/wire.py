"""The frames between the proxy and the host; the crate's ``protocol.rs`` is the other side.

All numbers are little endian. A frame is ``u32 length`` (of what follows), ``u8 kind``, and:

| kind | from | then |
|---|---|---|
| REQUEST 1 | proxy | call, the head of the request (``sdk.messages.HEAD``) |
| RESPONSE 2 | proxy | call, ``u16 status``, headers' text |
| BODY 3 | proxy | call, the chunk |
| END 4 | proxy | ``u64 exchange``: forget it |
| ACK 5 | proxy | nothing: what was announced is in use |
| ANNOUNCE 16 | host | JSON: generation, filters, errors |
| CONTINUE 17 | host | answer, operations |
| RESPOND 18 | host | answer, ``u16 status``, ``u32`` length of operations, operations, body |
| CHUNK 19 | host | answer, what goes on in place of the chunk |
| LOST 20 | host | answer: the exchange is unknown here (the host was restarted), or came too late |

call: ``u64 exchange, u64 deadline (CLOCK_MONOTONIC, ns), u8 flags, u8 count, u32 filter × count``.
answer: ``u64 exchange, u8 side, u8 count, outcome × count``; an outcome is ``u32 filter, u8 result,
u32 nanoseconds``, and for a failure ``u16 length`` and a text.
operation: ``u8 kind, u16 length of name, u32 length of value, name, value``.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from cloudwright.proxy.sdk.headers import Operation
from cloudwright.proxy.sdk.messages import Reply

REQUEST, RESPONSE, BODY, END, ACK = 1, 2, 3, 4, 5
ANNOUNCE, CONTINUE, RESPOND, CHUNK, LOST = 16, 17, 18, 19, 20
KEEP, LAST, ANSWERING, SILENT = 1, 2, 4, 8
"""Flags of a call: more calls of this exchange follow; no body follows (or this is its last piece);
it is about the response's body; no answer is wanted."""
OK, FAILED, TIMED_OUT, RESPONDED = 0, 1, 2, 3
"""Results of one filter."""
REQUEST_SIDE, RESPONSE_SIDE = 0, 1
FRAME_AT_MOST = 4 << 20
TEXT_AT_MOST = 1000

CALL = struct.Struct("<IBQQBB")
LENGTH = struct.Struct("<I")
NUMBER = struct.Struct("<Q")
STATUS = struct.Struct("<H")
_ANSWER = struct.Struct("<IBQBB")
_QUICK = struct.Struct("<IBQBBIBI")
_OUTCOME = struct.Struct("<IBI")
_OPERATION = struct.Struct("<BHI")
_RESPOND = struct.Struct("<HI")

Outcome = tuple[int, int, int, str]
"""Filter, result, nanoseconds, and the text of a failure."""


def announce(value: dict[str, Any]) -> bytes:
    """What filters there are."""
    text = json.dumps(value).encode()
    return LENGTH.pack(len(text) + 1) + bytes((ANNOUNCE,)) + text


def pack_operations(operations: list[Operation]) -> bytes:
    """A record of changes."""
    pack = _OPERATION.pack
    return b"".join(
        [pack(kind, len(name), len(value)) + name + value for kind, name, value in operations]
    )


def answer(kind: int, exchange: int, side: int, outcomes: list[Outcome], rest: bytes) -> bytes:
    """A frame of the host; ``rest`` follows the outcomes."""
    if len(outcomes) == 1 and outcomes[0][1] in (OK, RESPONDED):
        filter_, result, took, _ = outcomes[0]
        return (
            _QUICK.pack(_QUICK.size - 4 + len(rest), kind, exchange, side, 1, filter_, result, took)
            + rest
        )
    body = b"".join([_pack_outcome(outcome) for outcome in outcomes]) + rest
    return _ANSWER.pack(_ANSWER.size - 4 + len(body), kind, exchange, side, len(outcomes)) + body


def respond(exchange: int, side: int, outcomes: list[Outcome], reply: Reply) -> bytes:
    """The frame for a filter's own answer."""
    lines = pack_operations([(2, name, value) for name, value in reply.headers])
    rest = _RESPOND.pack(reply.status, len(lines)) + lines + reply.body
    return answer(RESPOND, exchange, side, outcomes, rest)


def _pack_outcome(outcome: Outcome) -> bytes:
    filter_, result, took, text = outcome
    packed = _OUTCOME.pack(filter_, result, took)
    if result in (FAILED, TIMED_OUT):
        message = text.encode(errors="replace")[:TEXT_AT_MOST]
        packed += STATUS.pack(len(message)) + message
    return packed
