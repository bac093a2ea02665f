"""Settings: which one wins, what is refused; and what is found on a machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cloudwright._base.errors import UsageError
from cloudwright._base.paths import Paths
from cloudwright._base.sockets import holder_of
from cloudwright.platform import inventory, lifecycle, processes
from cloudwright.platform.config import PlatformConfig, address, load
from cloudwright.platform.why import World, why


def test_flag_beats_environment_beats_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.toml"
    PlatformConfig(bridge="file0", node_name="file", log_level="debug").save(file)
    monkeypatch.setenv("CLOUDWRIGHT_NODE_NAME", "environment")
    monkeypatch.setenv("CLOUDWRIGHT_BRIDGE", "environment0")
    config = load(file, {"bridge": "flag0", "node_name": None})
    assert (config.bridge, config.node_name, config.log_level) == ("flag0", "environment", "debug")


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    config = PlatformConfig(api="127.0.0.1:7443", cert_lifetime_seconds=60)
    config.save(tmp_path / "c")
    assert load(tmp_path / "c", {}) == config
    PlatformConfig().save(tmp_path / "c")
    assert (tmp_path / "c").read_text() == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("brigde = 'x'", "did you mean bridge"),
        ("[", "not valid TOML"),
        ("api = 'here'", "api: 'here' is not an address"),
        ("api = '127.0.0.1:99999'", "not an address"),
        ("pod_cidr = '10.244.0.1/24'", "pod_cidr"),
        ("pod_cidr = '10.96.0.0/24'", "overlaps"),
        ("dns_address = '1.1.1.1'", "not in service_cidr"),
        ("cert_lifetime_seconds = 1", "at least 5"),
        ("cert_lifetime_seconds = 'x'", "not a int"),
    ],
)
def test_a_bad_setting_is_said_clearly(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "c"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        load(file, {})
    assert message in f"{caught.value.message} {caught.value.hint} {caught.value.cause}"


def test_an_address_is_a_pair() -> None:
    assert address("127.0.0.1:80", "api") == ("127.0.0.1", 80)


def test_the_holder_of_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert f"(pid {os.getpid()})" in holder_of(port)
    assert holder_of(port) == ""


def test_a_process_is_ended_and_waited_for() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    assert processes.alive(child.pid)
    processes.end(child.pid)
    assert child.wait(5) < 0
    assert not processes.alive(child.pid)
    processes.end(child.pid)


def test_a_stubborn_process_is_killed() -> None:
    program = (
        "import signal,sys; signal.signal(15, signal.SIG_IGN); print(1, flush=True); signal.pause()"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    processes.end(child.pid, grace_seconds=0.1)
    assert child.wait(5) == -9


def test_a_stale_pid_file_is_not_a_running_daemon(tmp_path: Path) -> None:
    paths = Paths.find(tmp_path)
    assert not lifecycle.daemon_state(paths).running
    paths.run.mkdir()
    paths.daemon_pid.write_text(str(os.getpid()))
    assert not lifecycle.daemon_state(paths).running
    paths.daemon_pid.write_text("x")
    assert not lifecycle.daemon_state(paths).running


def test_nothing_is_found_for_an_instance_that_never_ran(tmp_path: Path) -> None:
    found = inventory.take(Paths.find(tmp_path))
    assert not found.processes
    assert not found.namespaces
    assert not found.links
    assert not found.cgroups


def test_why_tells_of_a_roll_back_first() -> None:
    obj = {
        "kind": "MicroService",
        "metadata": {"name": "p", "uid": "1"},
        "spec": {"version": "1.13.0"},
        "status": {
            "phase": "RolledBack",
            "lastGoodVersion": "1.12.0",
            "message": "pod x: readiness probe failed",
            "conditions": [{"type": "RolloutFailed", "status": "True", "message": "late"}],
        },
    }
    causes = why(obj, World())
    assert "1.13.0 did not become ready, 1.12.0 serves" in causes[0].text
    assert "cloudwright rollback p" in causes[0].hint
    assert any("RolloutFailed" in cause.text for cause in causes)
