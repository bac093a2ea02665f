"""Our gateway: ``cloudwright-native gateway``, by a file of its own or by the mesh's snapshot."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from cloudwright._base.errors import CloudwrightError
from cloudwright._base.paths import native_binary
from tests.peers.build import Unavailable
from tests.peers.data_plane.places import (
    DOMAIN,
    PROXY_ID,
    STREAMS,
    UPSTREAM_ID,
    UPSTREAM_NAME,
    Launch,
    Task,
    Unsupported,
)


def program() -> Path:
    """The native binary.

    Raises:
        Unavailable: it was not built.
    """
    try:
        return native_binary()
    except CloudwrightError as error:
        raise Unavailable(str(error)) from error


@cache
def reads_files() -> bool:
    """Whether this build has ``gateway run -c FILE``."""
    done = subprocess.run(
        [program(), "gateway", "run", "--help"], capture_output=True, text=True, check=False
    )
    return done.returncode == 0 and "-c" in done.stdout + done.stderr


class Ours:
    """The gateway with a configuration file."""

    name = "ours"

    def launch(self, task: Task, listen: int) -> Launch:
        if not reads_files():
            raise Unsupported("this build has no `gateway run -c FILE`")
        file = task.directory.absolute() / "gateway.json"
        file.write_text(json.dumps(configuration(task, listen), indent=1))
        return Launch([program(), "gateway", "run", "-c", file])


def configuration(task: Task, listen: int) -> dict[str, Any]:
    """One listener, one route, one cluster."""
    certificate, key = task.certificate
    cluster: dict[str, Any] = {
        "name": "app",
        "protocol": "http1" if task.spoken == "h1" else "http2",
        "endpoints": [{"address": f"127.0.0.1:{task.port}"}],
        "max_streams": 5000,
        "circuit_breaker": {
            "max_connections": STREAMS,
            "max_pending": STREAMS,
            "max_requests": STREAMS,
        },
    }
    if task.spoken == "h1":
        cluster["max_connections_per_endpoint"] = STREAMS
    made: dict[str, Any] = {
        "listeners": [
            {
                "name": "edge",
                "address": f"127.0.0.1:{listen}",
                "routes": "main",
                "limits": {"max_streams": STREAMS},
            }
        ],
        "routes": [
            {
                "name": "main",
                "virtual_hosts": [
                    {
                        "name": "all",
                        "domains": ["*"],
                        "routes": [{"action": {"forward": {"cluster": "app", "upgrades": True}}}],
                    }
                ],
            }
        ],
        "clusters": [cluster],
    }
    if task.tls:
        cluster["tls"] = {
            "certificate": "proxy",
            "trust": "roots",
            "server_name": UPSTREAM_NAME,
            "identities": [UPSTREAM_ID],
        }
        made["secrets"] = [
            {
                "name": "proxy",
                "certificate": {"file": str(certificate)},
                "key": {"file": str(key)},
            },
            {"name": "roots", "trust": {"file": str(task.authority.file)}},
        ]
    return made


class Mesh:
    """The mesh's gateway: a bootstrap and a snapshot; upstreams are always HTTP/2 with mTLS."""

    name = "mesh"

    def launch(self, task: Task, listen: int) -> Launch:
        if not task.tls:
            raise Unsupported("the mesh's gateway speaks to upstreams by mutual TLS only")
        if task.upstream == "tls-h1":
            raise Unsupported("the mesh's gateway speaks HTTP/2 to upstreams only")
        directory = task.directory.absolute() / "mesh"
        directory.mkdir(parents=True, exist_ok=True)
        certificate, key = task.certificate
        snapshot = directory / "snapshot.json"
        snapshot.write_text(json.dumps(one_service(task)))
        bootstrap = directory / "bootstrap.json"
        bootstrap.write_text(
            json.dumps(
                {
                    "role": "gateway",
                    "id": "gateway",
                    "namespace": "default",
                    "identity": PROXY_ID,
                    "trust_domain": DOMAIN,
                    "cert": str(certificate.absolute()),
                    "key": str(key.absolute()),
                    "ca": str(task.authority.file.absolute()),
                    "snapshot": str(snapshot),
                    "admin": str(directory / "admin.sock"),
                    "http": [f"127.0.0.1:{listen}"],
                    "access_log": "off",
                }
            )
        )
        return Launch([program(), "gateway", "--bootstrap", bootstrap])


def one_service(task: Task) -> dict[str, Any]:
    """A snapshot with one Service and one route for everything."""
    protocol = "http" if task.spoken == "h1" else "grpc"
    return {
        "version": 1,
        "trust_domain": DOMAIN,
        "services": [service("app", [("127.0.0.1", task.port)], protocol)],
        "routes": [route("app", "/")],
    }


def service(name: str, places: list[tuple[str, int]], protocol: str = "http") -> dict[str, Any]:
    """A Service of a snapshot, with endpoints that carry the upstream's identity."""
    return {
        "namespace": "default",
        "name": name,
        "ports": [{"name": "main", "port": 80, "protocol": protocol}],
        "endpoints": [
            {"ip": ip, "pod": f"{name}-{number}", "identity": UPSTREAM_ID, "ports": {"main": port}}
            for number, (ip, port) in enumerate(places)
        ],
    }


def route(name: str, prefix: str, hosts: tuple[str, ...] = ("*",)) -> dict[str, Any]:
    """A route of a snapshot to a Service."""
    return {
        "namespace": "default",
        "hosts": list(hosts),
        "path_prefix": prefix,
        "service": name,
        "port": 80,
    }
