"""The parameters that a binding refers to."""

from __future__ import annotations

from cloudwright.apiserver import encoding
from cloudwright.apiserver.admission.matching import labels_of
from cloudwright.apiserver.admission.policies.policy import Binding, Policy
from cloudwright.apiserver.registry import Registry, Served
from cloudwright.apiserver.store.interface import Store
from cloudwright.model.objects import Object


class ParamsError(Exception):
    """The parameters of a binding cannot be had; says why."""


class Params:
    """Finds parameters in the store."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    async def of(self, policy: Policy, binding: Binding, namespace: str) -> list[Object | None]:
        """The parameters to evaluate the policy with, one after the other.

        Raises:
            ParamsError: the kind is not served, or nothing is found and that is an error.
        """
        kind, reference = policy.param_kind, binding.param
        if kind is None or reference is None:
            return [None]
        served = self._served(str(kind.get("apiVersion")), str(kind.get("kind")))
        if served is None:
            raise ParamsError(
                f"failed to configure binding: paramKind kind `{kind.get('apiVersion')}, "
                f"Kind={kind.get('kind')}` not known"
            )
        where = ""
        if served.resource.namespaced:
            where = str(reference.get("namespace") or namespace)
            if not where:
                raise ParamsError(
                    "failed to configure binding: cannot use namespaced paramRef in policy "
                    "binding that matches cluster-scoped resources"
                )
        elif reference.get("namespace"):
            raise ParamsError(
                "failed to configure binding: paramRef.namespace must not be provided for a "
                "cluster-scoped `paramKind`"
            )
        found = await self._find(served, where, binding)
        if not found:
            if reference.get("parameterNotFoundAction") == "Allow":
                return []
            raise ParamsError(
                "failed to configure binding: no params found for policy binding with `Deny` "
                "parameterNotFoundAction"
            )
        return found

    async def _find(self, served: Served, where: str, binding: Binding) -> list[Object | None]:
        name = str((binding.param or {}).get("name") or "")
        if name:
            record = await self._store.get(served.key(where, name))
            return [] if record is None else [encoding.shown(served, record.value)]
        page = await self._store.page(served.prefix(where))
        objects = [encoding.shown(served, record.value) for record in page.records]
        chosen = binding.param_selector
        return [one for one in objects if chosen is None or chosen.matches(labels_of(one))]

    def _served(self, api_version: str, kind: str) -> Served | None:
        for served in self._registry.all():
            if served.resource.api_version == api_version and served.resource.kind == kind:
                return served
        return None
