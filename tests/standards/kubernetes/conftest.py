"""The servers of these suites: one real kube-apiserver and one of ours for all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.build import Unavailable, built
from tests.peers.cluster import Cluster
from tests.peers.ours import AS_THEIRS, our_server
from tests.peers.real import real_cluster


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Our server alone, for the differential test."""
    with our_server(tmp_path_factory.mktemp("ours"), flags=AS_THEIRS) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A real kube-apiserver with etcd; skips where they are not built."""
    try:
        with real_cluster(tmp_path_factory.mktemp("real")) as cluster:
            yield cluster
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Our server, for foreign clients.

    ``CLOUDWRIGHT_TEST_AGAINST=real`` puts kube-apiserver there: do the suites tell the truth?
    """
    directory = tmp_path_factory.mktemp("served")
    against = os.environ.get("CLOUDWRIGHT_TEST_AGAINST")
    with real_cluster(directory) if against == "real" else our_server(directory) as cluster:
        yield cluster


def program(name: str) -> Path:
    """A peer's program; skips where it is not built."""
    try:
        return built(name)
    except Unavailable as error:
        pytest.skip(str(error))
