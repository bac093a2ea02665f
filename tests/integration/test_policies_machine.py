"""NetworkPolicies on one machine: real pods, real connections, and a daemon that is killed.

Questions are asked from inside a pod's network namespace, as any of its programs would ask.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudwright.network.names import netns_name
from tests.machine import Machine, machine

pytestmark = [pytest.mark.root, pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(400)]
PROGRAM = """\
import signal, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
other = ThreadingHTTPServer(("", 9090), Answers)
threading.Thread(target=other.serve_forever, daemon=True).start()
ThreadingHTTPServer(("", 8080), Answers).serve_forever()
"""
ASK = """\
import json, socket, sys, time

def http(ip, port):
    try:
        with socket.create_connection((ip, port), 5) as made:
            made.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
            return made.makefile("rb").readline().split()[1:2] == [b"200"]
    except OSError:
        return False

def udp(ip, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.settimeout(2)
        try:
            made.connect((ip, port))
            made.send(b"x")
            return made.recv(10) == b"x"
        except OSError:
            return False

kind, ip, port, *until = sys.argv[1:]
ask = {"http": http, "udp": udp}[kind]
answers = [ask(ip, int(port))]
if until:
    print("started", flush=True)
    import select
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        answers.append(ask(ip, int(port)))
print(json.dumps(answers))
"""
ECHO = """\
import socket, threading
made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
made.bind(("192.0.2.7", 5353))
print("bound", flush=True)
while True:
    data, sender = made.recvfrom(100)
    made.sendto(data, sender)
"""
PATIENCE = 60.0
SPEC = dict[str, Any]


class World:
    """The machine, its pods' uids, and questions to the network."""

    def __init__(self, made: Machine) -> None:
        self.made = made
        self.uids: dict[str, str] = {}
        self.services: dict[str, str] = {}

    def words(self, pod: str, *question: object) -> list[str]:
        space = netns_name(self.made.paths.instance, self.uids[pod])
        words = ["nsenter", f"--net=/run/netns/{space}", "--", sys.executable, "-c", ASK]
        return [*words, *map(str, question)]

    def asks(self, pod: str, kind: str, ip: str, port: int) -> bool:
        done = self.made.call(*self.words(pod, kind, ip, port))
        return bool(json.loads(done.stdout)[0])

    def becomes(self, wanted: bool, pod: str, kind: str, ip: str, port: int) -> None:
        """Ask until the answer is ``wanted``; the clock is generous, only its end fails."""
        end = time.monotonic() + PATIENCE
        while self.asks(pod, kind, ip, port) is not wanted:
            if time.monotonic() > end:
                table = self.made.call(*self.words(pod)[:3], "nft", "list", "ruleset", check=False)
                raise AssertionError(f"never {wanted}: {table.stdout}\n{self.made.daemon_log(30)}")
            time.sleep(0.2)

    def policy(self, name: str, **spec: Any) -> None:
        kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
        self.made.apply({**kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec})

    def remove(self, name: str) -> None:
        self.made.run("delete", "networkpolicy", name, "--yes")


def pod(name: str, namespace: str = "default", **annotations: str) -> dict[str, Any]:
    labels = {"app": name}
    marks = {"name": name, "namespace": namespace, "labels": labels, "annotations": annotations}
    container = {
        "name": "web",
        "image": "web:1",
        "ports": [{"name": "main", "containerPort": 8080}],
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": marks, "spec": spec}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server, clients in two namespaces, and an address outside that echoes datagrams."""
    source = tmp_path_factory.mktemp("web")
    (source / "main.py").write_text(PROGRAM)
    name, outside = f"cwt-netpol-{os.getpid()}", f"cwt-netout-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", outside], check=True)
    echo: subprocess.Popen[str] | None = None
    try:
        with machine(name, Path(f"/tmp/{name}")) as made:
            link = ["link", "add", "out0", "type", "veth", "peer", "name", "in0", "netns", outside]
            made.call("ip", *link)
            made.call("ip", "address", "add", "192.0.2.1/24", "dev", "out0")
            made.call("ip", "link", "set", "out0", "up")
            for words in ("address add 192.0.2.7/24 dev in0", "link set in0 up"):
                subprocess.run(["ip", "-n", outside, *words.split()], check=True)
            command = ["ip", "netns", "exec", outside, sys.executable, "-c", ECHO]
            echo = subprocess.Popen(command, text=True, stdout=subprocess.PIPE)
            assert echo.stdout is not None
            assert echo.stdout.readline() == "bound\n"
            made.build(str(source), "-t", "web:1")
            made.run("up")
            yield _filled(World(made))
    finally:
        if echo is not None:
            echo.kill()
            echo.wait()
        subprocess.run(["ip", "netns", "del", outside], check=True)


def _filled(world: World) -> World:
    made = world.made
    made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    server = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server", "namespace": "default"},
        "spec": {
            "selector": {"app": "server"},
            "ports": [
                {"name": "a", "port": 80, "targetPort": 8080},
                {"name": "b", "port": 90, "targetPort": 9090},
            ],
        },
    }
    made.apply(
        server,
        pod("server"),
        pod("good"),
        pod("bad", **{"cloudwright.dev/egress": "true"}),
        pod("far", "other"),
    )
    end = time.monotonic() + PATIENCE
    for name, namespace in (("server", ""), ("good", ""), ("bad", ""), ("far", "other")):
        where = ["-n", namespace] if namespace else []
        while True:
            found = made.get("pod", name, *where)
            conditions = found.get("status", {}).get("conditions", [])
            if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                break
            assert time.monotonic() < end, f"{found}\n{made.daemon_log(30)}"
            time.sleep(0.3)
        world.uids[name] = found["metadata"]["uid"]
    world.services["server"] = made.get("service", "server")["spec"]["clusterIP"]
    for name in ("good", "bad", "far"):
        world.becomes(True, name, "http", world.services["server"], 80)
        world.becomes(True, name, "http", world.services["server"], 90)
    return world


def test_ingress_by_pod_namespace_and_port(world: World) -> None:
    ip = world.services["server"]
    world.policy("closed", podSelector={"matchLabels": {"app": "server"}})
    for name in ("good", "bad", "far"):
        world.becomes(False, name, "http", ip, 80)
    chosen = [{"podSelector": {"matchLabels": {"app": "good"}}}]
    rule = {"from": chosen, "ports": [{"port": "main"}]}
    selected = {"matchLabels": {"app": "server"}}
    world.policy("good-only", podSelector=selected, ingress=[rule])
    world.becomes(True, "good", "http", ip, 80)
    assert not world.asks("good", "http", ip, 90)
    assert not world.asks("bad", "http", ip, 80)
    space = {"matchLabels": {"team": "x"}}
    far = {"from": [{"namespaceSelector": space}], "ports": [{"port": 9000, "endPort": 9100}]}
    world.policy("far-too", podSelector=selected, ingress=[far])
    assert not world.asks("far", "http", ip, 90)
    marks = {"name": "other", "labels": {"team": "x"}}
    world.made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": marks})
    world.becomes(True, "far", "http", ip, 90)
    assert not world.asks("far", "http", ip, 80)
    ready = world.made.get("pod", "server")["status"]["conditions"]
    assert any(c["type"] == "Ready" and c["status"] == "True" for c in ready)
    for name in ("closed", "good-only", "far-too"):
        world.remove(name)
    world.becomes(True, "bad", "http", ip, 80)


def test_egress_over_tcp_and_udp(world: World) -> None:
    ip = world.services["server"]
    world.becomes(True, "bad", "udp", "192.0.2.7", 5353)
    selected = {"matchLabels": {"app": "bad"}}
    world.policy("shut", podSelector=selected, policyTypes=["Egress"])
    world.becomes(False, "bad", "udp", "192.0.2.7", 5353)
    world.becomes(False, "bad", "http", ip, 80)
    assert world.asks("good", "http", ip, 80)
    block = {"cidr": "192.0.2.0/24", "except": ["192.0.2.8/29"]}
    out = {"to": [{"ipBlock": block}], "ports": [{"protocol": "UDP", "port": 5353}]}
    world.policy("shut", podSelector=selected, policyTypes=["Egress"], egress=[out])
    world.becomes(True, "bad", "udp", "192.0.2.7", 5353)
    assert not world.asks("bad", "http", ip, 80)
    block["except"] = ["192.0.2.0/29"]
    world.policy("shut", podSelector=selected, policyTypes=["Egress"], egress=[out])
    world.becomes(False, "bad", "udp", "192.0.2.7", 5353)
    world.remove("shut")
    world.becomes(True, "bad", "http", ip, 80)


def test_what_cannot_be_carried_is_told(world: World) -> None:
    selected = {"matchLabels": {"app": "nobody"}}
    world.policy("odd", podSelector=selected, ingress=[{"ports": [{"protocol": "UDP"}]}])
    end = time.monotonic() + PATIENCE
    while True:
        events = world.made.get("events")["items"]
        told = [e for e in events if e["reason"] == "NotCarried"]
        if told:
            break
        assert time.monotonic() < end, world.made.daemon_log(30)
        time.sleep(0.2)
    assert told[0]["involvedObject"]["name"] == "odd"
    assert told[0]["type"] == "Warning"
    world.remove("odd")


def test_a_killed_daemon_opens_and_closes_nothing(world: World) -> None:
    ip, made = world.services["server"], world.made
    chosen = [{"podSelector": {"matchLabels": {"app": "good"}}}]
    selected = {"matchLabels": {"app": "server"}}
    world.policy("kept", podSelector=selected, ingress=[{"from": chosen}])
    world.becomes(False, "bad", "http", ip, 80)
    world.becomes(True, "good", "http", ip, 80)
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    asking = {
        n: made.popen(*world.words(n, "http", ip, 80, "on"), **pipes) for n in ("good", "bad")
    }
    try:
        for process in asking.values():
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
        before = made.daemon
        os.kill(before, signal.SIGKILL)
        made.run("up")
        assert made.daemon != before
        made.apply(pod("late"))
        end = time.monotonic() + PATIENCE
        while made.get("pod", "late")["status"].get("phase") != "Running":
            assert time.monotonic() < end, made.daemon_log(30)
            time.sleep(0.3)
        answers = {n: json.loads(p.communicate("end\n", timeout=60)[0]) for n, p in asking.items()}
    finally:
        for process in asking.values():
            process.kill()
            process.wait()
    assert len(answers["bad"]) > 3
    assert len(answers["good"]) > 3
    assert not any(answers["bad"])
    assert all(answers["good"])
    world.uids["late"] = made.get("pod", "late")["metadata"]["uid"]
    assert not world.asks("late", "http", ip, 80)
    made.run("patch", "pod", "late", "-p", '{"metadata": {"labels": {"app": "good"}}}')
    world.becomes(True, "late", "http", ip, 80)
