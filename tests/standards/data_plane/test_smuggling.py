"""The corpus of request smuggling against ours, nginx and haproxy, with a backend that records.

One message of a client never becomes two, what is ambiguous never arrives, and what both peers
refuse is refused by ours.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers.build import Unavailable
from tests.peers.data_plane.haproxy import Haproxy
from tests.peers.data_plane.nginx import Nginx
from tests.peers.data_plane.places import Peer, Task, serving
from tests.peers.pki import Authority
from tests.standards.data_plane.corpus import CASES, FRAMED, Case
from tests.standards.data_plane.recorder import Recorder, key_of, recording
from tests.standards.data_plane.world import WAYS, Way, edge, known_fault

AT_ONCE = 64
QUIET_SECONDS = 1.0
"""After which a proxy that waits for the rest of a message is left."""
PATIENCE_SECONDS = 30.0
KNOWN = {
    "TE b' chunked, chunked' and CL",
    "TE b' ,chunked' and CL",
    "TE b' identity, chunked' and CL",
    "TE b' gzip, chunked' and CL",
    "TE twice",
    "TE identity then chunked",
    "line b'GET <id> HTTP/1.1'",
    "host b'Host: h\\r\\nHost: h\\r\\n'",
    "host b'Host: h\\r\\nHost: evil\\r\\n'",
    "host b'Host: h@evil\\r\\n'",
}
"""Accepted by a gateway on hyper's HTTP/1.1; ``test_known`` fails when one no longer is."""


@dataclass(slots=True)
class Verdict:
    """What became of a case."""

    case: Case
    answer: bytes
    targets: list[str]
    closed: bool

    @property
    def refused(self) -> bool:
        """Nothing arrived."""
        return not self.targets

    def __str__(self) -> str:
        return f"{self.case.name}: {self.answer[:60]!r}, arrived {self.targets}"


def judge(port: int, recorder: Recorder) -> dict[str, Verdict]:
    """Every case on a connection of its own."""

    def one(numbered: tuple[int, Case]) -> Verdict:
        number, case = numbered
        key = key_of(number)
        answer, closed = exchange(port, case.bytes(key), case.expect == "accept")
        targets = [seen.target for seen in recorder.of(key)]
        return Verdict(case, answer, targets, closed)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return {found.case.name: found for found in pool.map(one, enumerate(CASES))}


def exchange(port: int, data: bytes, patient: bool) -> tuple[bytes, bool]:
    """What comes back until the end or until it is quiet; whether it was the end."""
    text = b""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as sock:
        try:
            sock.sendall(data)
            while True:
                sock.settimeout(PATIENCE_SECONDS if patient and not text else QUIET_SECONDS)
                part = sock.recv(65536)
                if not part:
                    return text, True
                text += part
        except TimeoutError:
            return text, False
        except OSError:
            return text, True


@contextmanager
def peer(kind: Peer, directory: Path) -> Iterator[dict[str, Verdict]]:
    """A peer's verdicts."""
    with recording() as recorder:
        authority = Authority(directory / "pki")
        task = Task("h1", "h1", recorder.port, recorder.port, authority, directory)
        with serving(kind, task) as proxy:
            yield judge(proxy.port, recorder)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Verdict]]:
    found = {}
    for kind in (Nginx(), Haproxy()):
        try:
            with peer(kind, tmp_path_factory.mktemp(kind.name)) as verdicts:
                found[kind.name] = verdicts
        except Unavailable as error:
            pytest.skip(str(error))
    return found


@pytest.fixture(scope="module", params=WAYS)
def judged(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Verdict], Recorder]:
    way: Way = request.param
    directory = tmp_path_factory.mktemp("smuggling")
    with recording() as recorder, edge(directory, way, recorder.port) as front:
        return judge(front.port, recorder), recorder


def unknown(lines: list[str]) -> list[str]:
    """Without the known ones."""
    return [line for line in lines if not any(line.startswith(f"{name}: ") for name in KNOWN)]


Judged = tuple[dict[str, Verdict], Recorder]


def test_nothing_that_arrives_is_ambiguous(judged: Judged) -> None:
    _, recorder = judged
    assert not recorder.violations, "\n".join(recorder.violations)


def test_no_message_becomes_two(judged: Judged) -> None:
    verdicts, recorder = judged
    smuggled = [one.raw for one in recorder.requests if one.target.startswith("/smuggled")]
    assert not smuggled, "\n".join(map(repr, smuggled))
    many = [str(v) for v in verdicts.values() if len(v.targets) > v.case.arrive]
    assert not many, "\n".join(many)


def test_what_is_malformed_is_refused(judged: Judged) -> None:
    verdicts, _ = judged
    wrong = [str(v) for v in verdicts.values() if v.case.expect == "refuse" and not v.refused]
    assert not unknown(wrong), "\n".join(wrong)


def test_what_is_refused_ends_the_connection(judged: Judged) -> None:
    """The rest of a message that was not understood is not a request."""
    verdicts, _ = judged
    wrong = [
        str(verdict)
        for verdict in verdicts.values()
        if verdict.case.name in FRAMED and verdict.refused and not verdict.closed and verdict.answer
    ]
    assert not wrong, "\n".join(wrong)


def test_what_is_right_arrives(judged: Judged) -> None:
    verdicts, _ = judged
    wrong = [
        str(verdict)
        for verdict in verdicts.values()
        if verdict.case.expect == "accept"
        and (
            len(verdict.targets) != verdict.case.arrive
            or verdict.answer.count(b"HTTP/1.1 200") != verdict.case.arrive
        )
    ]
    assert not wrong, "\n".join(wrong)


def test_ours_refuses_what_the_peers_refuse(
    judged: Judged, theirs: dict[str, dict[str, Verdict]]
) -> None:
    verdicts, _ = judged
    wrong = [
        f"{verdict} · "
        + ", ".join(f"{name}: {one[key].answer[:20]!r}" for name, one in theirs.items())
        for key, verdict in verdicts.items()
        if not verdict.refused and all(one[key].refused for one in theirs.values())
    ]
    assert not unknown(wrong), "\n".join(wrong)


def test_known(request: pytest.FixtureRequest, judged: Judged) -> None:
    known_fault(request, "hyper's HTTP/1.1 takes them; crates http1 and proxy")
    verdicts, _ = judged
    accepted = [name for name in sorted(KNOWN) if not verdicts[name].refused]
    assert not accepted, "\n".join(accepted)
