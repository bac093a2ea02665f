"""PodSecurity: namespaces' labels say which Pod Security Standard their pods must keep.

https://kubernetes.io/docs/concepts/security/pod-security-admission/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloudwright.apiserver.admission.namespaces import NamespaceLabels
from cloudwright.apiserver.admission.plugins.plugin import Plugin, refused, written
from cloudwright.apiserver.admission.review import Review
from cloudwright.model import pod_security
from cloudwright.model.fields import FieldError

_LABEL = "pod-security.kubernetes.io/"
_TEMPLATES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "replicationcontrollers"): ("template",),
    ("", "podtemplates"): (),
    ("apps", "deployments"): ("template",),
    ("apps", "replicasets"): ("template",),
    ("apps", "statefulsets"): ("template",),
    ("apps", "daemonsets"): ("template",),
    ("batch", "jobs"): ("template",),
    ("batch", "cronjobs"): ("jobTemplate", "spec", "template"),
}


class PodSecurity(Plugin):
    """Enforces for pods; warns about pods and about templates of pods."""

    about = frozenset({("", "pods"), *_TEMPLATES})

    def concerns(self, review: Review) -> bool:
        """Also what is added to a pod that runs."""
        if review.subresource == "ephemeralcontainers":
            return review.operation == "UPDATE" and review.resource.plural == "pods"
        return super().concerns(review)

    def __init__(self, namespaces: NamespaceLabels) -> None:
        self._namespaces = namespaces

    async def validate(self, review: Review) -> Sequence[FieldError]:
        """Refuse what the namespace's ``enforce`` level forbids."""
        labels = await self._namespaces.of(review.namespace)
        if not labels or not any(key.startswith(_LABEL) for key in labels):
            return ()
        obj = written(review)
        is_pod = review.resource.plural == "pods"
        if is_pod and review.old is not None and review.old.get("spec") == obj.get("spec"):
            return ()
        metadata, spec = (obj["metadata"], obj.get("spec") or {}) if is_pod else _template(review)
        if is_pod:
            level, version = _level(labels, "enforce")
            findings = pod_security.violations(level, metadata, spec)
            if findings:
                raise refused(review, pod_security.message(level, version, findings))
        for mode in ("audit", "warn"):
            level, version = _level(labels, mode)
            findings = pod_security.violations(level, metadata, spec)
            if not findings:
                continue
            text = pod_security.message(level, version, findings)
            if mode == "warn":
                review.warnings.append(f"would {text.replace('violates', 'violate', 1)}")
            else:
                key = "pod-security.kubernetes.io/audit-violations"
                review.annotations[key] = f"would {text.replace('violates', 'violate', 1)}"
        return ()


def _level(labels: Mapping[str, str], mode: str) -> tuple[str, str]:
    level = labels.get(_LABEL + mode, "privileged")
    if level not in pod_security.LEVELS:
        level = "restricted"  # as upstream: what cannot be read is held to the strictest level
    return level, labels.get(f"{_LABEL}{mode}-version", "latest")


def _template(review: Review) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    resource = review.resource
    found: Any = written(review)
    if resource.plural == "podtemplates":
        found = found.get("template") or {}
    else:
        found = found.get("spec") or {}
        for name in _TEMPLATES[(resource.group, resource.plural)]:
            found = found.get(name) or {}
    return found.get("metadata") or {}, found.get("spec") or {}
