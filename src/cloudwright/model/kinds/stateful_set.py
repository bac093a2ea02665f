"""StatefulSet: pods with an identity and volumes of their own."""

from __future__ import annotations

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import defaults, labels, volumes
from cloudwright.model.kinds.deployment import percent_errors
from cloudwright.model.kinds.pod import template_errors
from cloudwright.model.kinds.spec import KindSpec, mapping, members, not_negative, one_of
from cloudwright.model.objects import Object

_ORDER = ("OrderedReady", "Parallel")
_KEEP = ("Retain", "Delete")
_MAY_CHANGE = (
    *("replicas", "template", "updateStrategy", "minReadySeconds", "ordinals"),
    *("revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy"),
)
_FIXED = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
    "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
    "'minReadySeconds' are forbidden"
)


def _defaults(stateful_set: Object) -> None:
    spec = stateful_set.setdefault("spec", {})
    defaults.template(spec)
    spec["podManagementPolicy"] = spec.get("podManagementPolicy") or "OrderedReady"
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        strategy["rollingUpdate"].setdefault("partition", 0)
    policy = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    for key in ("whenDeleted", "whenScaled"):
        policy[key] = policy.get(key) or "Retain"
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    for claim in members(spec, "volumeClaimTemplates"):
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("kind", "PersistentVolumeClaim")
        volumes.claim_defaults(claim.setdefault("spec", {}))
        claim.setdefault("status", {})["phase"] = "Pending"


def _strategy_errors(strategy: Object) -> list[FieldError]:
    path = "spec.updateStrategy"
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        if rolling is None:
            return []
        message = "only allowed for updateStrategy 'RollingUpdate'"
        return [fields.invalid(f"{path}.rollingUpdate", rolling, message)]
    if kind != "RollingUpdate":
        return [fields.invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'")]
    if rolling is None:
        return []
    found = not_negative(rolling, f"{path}.rollingUpdate", "partition")
    if rolling.get("maxUnavailable") is not None:
        where, value = f"{path}.rollingUpdate.maxUnavailable", rolling["maxUnavailable"]
        found += percent_errors(value, where)
        if value in (0, "0%"):
            found.append(fields.invalid(where, value, "cannot be 0"))
    return found


def _check(stateful_set: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(stateful_set, "spec")
    found: list[FieldError] = []
    if spec.get("podManagementPolicy") not in _ORDER:
        value, message = spec.get("podManagementPolicy"), "must be 'OrderedReady' or 'Parallel'"
        found.append(fields.invalid("spec.podManagementPolicy", value, message))
    found += _strategy_errors(mapping(spec, "updateStrategy"))
    policy, path = mapping(spec, "persistentVolumeClaimRetentionPolicy"), "spec."
    path += "persistentVolumeClaimRetentionPolicy"
    found += one_of(policy, path, "whenDeleted", _KEEP) + one_of(policy, path, "whenScaled", _KEEP)
    if old is None:
        for index, claim in enumerate(members(spec, "volumeClaimTemplates")):
            where = f"spec.volumeClaimTemplates[{index}].spec"
            found += volumes.claim_errors(mapping(claim, "spec"), where)
    found += not_negative(spec, "spec", "replicas", "minReadySeconds")
    found += not_negative(mapping(spec, "ordinals"), "spec.ordinals", "start")
    name = str(spec.get("serviceName") or "")
    if old is None and name:
        problems = names.dns_label_problems(name)
        found += [fields.invalid("spec.serviceName", name, text) for text in problems]
    found += _template(spec)
    if old is not None and _rest(spec) != _rest(mapping(old, "spec")):
        found.append(fields.forbidden("spec", _FIXED))
    return found


def _template(spec: Object) -> list[FieldError]:
    selector, template = spec.get("selector"), mapping(spec, "template")
    found = [] if selector is not None else [fields.required("spec.selector")]
    found += labels.selector_errors(selector, "spec.selector")
    if selector is not None and labels.is_empty(selector):
        message = "empty selector is invalid for statefulset"
        found.append(fields.invalid("spec.selector", selector, message))
    else:
        found += labels.template_matches(selector, template, "spec.template")
    inner = dict(mapping(template, "spec"))
    claims = [str(c.get("metadata", {}).get("name")) for c in members(spec, "volumeClaimTemplates")]
    own = [v for v in members(inner, "volumes") if v.get("name") not in claims]
    inner["volumes"] = [
        *({"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims),
        *own,
    ]
    for key in ("subdomain", "hostname"):  # overwritten by the controller
        inner.pop(key, None)
    return found + template_errors({**template, "spec": inner}, "spec.template", "StatefulSet")


def _rest(spec: Object) -> Object:
    return {key: value for key, value in spec.items() if key not in _MAY_CHANGE}


SPEC = KindSpec(
    resources.STATEFUL_SET,
    _defaults,
    _check,
    lambda _stateful_set: {"replicas": 0, "availableReplicas": 0},
    name_problems=names.dns_label_problems,
)
