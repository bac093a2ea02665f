"""Our API server alone (``python -m cloudwright.apiserver``), on loopback."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.peers.build import ROOT
from tests.peers.cluster import ADMIN, MASTERS, TOKEN_USERS, Cluster
from tests.peers.pki import Authority
from tests.peers.processes import Program, python, running, start
from tests.peers.real import Made, answers

WORDS = ("-m", "cloudwright.apiserver")
AS_THEIRS = ("--enable-admission-plugins=ServiceAccount",)
"""Flags with which ours admits what kube-apiserver admits by default."""


@contextmanager
def our_server(directory: Path, *, flags: Sequence[str] = ()) -> Iterator[Cluster]:
    """A ready server of ours with its state in ``directory``.

    Starting again in the same directory finds the same objects and credentials.

    Raises:
        NotStarted: it did not become ready.
    """
    directory.mkdir(parents=True, exist_ok=True)
    authority = Authority(directory / "pki")
    cluster = Cluster("ours", "", authority, directory, _tokens(directory))

    def make() -> Made:
        words = [python(), *WORDS, "--state-dir", str(directory), "--port", "0", *flags]
        program = Program(words, directory / "apiserver.log")
        return program, lambda: _ready(program, cluster)

    program = start(make)
    cluster.programs["apiserver"] = program
    with running(program):
        yield cluster


def _ready(program: Program, cluster: Cluster) -> bool:
    url = served_url(program.log)
    if url is None:
        return False
    cluster.url = url
    return answers(f"{url}/readyz", cluster.context(ADMIN, (MASTERS,)))


def served_url(log: Path) -> str | None:
    """The address that the server logged."""
    for line in log.read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and str(entry.get("url", "")).startswith("https://"):
            return str(entry["url"])
    return None


def _tokens(directory: Path) -> dict[str, str]:
    file = directory / "tokens-of-the-test.json"
    if file.exists():
        return dict(json.loads(file.read_text()))
    tokens = {}
    for user, groups in TOKEN_USERS.items():
        words = [python(), *WORDS, "--state-dir", str(directory), "--issue-token", user]
        for group in groups:
            words += ["--group", group]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        tokens[user] = done.stdout.strip()
    file.touch(0o600)
    file.write_text(json.dumps(tokens))
    return tokens
