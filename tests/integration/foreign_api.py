"""A small API server of another maker: TLS, trusts the front proxy, serves ``metrics.k8s.io``."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = "/apis/metrics.k8s.io/v1beta1"
NOW = "2026-01-01T00:00:00Z"
USAGE = {"cpu": "250m", "memory": "64Mi"}
RESOURCES = [
    {
        "name": name,
        "singularName": "",
        "namespaced": spaced,
        "kind": kind,
        "verbs": ["get", "list"],
    }
    for name, spaced, kind in (("nodes", False, "NodeMetrics"), ("pods", True, "PodMetrics"))
]
V3 = {
    "openapi": "3.0.0",
    "info": {"title": "foreign", "version": "1"},
    "paths": {f"{ROOT}/nodes": {"get": {"responses": {"200": {"description": "OK"}}}}},
    "components": {"schemas": {"foreign.NodeMetrics": {"type": "object"}}},
}
V2 = {
    "swagger": "2.0",
    "info": {"title": "foreign", "version": "1"},
    "paths": {f"{ROOT}/nodes": {"get": {"responses": {"200": {"description": "OK"}}}}},
    "definitions": {"foreign.NodeMetrics": {"type": "object"}},
}


class Foreign:
    """What a test sets and sees."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[dict[str, list[str]]] = []
        """The headers of each request that is no check, by lower-case name."""
        self.broken = False
        """Answers 500 to everything."""

    def documents(self, path: str) -> Any:
        """The document at a path."""
        pod = {"metadata": {"name": "web", "namespace": "default"}, "timestamp": NOW}
        pod |= {"window": "15s", "containers": [{"name": "app", "usage": USAGE}]}
        node = {"metadata": {"name": "n1"}, "timestamp": NOW, "window": "15s", "usage": USAGE}
        group = {"apiVersion": "metrics.k8s.io/v1beta1"}
        return {
            ROOT: {
                "kind": "APIResourceList",
                "groupVersion": "metrics.k8s.io/v1beta1",
                "resources": RESOURCES,
            },
            f"{ROOT}/namespaces/default/pods": {"kind": "PodMetricsList", **group, "items": [pod]},
            f"{ROOT}/namespaces/default/pods/web": {"kind": "PodMetrics", **group, **pod},
            f"{ROOT}/nodes": {"kind": "NodeMetricsList", **group, "items": [node]},
            f"/openapi/v3{ROOT}": V3,
            "/openapi/v2": V2,
        }.get(path)


def _handler(foreign: Foreign) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Nothing is logged."""

        def do_GET(self) -> None:
            found: dict[str, list[str]] = {}
            for name, value in self.headers.items():
                found.setdefault(name.lower(), []).append(value)
            path = self.path.partition("?")[0]
            if "system:kube-aggregator" not in found.get("x-remote-user", []):
                foreign.seen.append({**found, "path": [self.path]})
            if foreign.broken:
                self.send_error(500)
            elif path == f"{ROOT}/events":
                self.stream()
            elif path == f"{ROOT}/echo":
                self.upgrade()
            elif (document := foreign.documents(path)) is not None:
                self.answer(200, document)
            else:
                self.answer(404, {"kind": "Status", "apiVersion": "v1", "code": 404})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            self.answer(201, {"given": body.decode(), "type": self.headers["content-type"]})

        def answer(self, status: int, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def stream(self) -> None:
            """Two lines, the second when the first was read; then the end."""
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number in range(2):
                line = json.dumps({"type": "ADDED", "object": {"n": number}}).encode() + b"\n"
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                self.wfile.flush()
                time.sleep(0.05)
            self.wfile.write(b"0\r\n\r\n")

        def upgrade(self) -> None:
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", self.headers["upgrade"])
            self.end_headers()
            while data := self.connection.recv(1024):
                self.connection.sendall(data.upper())
            self.close_connection = True

    return Handler


@contextmanager
def serving(certificate: Path, key: Path, front_proxy_ca: str) -> Iterator[Foreign]:
    """Serve on a free port of loopback until the block ends; only the front proxy is let in."""
    foreign = Foreign()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(cadata=front_proxy_ca)
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(foreign))
    server.daemon_threads = True
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    foreign.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield foreign
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
