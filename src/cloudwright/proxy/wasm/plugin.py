"""A proxy-wasm module as a ``Filter``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloudwright.proxy.sdk.filter import Filter
from cloudwright.proxy.sdk.messages import Reply, Request, Response
from cloudwright.proxy.wasm import abi
from cloudwright.proxy.wasm.context import Context
from cloudwright.proxy.wasm.machine import Machine, PluginError

__all__ = ["PluginError", "WasmFilter", "filter_of"]
_CALLBACKS = {
    "proxy_on_request_headers": "on_request",
    "proxy_on_response_headers": "on_response",
    "proxy_on_request_body": "on_request_body",
    "proxy_on_response_body": "on_response_body",
}
_VERSIONS = ("proxy_abi_version_0_2_1", "proxy_abi_version_0_2_0")


class WasmFilter(Filter):
    """A module; the hooks of its class are those callbacks that it exports."""

    def __init__(self, module: Any, engine: Any) -> None:
        self.settings = {}
        self._module = module
        self._engine = engine
        self._machine: Machine | None = None

    def start(self) -> None:
        """Start the machine."""
        self._ready()

    def stop(self) -> None:
        """Nothing to do: a machine is only memory."""
        self._machine = None

    @property
    def tick_s(self) -> float:  # type: ignore[override]
        """What the module has asked for."""
        return self._machine.functions.tick_ms / 1000 if self._machine is not None else 0.0

    def on_tick(self) -> None:
        """Call the module's ``proxy_on_tick``."""
        machine = self._ready()
        try:
            machine.call("proxy_on_tick", Machine.ROOT, limit_ms=self.timeout_ms)
        except BaseException:
            self._machine = None
            raise

    def _ready(self) -> Machine:
        """The machine; a new one after a trap, whose memory cannot be trusted."""
        if self._machine is None:
            settings = self.settings.get("configuration", self.settings)
            text = settings if isinstance(settings, str) else json.dumps(settings)
            machine = Machine(self._module, self._engine, self.name)
            machine.start(text.encode() if settings else b"")
            self._machine = machine
        return self._machine

    def _run(
        self, request: Request, function: str, prepare: Callable[[Context], tuple[int, int]]
    ) -> tuple[Context, int]:
        machine = self._ready()
        try:
            context = self._context(request, machine)
            machine.functions.context = context
            words = prepare(context)
            action = machine.call(function, context.number, *words, limit_ms=self.timeout_ms) or 0
        except BaseException:
            self._machine = None
            raise
        finally:
            machine.functions.context = None
        return context, action

    def _context(self, request: Request, machine: Machine) -> Context:
        key = f"wasm:{self.name}"
        known = request.state.get(key)
        if isinstance(known, Context) and machine.contexts.get(known.number) is known:
            return known
        context = machine.open(request, self.timeout_ms)
        request.state[key] = context
        request.at_end(lambda: self._close(machine, context))
        return context

    def _close(self, machine: Machine, context: Context) -> None:
        if machine is self._machine:
            machine.close(context, self.timeout_ms)

    def _headers(self, request: Request, response: Response | None, function: str) -> Reply | None:
        def prepare(context: Context) -> tuple[int, int]:
            context.response = response
            kind = abi.REQUEST_HEADERS if response is None else abi.RESPONSE_HEADERS
            return len(context.pairs(kind) or ()), 0

        context, action = self._run(request, function, prepare)
        reply, context.reply = context.reply, None
        if reply is None and action == abi.PAUSE and not self._buffers(response is None):
            raise RuntimeError("it paused the exchange, and nothing here resumes it")
        return reply

    def _buffers(self, requesting: bool) -> bool:
        """Whether a body callback follows, for which headers may be paused."""
        name = "on_request_body" if requesting else "on_response_body"
        return getattr(type(self), name) is not getattr(Filter, name)

    def _body(self, request: Request, kind: int, chunk: bytes, last: bool, function: str) -> bytes:
        def prepare(context: Context) -> tuple[int, int]:
            context.bodies[kind] = context.bodies.get(kind, b"") + chunk
            return len(context.bodies[kind]), int(last)

        context, action = self._run(request, function, prepare)
        if context.reply is not None:
            raise RuntimeError("it answered after the body had begun")
        if action == abi.PAUSE:
            if last:
                raise RuntimeError("it paused the body's end, and nothing here resumes it")
            return b""
        return context.bodies.pop(kind, b"")


def filter_of(path: Path) -> WasmFilter:
    """The filter of a file.

    Raises:
        PluginError: it is no proxy-wasm module, or wasmtime is not installed.
    """
    try:
        import wasmtime
    except ImportError:
        hint = "pip install 'cloudwright[wasm]'"
        raise PluginError(f"compiled filters need wasmtime: {hint}") from None
    config = wasmtime.Config()
    config.consume_fuel = True
    engine = wasmtime.Engine(config)
    try:
        module = wasmtime.Module.from_file(engine, str(path))
    except (wasmtime.WasmtimeError, OSError) as error:
        raise PluginError(f"is no WebAssembly module: {str(error).splitlines()[0]}") from error
    exports = {export.name for export in module.exports}
    if not exports & set(_VERSIONS):
        raise PluginError(f"is no proxy-wasm filter: it exports none of {', '.join(_VERSIONS)}")
    if "memory" not in exports or not exports & {"proxy_on_memory_allocate", "malloc"}:
        raise PluginError("exports no memory, or nothing that allocates it")
    methods = {
        method: _hook(callback) for callback, method in _CALLBACKS.items() if callback in exports
    }
    name = path.stem.lower().replace("_", "-")
    made: type[WasmFilter] = type("Compiled", (WasmFilter,), {**methods, "name": name})
    return made(module, engine)


def _hook(callback: str) -> Callable[..., Any]:
    if callback == "proxy_on_request_headers":
        return lambda self, request: self._headers(request, None, callback)
    if callback == "proxy_on_response_headers":
        return lambda self, request, response: self._headers(request, response, callback)
    kind = abi.REQUEST_BODY if callback == "proxy_on_request_body" else abi.RESPONSE_BODY
    return lambda self, request, chunk, last: self._body(request, kind, chunk, last, callback)
