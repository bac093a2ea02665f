"""What a proxy-wasm module may call: each method is a function of the ABI, returning a status."""

# ruff: noqa: D102 - the names are the specification's, which describes them
from __future__ import annotations

import logging
import struct
import time
from collections import deque
from typing import TYPE_CHECKING

from cloudwright.proxy.sdk.messages import Reply, respond
from cloudwright.proxy.wasm import abi

if TYPE_CHECKING:
    from cloudwright.proxy.wasm.context import Context
    from cloudwright.proxy.wasm.machine import Machine

log = logging.getLogger("cloudwright.filters.wasm")
SHARED_AT_MOST = 16 << 20
QUEUE_AT_MOST = 10_000


class Functions:
    """The host's side of one machine. ``context`` is the exchange that is under way."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine = machine
        self.name = name
        self.context: Context | None = None
        self.configuration = b""
        self.tick_ms = 0
        self._shared: dict[bytes, tuple[bytes, int]] = {}
        self._queues: dict[int, deque[bytes]] = {}
        self._queue_names: dict[bytes, int] = {}
        self._metrics: dict[int, tuple[int, str, int]] = {}

    # Logging and time

    def proxy_log(self, level: int, data: int, size: int) -> int:
        text = self.machine.read(data, size)
        if not 0 <= level < len(abi.LEVELS):
            return abi.BAD_ARGUMENT
        log.log(abi.LEVELS[level], "%s: %s", self.name, text.decode(errors="replace"))
        return abi.OK

    def proxy_get_log_level(self, result: int) -> int:
        effective = log.getEffectiveLevel()
        level = next((at for at, known in enumerate(abi.LEVELS) if known >= effective), 5)
        return self.machine.write_number(result, level)

    def proxy_get_current_time_nanoseconds(self, result: int) -> int:
        return self.machine.write(result, struct.pack("<Q", time.time_ns()))

    def proxy_set_tick_period_milliseconds(self, period: int) -> int:
        # Not more often than the host's loop can bear.
        self.tick_ms = max(period, 10) if period else 0
        return abi.OK

    # Buffers

    def _buffer(self, kind: int) -> bytes | None:
        if kind in (abi.VM_CONFIGURATION, abi.PLUGIN_CONFIGURATION):
            return self.configuration
        return self.context.body(kind) if self.context is not None else None

    def proxy_get_buffer_bytes(
        self, kind: int, start: int, size: int, data: int, length: int
    ) -> int:
        if not 0 <= kind < abi.BUFFERS:
            return abi.BAD_ARGUMENT
        buffer = self._buffer(kind)
        if buffer is None:
            return abi.NOT_FOUND
        return self.machine.give(buffer[start : start + size], data, length)

    def proxy_get_buffer_status(self, kind: int, length: int, ignored: int) -> int:
        buffer = self._buffer(kind) if 0 <= kind < abi.BUFFERS else None
        if buffer is None:
            return abi.NOT_FOUND if 0 <= kind < abi.BUFFERS else abi.BAD_ARGUMENT
        self.machine.write_number(ignored, 0)
        return self.machine.write_number(length, len(buffer))

    def proxy_set_buffer_bytes(
        self, kind: int, start: int, size: int, data: int, length: int
    ) -> int:
        buffer = self.context.body(kind) if self.context is not None else None
        if buffer is None:
            return abi.NOT_FOUND
        start = min(start, len(buffer))
        value = self.machine.read(data, length)
        assert self.context is not None
        self.context.set_body(kind, buffer[:start] + value + buffer[start + size :])
        return abi.OK

    # Headers

    def proxy_get_header_map_size(self, kind: int, result: int) -> int:
        pairs = self._pairs(kind)
        if pairs is None:
            return abi.BAD_ARGUMENT
        return self.machine.write_number(result, len(abi.pack_pairs(pairs)))

    def proxy_get_header_map_pairs(self, kind: int, data: int, length: int) -> int:
        pairs = self._pairs(kind)
        if pairs is None:
            return abi.BAD_ARGUMENT
        return self.machine.give(abi.pack_pairs(pairs), data, length)

    def proxy_set_header_map_pairs(self, kind: int, data: int, length: int) -> int:
        wanted = abi.unpack_pairs(self.machine.read(data, length))
        pairs = self._pairs(kind)
        if pairs is None or self.context is None:
            return abi.BAD_ARGUMENT
        return self.context.set_pairs(kind, pairs, wanted)

    def proxy_get_header_map_value(
        self, kind: int, key: int, key_size: int, data: int, length: int
    ) -> int:
        name = self.machine.read(key, key_size).lower()
        pairs = self._pairs(kind)
        if pairs is None:
            return abi.BAD_ARGUMENT
        found = [value for known, value in pairs if known == name]
        return self.machine.give(b",".join(found), data, length) if found else abi.NOT_FOUND

    def proxy_add_header_map_value(
        self, kind: int, key: int, key_size: int, value: int, value_size: int
    ) -> int:
        return self._change(kind, "add", key, key_size, value, value_size)

    def proxy_replace_header_map_value(
        self, kind: int, key: int, key_size: int, value: int, value_size: int
    ) -> int:
        return self._change(kind, "set", key, key_size, value, value_size)

    def proxy_remove_header_map_value(self, kind: int, key: int, key_size: int) -> int:
        return self._change(kind, "remove", key, key_size, 0, 0)

    def _pairs(self, kind: int) -> abi.Pairs | None:
        return self.context.pairs(kind) if self.context is not None else None

    def _change(self, kind: int, how: str, key: int, key_size: int, value: int, size: int) -> int:
        name, text = self.machine.read(key, key_size), self.machine.read(value, size)
        if self.context is None or self._pairs(kind) is None:
            return abi.BAD_ARGUMENT
        return self.context.change(kind, how, name, text)

    # The exchange

    def proxy_send_local_response(
        self,
        status: int,
        details: int,
        details_size: int,
        body: int,
        body_size: int,
        headers: int,
        headers_size: int,
        grpc_status: int,
    ) -> int:
        pairs = abi.unpack_pairs(self.machine.read(headers, headers_size))
        content = self.machine.read(body, body_size)
        if self.context is None:
            return abi.BAD_ARGUMENT
        plain = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
        if content and not any(name.lower() == "content-type" for name in plain):
            plain["content-type"] = "text/plain"
        reply: Reply = respond(status, content, plain)
        kind = self.context.request.headers.get("content-type", "")
        if grpc_status <= 16 and kind.startswith("application/grpc"):
            reply.headers.append((b"grpc-status", b"%d" % grpc_status))
        self.context.reply = reply
        return abi.OK

    def proxy_continue_stream(self, kind: int) -> int:
        # Nothing here resumes an exchange later, so there is nothing to continue.
        return abi.OK if 0 <= kind <= 3 else abi.BAD_ARGUMENT

    def proxy_close_stream(self, kind: int) -> int:
        if self.context is None or kind not in (0, 1):
            return abi.BAD_ARGUMENT
        self.context.reply = respond(502, "the filter closed the stream\n")
        return abi.OK

    def proxy_get_status(self, code: int, data: int, length: int) -> int:
        self.machine.write_number(code, 0)
        return self.machine.give(b"", data, length)

    def proxy_done(self) -> int:
        return abi.OK

    def proxy_set_effective_context(self, context: int) -> int:
        known = self.machine.contexts.get(context)
        if known is None and context != self.machine.ROOT:
            return abi.BAD_ARGUMENT
        self.context = known
        return abi.OK

    def proxy_get_property(self, path: int, path_size: int, data: int, length: int) -> int:
        name = self.machine.read(path, path_size).strip(b"\0").replace(b"\0", b".")
        value = self.machine.property(name, self.context)
        return abi.NOT_FOUND if value is None else self.machine.give(value, data, length)

    def proxy_set_property(self, path: int, path_size: int, value: int, size: int) -> int:
        name = self.machine.read(path, path_size).strip(b"\0").replace(b"\0", b".")
        if self.context is None:
            return abi.NOT_FOUND
        self.context.properties[name] = self.machine.read(value, size)
        return abi.OK

    # Shared data, queues, metrics: of this module alone

    def proxy_set_shared_data(
        self, key: int, key_size: int, value: int, size: int, cas: int
    ) -> int:
        name, data = self.machine.read(key, key_size), self.machine.read(value, size)
        known = self._shared.get(name)
        if cas and (known is None or known[1] != cas):
            return abi.CAS_MISMATCH
        if sum(len(text) for text, _ in self._shared.values()) + size > SHARED_AT_MOST:
            return abi.BAD_ARGUMENT
        self._shared[name] = (data, (known[1] if known else 0) + 1)
        return abi.OK

    def proxy_get_shared_data(
        self, key: int, key_size: int, data: int, length: int, cas: int
    ) -> int:
        known = self._shared.get(self.machine.read(key, key_size))
        if known is None:
            return abi.NOT_FOUND
        self.machine.write_number(cas, known[1])
        return self.machine.give(known[0], data, length)

    def proxy_register_shared_queue(self, name: int, name_size: int, result: int) -> int:
        known = self._queue_names.setdefault(
            self.machine.read(name, name_size), len(self._queue_names) + 1
        )
        self._queues.setdefault(known, deque(maxlen=QUEUE_AT_MOST))
        return self.machine.write_number(result, known)

    def proxy_resolve_shared_queue(
        self, machine: int, machine_size: int, name: int, name_size: int, result: int
    ) -> int:
        known = self._queue_names.get(self.machine.read(name, name_size))
        return abi.NOT_FOUND if known is None else self.machine.write_number(result, known)

    def proxy_enqueue_shared_queue(self, queue: int, value: int, size: int) -> int:
        known = self._queues.get(queue)
        if known is None:
            return abi.NOT_FOUND
        known.append(self.machine.read(value, size))
        return abi.OK

    def proxy_dequeue_shared_queue(self, queue: int, data: int, length: int) -> int:
        known = self._queues.get(queue)
        if known is None:
            return abi.NOT_FOUND
        return self.machine.give(known.popleft(), data, length) if known else abi.EMPTY

    def proxy_define_metric(self, kind: int, name: int, name_size: int, result: int) -> int:
        if kind not in (abi.COUNTER, abi.GAUGE, abi.HISTOGRAM):
            return abi.BAD_ARGUMENT
        text = self.machine.read(name, name_size).decode(errors="replace")
        number = next((at for at, known in self._metrics.items() if known[1] == text), 0)
        number = number or len(self._metrics) + 1
        self._metrics.setdefault(number, (kind, text, 0))
        return self.machine.write_number(result, number)

    def proxy_record_metric(self, number: int, value: int) -> int:
        return self._metric(number, value, add=False)

    def proxy_increment_metric(self, number: int, delta: int) -> int:
        return self._metric(number, delta, add=True)

    def proxy_get_metric(self, number: int, result: int) -> int:
        known = self._metrics.get(number)
        if known is None:
            return abi.NOT_FOUND
        return self.machine.write(result, struct.pack("<Q", known[2] & (2**64 - 1)))

    def _metric(self, number: int, value: int, *, add: bool) -> int:
        known = self._metrics.get(number)
        if known is None:
            return abi.NOT_FOUND
        if add and (known[0] == abi.HISTOGRAM or (known[0] == abi.COUNTER and value < 0)):
            return abi.BAD_ARGUMENT
        self._metrics[number] = (known[0], known[1], known[2] + value if add else value)
        return abi.OK

    def metrics(self) -> dict[str, int]:
        """The values of the module's own metrics by name."""
        return {name: value for _, name, value in self._metrics.values()}
