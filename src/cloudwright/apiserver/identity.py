"""Who asks, and the seam to whoever decides what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cloudwright.model.resources import Resource

ADMINISTRATORS = "system:masters"
"""Members of this group may do everything."""


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user (``authentication.k8s.io/v1 UserInfo``)."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may go on; ``reason`` is shown to the user when it may not."""

    allowed: bool
    reason: str = ""


class Authorizer(Protocol):
    """Decides about one request. Denies what no rule allows."""

    async def allowed(
        self,
        user: User,
        verb: str,
        resource: Resource,
        namespace: str,
        name: str,
        subresource: str,
    ) -> Verdict:
        """``verb`` is of ``get list watch create update patch delete deletecollection``;
        ``namespace``, ``name`` and ``subresource`` may be empty.
        """


class AdministratorsOnly:
    """Allows members of ``system:masters`` and nobody else: the default, and the one for tests."""

    async def allowed(
        self,
        user: User,
        verb: str,
        resource: Resource,
        namespace: str,
        name: str,
        subresource: str,
    ) -> Verdict:
        """Yes to administrators."""
        if ADMINISTRATORS in user.groups:
            return Verdict(True)
        return Verdict(False, f"only members of {ADMINISTRATORS} may do this")
