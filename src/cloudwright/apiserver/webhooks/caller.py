"""One JSON POST to a webhook over HTTPS, on a kept connection where there is one."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

import anyio
import h11
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from cloudwright._base.errors import CloudwrightError
from cloudwright.apiserver.webhooks import target as targets
from cloudwright.apiserver.webhooks.backends import Backends
from cloudwright.apiserver.webhooks.errors import WebhookError, WebhookTimeoutError
from cloudwright.apiserver.webhooks.target import Target

_ANSWER_MAX = 16 * 1024 * 1024
_IDLE_MAX = 8
_CONTEXTS_MAX = 256


class _Connection:
    """A TLS connection and where HTTP stands on it."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.state = h11.Connection(h11.CLIENT)
        self.used = False

    async def post(self, target: Target, body: bytes) -> tuple[int, bytes]:
        """The status and body of the answer."""
        host = target.host if target.port == 443 else f"{target.host}:{target.port}"
        headers = [
            ("host", host),
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("user-agent", "cloudwright-apiserver"),
            ("content-length", str(len(body))),
        ]
        request = h11.Request(method="POST", target=target.path, headers=headers)
        sent = [self.state.send(request), self.state.send(h11.Data(data=body))]
        sent.append(self.state.send(h11.EndOfMessage()))
        await self.stream.send(b"".join(part for part in sent if part))
        status, parts, size = 0, list[bytes](), 0
        while True:
            event = self.state.next_event()
            if event is h11.NEED_DATA:
                try:
                    data = await self.stream.receive()
                except anyio.EndOfStream:
                    data = b""
                self.state.receive_data(data)
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                size += len(event.data)
                if size > _ANSWER_MAX:
                    raise WebhookError(f"the answer is larger than {_ANSWER_MAX} bytes")
                parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return status, b"".join(parts)
            elif isinstance(event, h11.ConnectionClosed):
                raise WebhookError("the connection was closed before an answer")

    @property
    def reusable(self) -> bool:
        """Whether another request may follow."""
        return self.state.our_state is h11.DONE and self.state.their_state is h11.DONE


class WebhookCaller:
    """Calls webhooks; keeps a few idle connections to each."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._idle: dict[Target, list[_Connection]] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def post(
        self, config: Mapping[str, Any], body: bytes, *, timeout: float, query: str = ""
    ) -> bytes:
        """The body of a 2xx answer.

        Args:
            config: the ``clientConfig``.
            body: JSON.
            timeout: seconds for everything.
            query: added to the URL (``timeout=10s``).

        Raises:
            WebhookTimeoutError: not in time.
            WebhookError: not reachable, not trusted, or another answer than 2xx.
        """
        target = targets.parse(config)
        if query:
            mark = "&" if "?" in target.path else "?"
            target = Target(
                target.host, target.port, target.path + mark + query, target.ca, target.service
            )
        try:
            with anyio.fail_after(timeout):
                status, answer = await self._exchange(target, body)
        except TimeoutError as error:
            raise WebhookTimeoutError(
                f'Post "{target.url}": context deadline exceeded (no answer in {timeout:g} s)'
            ) from error
        except (WebhookError, OSError, ssl.SSLError, h11.ProtocolError) as error:
            raise WebhookError(f'Post "{target.url}": {_why(error)}') from error
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise WebhookError(f'Post "{target.url}": the connection broke') from error
        except CloudwrightError as error:
            raise WebhookError(f'Post "{target.url}": {error.message}') from error
        if not 200 <= status < 300:
            text = answer[:200].decode(errors="replace").strip()
            raise WebhookError(f'Post "{target.url}": the answer is HTTP {status}: {text}')
        return answer

    async def aclose(self) -> None:
        """Close what is idle."""
        for connections in self._idle.values():
            for connection in connections:
                await anyio.aclose_forcefully(connection.stream)
        self._idle.clear()

    async def _exchange(self, target: Target, body: bytes) -> tuple[int, bytes]:
        idle = self._idle.get(target)
        if idle:
            connection = idle.pop()
            try:
                return await self._once(target, connection, body)
            except (WebhookError, OSError, h11.ProtocolError, anyio.BrokenResourceError):
                pass  # an idle connection may have been closed meanwhile: once more on a new one
        return await self._once(target, await self._connect(target), body)

    async def _once(
        self, target: Target, connection: _Connection, body: bytes
    ) -> tuple[int, bytes]:
        done = False
        try:
            found = await connection.post(target, body)
            done = connection.reusable
        finally:
            if not done:
                with anyio.CancelScope(shield=True):
                    await anyio.aclose_forcefully(connection.stream)
        if done:
            connection.state.start_next_cycle()
            idle = self._idle.setdefault(target, [])
            if len(idle) < _IDLE_MAX:
                idle.append(connection)
            else:
                await anyio.aclose_forcefully(connection.stream)
        return found

    async def _connect(self, target: Target) -> _Connection:
        raw: ByteStream
        if target.service is not None:
            raw = await self._backends.connect(*target.service, target.port)
        else:
            raw = await anyio.connect_tcp(target.host, target.port)
        context = self._context(target.ca)
        try:
            secure = await TLSStream.wrap(
                raw, hostname=target.host, ssl_context=context, standard_compatible=False
            )
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(raw)
            raise
        return _Connection(secure)

    def _context(self, ca: str) -> ssl.SSLContext:
        context = self._contexts.get(ca)
        if context is None:
            if len(self._contexts) >= _CONTEXTS_MAX:
                self._contexts.clear()
            try:
                context = ssl.create_default_context(cadata=ca or None)
            except ssl.SSLError as error:
                raise WebhookError(f"the webhook's caBundle is not usable: {error}") from error
            self._contexts[ca] = context
        return context


def _why(error: BaseException) -> str:
    if isinstance(error, WebhookError):
        return error.message
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: {error.verify_message}"
    return str(error) or type(error).__name__
