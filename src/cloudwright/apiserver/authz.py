"""Who may do what, until full RBAC: administrators everything, viewers reading, nobody else.

Decisions are rules (``rbac.authorization.k8s.io/v1 PolicyRule`` s) so that one table answers both
``allowed`` and ``SelfSubjectRulesReview``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cloudwright.apiserver.identity import ADMINISTRATORS, User, Verdict
from cloudwright.model.resources import Resource

VIEWERS = "cloudwright:viewers"
AUTHENTICATED = "system:authenticated"
READ = ("get", "list", "watch")
DISCOVERY = ("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version")
HEALTH = ("/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*", "/version")
_SECRETS = "secrets"
_REVIEWS = {
    "authorization.k8s.io": ("selfsubjectaccessreviews", "selfsubjectrulesreviews"),
    "authentication.k8s.io": ("selfsubjectreviews",),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A PolicyRule with exceptions: ``*`` matches all; a subresource is ``pods/log``."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    but: tuple[str, ...] = ()
    """``resource`` or ``*/subresource`` that the rule does not cover."""

    def covers(self, verb: str, group: str, resource: str, subresource: str) -> bool:
        """Whether the rule allows ``verb`` on the resource."""
        full = f"{resource}/{subresource}" if subresource else resource
        if full in self.but or resource in self.but or f"*/{subresource}" in self.but:
            return False
        return (
            _in(verb, self.verbs)
            and _in(group, self.groups)
            and (full in self.resources or "*" in self.resources)
        )

    def covers_url(self, verb: str, path: str) -> bool:
        """Whether the rule allows ``verb`` on a path that is no resource."""
        return _in(verb, self.verbs) and any(
            path == url or (url.endswith("*") and path.startswith(url[:-1])) for url in self.urls
        )


def _in(value: str, allowed: tuple[str, ...]) -> bool:
    return "*" in allowed or value in allowed


ADMIN_RULES = (Rule(("*",), ("*",), ("*",)), Rule(("*",), urls=("*",)))
# Streams into containers are started by GET: reading rights must not open them.
VIEWER_RULES = (
    Rule(
        READ,
        ("*",),
        ("*",),
        but=(_SECRETS, "*/exec", "*/attach", "*/portforward", "*/proxy"),
    ),
    Rule(("get",), urls=("/metrics",)),
)
AUTHENTICATED_RULES = (
    *(Rule(("create",), (group,), names) for group, names in _REVIEWS.items()),
    Rule(("get", "head"), urls=(*DISCOVERY, *HEALTH)),
)
_BY_GROUP = (
    (ADMINISTRATORS, ADMIN_RULES),
    (VIEWERS, VIEWER_RULES),
    (AUTHENTICATED, AUTHENTICATED_RULES),
)


class GroupAuthorizer:
    """Allows what the rules of the user's groups allow; denies the rest."""

    def rules(self, user: User) -> list[Rule]:
        """The rules that apply to ``user``."""
        return [rule for group, rules in _BY_GROUP if group in user.groups for rule in rules]

    def decide(self, user: User, verb: str, group: str, resource: str, subresource: str) -> Verdict:
        """The verdict on names, which need not be served."""
        if any(r.covers(verb, group, resource, subresource) for r in self.rules(user)):
            return Verdict(True)
        return Verdict(False, "")

    async def allowed(
        self,
        user: User,
        verb: str,
        resource: Resource,
        namespace: str,
        name: str,
        subresource: str,
    ) -> Verdict:
        """The verdict on one request."""
        return self.decide(user, verb, resource.group, resource.plural, subresource)

    def allowed_url(self, user: User, verb: str, path: str) -> bool:
        """Whether ``user`` may ``verb`` (lower-case method) a path that is no resource."""
        return any(rule.covers_url(verb, path) for rule in self.rules(user))


def denial(user: str, verb: str, resource: Resource, namespace: str, subresource: str) -> str:
    """The sentence that says who may not do what and where, in Kubernetes' words."""
    full = f"{resource.plural}/{subresource}" if subresource else resource.plural
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    return f'User "{user}" cannot {verb} resource "{full}" in API group "{resource.group}" {where}'


def as_policy(rules: Iterable[Rule]) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """``(resourceRules, nonResourceRules)`` of a ``SubjectRulesReviewStatus``."""
    resource_rules: list[dict[str, object]] = []
    url_rules: list[dict[str, object]] = []
    for rule in rules:
        if rule.urls:
            url_rules.append({"verbs": list(rule.verbs), "nonResourceURLs": list(rule.urls)})
        else:
            resource_rules.append(
                {
                    "verbs": list(rule.verbs),
                    "apiGroups": list(rule.groups),
                    "resources": list(rule.resources),
                }
            )
    return resource_rules, url_rules
