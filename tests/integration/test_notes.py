"""examples/02-notes on a real machine: state that outlives pods, jobs that end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.machine import ROOT, Machine, machine

pytestmark = [pytest.mark.root, pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(600)]
NOTES = ROOT / "examples" / "02-notes"
MAIN = "/app/main.py"


@pytest.fixture(scope="module")
def notes() -> Iterator[Machine]:
    state = Path(f"/tmp/cwt-notes-{os.getpid()}")
    with machine(f"cwt-notes-{os.getpid()}", state) as made:
        made.build(str(NOTES / "notes"), "-t", "notes:1.0.0")
        made.run("up")
        made.run("apply", "-f", str(NOTES / "notes.yaml"))
        yield made


def notes_of(made: Machine, pod: str) -> Any:
    """The notes of a pod, read inside of it."""
    return json.loads(made.run("exec", pod, "--", "python3", MAIN, "list").stdout)


def test_the_job_completes(notes: Machine) -> None:
    notes.run("wait", "job/greet", "--for=condition=Complete", "--timeout=120s")
    job = notes.get("job", "greet")
    assert job["status"]["succeeded"] == 3


def test_notes_outlive_their_pod(notes: Machine) -> None:
    notes.run("rollout", "status", "sts/notes", "--timeout=120s")
    notes.run("exec", "notes-0", "--", "python3", MAIN, "add", "milk")
    assert notes_of(notes, "notes-0") == ["milk"]
    before = notes.get("pod", "notes-0")["metadata"]["uid"]
    notes.run("delete", "pod", "notes-0", "--yes")
    notes.run("rollout", "status", "sts/notes", "--timeout=120s")
    after = notes.get("pod", "notes-0")
    assert after["metadata"]["uid"] != before
    assert notes_of(notes, "notes-0") == ["milk"]
    assert notes_of(notes, "notes-1") == []


def test_data_goes_with_its_claim(notes: Machine) -> None:
    notes.run("delete", "sts", "notes", "--yes")
    volumes = notes.state / "volumes"
    assert len(list(volumes.iterdir())) == 2
    notes.run("delete", "pvc", "data-notes-0", "data-notes-1", "--yes")
    notes.run("wait", "pv", "--all", "--for=delete", "--timeout=60s")
    assert list(volumes.iterdir()) == []
