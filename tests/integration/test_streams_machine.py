"""Streams of real containers through real kubectls: attach, run, debug; resize; proxying."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import foreign
from tests.machine import Machine, machine
from tests.peers import build

pytestmark = [
    pytest.mark.root,
    pytest.mark.netns,
    pytest.mark.foreign,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]
IMAGE = "streams:1"
PATIENCE = 90.0
PROGRAM = """\
import fcntl, os, signal, struct, sys, termios, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        if self.headers.get("Upgrade") == "echo":
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", "echo")
            self.end_headers()
            while line := self.rfile.readline():
                self.wfile.write(b"echo " + line)
            self.close_connection = True
            return
        size = int(self.headers.get("Content-Length") or 0)
        lines = [f"{self.command} {self.path}", self.rfile.read(size).decode()]
        lines += sorted(f"{k.lower()}: {v}" for k, v in self.headers.items())
        body = "\\n".join(lines).encode()
        kind = "text/plain"
        status, more = 200, {}
        if self.path.startswith("/moved"):
            status, more = 302, {"Location": "/there?x=1"}
        if self.path.startswith("/page"):
            kind, body = "text/html", b'<a href="/next">n</a><img src="pic.png">'
        if self.path.startswith("/missing"):
            status = 404
        self.send_response(status)
        for name, value in more.items():
            self.send_header(name, value)
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, *_):
        pass


what = sys.argv[1] if len(sys.argv) > 1 else "tick"
if what == "serve":
    ThreadingHTTPServer(("", 8080), Answers).serve_forever()
elif what == "cat":
    while data := os.read(0, 65536):
        os.write(1, data)
elif what == "size":
    for line in sys.stdin:
        rows, columns = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))[:2]
        print(f"size {columns}x{rows} {line.strip()}", flush=True)
elif what == "look":
    print("first:", open("/proc/1/cmdline").read().split("\\0")[1:3], flush=True)
elif what == "tick":
    number = 0
    while True:
        number += 1
        print("tick", number, flush=True)
        print("tock", number, file=sys.stderr, flush=True)
        time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A platform with one image of everything that the tests run."""
    source = tmp_path_factory.mktemp("streams")
    (source / "main.py").write_text(PROGRAM)
    with machine(f"cwt-str-{os.getpid()}", Path(f"/tmp/cwt-str-{os.getpid()}")) as made:
        made.build(str(source), "-t", IMAGE)
        made.run("up")
        for name, word, more in (
            ("tick", "tick", {}),
            ("cat", "cat", {"stdin": True}),
            ("term", "size", {"stdin": True, "tty": True}),
            ("web", "serve", {"ports": [{"containerPort": 8080}]}),
        ):
            made.apply(pod(name, word, **more))
        made.apply(SERVICE)
        for name in ("tick", "cat", "term", "web"):
            made.run("wait", f"pod/{name}", "--for", "condition=Ready", "--timeout", "90s")
        yield made


@pytest.fixture(scope="module", params=["current", "debian"])
def kubectl(request: pytest.FixtureRequest) -> str:
    found = foreign.kubectl_debian()
    if request.param == "current":
        found = current()
    if found is None:
        pytest.skip(f"no kubectl ({request.param}), and none can be fetched")
    return found


def current() -> str:
    """A kubectl of this year, or a skip."""
    try:
        return str(build.build("kubectl"))
    except build.Unavailable as problem:
        pytest.skip(str(problem))


def pod(name: str, word: str, **more: Any) -> dict[str, Any]:
    container = {"name": "app", "image": IMAGE, "args": [word], **more}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    }


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "selector": {"app": "web"},
        "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
    },
}


def until(true: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not in {PATIENCE:g} s: {what}")


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, made: Machine, *words: str, columns: int = 91, rows: int = 33) -> None:
        self.master, slave = pty.openpty()
        self.resize(columns, rows)
        self.process = made.popen(*words, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        os.set_blocking(self.master, False)
        self.seen = b""

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def shows(self, text: bytes) -> bool:
        try:
            while data := os.read(self.master, 65536):
                self.seen += data
        except OSError:
            pass
        return text in self.seen

    def close(self) -> None:
        self.process.kill()
        self.process.wait(20)
        os.close(self.master)


@contextmanager
def running(made: Machine, *words: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    process = made.popen(*words, stdout=subprocess.PIPE, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


def numbers(process: subprocess.Popen[str], count: int) -> list[int]:
    """The next ``count`` ticks that come on its standard output."""
    found: list[int] = []
    assert process.stdout is not None
    while len(found) < count:
        line = process.stdout.readline()
        assert line, "the output ended"
        if line.startswith("tick "):
            found.append(int(line.split()[1]))
    return found


def restarts(made: Machine, name: str) -> int:
    return int(made.get("pod", name)["status"]["containerStatuses"][0]["restartCount"])


def test_several_see_what_is_printed_from_now_on(made: Machine, kubectl: str) -> None:
    with (
        running(made, kubectl, "attach", "tick", stderr=subprocess.DEVNULL) as one,
        running(made, kubectl, "attach", "tick", "-c", "app", stderr=subprocess.DEVNULL) as two,
    ):
        first, second = numbers(one, 10), numbers(two, 10)
        assert first == list(range(first[0], first[0] + 10))
        assert second == list(range(second[0], second[0] + 10))
        one.terminate()  # an interrupt is ignored below a shell's background job
        one.wait(20)
        assert numbers(two, 5)
    assert restarts(made, "tick") == 0


def test_input_goes_to_the_container_and_it_outlives_the_client(
    made: Machine, kubectl: str
) -> None:
    for text in ("hello\n", "again\n"):
        with running(
            made, kubectl, "attach", "-i", "cat", stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(text)
            process.stdin.flush()
            assert process.stdout.readline() == text
    assert restarts(made, "cat") == 0


def test_a_terminal_follows_the_size_of_the_client(made: Machine, kubectl: str) -> None:
    terminal = Terminal(made, kubectl, "attach", "-it", "term")
    try:

        def sized(text: bytes) -> bool:
            terminal.type("now\n")
            time.sleep(0.1)
            return terminal.shows(text)

        until(lambda: sized(b"size 91x33 now\r\n"), "the first size")
        terminal.resize(120, 41)
        terminal.process.send_signal(signal.SIGWINCH)
        until(lambda: sized(b"size 120x41 now\r\n"), "the second size")
    finally:
        terminal.close()
    assert restarts(made, "term") == 0


def test_run_takes_input_gives_output_and_removes_the_pod(made: Machine, kubectl: str) -> None:
    text = "".join(f"line {number}\n" for number in range(2000))
    done = made.call(
        kubectl, "run", "once", "-i", "--rm", "--restart=Never", f"--image={IMAGE}",
        "--", "cat", input=text,
    )  # fmt: skip
    assert text in done.stdout
    assert 'pod "once" deleted' in done.stdout
    gone = made.call(kubectl, "get", "pod", "once", check=False)
    assert "NotFound" in gone.stderr


def test_debug_adds_a_container_that_sees_its_target(made: Machine) -> None:
    words = ["debug", "tick", "-i", f"--image={IMAGE}", "--target=app", "-c", "dbg"]
    made.call(current(), *words, "--arguments-only", "--", "look", input="")

    def ended() -> Any:
        found = made.get("pod", "tick")["status"].get("ephemeralContainerStatuses") or [{}]
        return found[0] if "terminated" in found[0].get("state", {}) else None

    status = until(ended, "the end of the ephemeral container")
    assert (status["name"], status["state"]["terminated"]["exitCode"]) == ("dbg", 0)
    log = made.call(current(), "logs", "tick", "-c", "dbg").stdout
    assert "main.py" in log
    assert "'tick'" in log
    assert restarts(made, "tick") == 0
    refused = made.call(
        current(), "patch", "pod", "tick", "--subresource", "ephemeralcontainers", "--type=json",
        "-p", '[{"op":"remove","path":"/spec/ephemeralContainers"}]', check=False,
    )  # fmt: skip
    assert "may not be removed" in refused.stderr


def test_a_shell_in_an_ephemeral_container(made: Machine) -> None:
    words = ["debug", "cat", "-it", f"--image={IMAGE}", "-c", "shell", "--arguments-only"]
    terminal = Terminal(made, current(), *words, "--", "size")
    try:

        def answered() -> bool:
            terminal.type("there\n")
            time.sleep(0.2)
            return terminal.shows(b"size 91x33 there\r\n")

        until(answered, "the size of the terminal")
    finally:
        terminal.close()


def test_cpu_and_memory_change_under_a_running_container(made: Machine) -> None:
    resources = {
        "requests": {"cpu": "50m", "memory": "64Mi"},
        "limits": {"cpu": "200m", "memory": "128Mi"},
    }
    made.apply(pod("sized", "tick", resources=resources))
    made.run("wait", "pod/sized", "--for", "condition=Ready", "--timeout", "90s")

    def resize(**amounts: str) -> None:
        wanted = {"name": "app", "resources": {"limits": amounts, "requests": amounts}}
        wanted["resources"]["requests"] = {"cpu": "50m", "memory": "64Mi"}
        patch = json.dumps({"spec": {"containers": [wanted]}})
        made.call(current(), "patch", "pod", "sized", "--subresource", "resize", "-p", patch)

    def has(**amounts: str) -> Any:
        status = made.get("pod", "sized")["status"]["containerStatuses"][0]
        return status if status["resources"]["limits"] == amounts else None

    assert has(cpu="200m", memory="128Mi")
    resize(cpu="300m", memory="160Mi")
    status = until(lambda: has(cpu="300m", memory="160Mi"), "the new limits")
    assert status["restartCount"] == 0
    assert status["allocatedResources"] == {"cpu": "50m", "memory": "64Mi"}
    identifier = status["containerID"].removeprefix("crun://")
    limits = list(Path("/sys/fs/cgroup").glob(f"**/{identifier}/memory.limit_in_bytes"))
    limits += list(Path("/sys/fs/cgroup").glob(f"**/{identifier}/memory.max"))
    if limits:
        assert int(limits[0].read_text()) == 160 << 20


def test_a_resize_that_does_not_fit_changes_nothing(made: Machine) -> None:
    requests = {"cpu": "50m", "memory": "64Mi"}
    made.apply(pod("wide", "tick", resources={"requests": requests}))
    made.run("wait", "pod/wide", "--for", "condition=Ready", "--timeout", "90s")
    wanted = {"name": "app", "resources": {"requests": {"cpu": "4000", "memory": "64Mi"}}}
    patch = json.dumps({"spec": {"containers": [wanted]}})
    made.call(current(), "patch", "pod", "wide", "--subresource", "resize", "-p", patch)

    def pending() -> Any:
        conditions = made.get("pod", "wide")["status"]["conditions"]
        return next((c for c in conditions if c["type"] == "PodResizePending"), None)

    assert until(pending, "the condition")["reason"] == "Infeasible"
    status = made.get("pod", "wide")["status"]["containerStatuses"][0]
    assert status["resources"]["requests"] == requests
    worse = made.call(
        current(), "patch", "pod", "wide", "--subresource", "resize", "--type=json",
        "-p", '[{"op":"remove","path":"/spec/containers/0/resources/requests/cpu"}]', check=False,
    )  # fmt: skip
    assert "resource requests cannot be removed" in worse.stderr


def test_a_pod_is_bound_by_its_namespace_s_bindings(made: Machine) -> None:
    unbound = pod("unbound", "tick")
    unbound["spec"]["schedulerName"] = "nobody"
    made.apply(unbound)
    node = made.get("nodes")["items"][0]["metadata"]["name"]
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "unbound"},
        "target": {"kind": "Node", "name": node},
    }
    made.call(
        current(), "create", "--raw", "/api/v1/namespaces/default/bindings", "-f", "-",
        input=json.dumps(binding),
    )  # fmt: skip
    made.run("wait", "pod/unbound", "--for", "condition=Ready", "--timeout", "90s")


PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"


def raw(made: Machine, path: str, *flags: str, ok: bool = True) -> str:
    done = made.call(current(), "get", "--raw", path, *flags, check=False)
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "base",
    [
        f"{PODS}/web/proxy",
        f"{PODS}/web:8080/proxy",
        f"{PODS}/http:web:8080/proxy",
        f"{SERVICES}/web:http/proxy",
        f"{SERVICES}/web:80/proxy",
        f"{SERVICES}/http:web:80/proxy",
    ],
)
def test_a_request_is_passed_on(made: Machine, base: str) -> None:
    until(lambda: made.get("endpoints", "web").get("subsets"), "the endpoints")
    shown = raw(made, f"{base}/a/b%20c?x=1&y=z").splitlines()
    assert shown[0] == "GET /a/b%20c?x=1&y=z"
    assert f"x-forwarded-uri: {base}/a/b%20c" in shown
    assert not [line for line in shown if line.startswith("authorization")]
    posted = made.call(
        current(), "create", "--raw", f"{base}/things", "-f", "-", input='{"a": 1}'
    ).stdout.splitlines()  # fmt: skip
    assert posted[:2] == ["POST /things", '{"a": 1}']


def test_what_cannot_be_passed_on_is_told(made: Machine) -> None:
    for path, text in (
        (f"{PODS}/nobody/proxy/", 'pods "nobody" not found'),
        (f"{PODS}/web:9/proxy/", "error trying to reach service"),
        (f"{PODS}/ftp:web:8080/proxy/", 'invalid pod request "ftp:web:8080"'),
        (f"{SERVICES}/web:81/proxy/", 'no service port 81 found for service "web"'),
        (f"{SERVICES}/web/proxy/", 'no endpoints available for service "web"'),
    ):
        assert text in raw(made, path, ok=False), path
    for plural in ("pods/web:8080", "services/web:http"):
        path = f"/api/v1/namespaces/default/{plural}/proxy/"
        refused = raw(made, path, "--as=ann", "--as-group=cloudwright:viewers", ok=False)
        assert "Forbidden" in refused
        assert "/proxy" in refused


def test_a_node_tells_of_its_pods(made: Machine) -> None:
    node = made.get("nodes")["items"][0]["metadata"]["name"]
    assert raw(made, f"/api/v1/nodes/{node}/proxy/healthz") == "ok"
    pods = json.loads(raw(made, f"/api/v1/nodes/{node}/proxy/pods"))["items"]
    assert "web" in [pod["metadata"]["name"] for pod in pods]
    assert "tick" in raw(made, f"/api/v1/nodes/{node}/proxy/containerLogs/default/tick/app")


@pytest.fixture(scope="module")
def local(made: Machine) -> Iterator[str]:
    """The API without credentials, on a port of the machine."""
    with running(made, current(), "proxy", "--port=0") as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]


def test_links_and_redirects_stay_below_the_proxy(made: Machine, local: str) -> None:
    base = f"{SERVICES}/web:http/proxy"

    def answer(path: str, *flags: str) -> str:
        url = f"http://{local}{base}{path}"
        return made.call("curl", "-sS", "-m", "20", "-i", *flags, url).stdout

    moved = answer("/moved")
    assert " 302 " in moved.splitlines()[0]
    assert f"location: {base}/there?x=1" in moved.lower()
    assert f"location: {base}/" in answer("").lower()
    page = answer("/page")
    assert f'<a href="{base}/next">n</a><img src="pic.png">' in page
    cookies = [line for line in page.splitlines() if line.lower().startswith("set-cookie")]
    assert [line.split()[1] for line in cookies] == ["a=1", "b=2"]
    assert " 404 " in answer("/missing").splitlines()[0]
    head = answer("/x", "-I")
    assert " 200 " in head.splitlines()[0]
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
        assert f"{method} /y" in answer("/y", "-X", method)


def test_a_connection_that_changes_its_protocol(made: Machine, local: str) -> None:
    program = """
import socket, sys
host, port = sys.argv[1].split(":")
link = socket.create_connection((host, int(port)), 20)
lines = [f"GET {sys.argv[2]} HTTP/1.1", f"Host: {sys.argv[1]}"]
lines += ["Connection: Upgrade", "Upgrade: echo"]
link.sendall(("\\r\\n".join(lines) + "\\r\\n\\r\\n").encode())
reader = link.makefile("rb")
print(reader.readline().decode().strip())
while reader.readline().strip():
    pass
for word in (b"one\\n", b"two\\n"):
    link.sendall(word)
    print(reader.readline().decode().strip())
"""
    path = f"{PODS}/web:8080/proxy/talk"
    shown = made.call("python3", "-c", program, local, path).stdout.splitlines()
    assert shown == ["HTTP/1.1 101 Switching Protocols", "echo one", "echo two"]
