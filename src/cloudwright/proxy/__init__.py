"""Filters of the data plane, written in Python (or compiled to WebAssembly).

A filter is a class in a file of a folder. The proxy asks a process of its own, the *host*, about
every request that a filter's ``match`` names; it asks about no other::

    from cloudwright.proxy import Filter, Match, Request

    class AddHeader(Filter):
        match = Match(path="/api/*")

        def on_request(self, request: Request) -> None:
            request.headers["x-added"] = "yes"

- ``sdk``      what a filter's author sees: ``Filter``, ``Match``, ``Budget``, messages
- ``host``     the process that runs filters: frames, chains, the folder and its live reload
- ``wasm``     compiled filters by the proxy-wasm ABI
- ``testing``  cases for ``cloudwright filter test``

The other end of the host's socket is the Rust crate ``cloudwright-filters``.
"""

from cloudwright.proxy.sdk.declaration import Budget, Match
from cloudwright.proxy.sdk.filter import Filter
from cloudwright.proxy.sdk.headers import Headers
from cloudwright.proxy.sdk.messages import Reply, Request, Response, respond

__all__ = ["Budget", "Filter", "Headers", "Match", "Reply", "Request", "Response", "respond"]
