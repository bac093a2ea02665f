"""Which policies a request meets, with which bindings and parameters, and its CEL variables."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from cloudwright.apiserver import cel
from cloudwright.apiserver.admission import matching
from cloudwright.apiserver.admission.conditions import all_hold
from cloudwright.apiserver.admission.matching import Siblings
from cloudwright.apiserver.admission.namespaces import NamespaceLabels
from cloudwright.apiserver.admission.policies.params import Params, ParamsError
from cloudwright.apiserver.admission.policies.policy import Binding, Policy
from cloudwright.apiserver.admission.request import describe
from cloudwright.apiserver.admission.review import Review
from cloudwright.apiserver.identity import User
from cloudwright.apiserver.shelf import Shelf
from cloudwright.apiserver.store.interface import Store
from cloudwright.model.objects import Object
from cloudwright.model.resources import Resource


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What policies need beside their own objects."""

    namespaces: NamespaceLabels
    siblings: Siblings
    params: Params
    authorize: Callable[[User], cel.Authorize]


@dataclass(frozen=True, slots=True)
class Meeting:
    """A policy that is to be evaluated for a request; ``failure``: it cannot be, and why."""

    policy: Policy
    binding: Binding
    wanted: Resource
    param: Object | None = None
    failure: str = ""


class Dispatcher:
    """Policies and bindings of one kind (``validating`` or ``mutating``)."""

    def __init__(self, store: Store, kind: str, around: Surroundings) -> None:
        base = f"/{matching.REGISTRATION}/{kind}"
        self._policies = Shelf(store, f"{base}admissionpolicies/", Policy)
        self._bindings = Shelf(store, f"{base}admissionpolicybindings/", Binding)
        self._around = around
        self.idle = self._policies.is_empty
        """Whether it is known that there are no policies: the common case, told at no cost."""

    async def meetings(self, review: Review) -> AsyncIterator[Meeting]:
        """Each policy × binding × parameter that is about the request, by names."""
        policies = await self._policies.fresh()
        if not policies or matching.exempt(review):
            return
        bindings = await self._bindings.fresh()
        labels = await self._around.namespaces.of(review.namespace)
        for key in sorted(policies):
            policy = policies[key]
            wanted = policy.constraints.target(review, self._around.siblings)
            if wanted is None or not policy.constraints.selects(review, labels):
                continue
            for name in sorted(bindings):
                binding = bindings[name]
                if binding.policy != policy.name or not self._bound(binding, review, labels):
                    continue
                try:
                    params = await self._around.params.of(policy, binding, review.namespace)
                except ParamsError as error:
                    yield Meeting(policy, binding, wanted, failure=str(error))
                    continue
                for param in params:
                    yield Meeting(policy, binding, wanted, param)

    def _bound(self, binding: Binding, review: Review, labels: matching.Labels | None) -> bool:
        constraints = binding.constraints
        if constraints is None:
            return True
        if not binding.everything and constraints.target(review, self._around.siblings) is None:
            return False
        return constraints.selects(review, labels)

    async def activation(self, meeting: Meeting, review: Review) -> cel.Activation:
        """The variables of the policy's expressions.

        Raises:
            CelError: one of the policy's own variables does not compile.
        """
        return cel.Activation(
            meeting.policy.environment,
            {
                "object": review.obj,
                "oldObject": review.old,
                "request": describe(review, meeting.wanted),
                "namespaceObject": await self._around.namespaces.object(review.namespace),
                "params": meeting.param,
            },
        )

    async def applies(
        self, meeting: Meeting, activation: cel.Activation, authorize: cel.Authorize
    ) -> bool:
        """Whether the policy's ``matchConditions`` hold.

        Raises:
            CelError: they cannot be evaluated.
        """
        return await all_hold(meeting.policy.conditions, activation, authorize)

    def authorize(self, review: Review) -> cel.Authorize:
        """Answers what expressions ask of ``authorizer``."""
        return self._around.authorize(review.user)
