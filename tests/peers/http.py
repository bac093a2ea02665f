"""Requests to a cluster as a foreign client would send them: plain HTTP/1.1 over TLS."""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.peers.cluster import ADMIN, MASTERS, Cluster

PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One response. ``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded; ``None`` when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Client:
    """One kept-alive connection, by client certificate (default: administrator) or by token."""

    def __init__(
        self,
        cluster: Cluster,
        user: str | None = ADMIN,
        groups: Sequence[str] = (MASTERS,),
        *,
        token: str | None = None,
    ) -> None:
        self.cluster = cluster
        self._context = cluster.context(None if token else user, groups)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._connection: http.client.HTTPSConnection | None = None

    def connect(self) -> http.client.HTTPSConnection:
        """A new connection."""
        return http.client.HTTPSConnection(
            self.cluster.host, self.cluster.port, timeout=PATIENCE, context=self._context
        )

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; a body that is not bytes or text is sent as JSON."""
        data, sent = self._encode(body, headers)
        for attempt in (1, 2):
            if self._connection is None:
                self._connection = self.connect()
            try:
                self._connection.request(method, path, body=data, headers=sent)
                response = self._connection.getresponse()
                content = response.read()
            except (http.client.RemoteDisconnected, ConnectionError, BrokenPipeError):
                self.close()
                if attempt == 2:
                    raise
                continue
            if response.will_close:
                self.close()
            return Answer(response.status, _headers(response), content)
        raise AssertionError("unreachable")

    def _encode(
        self, body: Any, headers: Mapping[str, str] | None
    ) -> tuple[bytes | None, dict[str, str]]:
        sent = {"Accept": "application/json", **self._headers, **(headers or {})}
        if body is None:
            return None, sent
        if isinstance(body, str):
            body = body.encode()
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if not any(name.lower() == "content-type" for name in sent):
            sent["Content-Type"] = "application/json"
        return body, sent

    def watch(self, path: str, headers: Mapping[str, str] | None = None) -> Watch:
        """Open a watch on a connection of its own."""
        return Watch(self, path, self._encode(None, headers)[1])

    def close(self) -> None:
        """Close the kept-alive connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _headers(response: http.client.HTTPResponse) -> dict[str, str]:
    """By lower-case name; what came several times is joined."""
    found: dict[str, str] = {}
    for name, value in response.getheaders():
        name = name.lower()
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


class Watch:
    """An open watch: a thread reads its events."""

    def __init__(self, client: Client, path: str, headers: Mapping[str, str]) -> None:
        self._connection = client.connect()
        self._connection.request("GET", path, headers=dict(headers))
        self._socket = self._connection.sock
        self._thread: threading.Thread | None = None
        self._response = self._connection.getresponse()
        self.status = self._response.status
        self._events: queue.Queue[Any] = queue.Queue()
        self.rest = b""
        if self.status != 200:
            self.rest = self._response.read()
            self._connection.close()
            self._events.put(None)
            return
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while line := self._response.readline():
                self._events.put(json.loads(line))
        except (OSError, ValueError, http.client.HTTPException, AttributeError):
            pass  # closed by us while it waited
        self._events.put(None)

    def next(self, seconds: float = PATIENCE) -> Any:
        """The next event; ``None`` when the watch has ended.

        Raises:
            queue.Empty: none came in time.
        """
        event = self._events.get(timeout=seconds)
        if event is None:
            self._events.put(None)
        return event

    def until(self, last: Any, seconds: float = PATIENCE) -> list[Any]:
        """The events up to the one for which ``last`` says yes, or to the end of the watch."""
        found = []
        while (event := self.next(seconds)) is not None:
            found.append(event)
            if last(event):
                break
        return found

    def rest_of_it(self, seconds: float = PATIENCE) -> Iterator[Any]:
        """Every event until the watch ends."""
        while (event := self.next(seconds)) is not None:
            yield event

    def close(self) -> None:
        """End the watch from this side."""
        sock = self._connection.sock or self._socket
        if sock is not None and self._thread is not None:
            # Wakes the reader; closing alone would wait for it.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            self._thread.join()
        self._response.close()
        self._connection.close()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
