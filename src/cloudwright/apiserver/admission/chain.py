"""Every rule that is on by default, in upstream's order, as one ``Admission``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from cloudwright.apiserver import cel, encoding
from cloudwright.apiserver.admission.matching import Siblings
from cloudwright.apiserver.admission.namespaces import NamespaceLabels
from cloudwright.apiserver.admission.plugins.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from cloudwright.apiserver.admission.plugins.classes import (
    DefaultIngressClass,
    DefaultStorageClass,
    RuntimeClass,
)
from cloudwright.apiserver.admission.plugins.limits import LimitRanger
from cloudwright.apiserver.admission.plugins.node_restriction import NodeRestriction
from cloudwright.apiserver.admission.plugins.nodes import TaintNodesByCondition
from cloudwright.apiserver.admission.plugins.plugin import Plugin
from cloudwright.apiserver.admission.plugins.pod_security import PodSecurity
from cloudwright.apiserver.admission.plugins.priority import Priority
from cloudwright.apiserver.admission.plugins.quotas import ResourceQuotas
from cloudwright.apiserver.admission.plugins.service_accounts import ServiceAccounts
from cloudwright.apiserver.admission.plugins.tolerations import DefaultTolerationSeconds
from cloudwright.apiserver.admission.plugins.volumes import (
    PersistentVolumeClaimResize,
    StorageObjectInUseProtection,
)
from cloudwright.apiserver.admission.policies import dispatch
from cloudwright.apiserver.admission.policies.checks import Expressions
from cloudwright.apiserver.admission.policies.mutating import MutatingPolicies
from cloudwright.apiserver.admission.policies.params import Params
from cloudwright.apiserver.admission.policies.validating import ValidatingPolicies
from cloudwright.apiserver.admission.review import Admission, Review
from cloudwright.apiserver.admission.webhooks import (
    Converter,
    MutatingWebhooks,
    Surroundings,
    ValidatingWebhooks,
)
from cloudwright.apiserver.conversions import Conversions, NeedsConversionError
from cloudwright.apiserver.identity import Attributes, Authorizer, User
from cloudwright.apiserver.registry import Registry
from cloudwright.apiserver.webhooks.backends import Backends, StoredBackends
from cloudwright.apiserver.webhooks.caller import WebhookCaller
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object
from cloudwright.model.resources import Resource

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

_CONVERSION_SECONDS = 30.0
"""How long a conversion webhook may take."""


Idle = Callable[[], bool]
"""Whether a rule has nothing to say at all right now: then it is not called."""
Mutating = tuple[tuple[Idle | None, Callable[[Review], Awaitable[None]]], ...]
Validating = tuple[tuple[Idle | None, Callable[[Review], Awaitable[Sequence[FieldError]]]], ...]


class Chain:
    """Calls the rules that are about a review, and asks the others nothing."""

    def __init__(self, rules: Iterable[Admission]) -> None:
        self._rules = tuple(rules)
        self._relevant: dict[tuple[str, str, str, str], tuple[Mutating, Validating]] = {}

    async def mutate(self, review: Review) -> None:
        """Let each rule change the object, in order."""
        review.untouched = True
        for idle, mutate in self._about(review)[0]:
            if idle is None or not idle():
                review.untouched = False
                await mutate(review)

    async def validate(self, review: Review) -> Sequence[FieldError]:
        """What is wrong, of all rules together."""
        found: list[FieldError] = []
        for idle, validate in self._about(review)[1]:
            if idle is None or not idle():
                found += await validate(review)
        return found

    def _about(self, review: Review) -> tuple[Mutating, Validating]:
        """The rules that may change, and those that may refuse."""
        resource = review.resource
        key = (resource.group, resource.plural, review.operation, review.subresource)
        known = self._relevant.get(key)
        if known is None:
            if len(self._relevant) > 4096:  # subresource names come from requests
                self._relevant.clear()
            about = [
                rule
                for rule in self._rules
                if not isinstance(rule, Plugin) or rule.concerns(review)
            ]
            known = (
                tuple((_idle(rule), rule.mutate) for rule in about if _has(rule, "mutate")),
                tuple((_idle(rule), rule.validate) for rule in about if _has(rule, "validate")),
            )
            self._relevant[key] = known
        return known


def _has(rule: Admission, method: str) -> bool:
    """Whether a rule does anything at this point."""
    if isinstance(rule, Plugin):
        return getattr(type(rule), method) is not getattr(Plugin, method)
    return method in getattr(rule, "phases", ("mutate", "validate"))


def _idle(rule: Admission) -> Idle | None:
    found: Idle | None = getattr(rule, "idle", None)
    return found


def standard(core: ApiCore, authorizer: Authorizer, backends: Backends | None = None) -> Chain:
    """The rules of a cluster, on the store and registry of ``core``.

    ``backends`` finds the pods behind a webhook's Service; by default through the store.
    """
    store, registry = core.store, core.registry
    namespaces = NamespaceLabels(store)
    siblings = _siblings(registry)
    authorize = _authorize(authorizer)
    around = dispatch.Surroundings(namespaces, siblings, Params(store, registry), authorize)
    caller = WebhookCaller(backends or StoredBackends(store, lambda: core.streams))
    core.conversions.post = partial(caller.post, timeout=_CONVERSION_SECONDS)
    hooks = Surroundings(
        caller, namespaces, siblings, _convert(registry, core.conversions), authorize
    )

    def schema_of(resource: Resource) -> dict[str, object] | None:
        served = registry.find(resource.group, resource.version, resource.plural)
        return served.schema if served is not None else None

    return Chain(
        (
            LimitRanger(store),
            *((ServiceAccounts(store),) if core.config.service_accounts else ()),
            NodeRestriction(store),
            *((TaintNodesByCondition(),) if core.config.taint_nodes else ()),
            PodSecurity(namespaces),
            Priority(store),
            DefaultTolerationSeconds(),
            PersistentVolumeClaimResize(store),
            StorageObjectInUseProtection(),
            RuntimeClass(store),
            CertificateApproval(authorizer),
            CertificateSigning(authorizer),
            CertificateSubjectRestriction(),
            DefaultIngressClass(store),
            DefaultStorageClass(store),
            Expressions(),
            MutatingPolicies(store, around, schema_of),
            MutatingWebhooks(store, hooks),
            ValidatingPolicies(store, around),
            ValidatingWebhooks(store, hooks),
            ResourceQuotas(store),
        )
    )


def _siblings(registry: Registry) -> Siblings:
    def of(resource: Resource) -> Iterable[Resource]:
        served = registry.find(resource.group, resource.version, resource.plural)
        if served is None:
            return ()
        return [
            other.resource
            for other in registry.all()
            if other.storage == served.storage and other.resource is not resource
        ]

    return of


def _convert(registry: Registry, conversions: Conversions) -> Converter:
    async def convert(obj: Object, origin: Resource, wanted: Resource) -> Object:
        source = registry.find(origin.group, origin.version, origin.plural)
        target = registry.find(wanted.group, wanted.version, wanted.plural)
        assert source is not None, "the request came for a served version"
        assert target is not None, "siblings are served versions"
        while True:
            try:
                stored = encoding.stored(source, obj)
                if target.view is not None:
                    return target.view.from_storage(stored)
                return {**stored, "apiVersion": wanted.api_version}
            except NeedsConversionError as need:
                await conversions.ask(need)

    return convert


def _authorize(authorizer: Authorizer) -> Callable[[User], cel.Authorize]:
    """Answers questions of CEL's ``authorizer`` with the server's own authorizer."""

    def of(user: User) -> cel.Authorize:
        async def ask(question: cel.Question) -> cel.Decision:
            asked = user
            account = question.get("serviceAccountName")
            if account:
                namespace = question.get("serviceAccountNamespace", "")
                groups = (
                    "system:serviceaccounts",
                    f"system:serviceaccounts:{namespace}",
                    "system:authenticated",
                )
                asked = User(f"system:serviceaccount:{namespace}:{account}", groups)
            wanted = Attributes(
                question.get("verb", ""),
                question.get("group", ""),
                question.get("resource", ""),
                question.get("subresource", ""),
                question.get("namespace", ""),
                question.get("name", ""),
                question.get("path"),
                question.get("fieldSelector", ""),
            )
            verdict = await authorizer.authorize(asked, wanted)
            return cel.Decision(verdict.allowed, verdict.reason)

        return ask

    return of
