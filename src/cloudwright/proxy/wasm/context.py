"""One exchange as a proxy-wasm module sees it."""

from __future__ import annotations

from cloudwright.proxy.sdk.messages import Reply, Request, Response
from cloudwright.proxy.wasm import abi


class Context:
    """One exchange as a module sees it."""

    def __init__(self, number: int, request: Request) -> None:
        self.number = number
        self.request = request
        self.response: Response | None = None
        self.bodies: dict[int, bytes] = {}
        self.properties: dict[bytes, bytes] = {}
        self.reply: Reply | None = None

    def body(self, kind: int) -> bytes | None:
        """The piece of a body that may be read now."""
        return self.bodies.get(kind)

    def set_body(self, kind: int, value: bytes) -> None:
        """What goes on in its place."""
        self.bodies[kind] = value

    def pairs(self, kind: int) -> abi.Pairs | None:
        """Headers with the pseudo-headers of HTTP/2 in front; trailers are not seen here."""
        request = self.request
        if kind == abi.REQUEST_HEADERS:
            first = {":authority": request.authority, ":path": request.target}
            first |= {":method": request.method, ":scheme": request.scheme}
            lines = request.headers.raw()
        elif kind == abi.RESPONSE_HEADERS and self.response is not None:
            first = {":status": str(self.response.status)}
            lines = self.response.headers.raw()
        else:
            return [] if kind in (abi.REQUEST_TRAILERS, abi.RESPONSE_TRAILERS) else None
        pseudo = [(name, text.encode(errors="surrogateescape")) for name, text in first.items()]
        return [(name.encode(), text) for name, text in pseudo] + lines

    def change(self, kind: int, how: str, name: bytes, value: bytes) -> int:
        """One header; the proxy's own are left as they are."""
        key = name.decode(errors="surrogateescape").lower()
        text = value.decode(errors="surrogateescape")
        message = self.request if kind == abi.REQUEST_HEADERS else self.response
        if message is None or kind not in (abi.REQUEST_HEADERS, abi.RESPONSE_HEADERS):
            return abi.BAD_ARGUMENT
        try:
            if key.startswith(":"):
                return self._change_first(key, text) if how != "remove" else abi.BAD_ARGUMENT
            if how == "remove":
                message.headers.pop(key, None)
            elif how == "add":
                message.headers.add(key, text)
            else:
                message.headers[key] = text
        except ValueError:
            return abi.BAD_ARGUMENT
        return abi.OK

    def set_pairs(self, kind: int, before: abi.Pairs, wanted: abi.Pairs) -> int:
        """All headers anew: only what differs is changed."""
        names = {name for name, _ in wanted}
        for name in {name for name, _ in before} - names:
            if not name.startswith(b":"):
                self.change(kind, "remove", name, b"")
        for name in names:
            old = [value for known, value in before if known == name]
            new = [value for known, value in wanted if known == name]
            if old != new:
                for position, value in enumerate(new):
                    self.change(kind, "add" if position else "set", name, value)
        return abi.OK

    def _change_first(self, key: str, text: str) -> int:
        if key == ":status" and self.response is not None and text.isdigit():
            self.response.status = int(text)
        elif key == ":path":
            self.request.target = text
        elif key == ":method":
            self.request.method = text
        elif key == ":authority":
            self.request.authority = text
        else:
            return abi.BAD_ARGUMENT
        return abi.OK
