"""Pod: defaults, what may stand in its spec, and what may change in it."""

from __future__ import annotations

import copy
from typing import Any

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import containers, defaults, labels, scheduling
from cloudwright.model.kinds.spec import (
    KindSpec,
    mapping,
    members,
    one_of,
    repeated,
    wrong,
)
from cloudwright.model.objects import Object
from cloudwright.model.pods import quality_of_service

_MOST = (1 << 31) - 1
FIXED = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set "
    "to 1 if it was previously negative)"
)
"""What is said of a change of anything else."""
_HOST = {
    "hostNetwork": "every pod has a network of its own: use a Service or a Route to be reached",
    "hostPID": "every pod has processes of its own",
    "hostIPC": "every pod has IPC of its own",
}


def spec_errors(spec: Object, path: str) -> list[FieldError]:
    """What is wrong with the spec of a pod or of a pod template."""
    found = _volumes(members(spec, "volumes"), f"{path}.volumes")
    found += containers.containers(spec, path)
    found += one_of(spec, path, "restartPolicy", ("Always", "OnFailure", "Never"))
    found += one_of(
        spec, path, "dnsPolicy", ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
    )
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MOST:
        message = f"must be between 1 and {_MOST}, inclusive"
        found.append(fields.invalid(f"{path}.activeDeadlineSeconds", deadline, message))
    if spec.get("dnsPolicy") == "None" and not mapping(spec, "dnsConfig"):
        message = "must provide `dnsConfig` when `dnsPolicy` is None"
        found.append(fields.required(f"{path}.dnsConfig", message))
    found += containers.security(mapping(spec, "securityContext"), f"{path}.securityContext")
    for key, message in _HOST.items():
        if spec.get(key):
            found.append(fields.forbidden(f"{path}.{key}", f"is not supported: {message}"))
    found += scheduling.errors(spec, path)
    account = str(spec.get("serviceAccountName") or "")
    if account:
        problems = names.dns_subdomain_problems(account)
        found += wrong(f"{path}.serviceAccountName", account, problems)
    if host := str(spec.get("hostname") or ""):
        found += wrong(f"{path}.hostname", host, names.dns_label_problems(host))
    if domain := str(spec.get("subdomain") or ""):
        problems = ["must not contain dots"] if "." in domain else names.dns_label_problems(domain)
        found += wrong(f"{path}.subdomain", domain, problems)
    return found


def template_errors(template: Object, path: str, keeper: str = "ReplicaSet") -> list[FieldError]:
    """What is wrong with a template. ``keeper`` is the kind that keeps its pods running; empty:
    they may end.
    """
    spec = mapping(template, "spec")
    found = labels.label_errors(mapping(mapping(template, "metadata"), "labels"), f"{path}.labels")
    found += spec_errors(spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        message = "ephemeral containers not allowed in pod template"
        found.append(fields.forbidden(f"{path}.spec.ephemeralContainers", message))
    if not keeper:
        return found
    if spec.get("restartPolicy", "Always") != "Always":
        found += one_of(spec, f"{path}.spec", "restartPolicy", ("Always",))
    if spec.get("activeDeadlineSeconds") is not None:
        word = "supported" if keeper in ("ReplicaSet", "ReplicationController") else "Supported"
        message = f"activeDeadlineSeconds in {keeper} is not {word}"
        found.append(fields.forbidden(f"{path}.spec.activeDeadlineSeconds", message))
    return found


def _volumes(volumes: list[Any], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for index, volume in enumerate(volumes):
        where = f"{path}[{index}]"
        name = str(volume.get("name") or "")
        if not name:
            found.append(fields.required(f"{where}.name"))
        else:
            found += wrong(f"{where}.name", name, names.dns_label_problems(name))
        sources = sorted(key for key in volume if key != "name" and volume[key] is not None)
        for extra in sources[1:]:
            message = "may not specify more than 1 volume type"
            found.append(fields.forbidden(f"{where}.{extra}", message))
        for kind, key in (
            ("configMap", "name"),
            ("secret", "secretName"),
            ("hostPath", "path"),
            ("persistentVolumeClaim", "claimName"),
        ):
            source = volume.get(kind)
            if isinstance(source, dict) and not source.get(key):
                found.append(fields.required(f"{where}.{kind}.{key}"))
    return found + repeated(volumes, path, "name")


def _defaults(pod: Object) -> None:
    spec = pod.setdefault("spec", {})
    defaults.pod_spec(spec)
    defaults.requests_from_limits(spec)
    spec.setdefault("enableServiceLinks", True)


def _check(pod: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(pod, "spec")
    if old is None:
        found = spec_errors(spec, "spec")
        if spec.get("ephemeralContainers"):
            found.append(fields.forbidden("spec.ephemeralContainers", "cannot be set on create"))
        return found
    before = mapping(old, "spec")
    if spec == before:
        return []
    for kind in ("containers", "initContainers"):
        if len(members(spec, kind)) != len(members(before, kind)):
            message = "pod updates may not add or remove containers"
            return [fields.forbidden(f"spec.{kind}", message)]
    if _rest(spec, before) != _rest(before, before):
        return [fields.forbidden("spec", FIXED)]
    found = spec_errors(spec, "spec")
    gates = members(before, "schedulingGates")
    if any(gate not in gates for gate in members(spec, "schedulingGates")):
        message = "only deletion is allowed, but found new scheduling gate"
        found.append(fields.forbidden("spec.schedulingGates", message))
    kept = members(spec, "tolerations")
    if any(toleration not in kept for toleration in members(before, "tolerations")):
        message = "existing toleration can not be modified except its tolerationSeconds"
        found.append(fields.forbidden("spec.tolerations", message))
    return found


def _rest(spec: Object, before: Object) -> Object:
    """``spec`` without what an update may change; binding sets an empty ``nodeName``."""
    rest = copy.deepcopy(spec)
    for key in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        rest.pop(key, None)
    if int(before.get("terminationGracePeriodSeconds") or 0) < 0:
        rest.pop("terminationGracePeriodSeconds", None)
    if not before.get("nodeName"):
        rest.pop("nodeName", None)
    for kind in ("initContainers", "containers"):
        for container in members(rest, kind):
            container.pop("image", None)
            container.pop("imagePullPolicy", None)
    return rest


def _initial_status(pod: Object) -> Object:
    return {"phase": "Pending", "qosClass": quality_of_service(pod)}


SPEC = KindSpec(resources.POD, _defaults, _check, _initial_status)
