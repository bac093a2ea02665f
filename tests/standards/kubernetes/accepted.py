"""Differences from kube-apiserver that are accepted, each with its reason.

An entry is the key of a difference, ``scenario/step:path``, or the beginning of several when it
ends with ``…``. One that matches nothing any more fails the test as an unlisted difference does:
the table tells the truth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.standards.kubernetes.compare import Difference


@dataclass(frozen=True, slots=True)
class Accepted:
    """The difference with this key, or those whose keys begin with it (``…``)."""

    pattern: str
    reason: str
    sometimes: bool = False
    """It depends on timing whether it occurs."""

    def covers(self, difference: Difference) -> bool:
        """Whether it is one of these."""
        if self.pattern.endswith("…"):
            return difference.key.startswith(self.pattern[:-1])
        return difference.key == self.pattern


def because(reason: str, *patterns: str, sometimes: bool = False) -> tuple[Accepted, ...]:
    """Differences with one reason."""
    return tuple(Accepted(pattern, reason, sometimes) for pattern in patterns)


ACCEPTED: tuple[Accepted, ...] = (
    *because(
        "Deliberate: nesting is bounded lower: no kind needs more than a few hundred levels, "
        "and what reads an object may recurse.",
        "big_bodies/deep-1000:status",
        "big_bodies/deep-list-1000:status",
        "big_bodies/deep-9000:status",
        "big_bodies/deep-list-9000:status",
    ),
    *because(
        "The same document by another YAML writer: quotes and indents differ.",
        "accepts/accept application/yaml:body",
    ),
    *because(
        "Deliberate: a definition is established in the answer to its creation; upstream "
        "needs a moment.",
        "definitions/not-served:body.status.…",
        "definitions/bad-version:body.status.…",
        "definitions/both:body.status.…",
        "definitions/false-additional:body.status.…",
        "definitions/good:body.status.…",
    ),
    *because(
        "Deliberate: a token of a deleted ServiceAccount is refused at once; upstream's cache "
        "believes it for ten seconds.",
        "service_account_tokens/review-deleted:body.status.…",
        sometimes=True,
    ),
    *because(
        "Deliberate: aggregated ClusterRoles have their rules from the start; upstream's come "
        "from a controller manager, which the test does not run.",
        "cluster_roles/admin:body.rules",
        "cluster_roles/admin:body.metadata.managedFields…",
        "cluster_roles/edit:body.rules",
        "cluster_roles/edit:body.metadata.managedFields…",
        "cluster_roles/view:body.rules",
        "cluster_roles/view:body.metadata.managedFields…",
    ),
    *because(
        "The taint of a new node is put on by TaintNodesByCondition, which a server alone has "
        "switched off.",
        "cluster_kinds/nodes:body.spec.taints",
    ),
    *because(
        "Deliberate: a watch on the path of one object watches it; upstream ignores the "
        "parameter there.",
        "watch_events/one-by-path:events.length",
    ),
    *because(
        "Deliberate: a watch that ends says by a bookmark how far it came; upstream only has "
        "one when its own timer rings.",
        "watch_starts/initial:events.length",
        sometimes=True,
    ),
    *because(
        "Deliberate: pods have a network of their own, and are never privileged.",
        "invalid_pods/host-port:body.…",
        "invalid_pods/privileged:body.…",
        "invalid_workloads/job-change-template:body.details.causes.length",
    ),
    *because(
        "Gap: where upstream shows a value as its internal Go type, ours shows JSON.",
        "invalid_pods/change-command:body.…",
        "invalid_pods/change-node:body.…",
        "invalid_workloads/strategy:body.…",
        "invalid_workloads/daemon:body.…",
        "invalid_workloads/job-change-template:body.message",
        "invalid_workloads/job-change-template:body.details.causes[0].message",
        "invalid_others/service-twice:body.…",
        "invalid_others/budget-both:body.…",
    ),
    *because(
        "Gap: members of the object that a refused patch makes are shown in another order.",
        "decoding/merge-type:body.…",
        "decoding/json-type:body.…",
        "invalid_workloads/change-text:body.…",
    ),
    *because(
        "Gap: one refusal with fewer causes: the same one, or one that follows from it, is "
        "not told again.",
        "invalid_pods/change-image-empty:body.details.causes.length",
        "invalid_pods/change-labels:body.details.…",
        "invalid_others/hpa-metric:body.details.causes.length",
        "invalid_workloads/expression:body.…",
        "invalid_workloads/job-selector:body.…",
    ),
    *because(
        "Gap: the numbers and load balancers of a status are checked less.",
        "subresources/status-bad:status",
        "subresources/status-merge:body.…",
        "subresources/status-negative:status",
        "dry_runs/status:status",
    ),
    *because(
        "Gap: labels that a Job gets from its template are nobody's.",
        "invalid_workloads/job-indexed:body.metadata.managedFields…",
        "invalid_workloads/job-change-suspend:body.metadata.managedFields…",
    ),
    *because(
        "Gap: lists and times that Go would write as null are left out or empty.",
        "defaults/horizontalpodautoscalers:body.status.currentMetrics",
        "defaults/horizontalpodautoscalers-get:body.status.currentMetrics",
        "defaults/events:body.firstTimestamp",
        "defaults/events:body.lastTimestamp",
        "defaults/events:body.eventTime",
        "defaults/events-get:body.firstTimestamp",
        "defaults/events-get:body.lastTimestamp",
        "defaults/events-get:body.eventTime",
        "cluster_kinds/csinodes:body.spec.drivers",
        "cluster_kinds/csinodes-delete:body.spec.drivers",
    ),
    *because(
        "The generation of the template is an annotation in every form of the object, tables too.",
        "tables/daemonsets:body.rows[0].object.metadata.annotations",
    ),
    *because(
        "Gap: no hint which address a network of clients should use; no client asks.",
        "discovery/api:body.serverAddressByClientCIDRs.length",
    ),
    *because(
        "The index of OpenAPI v3 is JSON, and says so.",
        "roles/allowed /openapi/v3:headers.content-type",
    ),
    *because(
        "Gap: definitions come from the published document, which has neither defaults of "
        "zero nor enumerations, and lacks two that only discovery uses.",
        "openapi/missing:note.length",
        "openapi/io.k8s.api.core.v1.ConfigMap:note.…",
        "openapi/io.k8s.api.core.v1.ServicePort:note.…",
    ),
)


def split(found: Iterable[Difference]) -> tuple[set[Accepted], list[Difference]]:
    """The entries that occurred, and the differences that no entry covers."""
    used: set[Accepted] = set()
    refused = []
    for difference in found:
        entry = next((entry for entry in ACCEPTED if entry.covers(difference)), None)
        if entry is None:
            refused.append(difference)
        else:
            used.add(entry)
    return used, refused


def stale(used: Iterable[Accepted]) -> list[str]:
    """Entries that should have occurred, but did not, once every scenario was played."""
    occurred = set(used)
    return [one.pattern for one in ACCEPTED if one not in occurred and not one.sometimes]
