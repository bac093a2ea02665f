"""The platform's settings: flag > environment (``CLOUDWRIGHT_<KEY>``) > ``config.toml`` > default.

``up`` keeps what it was started with in ``STATE/config.toml``, so that later commands and the
next start agree.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import socket
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from cloudwright._base.environment import snapshot
from cloudwright._base.errors import UsageError
from cloudwright._base.files import write_atomic
from cloudwright.apiserver.security import Security
from cloudwright.apiserver.store.etcd import config as etcd

SECURITY = frozenset(field.name for field in dataclasses.fields(Security))
"""The settings that have the names of kube-apiserver's flags."""


@dataclass(frozen=True, slots=True)
class PlatformConfig(Security):
    """Everything that can be chosen at ``up``, the API server's own settings among it. Addresses
    are ``HOST:PORT``.
    """

    api: str = "127.0.0.1:6443"
    gateway: str = "127.0.0.1:8080"
    gateway_tls: str = "127.0.0.1:8443"
    metrics: str = "127.0.0.1:9090"
    pod_cidr: str = "10.244.0.0/24"
    service_cidr: str = "10.96.0.0/16"
    dns_address: str = "10.96.0.10"
    bridge: str = "cw0"
    store: str = "sqlite"
    """``sqlite``, or ``etcd://HOST:PORT,…/PREFIX?ca=FILE&cert=FILE&key=FILE``."""
    gateway_api: str = ""
    """``standard``: the definitions of the Gateway API's standard channel are there from the
    start (``cloudwright.model.gateway``). Empty: they are not."""
    xds: str = ""
    """Where the xDS server listens, by commas: ``unix`` (``RUN/xds.sock``, for root), ``mesh``
    (``RUN/xds-mesh.sock``) and ``IP:PORT``, both with mutual TLS by the mesh's certificates.
    Empty: it does not run."""
    node_name: str = ""
    trust_domain: str = "cluster.local"
    cert_lifetime_seconds: int = 24 * 3600
    restart_backoff_seconds: float = 10.0
    log_level: str = "info"

    @property
    def node(self) -> str:
        """The node's name: the setting, else the machine's host name in lower case."""
        return self.node_name or socket.gethostname().lower().split(".")[0] or "node"

    def save(self, file: Path) -> None:
        """Keep what differs from the defaults."""
        lines = [
            f"{field.name} = {json.dumps(value)}\n"
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != field.default
        ]
        write_atomic(file, "".join(lines).encode(), durable=True)


def address(text: str, key: str) -> tuple[str, int]:
    """``HOST:PORT`` as a pair. Raises UsageError naming ``key``."""
    host, _, port = text.rpartition(":")
    try:
        ipaddress.ip_address(host)
        number = int(port)
    except ValueError:
        number = -1
    if not 0 <= number <= 65535:
        raise UsageError(
            f"{key}: {text!r} is not an address", hint="write IP:PORT, for example 127.0.0.1:6443"
        )
    return host, number


def load(file: Path, flags: Mapping[str, str | None]) -> PlatformConfig:
    """The settings in force. Unknown keys in the file or environment values that do not fit are
    errors.

    Raises UsageError with the place and a suggestion.
    """
    fields = {field.name: field for field in dataclasses.fields(PlatformConfig)}
    values: dict[str, object] = {}
    if file.is_file():
        try:
            document = tomllib.loads(file.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{file} is not valid TOML", cause=str(error)) from error
        for key, value in document.items():
            if key not in fields:
                close = get_close_matches(key, fields, 1)
                hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(fields)}"
                raise UsageError(f"{file}: unknown key {key!r}", hint=hint)
            values[key] = value
    environment = snapshot()
    for key in fields:
        if text := environment.get(f"CLOUDWRIGHT_{key.upper()}"):
            values[key] = text
    values |= {key: text for key, text in flags.items() if text is not None}
    config = PlatformConfig(**{k: _typed(k, v, fields[k].default) for k, v in values.items()})
    return _checked(config)


def _typed(key: str, value: object, default: Any) -> Any:
    kind: type[Any] = type(default)
    if isinstance(value, kind) and not isinstance(value, bool):
        return value
    try:
        return kind(str(value))
    except ValueError:
        raise UsageError(f"{key}: {value!r} is not a {kind.__name__}") from None


def _checked(config: PlatformConfig) -> PlatformConfig:
    if config.store != "sqlite":
        etcd.parse(config.store)
    for key in ("api", "gateway", "gateway_tls", "metrics"):
        address(getattr(config, key), key)
    networks = []
    for key in ("pod_cidr", "service_cidr"):
        try:
            networks.append(ipaddress.ip_network(getattr(config, key)))
        except ValueError as error:
            raise UsageError(f"{key}: {error}", hint="for example 10.244.0.0/24") from error
    if networks[0].overlaps(networks[1]):
        raise UsageError(f"pod_cidr {networks[0]} overlaps service_cidr {networks[1]}")
    if ipaddress.ip_address(config.dns_address) not in networks[1]:
        raise UsageError(f"dns_address {config.dns_address} is not in service_cidr {networks[1]}")
    if config.gateway_api not in ("", "standard"):
        raise UsageError(f"gateway_api: {config.gateway_api!r}", hint="`standard`, or nothing")
    for place in filter(None, config.xds.split(",")):
        if place.strip() not in ("unix", "mesh"):
            address(place.strip(), "xds")
    if config.cert_lifetime_seconds < 5:
        raise UsageError("cert_lifetime_seconds: at least 5")
    return config
