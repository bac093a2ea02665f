"""What the face knows of proxying before the first proxied request: which those are."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudwright.apiserver.calls import PROXIED

if TYPE_CHECKING:
    from cloudwright.apiserver.streams.takeover import Upgrade

PATH = re.compile(rf"/+api/v1/(namespaces/[^/]+/)?({'|'.join(PROXIED)})/[^/]+/proxy(?=/|$)")


@dataclass(frozen=True, slots=True)
class ProxyDoor:
    """A proxied request that needs the connection itself; ``carry`` serves it to its end."""

    carry: Callable[[Upgrade], Awaitable[None]]


def is_proxied(path: str) -> bool:
    """Whether what the path names is not ours to answer, nor its body ours to read."""
    return "/proxy" in path and PATH.match(path) is not None
