"""Who asks, what he wants to do, and the seam to whoever decides whether he may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from cloudwright.apiserver.authz.rules import PolicyRule

ADMINISTRATORS = "system:masters"
"""Members of this group may do everything."""
AUTHENTICATED = "system:authenticated"
"""The group of everybody whose credentials were good."""

Extra = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user (``authentication.k8s.io/v1 UserInfo``)."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Extra = ()
    """``(key, values)`` pairs, sorted: what else the authenticator knows."""


def with_authenticated(groups: tuple[str, ...]) -> tuple[str, ...]:
    """The groups of somebody whose credentials were good."""
    return groups if AUTHENTICATED in groups else (*groups, AUTHENTICATED)


class Attributes(NamedTuple):
    """What is wanted: a verb on a resource, or on a ``path`` that is none.

    Verbs of resources: ``get list watch create update patch delete deletecollection`` and special
    ones (``bind``, ``escalate``, ``impersonate`` …); of paths: the method in lower case.
    """

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str | None = None
    field_selector: str = ""

    @property
    def full_resource(self) -> str:
        """``pods`` or ``pods/log``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def denial(self, user: str) -> str:
        """The sentence that says who may not do what and where, in Kubernetes' words."""
        if self.path is not None:
            return f'User "{user}" cannot {self.verb} path "{self.path}"'
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        what = f'resource "{self.full_resource}" in API group "{self.group}"'
        return f'User "{user}" cannot {self.verb} {what} {where}'


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may go on, and why (or why not), as far as somebody said so."""

    allowed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rights:
    """What a user may do in a namespace; ``error`` says what could not be found out."""

    rules: tuple[PolicyRule, ...]
    incomplete: bool = False
    error: str = ""


class Authorizer(Protocol):
    """Decides about one request. Denies what no rule allows."""

    async def authorize(self, user: User, wanted: Attributes) -> Verdict:
        """Whether ``user`` may do that, as of everything that was written before."""

    async def rights(self, user: User, namespace: str) -> Rights:
        """Everything the user may do in a namespace (``""``: in all of them)."""

    async def role_rules(self, kind: str, name: str, namespace: str) -> tuple[PolicyRule, ...]:
        """The rules of a ``Role`` or ``ClusterRole`` that a binding in ``namespace`` names.

        Raises:
            ApiError: 404, there is none.
        """


class AdministratorsOnly:
    """Allows members of ``system:masters`` and nobody else: the default, and the one for tests."""

    async def authorize(self, user: User, wanted: Attributes) -> Verdict:
        """Yes to administrators."""
        del wanted
        if ADMINISTRATORS in user.groups:
            return Verdict(True)
        return Verdict(False, f"only members of {ADMINISTRATORS} may do this")

    async def rights(self, user: User, namespace: str) -> Rights:
        """Everything or nothing."""
        from cloudwright.apiserver.authz.rules import EVERYTHING

        del namespace
        return Rights(EVERYTHING if ADMINISTRATORS in user.groups else ())

    async def role_rules(self, kind: str, name: str, namespace: str) -> tuple[PolicyRule, ...]:
        """No role is known."""
        from cloudwright.apiserver.errors import not_found

        del namespace
        raise not_found("rbac.authorization.k8s.io", kind.lower(), name)
