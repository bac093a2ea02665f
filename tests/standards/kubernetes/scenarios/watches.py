"""Watch event sequences."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

from tests.standards.kubernetes.scenarios import scenario
from tests.standards.kubernetes.scenarios.lists import PARTIAL, TABLE
from tests.standards.kubernetes.session import MERGE, Session


def last(name: str, kind: str = "DELETED") -> Any:
    """Whether an event is the last one expected."""
    return lambda e: e["type"] == kind and e["object"].get("metadata", {}).get("name") == name


def churn(s: Session) -> None:
    path = s.path("configmaps")
    for name in ("a", "b"):
        s.ask("POST", path, {"metadata": {"name": name, "labels": {"in": "yes"}}})
    s.ask("PATCH", f"{path}/a", {"data": {"x": "1"}}, kind=MERGE)
    s.ask("PATCH", f"{path}/a", {"data": {"x": "1"}}, kind=MERGE)
    s.ask("PATCH", f"{path}/b", {"metadata": {"labels": {"in": "no"}}}, kind=MERGE)
    s.ask("PATCH", f"{path}/b", {"data": {"x": "2"}}, kind=MERGE)
    s.ask("PATCH", f"{path}/b", {"metadata": {"labels": {"in": "yes"}}}, kind=MERGE)
    s.ask("DELETE", f"{path}/a")
    s.ask("DELETE", f"{path}/b")
    s.ask("POST", path, {"metadata": {"name": "end", "labels": {"in": "yes"}}})
    s.ask("DELETE", f"{path}/end")


def watches(s: Session, urls: dict[str, str], accepts: dict[str, str] | None = None) -> None:
    """Open all at once, so that their timeouts overlap, then compare each."""
    with ExitStack() as stack:
        opened = {
            step: stack.enter_context(s.watch(url, (accepts or {}).get(step, "application/json")))
            for step, url in urls.items()
        }
        for step, watch in opened.items():
            s.note(f"{step}-status", watch.status)
            if watch.status == 200:
                s.events(step, list(watch.rest_of_it()))
            else:
                s.note(step, failure(watch.rest))


def failure(body: bytes) -> Any:
    """A refused watch's body: a Status, or the text of a 406."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()


@scenario("store")
def watch_events(s: Session) -> None:
    path = s.path("configmaps")
    start = s.ask("GET", path).json["metadata"]["resourceVersion"]
    churn(s)
    from_start = f"?watch=1&resourceVersion={start}"
    for step, query in {
        "all": "",
        "label": "&labelSelector=in%3Dyes",
        "not": "&labelSelector=in!%3Dyes,in",
        "name": "&fieldSelector=metadata.name%3Dend",
    }.items():
        with s.watch(f"{path}{from_start}{query}&timeoutSeconds=3") as watch:
            end = last("b", "DELETED") if step == "not" else last("end")
            s.events(step, watch.until(end))
    with s.watch(f"{path}/b{from_start}&timeoutSeconds=2") as watch:
        s.events("one-by-path", watch.until(last("b")))


@scenario("store")
def watch_starts(s: Session) -> None:
    path = s.path("configmaps")
    for name in ("a", "b"):
        s.ask("POST", path, {"metadata": {"name": name}})
    queries = {
        "plain": "",
        "zero": "&resourceVersion=0",
        "initial": "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        "&allowWatchBookmarks=true",
        "initial-quiet": "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        "initial-no": "&sendInitialEvents=false&resourceVersionMatch=NotOlderThan",
        "initial-unmatched": "&sendInitialEvents=true",
        "initial-exact": "&sendInitialEvents=true&resourceVersionMatch=Exact",
        "match-only": "&resourceVersionMatch=NotOlderThan&resourceVersion=0",
        "text": "&resourceVersion=abc",
        "limit": "&limit=1",
        "old": "&resourceVersion=1",
    }
    urls = {step: f"{path}?watch=1&timeoutSeconds=2{query}" for step, query in queries.items()}
    for value in ("true", "1", "false", "yes", ""):
        urls[f"watch={value}"] = f"{path}?watch={value}&timeoutSeconds=2&limit=1"
    watches(s, urls)
    s.send("timeout-text", "GET", f"{path}?watch=1&timeoutSeconds=abc")


@scenario("face")
def watch_forms(s: Session) -> None:
    path = s.path("configmaps")
    s.ask("POST", path, {"metadata": {"name": "a", "labels": {"x": "y"}}, "data": {"k": "v"}})
    accepts = {
        "table": TABLE,
        "partial": PARTIAL,
        "stream": "application/json;stream=watch",
        "yaml": "application/yaml",
        "html": "text/html",
    }
    url = f"{path}?watch=1&timeoutSeconds=2&resourceVersion=0"
    urls = dict.fromkeys(accepts, url)
    old = f"/api/v1/watch/namespaces/{s.ns}/configmaps"
    urls["old-path"] = f"{old}?timeoutSeconds=2&resourceVersion=0"
    urls["old-path-one"] = f"{old}/a?timeoutSeconds=2&resourceVersion=0"
    watches(s, urls, accepts)


@scenario("store")
def watch_write_order(s: Session) -> None:
    """Concurrent writers: a watch sees each write once, in the order of versions."""
    path = s.path("configmaps")
    start = s.ask("GET", path).json["metadata"]["resourceVersion"]
    with s.watch(f"{path}?watch=1&resourceVersion={start}&timeoutSeconds=60") as watch:
        s.race(
            [
                lambda client, n=n: [
                    client.send("POST", path, {"metadata": {"name": f"w{n}-{i}"}}) for i in range(5)
                ]
                for n in range(4)
            ]
        )
        s.ask("POST", path, {"metadata": {"name": "end"}})
        found = watch.until(last("end", "ADDED"))
    s.note("names", sorted(e["object"]["metadata"]["name"] for e in found))
    order = [int(e["object"]["metadata"]["resourceVersion"]) for e in found]
    s.note("in-order", order == sorted(set(order)))
