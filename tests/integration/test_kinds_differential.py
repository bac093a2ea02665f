"""The corpus of objects on a real kube-apiserver and on ours: statuses, bodies and tables agree.

Each difference that is accepted is listed with its reason; one that does not occur any more fails
too. Skipped where kube-apiserver is not built (``scripts/peers``).
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import kinds_corpus, kinds_corpus_pods
from tests.integration.kinds_corpus import NAMESPACE
from tests.peers.build import Unavailable, built
from tests.peers.cluster import ADMIN, Cluster
from tests.peers.ours import our_server
from tests.peers.real import real_cluster

pytestmark = [pytest.mark.foreign, pytest.mark.slow]
MERGE, TABLE = "application/merge-patch+json", "application/json;as=Table;g=meta.k8s.io;v=v1"
_DUMP = "upstream shows the value as its internal Go type has it"
_DIFF = "upstream adds a diff of its internal Go types"
ACCEPTED = {
    "sts-bad create": _DUMP,
    "job patch2": _DUMP,
    "pdb-bad create": _DUMP,
    "pvc patch0": _DIFF,
    "pvc patch1": _DIFF,
    "pod patch1": _DIFF,
    "hpa-bad-metric create": "upstream tells one cause twice",
    "ev-new-bad create": "upstream leaves the group out of the message",
    "vac create": "no finalizer: nobody here uses the class, so nobody protects it",
    "rev patch1": "upstream compares the bytes of data, not what they say",
}
CASES = [*kinds_corpus.CASES, *kinds_corpus_pods.CASES]
UNSTABLE = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "lastTransitionTime")
# Alone, our server gives pods no account: none of the controllers that make it is there.
ACCOUNT = (("serviceAccount", "default"), ("serviceAccountName", "default"))
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ADDRESS = re.compile(r"10\.9[69]\.\d+\.\d+")
MOMENT = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")
AGE = re.compile(r"\d+(s|m\d*s?)")


class Server:
    """One API server, and what it answered."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._connection = http.client.HTTPSConnection(
            cluster.host.removeprefix("https://"), cluster.port, context=cluster.context()
        )
        self.answers: dict[str, tuple[int, Any]] = {}
        self.tables: dict[str, Any] = {}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["authorization"] = f"Bearer {self._cluster.tokens[ADMIN]}"
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, named)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")

    def play(self) -> None:
        """Every case, in order, and then every table."""
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        account = {"metadata": {"name": "default"}}
        self.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account)
        for name, path, body, changes in CASES:
            made = self.ask("POST", path, body, content_type="application/json")
            self.answers[f"{name} create"] = made
            for index, change in enumerate(changes):
                found = self.ask("PATCH", f"{path}/{name}", change, content_type=MERGE)
                self.answers[f"{name} patch{index}"] = found
        for path in dict.fromkeys(case[1] for case in CASES):
            self.tables[path] = self.ask("GET", path, accept=TABLE)[1]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    try:
        built("kube-apiserver")
        built("etcd")
    except Unavailable as missing:
        pytest.skip(str(missing))
    directory: Path = tmp_path_factory.mktemp("kinds")
    with real_cluster(directory / "real") as real, our_server(directory / "ours") as ours:
        both = Server(ours), Server(real)
        for server in both:
            server.play()
        yield both


def normal(value: Any) -> Any:
    """A body without what differs from run to run."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in UNSTABLE and v is not None}
        return {k: normal(v) for k, v in kept.items() if (k, v) not in ACCOUNT}
    if isinstance(value, list):
        return [normal(one) for one in value if not _token_volume(one)]
    if isinstance(value, str):
        return MOMENT.sub("T", ADDRESS.sub("10.96.x.x", UUID.sub("UID", value)))
    return value


def _token_volume(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("name", "")).startswith("kube-api-access-")


def _without_empty_lists(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {k: _without_empty_lists(v) for k, v in value.items()}
        return {k: v for k, v in kept.items() if v != []}
    return [_without_empty_lists(v) for v in value] if isinstance(value, list) else value


# A FlowSchema's condition is its controller's.
NAMES = {case[0] for case in CASES} - {"rev", "fs"}
STEPS = [
    f"{name} {step}"
    for name, _, _, changes in CASES
    for step in ("create", *(f"patch{index}" for index in range(len(changes))))
]


@pytest.mark.parametrize("step", STEPS)
def test_answers_agree(servers: tuple[Server, Server], step: str) -> None:
    ours, theirs = (server.answers[step] for server in servers)
    left, right = (_without_empty_lists(normal(body)) for _, body in (ours, theirs))
    same = (ours[0], left) == (theirs[0], right)
    if step in ACCEPTED:
        assert not same, f"accepted, but does not differ any more: {ACCEPTED[step]}"
        assert ours[0] == theirs[0] or step == "rev patch1"
        return
    assert ours[0] == theirs[0], (left, right)
    assert left == right


def test_tables_agree(servers: tuple[Server, Server]) -> None:
    for path, theirs in servers[1].tables.items():
        ours = servers[0].tables[path]
        assert ours["columnDefinitions"] == theirs["columnDefinitions"], path
        mine, other = _cells(ours), _cells(theirs)
        for name in mine.keys() & other.keys() & NAMES:
            width = len(ours["columnDefinitions"])  # upstream gives an IPAddress one too many
            assert mine[name] == other[name][:width], (path, name)


def _cells(table: Any) -> dict[str, list[Any]]:
    return {
        row["object"]["metadata"]["name"]: [_cell(cell) for cell in row["cells"]]
        for row in table["rows"]
    }


def _cell(cell: Any) -> Any:
    cell = normal(cell)
    return AGE.sub("AGE", cell) if isinstance(cell, str) and AGE.fullmatch(cell) else cell
