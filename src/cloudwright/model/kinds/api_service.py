"""APIService: a group and version that another API server serves, behind a Service."""

from __future__ import annotations

import base64
import binascii

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import KindSpec, mapping, wrong
from cloudwright.model.objects import Object, name_of

_PORT = 443
_GROUP_MAX, _VERSION_MAX, _PORT_MAX = 20_000, 1000, 65_535


def _defaults(obj: Object) -> None:
    service = mapping(obj, "spec").get("service")
    if service is not None and service.get("port") is None:
        service["port"] = _PORT


def _check(obj: Object, old: Object | None) -> list[FieldError]:
    del old
    spec = mapping(obj, "spec")
    group, version = str(spec.get("group") or ""), str(spec.get("version") or "")
    found: list[FieldError] = []
    wanted = f"{version}.{group}"
    if name_of(obj) != wanted:
        message = f'must be `spec.version+"."+spec.group`: "{wanted}"'
        found.append(fields.invalid("metadata.name", name_of(obj), message))
    if not group and version != "v1":
        message = "only v1 may have an empty group and it better be legacy kube"
        found.append(fields.required("spec.group", message))
    if group:
        found += wrong("spec.group", group, names.dns_subdomain_problems(group))
    found += wrong("spec.version", version, names.dns_1035_label_problems(version))
    for name, most in (("groupPriorityMinimum", _GROUP_MAX), ("versionPriority", _VERSION_MAX)):
        number = spec.get(name) or 0
        if not 0 < number <= most:
            message = f"must be positive and less than {most}"
            found.append(fields.invalid(f"spec.{name}", number, message))
    return found + _service_errors(spec)


def _service_errors(spec: Object) -> list[FieldError]:
    service, bundle = spec.get("service"), str(spec.get("caBundle") or "")
    insecure = bool(spec.get("insecureSkipTLSVerify"))
    found: list[FieldError] = []
    if service is None:
        if bundle:
            shown = f"{_length(bundle)} bytes"
            message = "local APIServices may not have a caBundle"
            found.append(fields.invalid("spec.caBundle", shown, message))
        if insecure:
            message = "local APIServices may not have insecureSkipTLSVerify"
            found.append(fields.invalid("spec.insecureSkipTLSVerify", True, message))
        return found
    for name in ("namespace", "name"):
        if not service.get(name):
            found.append(fields.required(f"spec.service.{name}"))
    port = service.get("port") or 0
    if not 0 < port <= _PORT_MAX:
        message = f"port is not valid: must be between 1 and {_PORT_MAX}, inclusive"
        found.append(fields.invalid("spec.service.port", port, message))
    if insecure and bundle:
        message = "may not be true if caBundle is present"
        found.append(fields.invalid("spec.insecureSkipTLSVerify", True, message))
    return found


def _length(text: str) -> int:
    try:
        return len(base64.b64decode(text))
    except (binascii.Error, ValueError):
        return len(text)


def _any_name(name: str) -> list[str]:
    del name  # it must be what the fields say, and they are checked
    return []


SPEC = KindSpec(
    resources.API_SERVICE, _defaults, _check, initial_status=lambda _: {}, name_problems=_any_name
)
