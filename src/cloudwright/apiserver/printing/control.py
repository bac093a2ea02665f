"""What ``kubectl get`` shows of what governs the API itself. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudwright.apiserver.printing.common import (
    NONE,
    UNSET,
    Cells,
    age,
    selector_text,
    spec_of,
    status_of,
)
from cloudwright.model import durations
from cloudwright.model.objects import Object


def _created(obj: Object, _now: datetime) -> list[Any]:
    return [obj["metadata"].get("creationTimestamp", "")]


def _lease(obj: Object, now: datetime) -> list[Any]:
    return [spec_of(obj).get("holderIdentity", ""), age(obj, now)]


def _webhooks(obj: Object, now: datetime) -> list[Any]:
    return [len(obj.get("webhooks") or ()), age(obj, now)]


def _policy(obj: Object, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    rules, kind = spec.get("validations") or spec.get("mutations") or (), spec.get("paramKind")
    shown = UNSET
    if kind is not None:
        shown = f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}"
    return [len(rules), shown, age(obj, now)]


def _binding(obj: Object, now: datetime) -> list[Any]:
    spec, shown = spec_of(obj), UNSET
    reference = spec.get("paramRef") or {}
    if reference.get("name"):
        shown = f"{reference.get('namespace') or '*'}/{reference['name']}"
    elif reference.get("selector") is not None:
        shown = selector_text(reference["selector"])
    return [spec.get("policyName", ""), shown, age(obj, now)]


def _api_service(obj: Object, now: datetime) -> list[Any]:
    service = spec_of(obj).get("service")
    where = f"{service.get('namespace')}/{service.get('name')}" if service else "Local"
    state = "Unknown"
    for one in status_of(obj).get("conditions") or ():
        if one.get("type") == "Available":
            state = str(one.get("status"))
            if state != "True" and one.get("reason"):
                state += f" ({one['reason']})"
            break
    return [where, state, age(obj, now)]


def _signing_request(obj: Object, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    seconds = spec.get("expirationSeconds")
    kinds = {one.get("type") for one in status.get("conditions") or ()}
    state = "Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"
    state += ",Failed" if "Failed" in kinds else ""
    state += ",Issued" if status.get("certificate") else ""
    return [
        age(obj, now),
        spec.get("signerName") or NONE,
        spec.get("username", ""),
        NONE if seconds is None else durations.age(seconds),
        state,
    ]


def _role_binding(obj: Object, now: datetime) -> list[Any]:
    role = obj.get("roleRef") or {}
    subjects = obj.get("subjects") or ()

    def named(kind: str) -> str:
        return ", ".join(str(s.get("name", "")) for s in subjects if s.get("kind") == kind)

    accounts = ", ".join(
        f"{s.get('namespace', '')}/{s.get('name', '')}"
        for s in subjects
        if s.get("kind") == "ServiceAccount"
    )
    shown = f"{role.get('kind', '')}/{role.get('name', '')}"
    return [shown, age(obj, now), named("User"), named("Group"), accounts]


def _flow_schema(obj: Object, now: datetime) -> list[Any]:
    spec, dangling = spec_of(obj), "?"
    for one in status_of(obj).get("conditions") or ():
        if one.get("type") == "Dangling":
            dangling = str(one.get("status"))
            break
    return [
        (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        spec.get("matchingPrecedence", 0),
        (spec.get("distinguisherMethod") or {}).get("type", NONE),
        age(obj, now),
        dangling,
    ]


def _priority_level(obj: Object, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    limited = spec.get("limited") or {}
    queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
    return [
        spec.get("type", ""),
        limited.get("nominalConcurrencyShares", NONE),
        *(queuing.get(name, NONE) for name in ("queues", "handSize", "queueLengthLimit")),
        age(obj, now),
    ]


_ADMISSION, _FLOW = "admissionregistration.k8s.io", "flowcontrol.apiserver.k8s.io"
_RBAC = "rbac.authorization.k8s.io"
CELLS: dict[tuple[str, str], Cells] = {
    (_ADMISSION, "MutatingAdmissionPolicy"): _policy,
    (_ADMISSION, "MutatingAdmissionPolicyBinding"): _binding,
    (_ADMISSION, "MutatingWebhookConfiguration"): _webhooks,
    (_ADMISSION, "ValidatingAdmissionPolicy"): _policy,
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): _binding,
    (_ADMISSION, "ValidatingWebhookConfiguration"): _webhooks,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _created,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    ("certificates.k8s.io", "CertificateSigningRequest"): _signing_request,
    ("coordination.k8s.io", "Lease"): _lease,
    (_FLOW, "FlowSchema"): _flow_schema,
    (_FLOW, "PriorityLevelConfiguration"): _priority_level,
    (_RBAC, "ClusterRole"): _created,
    (_RBAC, "ClusterRoleBinding"): _role_binding,
    (_RBAC, "Role"): _created,
    (_RBAC, "RoleBinding"): _role_binding,
}
