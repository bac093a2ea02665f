"""Nobody grants what he does not have: the check on writes of roles and bindings.

As kube-apiserver: a role may be written by who holds all of its rules or may ``escalate`` it, a
binding by who holds all rules of the role or may ``bind`` it. Members of ``system:masters`` may
anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cloudwright.apiserver.authz.index import GROUP
from cloudwright.apiserver.authz.rules import (
    EVERYTHING,
    PolicyRule,
    compacted,
    missing,
    quoted,
    rules_of,
)
from cloudwright.apiserver.errors import forbidden
from cloudwright.apiserver.identity import ADMINISTRATORS, Attributes, Authorizer, User
from cloudwright.apiserver.special import Special
from cloudwright.model.objects import Object, name_of

if TYPE_CHECKING:
    from cloudwright.apiserver.calls import Call

_COLLECTED = ("ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation")
_ROLES = ("roles", "clusterroles")


class RoleWrite(Special):
    """A write of a Role, a ClusterRole or a binding."""

    def __init__(self, authorizer: Authorizer, call: Call, new: Object, old: Object | None) -> None:
        self._authorizer = authorizer
        self._call = call
        self._new = new
        self._old = old

    async def permit(self) -> None:
        """Refuse what would grant more than the user has. Raises ``ApiError`` 403."""
        call, user = self._call, self._call.user
        if ADMINISTRATORS in user.groups:
            return
        if self._old is not None and _same(self._new, self._old):
            return
        if call.plural in _ROLES:
            await self._permit_role(user)
        else:
            await self._permit_binding(user)

    async def _permit_role(self, user: User) -> None:
        call = self._call
        wanted = Attributes(
            "escalate", GROUP, call.plural, namespace=call.namespace, name=call.name
        )
        if (await self._authorizer.authorize(user, wanted)).allowed:
            return
        await self._confirm(rules_of(self._new))
        if not (_gathers(self._new) or _gathers(self._old or {})):
            return
        owned = (await self._authorizer.rights(user, call.namespace)).rules
        if missing(owned, EVERYTHING):
            message = "must have cluster-admin privileges to use the aggregationRule"
            raise forbidden(GROUP, call.plural, name_of(self._new), message)

    async def _permit_binding(self, user: User) -> None:
        reference: Mapping[str, Any] = self._new.get("roleRef") or {}
        kind, name = str(reference.get("kind", "")), str(reference.get("name", ""))
        space = self._call.namespace
        if kind in ("Role", "ClusterRole"):
            wanted = Attributes(
                "bind",
                str(reference.get("apiGroup", "")),
                f"{kind.lower()}s",
                namespace=space,
                name=name,
            )
            if (await self._authorizer.authorize(user, wanted)).allowed:
                return
            await self._confirm(await self._authorizer.role_rules(kind, name, space))

    async def _confirm(self, granted: Iterable[PolicyRule]) -> None:
        call, user = self._call, self._call.user
        rights = await self._authorizer.rights(user, call.namespace)
        lacking = missing(rights.rules, granted)
        if not lacking:
            return
        shown = "\n".join(sorted({str(rule) for rule in compacted(lacking)}))
        message = (
            f'user "{user.name}" (groups={quoted(user.groups)}) is attempting to grant RBAC '
            f"permissions not currently held:\n{shown}"
        )
        if rights.error:
            message += f"; resolution errors: [{rights.error}]"
        raise forbidden(GROUP, call.plural, name_of(self._new), message)


def _gathers(role: Object) -> bool:
    return bool((role.get("aggregationRule") or {}).get("clusterRoleSelectors"))


def _same(new: Object, old: Object) -> bool:
    """Whether only what the garbage collector changes was changed."""
    return _bare(new) == _bare(old)


def _bare(obj: Object) -> Object:
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _COLLECTED}
    return {**obj, "metadata": metadata}
