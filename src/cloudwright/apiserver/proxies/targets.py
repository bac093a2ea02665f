"""Which pod and port a proxied path means, as upstream's ``ResourceLocation`` s find it."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from cloudwright._base.errors import CloudwrightError
from cloudwright.apiserver import encoding
from cloudwright.apiserver.errors import ApiError, bad_request, not_found
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.webhooks.backends import PodStream
from cloudwright.model import names
from cloudwright.model.objects import Object
from cloudwright.model.streams import PodStreams

if TYPE_CHECKING:
    from cloudwright.apiserver.calls import Call
    from cloudwright.apiserver.core import ApiCore

CONNECT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What ``[https:]NAME[:PORT]`` says."""

    scheme: str
    name: str
    port: str


@dataclass(frozen=True, slots=True)
class Target:
    """A port of a pod."""

    namespace: str
    pod: str
    port: int
    tls: bool

    @property
    def host(self) -> str:
        """What the backend is told as ``Host``; it is never looked up."""
        return f"{self.pod}.{self.namespace}:{self.port}"


def asked(text: str, kind: str) -> Asked:
    """``text`` (``http:web:80``, ``web:http``, ``web``) taken apart.

    Raises:
        ApiError: 400, it is none of these.
    """
    parts = text.split(":")
    if len(parts) == 1:
        found = Asked("", text, "")
    elif len(parts) == 2:
        found = Asked("", *parts)
    elif len(parts) == 3 and parts[0] in ("http", "https"):
        found = Asked(*parts)
    else:
        raise bad_request(f'invalid {kind} request "{text}"')
    if names.dns_subdomain_problems(found.name):
        raise bad_request(f'invalid {kind} request "{text}"')
    return found


async def find(core: ApiCore, call: Call) -> Target:
    """The pod and port that a call of ``pods/proxy`` or ``services/proxy`` means.

    Raises:
        ApiError: 400, 404, or 503 where nothing stands behind a Service.
    """
    kind = "pod" if call.plural == "pods" else "service"
    wanted = asked(call.name, kind)
    tls = wanted.scheme == "https"
    if kind == "pod":
        pod = await _object(core, "pods", call.namespace, wanted.name)
        port = wanted.port or _first_port(pod) or (443 if tls else 80)
        return Target(call.namespace, wanted.name, _number(port, call.name), tls)
    service = await _object(core, "services", call.namespace, wanted.name)
    port_name = _port_name(service, wanted)
    endpoints = await _object(core, "endpoints", call.namespace, wanted.name)
    for subset in endpoints.get("subsets") or ():
        for entry in subset.get("ports") or ():
            if entry.get("name", "") != port_name:
                continue
            pods = [_pod_of(address) for address in subset.get("addresses") or ()]
            behind = [pod for pod in pods if pod]
            if behind:
                return Target(call.namespace, secrets.choice(behind), int(entry["port"]), tls)
    raise unavailable(f'no endpoints available for service "{call.name}"')


async def connect(streams: PodStreams, target: Target) -> ByteStream:
    """A stream to the target, encrypted if it was asked for (without knowing who answers: these
    certificates are the pods' own, as upstream).

    Raises:
        ApiError: 503, nobody listens.
    """
    try:
        with anyio.fail_after(CONNECT_SECONDS):
            raw = await streams.connect(target.namespace, target.pod, target.port)
            stream: ByteStream = PodStream(raw)
            return await _encrypted(stream, target) if target.tls else stream
    except TimeoutError as error:
        raise unreachable("it took too long to connect") from error
    except CloudwrightError as error:
        raise unreachable(error.message) from error
    except (OSError, ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
        raise unreachable(str(error) or "the connection broke") from error


async def _encrypted(stream: ByteStream, target: Target) -> ByteStream:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        return await TLSStream.wrap(
            stream, hostname=target.pod, ssl_context=context, standard_compatible=False
        )
    except BaseException:
        with anyio.CancelScope(shield=True):
            await stream.aclose()
        raise


def unavailable(message: str) -> ApiError:
    """503."""
    return ApiError(503, "ServiceUnavailable", message)


def unreachable(why: str) -> ApiError:
    """503: there is somebody, but he does not answer."""
    return unavailable(f"error trying to reach service: {why}")


async def _object(core: ApiCore, plural: str, namespace: str, name: str) -> Object:
    record = await core.store.get(f"{storage_of('', plural)}{namespace}/{name}")
    if record is None:
        raise not_found("", plural, name)
    return encoding.decode(record.value)


def _first_port(pod: Object) -> str:
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            return str(port["containerPort"])
    return ""


def _port_name(service: Object, wanted: Asked) -> str:
    """The name of the Service's port; a number is looked up, a name is taken as it is."""
    if not (wanted.port.isascii() and wanted.port.isdigit()):
        return wanted.port
    for port in service["spec"].get("ports") or ():
        if port.get("port") == int(wanted.port):
            return str(port.get("name") or "")
    raise unavailable(f'no service port {int(wanted.port)} found for service "{wanted.name}"')


def _pod_of(address: Mapping[str, Any]) -> str:
    """The pod behind an address of Endpoints; addresses that are no pod's are not gone to."""
    reference = address.get("targetRef") or {}
    return str(reference.get("name") or "") if reference.get("kind") == "Pod" else ""


def _number(port: object, name: str) -> int:
    text = str(port)
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise bad_request(f'invalid pod request "{name}"')
