"""Differences from kube-apiserver that are accepted, each with its reason.

An entry matches ``scenario/step:path`` (shell-style wildcards). One that matches nothing any more
fails the test as an unlisted difference does: the table tells the truth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate

from tests.standards.kubernetes.compare import Difference


@dataclass(frozen=True, slots=True)
class Accepted:
    """Differences whose key matches ``pattern``."""

    pattern: str
    reason: str

    def covers(self, difference: Difference) -> bool:
        """Whether it is one of these."""
        return re.match(translate(self.pattern.replace("[", "[[]")), difference.key) is not None


ACCEPTED: tuple[Accepted, ...] = ()


def split(found: Iterable[Difference]) -> tuple[set[Accepted], list[Difference]]:
    """The entries that occurred, and the differences that no entry covers."""
    used: set[Accepted] = set()
    refused = []
    for difference in found:
        entry = next((entry for entry in ACCEPTED if entry.covers(difference)), None)
        if entry is None:
            refused.append(difference)
        else:
            used.add(entry)
    return used, refused
