"""TLS connections to foreign API servers: by Service, with our client certificate."""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from cloudwright._base.errors import CloudwrightError
from cloudwright.apiserver import encoding
from cloudwright.apiserver.identity import User
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.webhooks.backends import Backends
from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from cloudwright.apiserver.store.interface import Store
    from cloudwright.apiserver.tls import Pair

_SERVICES = storage_of("", "services")
_SAFE = "!#$&'*+-.^_`|~"
"""Characters that may stand in the name of a header beside letters and digits."""


class ForeignError(CloudwrightError):
    """A foreign API server cannot be reached, or is not who it should be."""

    default_code = "CW3330"


@dataclass(frozen=True, slots=True)
class Target:
    """Where one foreign API server is, and how it is known."""

    namespace: str
    service: str
    port: int
    ca: str
    """PEM; empty: the system's trust roots."""
    insecure: bool

    @staticmethod
    def of(obj: Object) -> Target:
        """The target of an ``APIService`` that has a Service.

        Raises:
            ForeignError: its bundle is no PEM.
        """
        spec = obj["spec"]
        service = spec["service"]
        try:
            ca = base64.b64decode(spec.get("caBundle") or "", validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise ForeignError("the caBundle is not PEM in base64") from error
        return Target(
            str(service["namespace"]),
            str(service["name"]),
            int(service.get("port") or 443),
            ca,
            bool(spec.get("insecureSkipTLSVerify")),
        )

    @property
    def host(self) -> str:
        """The name that its certificate must have."""
        return f"{self.service}.{self.namespace}.svc"


class Dialer:
    """Opens connections. ``client`` is what we show to prove that our headers may be believed."""

    def __init__(self, store: Store, backends: Backends, client: Pair | None) -> None:
        self._store = store
        self._backends = backends
        self._client = client
        self._contexts: dict[Target, ssl.SSLContext] = {}

    async def connect(self, target: Target) -> ByteStream:
        """A TLS connection.

        Raises:
            ForeignError: there is none.
        """
        raw = await self._raw(target)
        try:
            return await TLSStream.wrap(
                raw,
                hostname=target.host,
                ssl_context=self._context(target),
                standard_compatible=False,
            )
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(raw)
            if isinstance(error, ssl.SSLCertVerificationError):
                message = f"tls: failed to verify certificate: {error.verify_message}"
                raise ForeignError(message) from error
            if isinstance(error, OSError | anyio.EndOfStream | anyio.BrokenResourceError):
                raise ForeignError(f"tls: {error or type(error).__name__}") from error
            raise

    async def _raw(self, target: Target) -> ByteStream:
        """To where an ``ExternalName`` points, else to one of the Service's endpoints."""
        record = await self._store.get(f"{_SERVICES}{target.namespace}/{target.service}")
        if record is None:
            raise ForeignError(f'service "{target.service}" not found')
        spec = encoding.decode(record.value).get("spec") or {}
        if spec.get("type") == "ExternalName":
            host = str(spec.get("externalName"))
            try:
                return await anyio.connect_tcp(host, target.port)
            except OSError as error:
                raise ForeignError(f"dial tcp {host}:{target.port}: {error}") from error
        try:
            return await self._backends.connect(target.namespace, target.service, target.port)
        except CloudwrightError as error:
            raise ForeignError(error.message) from error

    def _context(self, target: Target) -> ssl.SSLContext:
        found = self._contexts.get(target)
        if found is not None:
            return found
        try:
            context = ssl.create_default_context(cadata=target.ca or None)
        except ssl.SSLError as error:
            raise ForeignError(f"the caBundle is not usable: {error}") from error
        if target.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self._client is not None:
            context.load_cert_chain(self._client.certificate_file, self._client.key_file)
        if len(self._contexts) >= 64:
            self._contexts.clear()
        self._contexts[target] = context
        return context


def front_headers(user: User) -> Iterable[tuple[str, str]]:
    """The headers by which a front proxy says who asks."""
    yield "X-Remote-User", user.name
    if user.uid:
        yield "X-Remote-Uid", user.uid
    for group in user.groups:
        yield "X-Remote-Group", group
    for key, values in user.extra:
        for value in values:
            yield f"X-Remote-Extra-{quote(key.lower(), safe=_SAFE)}", value
