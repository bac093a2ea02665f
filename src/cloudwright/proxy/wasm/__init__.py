"""Compiled filters: WebAssembly modules by the proxy-wasm ABI 0.2.1 (and 0.2.0), run by wasmtime.

- ``abi``        numbers, signatures and serialised maps of the specification
- ``functions``  what a module may call: headers, buffers, properties, shared data, metrics …
- ``context``    one exchange as a module sees it
- ``machine``    an instance: memory, exports, limits
- ``plugin``     a module as a ``Filter``

A module has no files, no network and no variables; its memory and its instructions are limited.
Calls to other services (``proxy_http_call``, gRPC) answer UNIMPLEMENTED.
"""
