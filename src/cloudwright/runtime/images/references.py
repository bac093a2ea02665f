"""Image names: ``[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`` (the grammar of distribution's
``reference``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cloudwright.runtime.images.errors import BadReference

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9-]+)*(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_IMPLIED = ("docker.io/library/", "docker.io/", "localhost/")


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed name; ``tag`` is ``latest`` when neither a tag nor a digest was given."""

    name: str
    tag: str
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


def parse(text: str) -> Reference:
    """The reference that ``text`` names; the implied registries ``docker.io`` and ``localhost`` go.

    Raises:
        BadReference: it does not follow the grammar.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None or len(text) > 512:
        raise BadReference(
            f"{text!r} is not an image name",
            cause="expected [REGISTRY/]REPOSITORY[:TAG], lower case",
            hint="for example payment:1.12.0 or registry.local/shop/payment:1.12.0",
        )
    name = match["name"]
    for prefix in _IMPLIED:
        if name.startswith(prefix):
            name = name.removeprefix(prefix)
            break
    digest = match["digest"] or ""
    return Reference(name, match["tag"] or ("" if digest else "latest"), digest)
