"""A platform in a network namespace of its own, driven through its command line as a person would.

The namespace is entered with ``nsenter --net`` (not ``ip netns exec``, which would also make a
mount namespace
for each command, so that a second daemon could not see what the first one mounted).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cloudwright._base.paths import Paths
from cloudwright.platform import inventory
from cloudwright.platform.lifecycle import daemon_state

ROOT = Path(__file__).parents[1]
SHOP = ROOT / "examples" / "01-shop"
GATEWAY = "http://127.0.0.1:8080"


class Machine:
    """One network namespace, one state directory. ``run`` runs the command line inside."""

    def __init__(self, name: str, state: Path) -> None:
        self.name = name
        self.state = state
        self.paths = Paths.find(state)
        self.inside = ["nsenter", f"--net=/run/netns/{name}", "--"]

    # Running things

    def call(
        self, *words: str, check: bool = True, timeout: float = 120, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Any program inside the namespace."""
        options.setdefault("env", self.environment())
        answer = subprocess.run(
            [*self.inside, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            **options,
        )
        if check and answer.returncode != 0:
            raise AssertionError(
                f"{' '.join(words)} → {answer.returncode}\n{answer.stdout}\n{answer.stderr}"
                f"\n{self.daemon_log(30)}"
            )
        return answer

    def run(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """``cloudwright WORDS``."""
        return self.call(sys.executable, "-m", "cloudwright.cli.main", *words, **options)

    def build(self, *words: str) -> None:
        """``cloudwright build``, outside: dependencies come from a package index."""
        command = [sys.executable, "-m", "cloudwright.cli.main", "build", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=self.environment()
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "CLOUDWRIGHT_STATE_DIR": str(self.state),
            "KUBECONFIG": str(self.paths.kubeconfig),
            "NO_COLOR": "1",
        }

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """A program inside that goes on."""
        options.setdefault("env", self.environment())
        return subprocess.Popen([*self.inside, *words], text=True, **options)

    def curl(self, path: str, *flags: str) -> subprocess.CompletedProcess[str]:
        """A request through the gateway; the status code is the last line."""
        url = path if path.startswith("http") else f"{GATEWAY}{path}"
        return self.call(
            "curl", "-sS", "-m", "10", "-w", "\n%{http_code}", *flags, url, check=False
        )

    def fetch(self, path: str) -> Any:
        """The JSON that the gateway answers with 200."""
        answer = self.curl(path)
        body, _, code = answer.stdout.rpartition("\n")
        assert code == "200", f"{path}: {code} {body} {answer.stderr}\n{self.daemon_log(20)}"
        return json.loads(body)

    def get(self, *words: str) -> Any:
        """``cloudwright get … -o json``."""
        return json.loads(self.run("get", *words, "-o", "json").stdout)

    def apply(self, *documents: dict[str, Any], **options: Any) -> subprocess.CompletedProcess[str]:
        """``cloudwright apply -f -``."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(documents)})
        return self.run("apply", "-f", "-", input=text, **options)

    # Looking and ending

    @property
    def daemon(self) -> int:
        """The daemon's pid."""
        pid = daemon_state(self.paths).pid
        assert pid is not None, "the daemon does not run"
        return pid

    def daemon_log(self, lines: int) -> str:
        """The end of the daemon's log."""
        try:
            return "\n".join(self.paths.daemon_log.read_text().splitlines()[-lines:])
        except OSError:
            return ""

    def inventory(self) -> inventory.Inventory:
        """What the instance has made (asked inside the namespace)."""
        program = (
            "import sys,json,dataclasses;from cloudwright._base.paths import Paths;"
            "from cloudwright.platform.inventory import take;"
            "print(json.dumps(dataclasses.asdict(take(Paths.find(sys.argv[1])))))"
        )
        answer = self.call(sys.executable, "-c", program, str(self.state))
        return inventory.Inventory(**json.loads(answer.stdout))


@contextmanager
def machine(name: str, state: Path) -> Iterator[Machine]:
    """Make the namespace; at the end take the platform down and check that nothing is left."""
    subprocess.run(["ip", "netns", "add", name], check=True)
    made = Machine(name, state)
    try:
        made.call("ip", "link", "set", "lo", "up")
        yield made
    finally:
        ended = made.run("down", "--purge", "--yes", check=False)
        left = made.inventory()
        subprocess.run(["ip", "netns", "del", name], check=False)
        shutil.rmtree(state, ignore_errors=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert left.empty, f"left behind: {left}"


def build_shop(made: Machine, *versions: str) -> None:
    """Build the shop's images into the machine's store; ``versions`` are those of payment."""
    for name in ("inventory", "config-sync", "web"):
        made.build(str(SHOP / name), "-t", f"{name}:1.0.0")
    for version in versions or ("1.12.0",):
        made.build(
            str(SHOP / "payment"),
            "-t",
            f"payment:{version}",
            "--env",
            f"RELEASE={version}",
        )


class Load:
    """``tests/load.py`` running inside a machine; ``finish`` ends it and returns its tally."""

    def __init__(self, made: Machine, path: str, *, rate: int = 200, seconds: float = 120) -> None:
        words = [sys.executable, str(ROOT / "tests" / "load.py"), f"{GATEWAY}{path}"]
        words += ["--rate", str(rate), "--seconds", str(seconds)]
        self._process = made.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "started\n"

    def finish(self) -> dict[str, Any]:
        self._process.terminate()
        out, err = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, err
        return dict(json.loads(out))
