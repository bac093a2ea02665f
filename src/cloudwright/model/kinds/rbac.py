"""Role, ClusterRole, RoleBinding and ClusterRoleBinding: rules, and who they are given to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudwright.model import fields, names, resources, selectors
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import KindSpec, mapping, members, wrong
from cloudwright.model.objects import Object

GROUP = resources.ROLE.group
_SUBJECT_KINDS = ("ServiceAccount", "User", "Group")


def path_segment_problems(name: str) -> list[str]:
    """What is wrong with a name that only has to fit into a path (``system:node`` does)."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{sign}'" for sign in "/%" if sign in name]


def _rule_errors(rule: Mapping[str, Any], path: str, *, namespaced: bool) -> list[FieldError]:
    found = []
    if not rule.get("verbs"):
        found.append(fields.required(f"{path}.verbs", "verbs must contain at least one value"))
    urls = rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            message = "namespaced rules cannot apply to non-resource URLs"
            found.append(fields.invalid(f"{path}.nonResourceURLs", urls, message))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            message = "rules cannot apply to both regular resources and non-resource URLs"
            found.append(fields.invalid(f"{path}.nonResourceURLs", urls, message))
        return found
    if not rule.get("apiGroups"):
        message = "resource rules must supply at least one api group"
        found.append(fields.required(f"{path}.apiGroups", message))
    if not rule.get("resources"):
        message = "resource rules must supply at least one resource"
        found.append(fields.required(f"{path}.resources", message))
    return found


def _role_errors(role: Object, *, namespaced: bool) -> list[FieldError]:
    found = []
    for index, rule in enumerate(members(role, "rules")):
        found += _rule_errors(rule, f"rules[{index}]", namespaced=namespaced)
    return found


def _check_role(role: Object, _old: Object | None) -> list[FieldError]:
    return _role_errors(role, namespaced=True)


def _check_cluster_role(role: Object, _old: Object | None) -> list[FieldError]:
    found = _role_errors(role, namespaced=False)
    aggregation = role.get("aggregationRule")
    if aggregation is None:
        return found
    chosen = aggregation.get("clusterRoleSelectors") or []
    path = "aggregationRule.clusterRoleSelectors"
    if not chosen:
        message = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        found.append(fields.required(path, message))
    for index, selector in enumerate(chosen):
        try:
            selectors.from_label_selector(selector)
        except ValueError as error:
            found.append(fields.invalid(f"{path}[{index}]", selector, str(error)))
    return found


def _role_defaults(role: Object) -> None:
    role.setdefault("rules", None)  # upstream always shows it


def _binding_defaults(binding: Object) -> None:
    reference = binding.get("roleRef")
    if isinstance(reference, dict) and not reference.get("apiGroup"):
        reference["apiGroup"] = GROUP
    for subject in members(binding, "subjects"):
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = GROUP


def _subject_errors(subject: Mapping[str, Any], path: str, *, namespaced: bool) -> list[FieldError]:
    found = []
    name, group = str(subject.get("name") or ""), str(subject.get("apiGroup") or "")
    if not name:
        found.append(fields.required(f"{path}.name"))
    kind = subject.get("kind")
    if kind == "ServiceAccount":
        if name:
            found += wrong(f"{path}.name", name, names.dns_subdomain_problems(name))
        if group:
            found.append(fields.not_supported(f"{path}.apiGroup", group, [""]))
        if not namespaced and not subject.get("namespace"):
            found.append(fields.required(f"{path}.namespace"))
    elif kind in _SUBJECT_KINDS:
        if group != GROUP:
            found.append(fields.not_supported(f"{path}.apiGroup", group, [GROUP]))
    else:
        found.append(fields.not_supported(f"{path}.kind", kind or "", _SUBJECT_KINDS))
    return found


def _binding_errors(
    binding: Object, old: Object | None, kinds: tuple[str, ...], *, namespaced: bool
) -> list[FieldError]:
    found = []
    reference = mapping(binding, "roleRef")
    group, kind = reference.get("apiGroup") or "", reference.get("kind") or ""
    if group != GROUP:
        found.append(fields.not_supported("roleRef.apiGroup", group, [GROUP]))
    if kind not in kinds:
        found.append(fields.not_supported("roleRef.kind", kind, kinds))
    name = str(reference.get("name") or "")
    if not name:
        found.append(fields.required("roleRef.name"))
    found += wrong("roleRef.name", name, path_segment_problems(name))
    for index, subject in enumerate(members(binding, "subjects")):
        found += _subject_errors(subject, f"subjects[{index}]", namespaced=namespaced)
    if old is not None and mapping(old, "roleRef") != reference:
        shown = {"APIGroup": group, "Kind": kind, "Name": name}  # Go's names, as upstream
        found.append(fields.invalid("roleRef", shown, "cannot change roleRef"))
    return found


def _check_binding(binding: Object, old: Object | None) -> list[FieldError]:
    return _binding_errors(binding, old, ("Role", "ClusterRole"), namespaced=True)


def _check_cluster_binding(binding: Object, old: Object | None) -> list[FieldError]:
    return _binding_errors(binding, old, ("ClusterRole",), namespaced=False)


ROLE = KindSpec(resources.ROLE, _role_defaults, _check_role, name_problems=path_segment_problems)
CLUSTER_ROLE = KindSpec(
    resources.CLUSTER_ROLE,
    _role_defaults,
    _check_cluster_role,
    name_problems=path_segment_problems,
)
ROLE_BINDING = KindSpec(
    resources.ROLE_BINDING, _binding_defaults, _check_binding, name_problems=path_segment_problems
)
CLUSTER_ROLE_BINDING = KindSpec(
    resources.CLUSTER_ROLE_BINDING,
    _binding_defaults,
    _check_cluster_binding,
    name_problems=path_segment_problems,
)
