"""Route: what the gateway sends to which Service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cloudwright.model import durations, fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import KindSpec, mapping, members, wrong
from cloudwright.model.objects import Object


def host_problems(host: str) -> list[str]:
    """Whether ``host`` is ``*``, ``*.example.com`` or a DNS name."""
    if host == "*":
        return []
    return names.dns_subdomain_problems(host.removeprefix("*."))


def path_problems(path: str) -> list[str]:
    """Whether ``path`` can be the beginning of a URL's path."""
    if not path.startswith("/"):
        return ["must start with '/'"]
    if re.search(r"[\s?#]", path):
        return ["must not contain '?', '#' or whitespace"]
    if any(part in (".", "..") for part in path.split("/")) or "//" in path:
        return ["must not contain '//', '.' or '..' as a segment"]
    return []


def traffic_errors(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    """What is wrong with hosts, time-outs and retries."""
    found: list[FieldError] = []
    for index, host in enumerate(members(spec, "hosts")):
        found += wrong(f"{path}.hosts[{index}]", host, host_problems(str(host)))
    retries = mapping(spec, "retries")
    for holder, where, key in (
        (spec, path, "timeout"),
        (retries, f"{path}.retries", "perTryTimeout"),
    ):
        value = holder.get(key)
        if value is None:
            continue
        try:
            if durations.parse(str(value)) < 0:
                found.append(fields.invalid(f"{where}.{key}", value, "must not be negative"))
        except ValueError as error:
            found.append(fields.invalid(f"{where}.{key}", value, str(error)))
    return found


def _check(route: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(route, "spec")
    found: list[FieldError] = []
    if (path := spec.get("pathPrefix")) is not None:
        found += wrong("spec.pathPrefix", path, path_problems(str(path)))
    service = str(spec.get("service") or "")
    if not service:
        found.append(fields.required("spec.service"))
    else:
        found += wrong("spec.service", service, names.dns_1035_label_problems(service))
    return found + traffic_errors(spec, "spec")


SPEC = KindSpec(resources.ROUTE, check=_check)
