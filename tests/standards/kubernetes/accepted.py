"""Differences from kube-apiserver that are accepted, each with its reason.

An entry matches ``scenario/step:path`` (shell-style wildcards). One that matches nothing any more
fails the test as an unlisted difference does: the table tells the truth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate

from tests.standards.kubernetes.compare import Difference


@dataclass(frozen=True, slots=True)
class Accepted:
    """Differences whose key matches ``pattern``."""

    pattern: str
    reason: str

    def covers(self, difference: Difference) -> bool:
        """Whether it is one of these."""
        return re.match(translate(self.pattern), difference.key) is not None


def because(reason: str, *patterns: str) -> tuple[Accepted, ...]:
    """Differences with one reason."""
    return tuple(Accepted(pattern, reason) for pattern in patterns)


ACCEPTED: tuple[Accepted, ...] = (
    *because(
        "Status and reason agree; the words of a parser or checker differ, and no client "
        "reads them.",
        "bad_bodies/*:body.message",
        "bad_bodies/same-key:body.details*",
        "bad_numbers/port-*:body.message",
        "bad_numbers/target-*:body.message",
        "content_types/*:body.message",
        "big_bodies/deep-*:body",
        "big_bodies/long-url:body",
        "selectors/label *:body.message",
        "selectors/field *:body.message",
        "accepts/accept *:body.message",
        "delete_collection/bad:body.message",
        "delete_collection/namespaces:body.message",
        "field_validation/*:body.message",
        "field_validation/*:headers.warning",
        "watch_forms/html:note.message",
        "json_patch/*:body.message",
        "merge_patch/*:body.message",
        "merge_patch/*:body.details*",
        "managers/unprintable:body.*",
        "delete_finalizers/*:body.message",
        "create_metadata/*:body.message",
        "create_metadata/*:body.details*",
        "paging/bad-token:body.message",
        "tables/bad-include:body.message",
        "validating_policies/no-data:body.*",
        "definitions/*:body.message",
        "definitions/*:body.details*",
        "watch_starts/*:note.message",
    ),
    *because(
        "One refusal with fewer causes: what follows from the first one is not told as well.",
        "delete_finalizers/add-finalizer:body.details*",
        "update_metadata/*:body.details*",
        "custom_objects/*:body.message",
        "custom_objects/*:body.details*",
        "watch_starts/initial-exact:note.details*",
    ),
    *because(
        "Invalid UTF-8 and lone surrogates are refused, not replaced: what is stored is "
        "what was sent.",
        "bad_bodies/utf-8:status",
        "bad_bodies/surrogate:status",
    ),
    *because(
        "A body of nothing but null is no object.",
        "bad_bodies/null:status",
    ),
    *because(
        "Quantities are kept in canonical form at once; upstream keeps odd spellings "
        "until the next write.",
        "bad_numbers/cpu-*:*",
    ),
    *because(
        "Media types are read more generously: the spellings of YAML, parameters, wildcards.",
        "content_types/*:status",
        "accepts/accept application/[*]:status",
        "watch_forms/yaml*:*",
        "tables/partial-of-list:status",
        "tables/wrong-as:status",
    ),
    *because(
        "The same document by another YAML writer: quotes and indents differ.",
        "accepts/accept application/yaml:body",
    ),
    *because(
        "Nesting is bounded lower (no kind needs more than a hundred levels), and bodies earlier.",
        "big_bodies/deep-*:status",
        "big_bodies/near:status",
        "big_bodies/more:status",
    ),
    *because(
        "Names with an escaped slash or a bad escape are unknown names here.",
        "paths/escaped-slash:*",
        "paths/bad-escape:*",
    ),
    *because(
        "Gap: selectable fields: a few more than ours are known upstream.",
        "selectors/pod spec.hostNetwork=false:*",
        "selectors/replicationcontrollers *:status",
        "selectors/jobs:status",
    ),
    *because(
        "Items of built-in lists say their kind, as those of custom resources do: they "
        "are stored encoded and spliced in.",
        "delete_collection/*:body.items*",
        "roles/list-named:body.items*",
        "watch_starts/watch=false:events*",
    ),
    *because(
        "An empty dryRun is no dryRun.",
        "dry_run/empty:status",
    ),
    *because(
        "A member that stands twice: the last one counts here, upstream merges both maps.",
        "field_validation/doubled-warn:body.*",
    ),
    *because(
        "managedFields of an answer that is never stored.",
        "access_reviews/*:body.metadata.managedFields",
        "service_account_tokens/*:body.metadata.managedFields",
    ),
    *because(
        "A certificate's digest is not told in userInfo.extra.",
        "access_reviews/who*:body.status.userInfo.extra",
    ),
    *because(
        "Requests without credentials are refused with 401 outside of health and version, "
        "as with --anonymous-auth=false.",
        "credentials/*:status",
    ),
    *because(
        "A token of a deleted ServiceAccount is refused at once; upstream's cache "
        "believes it for ten seconds.",
        "service_account_tokens/review-deleted:*",
    ),
    *because(
        "Aggregated ClusterRoles have their rules: upstream fills them in by a controller "
        "manager, which the test does not run.",
        "cluster_roles/*:body.*",
    ),
    *because(
        "Which fields of a Service the first manager owns: families are filled in before "
        "ownership is taken, not after.",
        "*f:spec.f:ipFamil*",
    ),
    *because(
        "The same for the selector and labels of a Job.",
        "defaults/jobs*:body.metadata.managedFields*",
    ),
    *because(
        "The generation of the template is an annotation in every form of the object.",
        "tables/daemonsets:body.rows*",
    ),
    *because(
        "Empty lists, times and objects are left out (or empty) instead of null.",
        "tables/none:body.rows*",
        "defaults/horizontalpodautoscalers*:body.status.currentMetrics",
        "defaults/events*:body.*Time*",
        "cluster_kinds/csinodes*:body.spec.drivers",
        "watch_starts/initial:events*",
        "custom_objects/selected:body.metadata.continue",
        "custom_versions/list-beta:body.metadata.continue",
    ),
    *because(
        "Gap: no warning that Endpoints are deprecated; a deprecated version's warning "
        "does not name the successor.",
        "tables/empty:headers.warning",
        "defaults/endpoints*:headers.warning",
        "put_creates/endpoints:headers.warning",
        "custom_versions/*:headers.warning",
    ),
    *because(
        "Each bringing forward of a pod's end is a generation.",
        "delete_pods/shorter:body.metadata.generation",
    ),
    *because(
        "A generation that the client sends for a kind without one is dropped.",
        "create_metadata/system-fields:body.metadata.generation",
    ),
    *because(
        "Gap: sub-resources that are not served (proxy, resize, ephemeralcontainers, "
        "bindings), group pages and hints for address ranges.",
        "discovery/*:*",
        "aggregated_discovery/*:*",
        "openapi/missing:*",
        "custom_versions/hidden:*",
        "roles/allowed /openapi/v3:*",
    ),
    *because(
        "Definitions come from the published document, which has neither defaults of zero "
        "nor enumerations.",
        "openapi/io.k8s.*:*",
    ),
    *because(
        "The taint of a new node is put on by TaintNodesByCondition, which we do not have.",
        "cluster_kinds/nodes:body.spec.taints",
    ),
    *because(
        "Nobody owns the label that the server itself puts on a namespace; a namespace "
        "has a generation.",
        "cluster_kinds/namespaces*:body.metadata.*",
        "namespaces/*:body.metadata.*",
    ),
    *because(
        "Gap: bad combinations of list parameters are 400 here, 422 or 500 upstream.",
        "versions/*:status",
        "watch_starts/text*:*",
    ),
    *because(
        "Gap: a version from the future has no Retry-After.",
        "versions/future:headers.retry-after",
    ),
    *because(
        "A watch on the path of one object watches it; upstream ignores the parameter there.",
        "watch_events/one-by-path:events.length",
    ),
    *because(
        "2.0 is the integer 2, also where the scale is read.",
        "custom_objects/whole-fraction:status",
        "custom_objects/table:body.rows*",
    ),
    *because(
        "A custom object may leave out its kind when the path says it.",
        "custom_objects/no-kind:status",
    ),
    *because(
        "The name column of custom tables has a shorter description.",
        "custom_objects/table:body.columnDefinitions*",
    ),
    *because(
        "A definition is established in the answer to its creation; upstream needs a moment.",
        "definitions/*:body.s*",
        "definitions/*:body.metadata.managedFields*",
    ),
    *because(
        "additionalProperties: false is refused everywhere here.",
        "definitions/false-additional:status",
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
