"""One instance of a module: its memory, its exports, its contexts, its limits."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cloudwright.proxy.sdk.messages import Request
from cloudwright.proxy.wasm import abi
from cloudwright.proxy.wasm.context import Context
from cloudwright.proxy.wasm.functions import Functions

if TYPE_CHECKING:
    import wasmtime

MEMORY_AT_MOST = 64 << 20
FUEL_PER_MS = 2_000_000
"""Instructions, roughly, that a machine of today runs in a millisecond."""
START_MS = 10_000
"""How long the start of a module may take."""


class PluginError(Exception):
    """A module that is no filter, or that failed to start."""


class InvalidMemory(Exception):
    """The module named memory that it does not have."""


class Machine:
    """One instance of a module."""

    ROOT = 1

    def __init__(self, module: wasmtime.Module, engine: wasmtime.Engine, name: str) -> None:
        import wasmtime

        self.contexts: dict[int, Context] = {}
        self.functions = Functions(self, name)
        self._name = name
        self._next = self.ROOT
        self._store = wasmtime.Store(engine)
        self._store.set_limits(memory_size=MEMORY_AT_MOST)
        self._store.set_wasi(wasmtime.WasiConfig())
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        # AssemblyScript's runtime aborts by the name that WASI had first.
        exit_kind = wasmtime.FuncType([wasmtime.ValType.i32()], [])
        linker.define_func("wasi_unstable", "proc_exit", exit_kind, _exit)
        for table, missing in ((abi.SIGNATURES, False), (abi.NOT_HERE, True)):
            for function, letters in table.items():
                call = _unimplemented if missing else self._guard(function, letters)
                kinds = [
                    wasmtime.ValType.i64() if letter == "l" else wasmtime.ValType.i32()
                    for letter in letters
                ]
                kind = wasmtime.FuncType(kinds, [wasmtime.ValType.i32()])
                linker.define_func("env", function, kind, call)
        self._store.set_fuel(FUEL_PER_MS * START_MS)
        self._exports = linker.instantiate(self._store, module).exports(self._store)
        self._memory: Any = self._exports["memory"]
        self._allocate: Any = (
            self._exports.get("proxy_on_memory_allocate") or self._exports["malloc"]
        )

    def start(self, configuration: bytes) -> None:
        """Run the module's start, then its root context.

        Raises:
            PluginError: it refused its configuration.
        """
        self.functions.configuration = configuration
        if "_initialize" in self._exports:
            self.call("_initialize", limit_ms=START_MS)
            self.call("main", 0, 0, limit_ms=START_MS)
        else:
            self.call("_start", limit_ms=START_MS)
        self.call("proxy_on_context_create", self.ROOT, 0, limit_ms=START_MS)
        size = len(configuration)
        for callback, length in (("proxy_on_vm_start", 0), ("proxy_on_configure", size)):
            if self.call(callback, self.ROOT, length, limit_ms=START_MS) == 0:
                raise PluginError(f"{callback} returned false: the module refused its settings")

    def call(self, function: str, *words: int, limit_ms: int) -> int | None:
        """Call an export that the module may have; None when it has not, or returns nothing.

        Raises:
            TimeoutError: it used up its instructions.
            wasmtime.Trap: it failed.
        """
        import wasmtime

        export = self._exports.get(function)
        if export is None:
            return None
        self._store.set_fuel(FUEL_PER_MS * limit_ms)
        assert isinstance(export, wasmtime.Func), f"{function} is no function"
        try:
            result = export(self._store, *words)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            if getattr(error, "trap_code", None) == wasmtime.TrapCode.OUT_OF_FUEL:
                raise TimeoutError(f"{function} used up its instructions") from error
            raise
        return None if result is None else int(result)

    def has(self, function: str) -> bool:
        """Whether the module exports it."""
        return function in self._exports

    def open(self, request: Request, limit_ms: int) -> Context:
        """A context for an exchange."""
        self._next += 1
        context = Context(self._next, request)
        self.contexts[context.number] = context
        self.call("proxy_on_context_create", context.number, self.ROOT, limit_ms=limit_ms)
        return context

    def close(self, context: Context, limit_ms: int) -> None:
        """The exchange is over."""
        self.functions.context = context
        try:
            for function in ("proxy_on_done", "proxy_on_log", "proxy_on_delete"):
                self.call(function, context.number, limit_ms=limit_ms)
        finally:
            self.functions.context = None
            self.contexts.pop(context.number, None)

    def read(self, start: int, size: int) -> bytes:
        """Bytes of the module's memory.

        Raises:
            InvalidMemory: they are not there.
        """
        if start + size > self._memory.data_len(self._store):
            raise InvalidMemory
        return bytes(self._memory.read(self._store, start, start + size))

    def write(self, start: int, data: bytes) -> int:
        """Write to the module's memory; returns a status.

        Raises:
            InvalidMemory: there is none.
        """
        if start + len(data) > self._memory.data_len(self._store):
            raise InvalidMemory
        self._memory.write(self._store, data, start)
        return abi.OK

    def write_number(self, start: int, value: int) -> int:
        """Write 32 bits; as ``write``."""
        return self.write(start, struct.pack("<I", value))

    def give(self, value: bytes, data: int, length: int) -> int:
        """Allocate memory in the module, and tell it where; returns a status."""
        place = (int(self._allocate(self._store, len(value))) & 0xFFFFFFFF) if value else 0
        if value and not place:
            raise InvalidMemory
        if value:
            self.write(place, value)
        self.write_number(data, place)
        return self.write_number(length, len(value))

    def property(self, name: bytes, context: Context | None) -> bytes | None:
        """The value of a property, None when there is none of this name."""
        if name in (b"plugin_name", b"plugin_root_id"):
            return self._name.encode()
        if context is None:
            return None
        if name in context.properties:
            return context.properties[name]
        request, response = context.request, context.response
        if name.startswith(b"request.headers."):
            value = request.headers.get(name.removeprefix(b"request.headers.").decode())
            return None if value is None else value.encode(errors="surrogateescape")
        if name == b"response.code":
            return None if response is None else struct.pack("<Q", response.status)
        texts: dict[bytes, str] = {
            b"request.path": request.target,
            b"request.url_path": request.path,
            b"request.host": request.authority,
            b"request.method": request.method,
            b"request.scheme": request.scheme,
            b"request.id": request.headers.get("x-request-id", ""),
            b"source.address": request.client,
            b"connection.uri_san_peer_certificate": request.identity,
            b"xds.route_name": request.route,
        }
        found = texts.get(name)
        return None if found is None else found.encode(errors="surrogateescape")

    def _guard(self, function: str, letters: str) -> Callable[..., int]:
        method = getattr(self.functions, function)
        # 32-bit numbers arrive signed; those of 64 bits are meant to be.
        masks = [0xFFFFFFFF if letter == "i" else -1 for letter in letters]

        def call(*words: int) -> int:
            try:
                return int(method(*[word & mask for word, mask in zip(words, masks, strict=True)]))
            except InvalidMemory:
                return abi.INVALID_MEMORY
            except ValueError:
                return abi.BAD_ARGUMENT

        return call


def _exit(code: int) -> None:
    raise RuntimeError(f"the module ended itself with code {code}")


def _unimplemented(*_: int) -> int:
    return abi.UNIMPLEMENTED
