"""The authorizers in the order they are asked; the first that allows decides."""

from __future__ import annotations

from cloudwright.apiserver.authz.nodes import NodeAuthorizer
from cloudwright.apiserver.authz.rbac import RbacAuthorizer
from cloudwright.apiserver.authz.rules import EVERYTHING, PolicyRule
from cloudwright.apiserver.identity import ADMINISTRATORS, Attributes, Rights, User, Verdict
from cloudwright.apiserver.store.interface import Store

_ALLOWED = Verdict(True)


class ChainAuthorizer:
    """``system:masters`` may do everything; nodes what belongs to them; then RBAC decides."""

    def __init__(self, store: Store) -> None:
        self.rbac = RbacAuthorizer(store)
        self._nodes = NodeAuthorizer(store)

    async def authorize(self, user: User, wanted: Attributes) -> Verdict:
        """The first yes, or every reason for the no."""
        if ADMINISTRATORS in user.groups:
            return _ALLOWED
        reasons = []
        if self._nodes.concerns(user):
            verdict = await self._nodes.authorize(user, wanted)
            if verdict.allowed:
                return verdict
            reasons.append(verdict.reason)
        verdict = await self.rbac.authorize(user, wanted)
        if verdict.allowed or not reasons:
            return verdict
        return Verdict(False, "\n".join(reason for reason in (*reasons, verdict.reason) if reason))

    async def rights(self, user: User, namespace: str) -> Rights:
        """The rules of RBAC; a node has more, which no rule can express."""
        if ADMINISTRATORS in user.groups:
            found = await self.rbac.rights(user, namespace)
            return found if found.rules else Rights(EVERYTHING)
        found = await self.rbac.rights(user, namespace)
        if not self._nodes.concerns(user):
            return found
        error = "node authorizer does not support user rule resolution"
        both = f"[{error}, {found.error}]" if found.error else error
        return Rights(found.rules, True, both)

    async def role_rules(self, kind: str, name: str, namespace: str) -> tuple[PolicyRule, ...]:
        """The rules of a role. Raises ``ApiError`` 404."""
        return await self.rbac.role_rules(kind, name, namespace)
