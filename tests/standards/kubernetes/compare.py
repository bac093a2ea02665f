"""Where two recordings of the same requests differ, apart from identities, times and versions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
LOOPBACK = re.compile(r"127\.0\.0\.1:\d+")
TOKEN = re.compile(r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+")
AGE = re.compile(r"^\d+s$")
CERTIFICATE = re.compile(r"X509SHA256=[0-9a-f]{64}")
VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")
SERVICE_IP = re.compile(r"^10\.96\.\d+\.\d+$")
QUOTED = re.compile(r'\\\\*"resourceVersion\\\\*":\\\\*"\d+')
IN_RECORD = re.compile(r"in record \(\d+\)")
IN_PRECONDITION = re.compile(r"in the precondition \(\d+\)")
TOO_LARGE = re.compile(r"resource version: \d+, current: \d+")
OWN_LABEL = "kubernetes.io/metadata.name"
ABSENT = "<absent>"


@dataclass(frozen=True, slots=True)
class Difference:
    """At ``path`` of the answer to ``step`` of ``scenario``."""

    room: str
    scenario: str
    step: str
    path: str
    real: Any
    ours: Any

    @property
    def key(self) -> str:
        """What entries of ``accepted.py`` match: ``scenario/step:path``."""
        return f"{self.scenario}/{self.step}:{self.path}"

    def __str__(self) -> str:
        return f"{self.key}\n      real: {_short(self.real)}\n      ours: {_short(self.ours)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) < 600 else f"{text[:600]}… ({len(text)} characters)"


def normal(value: Any, key: str = "") -> Any:
    """The value without what must differ from server to server."""
    if isinstance(value, dict):
        made = {name: normal(inner, name) for name, inner in value.items()}
        _unname(made, value)
        _sort(made)
        return made
    if isinstance(value, list):
        return [normal(inner, key) for inner in value]
    if isinstance(value, str):
        return _normal_text(value, key)
    if key in ("nodePort", "healthCheckNodePort") and isinstance(value, int) and value > 0:
        return "<port>"
    return value


def _normal_text(value: str, key: str) -> str:
    if key == "resourceVersion" and value.isdigit() and value != "0":
        return "<version>"
    if key == "continue" and value:
        return "<continue>"
    if SERVICE_IP.match(value):
        return "<ip>"
    if key == "cells" and AGE.match(value):
        return "<age>"
    value = UUID.sub("<uid>", value)
    value = TIME.sub("<time>", value)
    value = TOKEN.sub("<token>", value)
    value = CERTIFICATE.sub("X509SHA256=<digest>", value)
    value = QUOTED.sub("resourceVersion: <version>", value)
    value = IN_RECORD.sub("in record (<version>)", value)
    value = IN_PRECONDITION.sub("in the precondition (<version>)", value)
    value = TOO_LARGE.sub("resource version: <version>, current: <version>", value)
    value = VOLUME.sub("kube-api-access-<random>", value)
    return LOOPBACK.sub("<address>", value)


def _unname(made: dict[str, Any], value: dict[str, Any]) -> None:
    """A name that the server generated keeps only what the client asked for."""
    prefix, name = value.get("generateName"), value.get("name")
    if isinstance(prefix, str):
        prefix = prefix[:58]  # as long as a generated name leaves it
    if isinstance(prefix, str) and isinstance(name, str) and name.startswith(prefix):
        made["name"] = f"{prefix}<{len(name) - len(prefix)} characters>"
        labels = made.get("labels")
        if isinstance(labels, dict) and labels.get(OWN_LABEL) == name:
            labels[OWN_LABEL] = made["name"]


def _key(*names: str) -> Callable[[Any], list[str]]:
    """Orders dictionaries by some of their members."""
    return lambda entry: (
        [str(entry.get(name, "")) for name in names] if isinstance(entry, dict) else []
    )


def _sort(made: dict[str, Any]) -> None:
    """Put into order what comes out of Go's maps, or in the order of seconds."""
    if isinstance(made.get("managedFields"), list):
        made["managedFields"].sort(key=_key("manager", "operation", "subresource", "apiVersion"))
    if isinstance(made.get("causes"), list):
        made["causes"].sort(key=_key("field", "reason", "message"))
    message = made.get("message")
    if isinstance(message, str) and message.endswith("]") and " is invalid: [" in message:
        head, _, rest = message.partition(" is invalid: [")
        made["message"] = f"{head} is invalid: [{', '.join(sorted(rest[:-1].split(', ')))}]"


def differences(real: Any, ours: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """``(path, real, ours)`` wherever two normalized values differ, deepest first."""
    if type(real) is not type(ours):
        yield path, real, ours
    elif isinstance(real, dict):
        for name in [*real, *(name for name in ours if name not in real)]:
            yield from differences(real.get(name, ABSENT), ours.get(name, ABSENT), f"{path}.{name}")
    elif isinstance(real, list):
        if len(real) != len(ours):
            yield f"{path}.length", len(real), len(ours)
        for index, (one, other) in enumerate(zip(real, ours, strict=False)):
            yield from differences(one, other, f"{path}[{index}]")
    elif real != ours:
        yield path, real, ours
