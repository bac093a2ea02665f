"""docs/how-to/drive-envoy.md, run as it stands there (on ports that are free)."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.integration.xds_world import envoy_binary

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "drive-envoy.md"
PORTS = ("10000", "9001", "15010")


def free_ports() -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    try:
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


def test_the_page_works_as_it_stands() -> None:
    text = PAGE.read_text()
    for port, free in zip(PORTS, free_ports(), strict=True):
        text = re.sub(rf"\b{port}\b", str(free), text)
    with tempfile.TemporaryDirectory(prefix="cwh") as name:
        folder = Path(name)
        programs = folder / "bin"
        programs.mkdir()
        (programs / "envoy").symlink_to(envoy_binary())
        for file, body in re.findall(r"```yaml\n# (\S+)\n(.*?)```", text, re.DOTALL):
            (folder / file).write_text(body)
        script = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[0]
        path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        process = subprocess.Popen(
            ["sh", "-ec", f"{script}\necho; echo finished"],
            cwd=folder,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        lines: list[str] = []
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                if lines[-1] == "finished":
                    break
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            _, errors = process.communicate()
    assert lines[-1:] == ["finished"], f"{lines}\n{errors}"
    assert "4 resources are good" in lines
    assert "resources:" in lines
