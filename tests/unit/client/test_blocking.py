"""The command line's client against a real HTTP server on the loopback interface."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cloudwright._base.errors import TimedOutError, UnreachableError
from cloudwright.client.errors import Expired, NotFound
from cloudwright.client.kubeconfig import Access
from cloudwright.client.transports.blocking import BlockingClient, warnings_of
from cloudwright.model.resources import CONFIG_MAP
from tests.unit.client.scripted import config_map, event, listed, status


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[tuple[str, Any]] = []
        self.seen: list[tuple[str, str, bytes]] = []
        self.hold = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.seen.append((self.command, self.path, body))
        what, answer = self.server.script.pop(0)
        if what == "hang":
            self.server.hold.wait(30)
            self.close_connection = True
        elif what == "stream":
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for chunk in (*answer, b""):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        else:
            data = json.dumps(answer).encode()
            self.send_response(answer["code"] if answer.get("kind") == "Status" else 200)
            self.send_header("content-length", str(len(data)))
            self.send_header("warning", '299 - "old \\"field\\""')
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = what == "reply-and-close"

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield made
        finally:
            made.hold.set()
            made.shutdown()
            thread.join()


def client(server: _Server) -> BlockingClient:
    return BlockingClient(Access(f"http://127.0.0.1:{server.server_port}", token="t"))


def test_verbs_share_one_connection(server: _Server) -> None:
    made = config_map("a", 1)
    server.script = [("reply", made), ("reply", status(404)), ("reply", made), ("reply", made)]
    api = client(server)
    assert api.get(CONFIG_MAP, "a", "default") == made
    with pytest.raises(NotFound):
        api.get(CONFIG_MAP, "b", "default")
    kept = api._kept
    obj, warnings = api.write("POST", CONFIG_MAP, "default", body=made)
    assert obj == made
    assert warnings == ['old "field"']
    api.patch(CONFIG_MAP, "a", {"data": {"x": "1"}}, "default")
    assert api._kept is kept is not None
    assert server.seen[-1][0] == "PATCH"
    assert json.loads(server.seen[-1][2]) == {"data": {"x": "1"}}
    api.close()


def test_a_connection_that_the_server_closed_is_opened_again(server: _Server) -> None:
    made = config_map("a", 1)
    server.script = [("reply-and-close", made), ("reply", made)]
    api = client(server)
    assert api.get(CONFIG_MAP, "a", "default") == made
    assert api.get(CONFIG_MAP, "a", "default") == made
    api.close()


def test_a_request_that_gets_no_answer_in_time_is_not_sent_twice(server: _Server) -> None:
    made = config_map("a", 1)
    server.script = [("reply", made), ("hang", None)]
    api = client(server)
    api.get(CONFIG_MAP, "a", "default")
    from cloudwright.client import requests

    request = requests.write("POST", CONFIG_MAP, "default", body=b"{}")
    with pytest.raises(TimedOutError):
        api.request(request, timeout=0.2)
    assert [method for method, _, _ in server.seen] == ["GET", "POST"]
    api.close()


def test_lists_put_pages_together(server: _Server) -> None:
    server.script = [
        ("reply", listed(5, config_map("a", 1), token="more")),
        ("reply", listed(5, config_map("b", 2))),
    ]
    api = client(server)
    names = [item["metadata"]["name"] for item in api.list(CONFIG_MAP)["items"]]
    assert names == ["a", "b"]
    assert "continue=more" in server.seen[1][1]
    api.close()


def test_watches_and_streams(server: _Server) -> None:
    whole = event("ADDED", config_map("a", 1)) + event("ERROR", status(410, "Expired"))
    server.script = [("stream", [whole[:40], whole[40:]])]
    events = client(server).watch(CONFIG_MAP, "default", resource_version="1")
    assert next(events)["object"]["metadata"]["name"] == "a"
    with pytest.raises(Expired):
        next(events)


def test_nobody_there() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as taken:
        port = taken.server_port
    with pytest.raises(UnreachableError) as caught:
        BlockingClient(Access(f"http://127.0.0.1:{port}")).get(CONFIG_MAP, "a", "default")
    assert "cloudwright up" in str(caught.value.hint)


def test_several_warnings() -> None:
    assert warnings_of('299 - "a, b", 299 agent "c"') == ["a, b", "c"]
    assert warnings_of("") == []


def test_the_command_line_imports_nothing_heavy() -> None:
    code = (
        "import sys, cloudwright.client.transports.blocking, cloudwright.client.kubeconfig, "
        "cloudwright.client.discovery, cloudwright.client.applies; print('\\n'.join(sys.modules))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    loaded = {name.partition(".")[0] for name in output.split()}
    heavy = {"aiohttp", "anyio", "asyncio", "cryptography", "orjson", "yaml", "yarl", "decimal"}
    assert not loaded & heavy
    assert "cloudwright.model.schemas" not in output.split()
