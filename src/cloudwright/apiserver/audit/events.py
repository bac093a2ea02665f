"""Audit events: what is said of a request at one of its stages. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import orjson

from cloudwright.apiserver.audit.policy import (
    COMPLETE,
    PANIC,
    REQUEST,
    RESPONSE,
    STARTED,
    About,
    Decision,
)
from cloudwright.apiserver.identity import User
from cloudwright.apiserver.reviews import user_info

API_VERSION = "audit.k8s.io/v1"


@dataclass(slots=True)
class Story:
    """Everything that is known of one request."""

    audit_id: str
    decision: Decision
    about: About
    user: User | None
    uri: str
    received: str
    agent: str = ""
    sources: tuple[str, ...] = ()
    version: str = ""
    """Of the resource's group."""
    impersonated: User | None = None
    body: bytes = b""
    annotations: dict[str, str] = field(default_factory=dict)


def event(
    story: Story, stage: str, now: str, code: int = 0, answer: bytes | None = None
) -> dict[str, Any]:
    """The event of a stage; ``code`` and ``answer`` are the response's, from ``STARTED`` on."""
    level, about = story.decision.level, story.about
    found: dict[str, Any] = {
        "kind": "Event",
        "apiVersion": API_VERSION,
        "level": level,
        "auditID": story.audit_id,
        "stage": stage,
        "requestURI": story.uri,
        "verb": about.verb,
        "user": {} if story.user is None else user_info(story.user),
    }
    if story.impersonated is not None:
        found["impersonatedUser"] = user_info(story.impersonated)
    found["sourceIPs"] = list(story.sources)
    if story.agent:
        found["userAgent"] = story.agent
    if about.resource:
        found["objectRef"] = _reference(story)
    if stage in (STARTED, COMPLETE, PANIC):
        found["responseStatus"] = _status(code, answer)
        if level in (REQUEST, RESPONSE) and story.body:
            found["requestObject"] = _object(story.body, story.decision)
        if level == RESPONSE and stage == COMPLETE and answer:
            found["responseObject"] = _object(answer, story.decision)
    found["requestReceivedTimestamp"] = story.received
    found["stageTimestamp"] = now
    if story.annotations:
        found["annotations"] = dict(story.annotations)
    return found


def _reference(story: Story) -> dict[str, str]:
    about = story.about
    pairs = {
        "resource": about.plural,
        "namespace": about.namespace,
        "name": about.name,
        "apiGroup": about.group,
        "apiVersion": story.version,
        "subresource": about.subresource,
    }
    return {key: value for key, value in pairs.items() if value}


def _status(code: int, answer: bytes | None) -> dict[str, Any]:
    found: dict[str, Any] = {"metadata": {}, "code": code}
    if code >= 400 and answer:
        said = _json(answer)
        if isinstance(said, dict) and said.get("kind") == "Status":
            kept = ("status", "message", "reason", "details")
            found.update({key: said[key] for key in kept if said.get(key)})
    return found


def _object(data: bytes, decision: Decision) -> Any:
    found = _json(data)
    if decision.omit_managed_fields and isinstance(found, dict):
        for obj in (found, *(found.get("items") or ())):
            metadata = obj.get("metadata") if isinstance(obj, dict) else None
            if isinstance(metadata, dict):
                metadata.pop("managedFields", None)
    return found


def _json(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        # YAML, or no object at all: kept as the text it is.
        return {"value": data.decode("utf-8", "replace")}


def uri_of(path: str, query: Iterable[tuple[str, str]]) -> str:
    """Path and query as they came."""
    pairs = list(query)
    return f"{path}?{urlencode(pairs)}" if pairs else path
