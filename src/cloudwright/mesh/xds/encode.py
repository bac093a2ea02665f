"""Messages in protobuf's JSON form → resources. Imports protobuf and the messages it meets."""

from __future__ import annotations

import difflib
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from google.protobuf import json_format, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message

from cloudwright._base.errors import UsageError
from cloudwright.mesh.xds.cache import Resource, resource
from cloudwright.mesh.xds.types import CLUSTER, ENDPOINT, LISTENER, PREFIX, SHORT

_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_SEARCHED: set[str] = set()


class EncodeError(UsageError):
    """A resource that is not what xDS says; ``field`` is the path of the field, when known."""

    default_code = "CW6010"

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


def message_class(name: str) -> type[Message]:
    """The class of a message by its full name; its module is imported when it is needed.

    Raises:
        EncodeError: there is no such message.
    """
    try:
        found: type[Message] = message_factory.GetMessageClass(
            Default().FindMessageTypeByName(name)
        )
        return found
    except KeyError:
        pass
    package = name.rpartition(".")[0]
    if package not in _SEARCHED and package.partition(".")[0] in ("envoy", "xds", "udpa", "google"):
        _SEARCHED.add(package)
        for module in _modules(package):
            import_module(module)
        return message_class(name)
    raise EncodeError(f"there is no message {name}", "@type")


def _modules(package: str) -> Iterator[str]:
    """The generated modules of a protobuf package."""
    try:
        found = import_module(package)
    except ImportError:
        return
    for module in pkgutil.iter_modules(found.__path__, f"{package}."):
        if module.name.endswith("_pb2"):
            yield module.name


def _import_nested(value: object, path: str) -> None:
    """Import the messages of every ``@type`` below."""
    if isinstance(value, Mapping):
        kind = value.get("@type")
        if isinstance(kind, str):
            try:
                message_class(kind.rpartition("/")[2])
            except EncodeError as error:
                raise EncodeError(error.reason, f"{path}.@type".lstrip(".")) from None
        for key, child in value.items():
            _import_nested(child, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, child in enumerate(value):
            _import_nested(child, f"{path}[{number}]")


def from_json(value: Mapping[str, Any], url: str = "") -> tuple[str, Resource]:
    """A resource and its type URL. ``url`` is needed when there is no ``@type`` in ``value``.

    Raises:
        EncodeError: it is not a resource of xDS, or not well-formed.
    """
    url = str(value.get("@type") or url)
    if url not in SHORT:
        served = ", ".join(kind.removeprefix(PREFIX) for kind in SHORT)
        raise EncodeError(f"{url or 'nothing'!r} is no resource type (known: {served})", "@type")
    body = {key: child for key, child in value.items() if key != "@type"}
    return url, of_message(url, parse(url.removeprefix(PREFIX), body))


def parse(kind: str, body: Mapping[str, Any]) -> Message:
    """The message ``kind`` (its full name) from its JSON form.

    Raises:
        EncodeError: it is not well-formed.
    """
    _import_nested(body, "")
    message = message_class(kind)()
    try:
        json_format.ParseDict(body, message)
    except json_format.ParseError as error:
        told = _told(str(error), kind.rpartition(".")[2])
        deeper = _locate(body, message.DESCRIPTOR)
        if len(deeper) > len(told.field):
            told = EncodeError(told.reason, deeper)
        raise told from None
    return message


def _told(text: str, kind: str) -> EncodeError:
    """An error from protobuf's own words, which nest: "Failed to parse F field: … at Kind.F.g"."""
    text, _, offered = text.rstrip(".").partition("\n Available Fields(except extensions): ")
    reason, _, path = text.rpartition(" at ")
    if not reason:
        reason, path = text, ""
    while reason.startswith("Failed to parse "):
        field, mark, inner = reason.removeprefix("Failed to parse ").partition(" field: ")
        if not mark:
            break
        reason, path = inner.rstrip("."), path or field
    field = path.strip('".').removeprefix(kind).lstrip(".")
    if unknown := re.search(r'Message type "([^"]+)" has no field named "([^"]+)"', reason):
        message, name = unknown.groups()
        names = [_snake(one) for one in re.findall(r"\w+", offered)]
        close = difflib.get_close_matches(name, names, 1)
        reason = f"{message.rpartition('.')[2]} has no such field"
        reason += f" (did you mean {close[0]}?)" if close else ""
        field = f"{field}.{name}".lstrip(".")
    return EncodeError(reason, field)


def _locate(value: object, kind: Any) -> str:
    """The path of the field that cannot be parsed, as deep as messages go; empty: not found."""
    if not isinstance(value, Mapping) or kind.full_name.startswith("google."):
        return ""
    fields = {name: f for f in kind.fields for name in (f.name, f.json_name)}
    for key, child in value.items():
        field = fields.get(key)
        if field is None or _parses({key: child}, kind):
            continue
        below = field.message_type
        if below is None or below.GetOptions().map_entry:
            return str(key)
        if isinstance(child, list):
            for number, one in enumerate(child):
                if not _parses({key: [one]}, kind):
                    return f"{key}[{number}].{_locate(one, below)}".rstrip(".")
        return f"{key}.{_locate(child, below)}".rstrip(".")
    return ""


def _parses(value: Mapping[str, Any], kind: Any) -> bool:
    try:
        json_format.ParseDict(value, message_factory.GetMessageClass(kind)())
    except json_format.ParseError:
        return False
    return True


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda m: f"_{m[1].lower()}", name)


def of_message(url: str, message: Any) -> Resource:
    """A resource from its message.

    Raises:
        EncodeError: it has no name.
    """
    field = "cluster_name" if url == ENDPOINT else "name"
    name = str(getattr(message, field))
    if not name:
        raise EncodeError("required: resources are told apart by it", field)
    data = AnyMessage(type_url=url, value=message.SerializeToString(deterministic=True))
    return resource(name, data.SerializeToString(), _refs(url, message))


def _refs(url: str, message: Any) -> Iterable[str]:
    if url == CLUSTER:
        eds = message.type == message.EDS and message.eds_cluster_config
        if eds and eds.eds_config.HasField("ads"):
            yield eds.service_name or message.name
    elif url == LISTENER:
        yield from sorted(set(_route_names(message)))


def _route_names(listener: Any) -> Iterator[str]:
    chains = [*listener.filter_chains, listener.default_filter_chain]
    configs = [one.typed_config for chain in chains for one in chain.filters]
    configs.append(listener.api_listener.api_listener)
    for config in configs:
        if config.type_url == PREFIX + _HCM:
            manager: Any = message_class(_HCM)()
            manager.ParseFromString(config.value)
            if manager.HasField("rds") and manager.rds.config_source.HasField("ads"):
                yield manager.rds.route_config_name


def assignment(name: str, endpoints: Iterable[tuple[str, int, str]]) -> Resource:
    """A ``ClusterLoadAssignment``; ``endpoints`` are address, port and SPIFFE identity.

    The identity is metadata for ``envoy.transport_socket_match`` and for whoever reads it.
    """
    from envoy.config.endpoint.v3 import endpoint_pb2

    message = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    listed = list(endpoints)
    if listed:
        group = message.endpoints.add()
        group.locality.sub_zone = "local"  # proxyless gRPC refuses a group without weight
        group.load_balancing_weight.value = len(listed)
        for address, port, identity in listed:
            one = group.lb_endpoints.add()
            socket = one.endpoint.address.socket_address
            socket.address, socket.port_value = address, port
            one.health_status = 1  # HEALTHY
            match = one.metadata.filter_metadata["envoy.transport_socket_match"]
            match["identity"] = identity
    return of_message(ENDPOINT, message)
