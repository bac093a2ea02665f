"""Every namespace has a ServiceAccount ``default``."""

from __future__ import annotations

from cloudwright.model.objects import Object, deleting, name_of, namespace_of
from cloudwright.model.resources import NAMESPACE, SERVICE_ACCOUNT
from cloudwright.operator.engines.actions import Create
from cloudwright.operator.manager import DONE, Controller, Result

DEFAULT = "default"


class ServiceAccountController(Controller):
    """Keys are namespaces."""

    name = "serviceaccount-controller"
    concurrency = 1

    def setup(self) -> None:
        """Namespaces, and accounts that somebody may delete."""
        self.namespaces = self.watch(NAMESPACE)
        self.accounts = self.watch(SERVICE_ACCOUNT, lambda account: (namespace_of(account),))

    async def sync(self, key: str) -> Result:
        """Make the account when it is missing."""
        namespace = self.namespaces.get(key)
        if namespace is None or deleting(namespace) or self.accounts.get(f"{key}/{DEFAULT}"):
            return DONE
        account: Object = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": DEFAULT, "namespace": name_of(namespace)},
        }
        await self.api.perform(Create(SERVICE_ACCOUNT, account))
        return DONE
