"""The Python clients of the field against the served API: kubernetes, kr8s and kopf."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests import foreign

pytestmark = pytest.mark.foreign
ROOT = Path(__file__).parents[2]
POD = {
    "metadata": {"name": "shop", "labels": {"app": "shop"}},
    "spec": {"containers": [{"name": "app", "image": "web:1"}]},
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    state = tmp_path_factory.mktemp("api")
    command = [foreign.python(), "-m", "tests.integration.served_api", str(state)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the server did not start"
        yield json.loads(line)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0


@pytest.fixture(scope="module")
def client(served):
    kubernetes = pytest.importorskip("kubernetes")
    return kubernetes.config.new_client_from_config(served["kubeconfig"])


@pytest.fixture(scope="module")
def core(client):
    import kubernetes

    return kubernetes.client.CoreV1Api(client)


@pytest.fixture(scope="module")
def pod(core):
    core.create_namespaced_pod("default", POD)
    true = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady")]
    status = {"status": {"phase": "Running", "conditions": true}}
    core.patch_namespaced_pod_status("shop", "default", status)
    return "shop"


def test_kubernetes_create_read_list_patch_delete(core):
    made = core.create_namespaced_config_map(
        "default", {"metadata": {"name": "settings"}, "data": {"a": "b"}}
    )
    assert made.metadata.resource_version
    assert core.read_namespaced_config_map("settings", "default").data == {"a": "b"}
    core.patch_namespaced_config_map("settings", "default", {"data": {"c": "d"}})
    found = core.list_namespaced_config_map("default", label_selector="!none").items
    assert [c.data for c in found if c.metadata.name == "settings"] == [{"a": "b", "c": "d"}]
    core.delete_namespaced_config_map("settings", "default")
    assert "settings" not in [
        c.metadata.name for c in core.list_namespaced_config_map("default").items
    ]


def test_kubernetes_watch_sees_each_change_once(core):
    from kubernetes import watch

    start = core.list_namespaced_config_map("default").metadata.resource_version
    for number in range(3):
        core.create_namespaced_config_map("default", {"metadata": {"name": f"seen-{number}"}})
    watcher, seen = watch.Watch(), []
    for event in watcher.stream(
        core.list_namespaced_config_map, "default", resource_version=start, timeout_seconds=10
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 3:
            watcher.stop()
    assert seen == [("ADDED", f"seen-{n}") for n in range(3)]


def test_kubernetes_exec_and_logs(core, pod):
    from kubernetes.stream import stream

    command = ["sh", "-c", "echo out; echo err >&2; exit 3"]
    answer = stream(
        core.connect_get_namespaced_pod_exec, pod, "default", command=command, stderr=True,
        stdin=False, stdout=True, tty=False, _preload_content=False,
    )  # fmt: skip
    answer.run_forever(timeout=20)
    assert answer.read_stdout() == "out\n"
    assert answer.read_stderr() == "err\n"
    assert answer.returncode == 3
    assert core.read_namespaced_pod_log(pod, "default", tail_lines=1) == "line 4\n"


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"hello"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Quiet."""


@pytest.fixture(scope="module")
def port():
    server = HTTPServer(("127.0.0.1", 0), _Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_kubernetes_port_forward(core, pod, port):
    from kubernetes.stream import portforward

    forward = portforward(
        core.connect_get_namespaced_pod_portforward, pod, "default", ports=str(port)
    )
    sock = forward.socket(port)
    sock.setblocking(True)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = b""
    while chunk := sock.recv(4096):
        answer += chunk
    sock.close()
    assert answer.endswith(b"hello")
    assert forward.error(port) is None


def test_kubernetes_dynamic_client_finds_microservices(client):
    from kubernetes import dynamic

    found = dynamic.DynamicClient(client).resources.get(
        api_version="platform.example.com/v1", kind="MicroService"
    )
    body = {
        "apiVersion": "platform.example.com/v1",
        "kind": "MicroService",
        "metadata": {"name": "payment"},
        "spec": {"version": "1.0.0"},
    }
    assert found.create(body=body, namespace="default").spec.version == "1.0.0"


@pytest.mark.anyio
async def test_kr8s(served, pod, port):
    kr8s = pytest.importorskip("kr8s")
    import httpx
    from kr8s.asyncio.objects import ConfigMap, Pod

    api = await kr8s.asyncio.api(kubeconfig=served["kubeconfig"])
    assert (await api.version())["major"] == "1"
    kinds = {resource["kind"] for resource in await api.api_resources()}
    assert {"Pod", "MicroService", "Route"} <= kinds
    settings = await ConfigMap(
        {"metadata": {"name": "kr8s", "namespace": "default"}, "data": {"a": "1"}}, api=api
    )
    await settings.create()
    await settings.patch({"data": {"b": "2"}})
    await settings.refresh()
    assert dict(settings.data) == {"a": "1", "b": "2"}
    assert [c.name async for c in api.get("configmaps", namespace="default") if c.name == "kr8s"]
    await settings.delete()
    found = await Pod.get(pod, namespace="default", api=api)
    done = await found.exec(["echo", "hi"])
    assert done.stdout == b"hi\n"
    assert [line async for line in found.logs(tail_lines=1)] == ["line 4"]
    forward = found.portforward(remote_port=port, local_port="auto")
    async with forward as local, httpx.AsyncClient() as http:
        answer = await http.get(f"http://127.0.0.1:{local}/")
    assert answer.text == "hello"


KOPF = """
import kopf

@kopf.on.startup()
def configure(settings, **_):
    settings.posting.level = 30
    settings.scanning.disabled = False

@kopf.on.create("platform.example.com", "v1", "microservices")
@kopf.on.update("platform.example.com", "v1", "microservices")
def serve(spec, **_):
    return {"seen": spec["version"]}

@kopf.on.delete("platform.example.com", "v1", "microservices")
def leave(name, **_):
    print("left", name, flush=True)
"""


def test_kopf_runs_an_operator(served, client, tmp_path):
    pytest.importorskip("kopf")
    from kubernetes import client as models

    handlers = tmp_path / "handlers.py"
    handlers.write_text(KOPF)
    custom = models.CustomObjectsApi(client)
    where = ("platform.example.com", "v1", "default", "microservices")
    body = {
        "apiVersion": "platform.example.com/v1",
        "kind": "MicroService",
        "metadata": {"name": "kopfed"},
        "spec": {"version": "1.0.0"},
    }
    command = [sys.executable, "-m", "kopf", "run", "-n", "default", "--standalone", str(handlers)]
    environment = {**os.environ, "KUBECONFIG": served["kubeconfig"]}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as operator:
        try:
            custom.create_namespaced_custom_object(*where, body)
            found = _until(
                lambda: custom.get_namespaced_custom_object(*where, "kopfed"),
                lambda obj: (
                    obj["metadata"].get("finalizers")
                    and "kopf.zalando.org/last-handled-configuration"
                    in obj["metadata"].get("annotations", {})
                ),
                operator,
            )
            assert found["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
            custom.delete_namespaced_custom_object(*where, "kopfed")
            _until(
                lambda: custom.list_namespaced_custom_object(*where)["items"],
                lambda items: all(item["metadata"]["name"] != "kopfed" for item in items),
                operator,
            )
        finally:
            operator.terminate()
        output, _ = operator.communicate(timeout=30)
    assert "left kopfed" in output


def _until(ask, good, operator, seconds=40):
    """Ask until it is good; a test's deadline, not a measurement."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = ask()
        if good(found):
            return found
        assert operator.poll() is None, operator.communicate()[0]
        threading.Event().wait(0.2)
    operator.kill()
    raise AssertionError(f"not within {seconds} seconds: {found}\n{operator.communicate()[0]}")


def test_a_watch_whose_client_left_is_freed(served):
    import ssl

    context = ssl.create_default_context(cafile=served["ca"])

    def ask(path):
        headers = {"Authorization": f"Bearer {served['viewer']}"}
        request = urllib.request.Request(served["url"] + path, headers=headers)
        return urllib.request.urlopen(request, context=context, timeout=20)

    def open_watches():
        with ask("/metrics") as answer:
            lines = answer.read().decode().splitlines()
        of_leases = [x for x in lines if x.startswith("apiserver_longrunning") and "leases" in x]
        return sum(float(line.rpartition(" ")[2]) for line in of_leases)

    watch = ask("/apis/coordination.k8s.io/v1/leases?watch=1")
    assert open_watches() == 1
    watch.close()
    deadline = time.monotonic() + 20
    while open_watches() and time.monotonic() < deadline:
        threading.Event().wait(0.1)
    assert open_watches() == 0


def test_a_watch_ends_in_order_when_the_server_stops(tmp_path):
    command = [foreign.python(), "-m", "tests.integration.served_api", str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        import ssl

        ready = json.loads(process.stdout.readline())
        request = urllib.request.Request(
            f"{ready['url']}/api/v1/namespaces?watch=1",
            headers={"Authorization": f"Bearer {ready['viewer']}"},
        )
        context = ssl.create_default_context(cafile=ready["ca"])
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:
            first = json.loads(answer.readline())
            assert first["type"] == "ADDED"
            process.stdin.close()
            rest = answer.read()  # raises IncompleteRead when the body is cut
            assert all(json.loads(line) for line in rest.splitlines())
        assert process.wait(20) == 0
