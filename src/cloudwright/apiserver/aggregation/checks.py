"""Whether a foreign API server is there, and what it serves."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import anyio
import orjson

from cloudwright.apiserver import encoding
from cloudwright.apiserver.aggregation import proxying
from cloudwright.apiserver.aggregation.connecting import Dialer, ForeignError, Target
from cloudwright.apiserver.aggregation.findings import Findings
from cloudwright.apiserver.identity import ADMINISTRATORS, User
from cloudwright.apiserver.registry import storage_of
from cloudwright.client.transport import Reply, Request
from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from cloudwright.apiserver.store.interface import Store

CHECKER = User("system:kube-aggregator", (ADMINISTRATORS,))
_SECONDS = 5.0
_DOCUMENT_MAX = 16 << 20
_JSON = {"accept": "application/json"}


def _failed(reason: str, message: str) -> Findings:
    return Findings("False", reason, message)


async def check(store: Store, dialer: Dialer, obj: Object) -> Findings:
    """Look at the Service, its endpoints, and ask for the group and version."""
    spec = obj["spec"]
    namespace, name = spec["service"]["namespace"], spec["service"]["name"]
    where = f'{name} in "{namespace}"'
    record = await store.get(f"{storage_of('', 'services')}{namespace}/{name}")
    if record is None:
        return _failed("ServiceNotFound", f"service/{where} is not present")
    service = encoding.decode(record.value).get("spec") or {}
    port = int(spec["service"].get("port") or 443)
    if service.get("type", "ClusterIP") == "ClusterIP":
        names = [one.get("name", "") for one in service.get("ports", ()) if one["port"] == port]
        if not names:
            return _failed("ServicePortError", f"service/{where} is not listening on port {port}")
        endpoints = await store.get(f"{storage_of('', 'endpoints')}{namespace}/{name}")
        if endpoints is None:
            message = f"cannot find endpointslices for service/{where}"
            return _failed("EndpointsNotFound", message)
        if not _addresses(encoding.decode(endpoints.value), names[0]):
            message = (
                f'endpointslices for service/{where} have no addresses with port name "{names[0]}"'
            )
            return _failed("MissingEndpoints", message)
    return await _asked(dialer, obj)


def _addresses(endpoints: Object, port: str) -> bool:
    return any(
        subset.get("addresses") and any(one.get("name", "") == port for one in subset["ports"])
        for subset in endpoints.get("subsets") or ()
    )


async def _asked(dialer: Dialer, obj: Object) -> Findings:
    spec = obj["spec"]
    path = f"/apis/{spec['group']}/{spec['version']}"
    try:
        target = Target.of(obj)
        shown = f"https://{target.host}:{target.port}{path}"
        listed = await _json(dialer, target, path)
    except ForeignError as error:
        return _failed(
            "FailedDiscoveryCheck", f"failing or missing response from {path}: {error.message}"
        )
    if isinstance(listed, int):
        message = f"failing or missing response from {shown}: bad status from {shown}: {listed}"
        return _failed("FailedDiscoveryCheck", message)
    v3 = await _document(dialer, target, f"/openapi/v3{path}")
    v2 = await _document(dialer, target, "/openapi/v2")
    resources = tuple(one for one in listed.get("resources") or () if isinstance(one, dict))
    return Findings("True", "Passed", "all checks passed", resources, v2, v3)


async def _document(dialer: Dialer, target: Target, path: str) -> Object:
    """A document; empty when the server has none."""
    try:
        found = await _json(dialer, target, path)
    except ForeignError:
        return {}
    return {} if isinstance(found, int) else found


async def _json(dialer: Dialer, target: Target, path: str) -> Object | int:
    """The object at a path, or the status when it is none of 2xx."""
    request = Request("GET", path, headers=_JSON)
    try:
        with anyio.fail_after(_SECONDS):
            found = await proxying.send(dialer, target, request, CHECKER)
            body = found.body if isinstance(found, Reply) else await _gathered(found)
    except TimeoutError as error:
        raise ForeignError("context deadline exceeded") from error
    if not 200 <= found.status < 300:
        return found.status
    try:
        if found.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        value: Any = orjson.loads(body)
    except (OSError, EOFError, orjson.JSONDecodeError) as error:
        raise ForeignError(f"the answer is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ForeignError("the answer is no JSON object")
    return value


async def _gathered(found: Any) -> bytes:
    parts, size = [], 0
    try:
        async for chunk in found.body:
            size += len(chunk)
            if size > _DOCUMENT_MAX:
                raise ForeignError("the document is too large")
            parts.append(chunk)
    finally:
        await found.close()
    return b"".join(parts)
