"""MicroService: what a person may write, in words that say what to write instead."""

from __future__ import annotations

import re
from typing import Any

from cloudwright.model import fields, names, resources, schemas
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import containers, requirements
from cloudwright.model.kinds.rollouts import autoscaling_errors, rollout_errors
from cloudwright.model.kinds.route import host_problems, path_problems, traffic_errors
from cloudwright.model.kinds.spec import (
    KindSpec,
    mapping,
    members,
    not_negative,
    repeated,
    wrong,
)
from cloudwright.model.objects import Object, name_of, namespace_of

# https://semver.org, without the build part: a "+" cannot stand in an image's tag or a label.
_NUMBER = r"(0|[1-9]\d*)"
_PRE = r"(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRE}(\.{_PRE})*)?")
_WEBHOOK = re.compile(r"webhook://([^/?#]*)(/[^?#\s]*)?")
_HTTP = re.compile(r"https?://[^/?#\s]+(/[^#\s]*)?")
_PROBES = ("readinessProbePath", "livenessProbePath", "startupProbePath")
_VOLUME_KEYS = ("name", "mountPath", "readOnly", "subPath")
RESERVED_PORTS = (15001, 15006, 15053)


def version_problems(version: str) -> list[str]:
    """Whether ``version`` is a semantic version that can also be an image's tag."""
    if _SEMVER.fullmatch(version) is None:
        return ['must be a semantic version without build part: MAJOR.MINOR.PATCH, like "1.12.0"']
    return names.label_value_problems(version)


def hook_problems(hook: str) -> list[str]:
    """Whether ``hook`` is ``webhook://NAME[/PATH]``, a URL, or a file in the image."""
    if hook.startswith("webhook://"):
        match = _WEBHOOK.fullmatch(hook)
        problems = names.dns_1035_label_problems(match[1]) if match else [""]
        return ["must be webhook://NAME or webhook://NAME/PATH"] if problems else []
    if "://" in hook:
        good = _HTTP.fullmatch(hook)
        return [] if good else ["must be webhook://NAME[/PATH], http://… or https://…"]
    if hook.startswith("/"):
        return ["must be a path relative to the image's working directory, without a leading '/'"]
    if ".." in hook.split("/"):
        return ["must not contain '..'"]
    if re.search(r"\s", hook) or not hook:
        return ["must be one file, without arguments or whitespace"]
    return []


def _defaults(service: Object) -> None:
    spec = service.setdefault("spec", {})
    if spec.get("replicas") is None:
        spec["replicas"] = 1


def _check(service: Object, old: Object | None) -> list[FieldError]:
    return spec_errors(service)


def problems(service: Object) -> list[str]:
    """``path: what`` for everything that keeps a MicroService from being rolled out: the very
    rules of admission, for servers on which only a CustomResourceDefinition guards the door.
    """
    schema = schemas.schema_for(resources.MICRO_SERVICE)
    found = schemas.validate(schema, {**service, "status": {}}) if schema else []
    return [str(error) for error in found or SPEC.validate(service, None)]


def spec_errors(service: Object) -> list[FieldError]:
    """Everything that is wrong with the spec of a MicroService, beyond its schema."""
    spec = mapping(service, "spec")
    found: list[FieldError] = []
    version = spec.get("version")
    if version is None:
        found.append(fields.required("spec.version", 'write for example version: "1.0.0"'))
    else:
        found += wrong("spec.version", version, version_problems(str(version)))
    found += not_negative(spec, "spec", "replicas", "terminationGracePeriodSeconds")
    if image := spec.get("image"):
        found += wrong("spec.image", image, containers.image_problems(str(image)))
    found += _ports(members(spec, "ports"))
    found += containers.env(members(spec, "env"), "spec.env")
    found += _config(spec)
    for key in _PROBES:
        if (path := spec.get(key)) is not None and not str(path).startswith("/"):
            found.append(fields.invalid(f"spec.{key}", path, "must start with '/'"))
    found += requirements.errors(mapping(spec, "resources"), "spec.resources")
    found += containers.security(mapping(spec, "securityContext"), "spec.securityContext")
    found += _dependencies(service, members(spec, "dependencies"))
    for key in ("preStopHook", "postRolloutHook"):
        if (hook := mapping(spec, "lifecyclePolicy").get(key)) is not None:
            found += wrong(f"spec.lifecyclePolicy.{key}", hook, hook_problems(str(hook)))
    found += rollout_errors(spec, name_of(service)) + autoscaling_errors(spec)
    found += _route(mapping(spec, "route"))
    return found + _volumes(members(spec, "volumes"))


def _ports(ports: list[Any]) -> list[FieldError]:
    found: list[FieldError] = []
    for index, port in enumerate(ports):
        where = f"spec.ports[{index}]"
        name, number = port.get("name"), port.get("port")
        if name is not None:
            found += wrong(f"{where}.name", name, names.port_name_problems(str(name)))
        found += wrong(f"{where}.port", number, names.port_problems(number))
        if number in RESERVED_PORTS:
            message = f"{number} is reserved for the sidecar: choose another port"
            found.append(fields.forbidden(f"{where}.port", message))
    return found + repeated(ports, "spec.ports", "name") + repeated(ports, "spec.ports", "port")


def _config(spec: Object) -> list[FieldError]:
    found: list[FieldError] = []
    for key in mapping(spec, "config"):
        found += wrong(f"spec.config[{key}]", key, names.config_key_problems(key))
    path = spec.get("configPath")
    if path is not None and (not str(path).startswith("/") or ".." in str(path).split("/")):
        message = "must be an absolute path without '..'"
        found.append(fields.invalid("spec.configPath", path, message))
    elif path is not None and str(path).strip("/") == "":
        found.append(fields.invalid("spec.configPath", path, "must not be the root directory"))
    return found


def _dependencies(service: Object, dependencies: list[Any]) -> list[FieldError]:
    found: list[FieldError] = []
    own = (namespace_of(service), name_of(service))
    seen: set[tuple[str, str]] = set()
    for index, entry in enumerate(dependencies):
        where = f"spec.dependencies[{index}]"
        name = str(entry.get("name") or "")
        if not name:
            found.append(fields.required(f"{where}.name"))
            continue
        found += wrong(f"{where}.name", name, names.dns_1035_label_problems(name))
        key = (str(entry.get("namespace") or own[0]), name)
        if key == own:
            message = "a MicroService cannot depend on itself"
            found.append(fields.invalid(f"{where}.name", name, message))
        if key in seen:
            found.append(fields.duplicate(f"{where}.name", name))
        seen.add(key)
    return found


def _route(route: Object) -> list[FieldError]:
    found: list[FieldError] = []
    if (path := route.get("path")) is not None:
        found += wrong("spec.route.path", path, path_problems(str(path)))
    if host := route.get("host"):
        found += wrong("spec.route.host", host, host_problems(str(host)))
    return found + traffic_errors(route, "spec.route")


def _volumes(volumes: list[Any]) -> list[FieldError]:
    found: list[FieldError] = []
    for index, volume in enumerate(volumes):
        where = f"spec.volumes[{index}]"
        name = str(volume.get("name") or "")
        found += wrong(f"{where}.name", name, names.dns_label_problems(name))
        if name == "config":
            message = 'the name "config" belongs to spec.config: choose another'
            found.append(fields.forbidden(f"{where}.name", message))
        mount = str(volume.get("mountPath") or "")
        if not mount.startswith("/") or ".." in mount.split("/"):
            message = "must be an absolute path without '..'"
            found.append(fields.invalid(f"{where}.mountPath", mount, message))
        sources = [key for key in volume if key not in _VOLUME_KEYS]
        if len(sources) > 1:
            message = f"may have one source, not {', '.join(sorted(sources))}"
            found.append(fields.invalid(where, name, message))
    found += repeated(volumes, "spec.volumes", "mountPath")
    return found + repeated(volumes, "spec.volumes", "name")


SPEC = KindSpec(
    resources.MICRO_SERVICE, _defaults, _check, name_problems=names.dns_1035_label_problems
)
