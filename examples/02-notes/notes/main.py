"""Keeps notes in /data: serves them over HTTP; `add` writes one and ends, `list` shows them.

Standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DATA = Path(os.environ.get("DATA", "/data"))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.reply({"pod": os.environ.get("HOSTNAME", ""), "notes": read()})

    def do_POST(self) -> None:
        add(self.rfile.read(int(self.headers.get("content-length") or 0)).decode())
        self.do_GET()

    def reply(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def read() -> list[str]:
    file = DATA / "notes.txt"
    return file.read_text().splitlines() if file.exists() else []


def add(text: str) -> None:
    with (DATA / "notes.txt").open("a") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())


def serve() -> None:
    server = ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1:2] == ["add"]:
        add(" ".join(sys.argv[2:]))
        print(f"{len(read())} notes", flush=True)
    elif sys.argv[1:] == ["list"]:
        print(json.dumps(read()), flush=True)
    else:
        serve()
