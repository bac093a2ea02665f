"""h2spec, the whole suite, against the gateway: clear (prior knowledge) and TLS (ALPN)."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.peers.data_plane.upstream import upstream
from tests.peers.pki import Authority
from tests.standards.data_plane.world import WAYS, Way, available, edge

pytestmark = pytest.mark.slow
PATIENCE_SECONDS = "4"
CASES = 140
"""Version 2.2.1 has 147; fewer than this means that the suite did not run."""
PREFACE = "http2/3.5: Sends invalid connection preface"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_every_case_passes(tmp_path: Path, way: Way, tls: bool) -> None:
    total, failed = run(tmp_path, way, tls)
    assert total >= CASES
    assert not [one for one in failed if not one.startswith(PREFACE)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_an_invalid_preface_ends_the_connection(
    request: pytest.FixtureRequest, tmp_path: Path, way: Way, tls: bool
) -> None:
    if way == "mesh":
        reason = "an answer of HTTP/1.1 to what is no HTTP: close, or GOAWAY after ALPN h2"
        request.applymarker(pytest.mark.xfail(strict=True, reason=reason))
    _, failed = run(tmp_path, way, tls, "http2/3.5")
    assert not failed, "\n".join(failed)


def run(tmp_path: Path, way: Way, tls: bool, *only: str) -> tuple[int, list[str]]:
    """Cases that were run, and those that failed."""
    program = available("h2spec")
    available("upstream")
    authority = Authority(tmp_path / "upstream-pki")
    with (
        upstream(tmp_path / "upstream", authority) as behind,
        edge(tmp_path / "edge", way, behind.clear) as front,
    ):
        report = tmp_path / "report.xml"
        words = [program, "-h", "127.0.0.1", "-p", front.secure if tls else front.port]
        words += ["-o", PATIENCE_SECONDS, "-j", report, *(["-t", "-k"] if tls else [])]
        done = subprocess.run(
            [str(word) for word in (*words, *only)], capture_output=True, text=True, timeout=240
        )
        assert report.is_file(), done.stdout[-2000:] + done.stderr
        return read(report)


def read(report: Path) -> tuple[int, list[str]]:
    """The number of cases, and those that failed with what was expected and what came."""
    cases = list(ET.parse(report).iter("testcase"))
    failed = []
    for case in cases:
        for kind in ("failure", "error"):
            if (problem := case.find(kind)) is not None:
                said = " ".join((problem.text or "").split())
                failed.append(f"{case.get('package')}: {case.get('classname')}: {said}")
    return len(cases), failed
