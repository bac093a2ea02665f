"""In which encoding an answer goes out: JSON, YAML or Kubernetes' protobuf (the Accept header).

Everything behind this speaks JSON; what is to go out otherwise is encoded anew here, answers whole
and watches event by event. Kinds of CustomResourceDefinitions, Tables and documents have no
protobuf.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import orjson

from cloudwright.apiserver.errors import ApiError
from cloudwright.apiserver.replies import JSON, StreamReply
from cloudwright.apiserver.representation import form_of
from cloudwright.apiserver.status import failure_reply
from cloudwright.client.transport import Reply, Request
from cloudwright.model import golang
from cloudwright.model.golang import GoError
from cloudwright.model.resources import BUILT_IN

PROTOBUF, YAML = "application/vnd.kubernetes.protobuf", "application/yaml"
Encoding = Literal["json", "yaml", "protobuf"]
_KINDS: dict[str, Encoding] = {JSON: "json", YAML: "yaml", PROTOBUF: "protobuf"}
_ON = ("", "1", "true", "True", "TRUE", "t", "T")
_ANY = ("*/*", "application/*")
_STREAM = f"{PROTOBUF};stream=watch"
_ALL = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
_STREAMS = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
_ONLY = "only the following media types are accepted: "
_REFUSED = _ONLY + _ALL
_FORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The encodings that a client takes, best first; ``json``: whether that is among them."""

    order: tuple[Encoding, ...]

    @property
    def json(self) -> bool:
        """Whether an answer that has only JSON is of use."""
        return "json" in self.order


@lru_cache(maxsize=256)
def wanted(accept: str) -> Wanted:
    """What an Accept header takes."""
    found: list[tuple[float, Encoding]] = []
    for clause in (accept or JSON).split(","):
        media, *parameters = [part.strip() for part in clause.split(";")]
        options = dict(part.split("=", 1) for part in parameters if "=" in part)
        kind = "json" if media in _ANY else _KINDS.get(media.lower())
        if kind is None or not _convertible(kind, options):
            continue
        found.append((_quality(options.get("q", "1")), kind))
    found.sort(key=lambda one: -one[0])
    return Wanted(tuple(dict.fromkeys(kind for quality, kind in found if quality > 0)))


def _convertible(kind: Encoding, options: Mapping[str, str]) -> bool:
    """Whether the form that a clause asks for is served in its encoding."""
    if not options.keys() & {"as", "g", "v"}:
        return True
    known = options.get("as") in _FORMS and options.get("g") == "meta.k8s.io"
    if not known or options.get("v") != "v1":
        return options.get("g") == "apidiscovery.k8s.io"
    return kind != "protobuf" or options["as"] != "Table"


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


def refusal(request: Request, accept: str) -> Reply | None:
    """406, when what the path answers has no encoding that the client takes."""
    path = request.path
    if not accept or not path.startswith(("/api/", "/apis/")) or path.endswith("/log"):
        return None
    order = wanted(accept).order
    if order[:1] == ("json",) and "application/*" not in accept:
        return None
    if _routed(path) and not _matched(accept):
        available = f"{_ALL}, {_STREAMS}" if _collection(path) else _ALL
        message = f"406: Not Acceptable\n\nAvailable representations: {available}"
        return failure_reply(ApiError(406, "NotAcceptable", message, details={}))
    if not order:
        return failure_reply(ApiError(406, "NotAcceptable", _REFUSED))
    if order[0] == "yaml" and any(name == "watch" and on in _ON for name, on in request.query):
        return failure_reply(ApiError(406, "NotAcceptable", _ONLY + _STREAMS))
    return None


def _collection(path: str) -> bool:
    parts = path.strip("/").split("/")
    rest = parts[2 if parts[0] == "api" else 3 :]
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    return len(rest) == 1


def _matched(accept: str) -> bool:
    """Whether upstream's router lets a request through: it knows only the whole wildcard."""
    media = {clause.partition(";")[0].strip() for clause in accept.split(",")}
    return "*/*" in media or not media.isdisjoint(_KINDS)


def _routed(path: str) -> bool:
    """Whether upstream's router serves the path, as it does those of built-in kinds."""
    return path.startswith("/api/") or path.split("/", 3)[2] in _groups()


@lru_cache(maxsize=1)
def _groups() -> frozenset[str]:
    return frozenset(resource.group for resource in BUILT_IN)


def plain(accept: str) -> bool:
    """Whether JSON goes out as it is."""
    return not accept or wanted(accept).order[:1] in ((), ("json",))


def shown(found: Reply | StreamReply, accept: str) -> Reply | StreamReply:
    """An answer in JSON, encoded as the client wants it."""
    if found.headers.get("content-type") != JSON:
        return found
    choice = wanted(accept)
    if isinstance(found, StreamReply):
        return _watch(found, choice, form_of(accept) == "partial")
    for encoding in choice.order:
        if encoding == "json":
            return found
        if encoding == "yaml":
            return replace(
                found, headers={**found.headers, "content-type": YAML}, body=_yaml(found)
            )
        body = _protobuf(found.body)
        if body is not None:
            return replace(found, headers={**found.headers, "content-type": PROTOBUF}, body=body)
    if found.status >= 400:
        return found  # better an error in another form than none
    return failure_reply(ApiError(406, "NotAcceptable", _REFUSED))


def _protobuf(body: bytes) -> bytes | None:
    try:
        return golang.encode(body)
    except GoError:
        return None


def _yaml(found: Reply) -> bytes:
    import yaml

    text: str = yaml.safe_dump(
        orjson.loads(found.body), default_flow_style=False, allow_unicode=True
    )
    return text.encode()


def _watch(found: StreamReply, choice: Wanted, partial: bool) -> StreamReply:
    if choice.order[:1] != ("protobuf",) or found.watch is None:
        return found
    if not partial and not golang.has_type(found.watch.served.resource):
        return found
    headers = {**found.headers, "content-type": _STREAM}
    found.watch.encode_by(_frame)
    return StreamReply(found.status, headers, _frames(found.body), found.watch)


async def _frames(lines: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The events of a watch in frames; each is encoded once for all who see the same."""
    assert isinstance(lines, AsyncGenerator), "watches are generators"
    async with aclosing(lines):
        async for chunk in lines:
            yield b"".join([_frame(line) for line in chunk.splitlines()])


@lru_cache(maxsize=64)
def _frame(line: bytes) -> bytes:
    return golang.encode_event(line)
