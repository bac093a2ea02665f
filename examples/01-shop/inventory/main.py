"""What the shop has in stock. Standard library only."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

STOCK = {"tea": 40, "coffee": 25, "cups": 120}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path in ("/health/ready", "/health/live"):
            self.reply(200, {"ready": bool(STOCK)})
        elif path == "/items":
            self.reply(200, {"items": STOCK})
        elif path.startswith("/items/") and path[7:] in STOCK:
            self.reply(200, {"sku": path[7:], "stock": STOCK[path[7:]]})
        else:
            self.reply(404, {"error": f"nothing at {path}"})

    def reply(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, text: str, *words: object) -> None:
        if not self.path.startswith("/health"):
            print(text % words, flush=True)


def main() -> None:
    server = ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Handler)
    server.daemon_threads = True

    def stop(*_: object) -> None:
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    print(f"inventory listens on {server.server_address[1]}", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    sys.exit(0)


if __name__ == "__main__":
    main()
