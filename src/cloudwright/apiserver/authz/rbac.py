"""Role-based access control on what the store holds now."""

from __future__ import annotations

from cloudwright.apiserver import encoding
from cloudwright.apiserver.authz.follower import Follower
from cloudwright.apiserver.authz.index import GROUP, Index
from cloudwright.apiserver.authz.rules import PolicyRule
from cloudwright.apiserver.errors import not_found
from cloudwright.apiserver.identity import Attributes, Rights, User, Verdict
from cloudwright.apiserver.store.interface import Record, Store


class RbacAuthorizer:
    """Allows what Roles and ClusterRoles grant through their bindings."""

    def __init__(self, store: Store) -> None:
        self._index = Index()
        self._follower = Follower(store, f"/{GROUP}/", self)

    def reset(self, records: list[Record]) -> None:
        """Start anew with these roles and bindings."""
        self._index.clear()
        for record in records:
            self.changed(record.key, record.value)

    def changed(self, key: str, value: bytes) -> None:
        """A role or binding was written."""
        self._index.put(key, encoding.decode(value))

    def removed(self, key: str) -> None:
        """A role or binding is gone."""
        self._index.drop(key)

    async def authorize(self, user: User, wanted: Attributes) -> Verdict:
        """Whether a rule allows it."""
        await self._follower.fresh()
        return self._index.decide(user, wanted)

    async def rights(self, user: User, namespace: str) -> Rights:
        """The rules that apply."""
        await self._follower.fresh()
        rules, error = self._index.rights(user, namespace)
        return Rights(rules, bool(error), error)

    async def role_rules(self, kind: str, name: str, namespace: str) -> tuple[PolicyRule, ...]:
        """The rules of a role. Raises ``ApiError`` 404."""
        await self._follower.fresh()
        found = self._index.role(kind, name, namespace)
        if found is None:
            raise not_found(GROUP, kind.lower(), name)
        return found
