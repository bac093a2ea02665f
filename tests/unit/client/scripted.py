"""A transport that answers from a script, so that every way a connection can end is one line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cloudwright._base.errors import CloudwrightError
from cloudwright.client.transport import Reply, Request

Body = dict[str, Any] | CloudwrightError
Chunk = bytes | CloudwrightError | Callable[[], Any]


def config_map(name: str, version: int, uid: str = "", **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": "default",
            "resourceVersion": str(version),
            "uid": uid or name,
        },
        "data": data,
    }


def listed(version: int, *items: dict[str, Any], token: str = "") -> dict[str, Any]:
    metadata = {"resourceVersion": str(version), **({"continue": token} if token else {})}
    bare = [{k: v for k, v in i.items() if k not in ("apiVersion", "kind")} for i in items]
    return {"kind": "ConfigMapList", "metadata": metadata, "items": bare}


def event(kind: str, obj: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


def bookmark(version: int) -> bytes:
    return event("BOOKMARK", {"kind": "ConfigMap", "metadata": {"resourceVersion": str(version)}})


def status(code: int, reason: str = "", **more: Any) -> dict[str, Any]:
    return {
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": f"{reason} {code}",
        **more,
    }


class Scripted:
    """Answers requests and streams in the order of the script; remembers what was asked."""

    def __init__(
        self,
        replies: Sequence[Body] = (),
        streams: Sequence[Sequence[Chunk]] = (),
        *,
        stream_status: int = 200,
    ) -> None:
        self.replies = list(replies)
        self.streams = list(streams)
        self.asked: list[Request] = []
        self.watched: list[Request] = []
        self.stream_status = stream_status
        self.closed = False

    async def request(self, request: Request, *, timeout: float | None = None) -> Reply:
        self.asked.append(request)
        body = self.replies.pop(0)
        if isinstance(body, CloudwrightError):
            raise body
        code = int(body["code"]) if body.get("kind") == "Status" else 200
        return Reply(code, {}, json.dumps(body).encode())

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        self.watched.append(request)
        chunks = self.streams.pop(0)

        async def read() -> AsyncIterator[bytes]:
            for chunk in chunks:
                if isinstance(chunk, CloudwrightError):
                    raise chunk
                if callable(chunk):
                    await chunk()
                else:
                    yield chunk

        yield self.stream_status, read()

    async def aclose(self) -> None:
        self.closed = True
