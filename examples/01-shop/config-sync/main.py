"""The webhook behind `postRolloutHook: webhook://config-sync`: remembers what it was told.

POST / takes a hook's JSON, GET /events shows the last hundred. Standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EVENTS: deque[object] = deque(maxlen=100)
LARGEST_BODY = 1 << 20


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", "0"))
        if length > LARGEST_BODY:
            self.close_connection = True
            return self.reply(413, {"error": "too large"})
        try:
            event = json.loads(self.rfile.read(length))
        except ValueError as error:
            return self.reply(400, {"error": str(error)})
        EVENTS.append(event)
        print(f"hook: {json.dumps(event)}", flush=True)
        return self.reply(200, {"accepted": True})

    def do_GET(self) -> None:
        if self.path.startswith("/health/"):
            return self.reply(200, {"ready": True})
        if self.path == "/events":
            return self.reply(200, {"events": list(EVENTS)})
        return self.reply(404, {"error": f"nothing at {self.path}"})

    def reply(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, text: str, *words: object) -> None:
        pass


def main() -> None:
    server = ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Handler)
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print("config-sync is up", flush=True)
    server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
