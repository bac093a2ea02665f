"""A webhook server for scenarios: it answers admission reviews and conversions by a function."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.peers.cluster import Cluster

Decide = Callable[[dict[str, Any]], dict[str, Any]]


class Hook:
    """A running webhook and the requests that it got."""

    def __init__(self, url: str, bundle: str) -> None:
        self.url = url
        self.bundle = bundle
        self.seen: list[dict[str, Any]] = []

    def client(self, path: str = "/") -> dict[str, str]:
        """``clientConfig`` of a webhook configuration."""
        return {"url": f"{self.url}{path}", "caBundle": self.bundle}


@contextmanager
def webhook(cluster: Cluster, decide: Decide) -> Iterator[Hook]:
    """Serve; ``decide`` turns a review's ``request`` into its ``response`` (without the uid)."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            request = review["request"]
            with lock:
                hook.seen.append(request)
                response = decide(request)
            answer = json.dumps(
                {
                    "apiVersion": review["apiVersion"],
                    "kind": review["kind"],
                    "response": {"uid": request["uid"], **response},
                }
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    certificate, key = cluster.authority.server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    bundle = base64.b64encode(cluster.authority.file.read_bytes()).decode()
    hook = Hook(f"https://127.0.0.1:{server.server_port}", bundle)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
