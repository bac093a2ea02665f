"""A canary on one machine: real shares by the gateway, judged by the proxies' own counters."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.machine import Machine, machine

pytestmark = [pytest.mark.root, pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(300)]
PROGRAM = """\
import os, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        bad = os.environ.get("FAIL") and self.path != "/ready"
        body = os.environ["SERVICE_VERSION"].encode()
        self.send_response(500 if bad else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("", int(os.environ["PORT"])), Answers).serve_forever()
"""
PATIENCE = 120.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A platform on which version 1.0.0 of a service serves."""
    source = tmp_path_factory.mktemp("pay")
    (source / "main.py").write_text(PROGRAM)
    with machine(f"cwt-canary-{os.getpid()}", Path(f"/tmp/cwt-canary-{os.getpid()}")) as made:
        made.build(str(source), "-t", "pay:1")
        made.run("up")
        made.apply(
            {
                "apiVersion": "platform.example.com/v1",
                "kind": "MicroService",
                "metadata": {"name": "pay"},
                "spec": {
                    "version": "1.0.0",
                    "image": "pay:1",
                    "replicas": 2,
                    "readinessProbePath": "/ready",
                },
            }
        )
        made.run("wait", "ms/pay", "--for", "condition=Ready", "--timeout", "60s")
        yield made


def change(made: Machine, text: str) -> None:
    made.run("patch", "ms", "pay", "-p", f'{{"spec":{text}}}')


def ask(made: Machine, count: int = 1) -> Counter[str]:
    """Which versions answered so many requests; every one must be answered."""
    found: Counter[str] = Counter()
    for _ in range(count):
        version, _, code = made.curl("/pay/").stdout.strip().partition("\n")
        assert code in ("200", "500"), (version, code)
        found[version] += 1
    return found


def status(made: Machine) -> dict[str, Any]:
    found: dict[str, Any] = made.get("ms", "pay").get("status") or {}
    return found


def until(made: Machine, test: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask the service until its status passes; the status."""
    deadline = time.monotonic() + PATIENCE
    while not test(found := status(made)):
        assert time.monotonic() < deadline, found
        ask(made, 3)
    return found


def test_a_good_version_gets_its_share_and_then_everything(made: Machine) -> None:
    steps = '"steps":[{"weight":50,"approval":true}]'
    analysis = '"analysis":{"minRequests":5,"interval":"500ms","errorRate":0}'
    change(made, f'{{"version":"2.0.0","rollout":{{{steps},{analysis}}}}}')
    until(made, lambda s: "waiting for a person" in str(s["rollout"].get("message")))
    answers = ask(made, 40)
    assert set(answers) == {"1.0.0", "2.0.0"}, answers
    made.run("rollout", "resume", "ms/pay")
    until(made, lambda s: s.get("version") == "2.0.0" and s.get("phase") == "Ready")
    assert set(ask(made, 20)) == {"2.0.0"}


def test_a_bad_version_is_judged_by_the_proxies_and_goes(made: Machine) -> None:
    steps = '"steps":[{"weight":50,"pause":"1h"}]'
    change(
        made, f'{{"version":"3.0.0","env":[{{"name":"FAIL","value":"1"}}],"rollout":{{{steps}}}}}'
    )
    back = until(made, lambda s: s.get("phase") == "RolledBack")
    assert "requests failed" in back["rollout"]["cause"]
    assert back["version"] == "2.0.0"
    assert set(ask(made, 20)) == {"2.0.0"}
