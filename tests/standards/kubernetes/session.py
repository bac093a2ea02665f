"""A recording of requests to one server: what scenarios talk to."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.peers.cluster import ADMIN, MASTERS, Cluster
from tests.peers.http import Answer, Client, Watch
from tests.standards.kubernetes.compare import normal

ROOT_CA = "kube-root-ca.crt"
AGENT = "differential/1"
HEADERS = ("content-type", "warning", "allow", "retry-after", "location")
JSON = "application/json"
YAML = "application/yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def without_root_ca(body: Any) -> Any:
    """A list, table or list of events without what the platform itself put into the namespace."""
    if not isinstance(body, dict):
        return body
    for field in ("items", "rows"):
        if isinstance(body.get(field), list):
            body = {**body, field: [one for one in body[field] if _name(one) != ROOT_CA]}
    return body


def _name(item: Any) -> str:
    found = item.get("object", item) if isinstance(item, dict) else {}
    if isinstance(found, dict) and found.get("kind") == "Table" and found.get("rows"):
        found = found["rows"][0]["object"]
    metadata = found.get("metadata") if isinstance(found, dict) else None
    return metadata.get("name", "") if isinstance(metadata, dict) else ""


class Session:
    """Requests of one scenario to one server, in a namespace of its own, and their answers."""

    def __init__(self, cluster: Cluster, scenario: str) -> None:
        self.cluster = cluster
        self.scenario = scenario
        self.ns = "d-" + scenario.replace("_", "-")
        self.steps: dict[str, Any] = {}
        self._client = Client(cluster)
        self._others: dict[tuple[str, ...], Client] = {}

    def __enter__(self) -> Session:
        made = self._client.send("POST", "/api/v1/namespaces", {"metadata": {"name": self.ns}})
        assert made.status == 201, (made.status, made.body)
        self._furnish()
        return self

    def _furnish(self) -> None:
        """What a controller manager puts into a namespace: ours has some of it built in, theirs
        is alone. Pods need the account, lists count both.
        """
        self._client.send("POST", self.path("serviceaccounts"), {"metadata": {"name": "default"}})
        if self.cluster.name != "ours":
            self._client.send("POST", self.path("configmaps"), {"metadata": {"name": ROOT_CA}})
        deadline = time.monotonic() + 30
        while self._client.send("GET", self.path("configmaps", ROOT_CA)).status != 200:
            assert time.monotonic() < deadline, f"{ROOT_CA} was not made in {self.ns}"

    def __exit__(self, *_: object) -> None:
        for client in (self._client, *self._others.values()):
            client.close()

    def path(self, plural: str, name: str = "", *, group: str = "") -> str:
        """A path in the scenario's namespace; ``group`` is ``apps/v1``, empty: the core."""
        root = f"/apis/{group}" if group else "/api/v1"
        return f"{root}/namespaces/{self.ns}/{plural}{'/' if name else ''}{name}"

    def client(self, user: str = ADMIN, groups: Sequence[str] = (MASTERS,)) -> Client:
        """A connection as ``user``."""
        if user == ADMIN:
            return self._client
        return self._others.setdefault((user, *groups), Client(self.cluster, user, groups))

    def send(
        self,
        step: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        kind: str = "",
        client: Client | None = None,
        only: Callable[[Any], Any] | None = None,
    ) -> Answer:
        """One recorded request; ``kind`` is the content type, ``only`` picks what is compared."""
        sent = {"User-Agent": AGENT, **(headers or {})}
        if kind:
            sent["Content-Type"] = kind
        answer = (client or self._client).send(method, path, body, sent)
        self._record(step, self._comparable(answer, only))
        return answer

    def ask(self, method: str, path: str, body: Any = None, *, kind: str = "") -> Answer:
        """A request that is not compared."""
        sent = {"User-Agent": AGENT}
        if kind:
            sent["Content-Type"] = kind
        return self._client.send(method, path, body, sent)

    def note(self, step: str, value: Any) -> None:
        """Compare a value that the scenario found."""
        self._record(step, {"note": normal(value)})

    def watch(self, path: str, accept: str = JSON) -> Watch:
        """Open a watch; what it saw is compared by ``events``."""
        return self._client.watch(path, {"User-Agent": AGENT, "Accept": accept})

    def events(self, step: str, events: Sequence[Any]) -> None:
        """Compare watch events."""
        kept = [normal(event) for event in without_root_ca({"items": events})["items"]]
        self._record(step, {"events": kept})

    def race(self, work: Sequence[Callable[[Client], Any]]) -> list[Any]:
        """Run each on a thread and connection of its own, at once; their results in order."""
        results: list[Any] = [None] * len(work)
        barrier = threading.Barrier(len(work))

        def one(index: int) -> None:
            with Client(self.cluster) as client:
                client.send("GET", "/version")
                barrier.wait()
                results[index] = work[index](client)

        threads = [threading.Thread(target=one, args=(index,)) for index in range(len(work))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def _comparable(self, answer: Answer, only: Callable[[Any], Any] | None) -> dict[str, Any]:
        body = without_root_ca(answer.json)
        if body is None:
            body = answer.body.decode(errors="replace")
        found = {
            "status": answer.status,
            "headers": {name: answer.headers[name] for name in HEADERS if name in answer.headers},
            "body": body,
        }
        if only is not None:
            # A body of another form than the scenario expects is compared whole.
            with contextlib.suppress(AttributeError, KeyError, TypeError):
                found["body"] = only(body)
        return normal(found)

    def _record(self, step: str, value: Any) -> None:
        assert step not in self.steps, f"{self.scenario} has two steps {step}"
        self.steps[step] = value
