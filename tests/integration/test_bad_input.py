"""What is wrong gets one clear line (what, where, why, what to do), and nothing is half-made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cloudwright.apiserver.authn import issue_token
from tests.machine import Machine, machine

pytestmark = [pytest.mark.root, pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(600)]

PROGRAM = """\
import os, signal, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        time.sleep(60 if self.path == "/hangs" else 0)
        self.answer(500)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"no\\n")

    def log_message(self, *_):
        pass


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Answers).serve_forever()
"""
API = "https://127.0.0.1:6443"
WAIT_SECONDS = 30.0


def service(name: str, **spec: Any) -> dict[str, Any]:
    """A MicroService of the one image that there is."""
    return {
        "apiVersion": "platform.example.com/v1",
        "kind": "MicroService",
        "metadata": {"name": name},
        "spec": {
            "version": "1.0.0",
            "replicas": 1,
            "image": "stub",
            "readinessProbePath": "/",
            **spec,
        },
    }


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of the image."""
    source = tmp_path_factory.mktemp("stub")
    (source / "main.py").write_text(PROGRAM)
    for name, body in (("fails.sh", "echo ledger is locked; exit 3"), ("hangs.sh", "sleep 600")):
        (source / name).write_text(f"#!/bin/sh\n{body}\n")
        (source / name).chmod(0o755)
    return source


@pytest.fixture(scope="module")
def bad(stub: Path) -> Iterator[Machine]:
    """A platform that runs."""
    with machine(f"cwt-bad-{os.getpid()}", Path(f"/tmp/cwt-bad-{os.getpid()}")) as made:
        made.build(str(stub), "-t", "stub:1.0.0")
        made.run("up")
        yield made


@pytest.fixture
def fresh() -> Iterator[Machine]:
    """A machine on which nothing was started."""
    with machine(f"cwt-new-{os.getpid()}", Path(f"/tmp/cwt-new-{os.getpid()}")) as made:
        yield made


def refused(answer: subprocess.CompletedProcess[str], *words: str) -> str:
    """The error text after the lines of progress: one error, with ``words``, no traceback."""
    assert answer.returncode != 0, answer.stdout
    lines = answer.stderr.splitlines()
    while lines and lines[0].startswith("… "):
        del lines[0]
    text = "\n".join(lines)
    assert text.startswith("error: "), answer.stderr
    assert len([line for line in lines if line.startswith("error: ")]) == 1, text
    assert "Traceback" not in text, text
    for word in words:
        assert word in text, text
    return text


def until(what: Callable[[], Any]) -> Any:
    """The first true answer of ``what``."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (answer := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
    return answer


def apply_file(made: Machine, tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    """``apply`` of a file with that text."""
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    return made.run("apply", "-f", str(file), check=False)


def names(made: Machine, kind: str) -> set[str]:
    """What there is of a kind."""
    return {item["metadata"]["name"] for item in made.get(kind)["items"]}


def event(made: Machine, reason: str, about: str) -> dict[str, Any]:
    """The first event with that reason about an object whose name begins with ``about``."""
    found: dict[str, Any] = until(
        lambda: next(
            (
                e
                for e in made.get("events")["items"]
                if e["reason"] == reason and e["involvedObject"]["name"].startswith(about)
            ),
            None,
        )
    )
    return found


# Files and fields

HEAD = """\
apiVersion: platform.example.com/v1
kind: MicroService
metadata: {name: wrong}
"""


def test_text_that_is_not_yaml_is_refused_with_its_place(bad: Machine, tmp_path: Path) -> None:
    answer = apply_file(bad, tmp_path, HEAD + "spec:\n  version: '1.0.0\n  replicas: 2\n")
    refused(answer, "is not valid YAML", "bad.yaml:7:1")
    assert "wrong" not in names(bad, "ms")


def test_an_unknown_field_is_refused_with_its_place_and_the_right_name(
    bad: Machine, tmp_path: Path
) -> None:
    answer = apply_file(bad, tmp_path, HEAD + "spec:\n  version: 1.0.0\n  replica: 2\n")
    refused(answer, "bad.yaml:6:12", "spec.replica", 'did you mean "replicas"?')
    assert "wrong" not in names(bad, "ms")


def test_a_bad_version_is_refused_with_its_place(bad: Machine, tmp_path: Path) -> None:
    answer = apply_file(bad, tmp_path, HEAD + 'spec:\n  version: "latest"\n  replicas: 2\n')
    refused(answer, "bad.yaml:5:12", "spec.version", "1.12.0")
    assert "wrong" not in names(bad, "ms")
    assert "wrong" not in names(bad, "deployments")


def test_one_wrong_object_of_a_file_leaves_its_own_place(bad: Machine, tmp_path: Path) -> None:
    good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fine}\n---\n"
    answer = apply_file(bad, tmp_path, good + HEAD + "spec: {version: 1.0.0, replicas: -1}\n")
    refused(answer, "bad.yaml:8:", "spec.replicas")


def test_an_unknown_kind_is_refused_with_a_suggestion(bad: Machine, tmp_path: Path) -> None:
    answer = apply_file(bad, tmp_path, HEAD.replace("MicroService", "MicroServise"))
    refused(answer, "MicroServise", "bad.yaml:2:")


# Images and hooks


def test_a_missing_image_is_named_and_no_pod_is_half_made(bad: Machine) -> None:
    before = bad.inventory()
    bad.apply(service("absent", image="nowhere", version="9.9.9"))

    def waiting() -> str:
        pods = bad.get("pods", "-l", "platform.example.com/microservice=absent")["items"]
        states = [
            status["state"].get("waiting", {})
            for pod in pods
            for status in pod.get("status", {}).get("containerStatuses", [])
        ]
        return next((s["message"] for s in states if "ImagePull" in s.get("reason", "")), "")

    assert "nowhere:9.9.9" in until(waiting)
    until(lambda: "nowhere:9.9.9" in bad.run("why", "ms/absent").stdout)
    said = bad.run("why", "ms/absent").stdout
    assert "hint:" in said, said
    assert "build" in said, said
    assert "nowhere:9.9.9" in event(bad, "Failed", "absent-")["message"]
    bad.run("delete", "ms", "absent", "--yes", "--wait")
    until(lambda: not [name for name in names(bad, "pods") if name.startswith("absent-")])
    until(lambda: bad.inventory().links == before.links)
    after = bad.inventory()
    assert after.namespaces == before.namespaces
    assert after.mounts == before.mounts


def test_a_pre_stop_hook_that_fails_is_told_and_stops_nothing(bad: Machine) -> None:
    hook = {"preStopHook": "fails.sh"}
    bad.apply(service("failing", lifecyclePolicy=hook))
    bad.run("wait", "ms/failing", "--for", "condition=Ready", "--timeout", "30s")
    bad.run("delete", "ms", "failing", "--yes", "--wait")
    message = event(bad, "FailedPreStopHook", "failing-")["message"]
    assert "exited with 3" in message
    assert "ledger is locked" in message
    until(lambda: not [name for name in names(bad, "pods") if name.startswith("failing-")])


def test_a_pre_stop_hook_that_hangs_is_ended_with_the_grace_period(bad: Machine) -> None:
    hook = {"preStopHook": "hangs.sh"}
    bad.apply(service("hanging", lifecyclePolicy=hook, terminationGracePeriodSeconds=2))
    bad.run("wait", "ms/hanging", "--for", "condition=Ready", "--timeout", "30s")
    bad.run("delete", "ms", "hanging", "--yes", "--wait")
    message = event(bad, "FailedPreStopHook", "hanging-")["message"]
    assert "did not end within 2s" in message, message
    until(lambda: not [name for name in names(bad, "pods") if name.startswith("hanging-")])


@pytest.mark.parametrize(("path", "words"), [("fails", "500"), ("hangs", "did not answer within")])
def test_a_broken_post_rollout_hook_is_told_and_the_version_serves(
    bad: Machine, path: str, words: str
) -> None:
    bad.apply(service("answers"))
    bad.run("wait", "ms/answers", "--for", "condition=Ready", "--timeout", "30s")
    url, name = f"webhook://answers/{path}", f"caller-{path}"
    bad.apply(service(name, lifecyclePolicy={"postRolloutHook": url}))
    retrying = event(bad, "HookRetrying", name)["message"]
    assert url in retrying
    assert words in retrying
    status = bad.get("ms", name)["status"]
    conditions = {c["type"]: c for c in status["conditions"]}
    assert conditions["PostRolloutHook"]["status"] == "False"
    assert words in conditions["PostRolloutHook"]["message"]
    assert status["readyReplicas"] == 1
    assert url in bad.run("why", f"ms/{name}").stdout
    assert "200" in bad.curl(f"/{name}/").stdout
    bad.run("delete", "ms", name, "answers", "--yes", "--wait")


def test_a_post_rollout_hook_in_the_image_that_fails_is_told(bad: Machine) -> None:
    bad.apply(service("runs-it", lifecyclePolicy={"postRolloutHook": "fails.sh"}))
    retrying = event(bad, "HookRetrying", "runs-it")["message"]
    assert "fails.sh" in retrying
    assert "ended with code" in retrying
    assert "200" in bad.curl("/runs-it/").stdout
    bad.run("delete", "ms", "runs-it", "--yes", "--wait")


def test_the_younger_of_two_equal_routes_says_with_whom_it_conflicts(bad: Machine) -> None:
    def route(name: str) -> dict[str, Any]:
        return {
            "apiVersion": "cloudwright.dev/v1alpha1",
            "kind": "Route",
            "metadata": {"name": name},
            "spec": {"pathPrefix": "/same", "service": "nobody"},
        }

    def accepted() -> dict[str, Any]:
        found = bad.get("routes.cloudwright.dev", "younger").get("status", {})
        return next((c for c in found.get("conditions", []) if c["type"] == "Accepted"), {})

    bad.apply(route("elder"))
    time.sleep(1.1)  # ages are whole seconds
    bad.apply(route("younger"))
    condition = until(accepted)
    assert (condition["status"], condition["reason"]) == ("False", "Conflicted")
    assert "elder" in condition["message"]
    assert "elder" in bad.run("why", "route/younger").stdout
    bad.run("delete", "routes.cloudwright.dev", "elder", "younger", "--yes")


# The API


def test_no_credentials_401_too_few_rights_403(bad: Machine) -> None:
    def ask(*flags: str, path: str = "/api/v1/namespaces/default/pods") -> tuple[str, Any]:
        body, _, code = bad.curl(f"{API}{path}", "-k", *flags).stdout.rpartition("\n")
        return code, json.loads(body)

    code, body = ask()
    assert (code, body["kind"], body["reason"]) == ("401", "Status", "Unauthorized")
    assert ask("-H", "Authorization: Bearer cw-wrong")[0] == "401"
    viewer = issue_token(bad.paths, "eve", ["cloudwright:viewers"])
    credentials = ("-H", f"Authorization: Bearer {viewer}")
    assert ask(*credentials)[0] == "200"
    secrets = "/api/v1/namespaces/default/secrets"
    for flags, path in (
        ((), secrets),
        (("-X", "DELETE"), "/api/v1/namespaces/default/pods/any"),
        (("-X", "POST", "-d", "{}"), "/api/v1/namespaces/default/configmaps"),
        (("-X", "POST"), "/api/v1/namespaces/default/pods/any/exec?command=id&stdout=1"),
    ):
        code, body = ask(*credentials, *flags, path=path)
        assert (code, body["reason"]) == ("403", "Forbidden"), (path, body)
        assert 'User "eve" cannot' in body["message"]
    nobody = issue_token(bad.paths, "mallory")
    code, body = ask("-H", f"Authorization: Bearer {nobody}")
    assert (code, body["reason"]) == ("403", "Forbidden")


# Starting


@pytest.mark.parametrize("key", ["api", "gateway", "gateway-tls", "metrics"])
def test_up_names_who_holds_a_port_and_leaves_nothing(fresh: Machine, key: str) -> None:
    port = {"api": 6443, "gateway": 8080, "gateway-tls": 8443, "metrics": 9090}[key]
    holder = fresh.popen(
        sys.executable,
        "-c",
        f"import socket; s=socket.create_server(('127.0.0.1',{port})); print('on',flush=True);"
        "s.accept()",
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "on\n"
        answer = fresh.run("up", check=False)
        refused(answer, f"127.0.0.1:{port}", f"(pid {holder.pid})", f"--{key} IP:PORT")
        assert fresh.inventory().empty, fresh.inventory()
        doctor = fresh.run("doctor", check=False)
        assert f"is taken by python (pid {holder.pid})" in doctor.stdout, doctor.stdout
    finally:
        holder.kill()
        holder.communicate()


def test_a_start_that_fails_midway_leaves_nothing_and_can_be_repeated(fresh: Machine) -> None:
    env = {**fresh.environment(), "CLOUDWRIGHT_NATIVE": "/bin/false"}
    answer = fresh.run("up", check=False, env=env)
    assert "… making the pod network" in answer.stderr
    refused(answer, "the supervisor does not start", "exit code 1")
    assert fresh.inventory().empty, fresh.inventory()
    fresh.run("up")


def test_without_root_up_and_down_say_so(fresh: Machine) -> None:
    drop = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    for verb in ("up", "down"):
        answer = fresh.call(
            *drop, sys.executable, "-m", "cloudwright.cli.main", verb, check=False, cwd="/"
        )
        text = refused(answer, "needs root", "sudo")
        assert text.splitlines()[0] == "error: the platform needs root"
    assert not fresh.state.exists()


def test_without_crun_up_and_doctor_name_the_package(fresh: Machine, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for folder in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"):
        for program in Path(folder).iterdir() if Path(folder).is_dir() else ():
            if program.name != "crun" and not (tools / program.name).is_symlink():
                (tools / program.name).symlink_to(program)
    env = {**fresh.environment(), "PATH": str(tools)}
    text = refused(fresh.run("up", check=False, env=env), "crun")
    assert "package crun" in text or "install crun" in text, text
    assert fresh.inventory().empty, fresh.inventory()
    doctor = fresh.run("doctor", check=False, env=env)
    assert doctor.returncode == 1
    assert "install the package crun" in doctor.stdout, doctor.stdout


# A full disk


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A file system of that size at a path that a pod's user can enter."""
    place = Path(f"/tmp/cwt-full-{os.getpid()}")
    place.mkdir()
    options = f"size={megabytes}m,mode=755"
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "cloudwright-test", str(place)], check=True
    )
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


def fill(path: Path) -> None:
    """Take what space is left."""
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512):
            try:
                while file.write(os.urandom(size)) == size:
                    pass
            except OSError:
                continue


def test_a_full_disk_refuses_writes_clearly_and_recovers(stub: Path) -> None:
    with small_disk(48) as disk, machine(f"cwt-full-{os.getpid()}", disk / "s") as made:
        made.run("up")
        pid = made.daemon
        document = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"x": "y" * 100_000}}
        fill(disk / "ballast")
        kept, answer = set(), None
        for number in range(40):
            name = f"c{number}"
            answer = made.apply({**document, "metadata": {"name": name}}, check=False)
            if answer.returncode != 0:
                break
            kept.add(name)
        assert answer is not None
        refused(answer, "no space left on the device")
        assert names(made, "configmaps") - {"kube-root-ca.crt"} == kept
        words = [sys.executable, "-m", "cloudwright.cli.main", "build", str(stub)]
        built = subprocess.run(
            [*words, "-t", "stub:1.0.0"],
            capture_output=True,
            text=True,
            check=False,
            env=made.environment(),
        )
        refused(built, "no space left on device", "make room")
        assert made.run("images").stdout.count("stub") == 0
        assert not [entry for entry in made.paths.images.rglob("*.tmp") if entry.is_file()]
        (disk / "ballast").unlink()
        made.apply({**document, "metadata": {"name": "after"}})
        assert names(made, "configmaps") - {"kube-root-ca.crt"} == {*kept, "after"}
        assert made.daemon == pid


def test_up_on_a_full_disk_says_so_and_leaves_nothing() -> None:
    with small_disk(1) as disk, machine(f"cwt-full-{os.getpid()}", disk / "s") as made:
        fill(disk / "ballast")
        refused(made.run("up", check=False), "o space left on")
        assert made.inventory().empty, made.inventory()
        (disk / "ballast").unlink()
