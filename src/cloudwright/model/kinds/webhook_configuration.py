"""MutatingWebhookConfiguration and ValidatingWebhookConfiguration: who else decides on writes."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import labels, naming
from cloudwright.model.kinds.admission_rules import rule_errors
from cloudwright.model.kinds.spec import KindSpec, members, one_of, wrong
from cloudwright.model.objects import Object

_FORM = "; desired format: https://host[/path]"
_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_VERSIONS = ("v1", "v1beta1")


def _defaults(configuration: Object) -> None:
    for hook in members(configuration, "webhooks"):
        hook.setdefault("failurePolicy", "Fail")
        hook.setdefault("matchPolicy", "Equivalent")
        hook.setdefault("namespaceSelector", {})
        hook.setdefault("objectSelector", {})
        hook.setdefault("timeoutSeconds", 10)
        for rule in members(hook, "rules"):
            rule.setdefault("scope", "*")
        service = (hook.get("clientConfig") or {}).get("service")
        if service is not None:
            service.setdefault("port", 443)


def _mutating_defaults(configuration: Object) -> None:
    _defaults(configuration)
    for hook in members(configuration, "webhooks"):
        hook.setdefault("reinvocationPolicy", "Never")


def _check(configuration: Object, _old: Object | None) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[Any] = set()
    for index, hook in enumerate(members(configuration, "webhooks")):
        path = f"webhooks[{index}]"
        found += _hook_errors(hook, path)
        found += _version_errors(hook, f"{path}.admissionReviewVersions")
        if hook.get("name") in seen:
            found.append(fields.duplicate(f"{path}.name", hook.get("name")))
        seen.add(hook.get("name"))
    return found


def _hook_errors(hook: Object, path: str) -> list[FieldError]:
    found = naming.full_name_errors(str(hook.get("name") or ""), f"{path}.name")
    for index, rule in enumerate(members(hook, "rules")):
        found += rule_errors(rule, f"{path}.rules[{index}]")
    found += one_of(hook, path, "failurePolicy", ("Fail", "Ignore"))
    found += one_of(hook, path, "matchPolicy", ("Equivalent", "Exact"))
    if hook.get("sideEffects") is None:
        message = f"must specify one of {', '.join(_SIDE_EFFECTS)}"
        found.append(fields.required(f"{path}.sideEffects", message))
    found += one_of(hook, path, "sideEffects", _SIDE_EFFECTS)
    seconds = hook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        message = "the timeout value must be between 1 and 30 seconds"
        found.append(fields.invalid(f"{path}.timeoutSeconds", seconds, message))
    for key in ("namespaceSelector", "objectSelector"):
        found += labels.selector_errors(hook.get(key), f"{path}.{key}")
    found += one_of(hook, path, "reinvocationPolicy", ("IfNeeded", "Never"))
    return found + _client_errors(hook.get("clientConfig") or {}, f"{path}.clientConfig")


def _version_errors(hook: Object, path: str) -> list[FieldError]:
    versions = members(hook, "admissionReviewVersions")
    if not versions:
        return [fields.required(path, f"must specify one of {', '.join(_VERSIONS)}")]
    found: list[FieldError] = []
    for index, version in enumerate(versions):
        if version in versions[:index]:
            found.append(fields.invalid(f"{path}[{index}]", version, "duplicate version"))
            continue
        problems = names.dns_1035_label_problems(str(version))
        found += wrong(f"{path}[{index}]", version, problems)
    if not any(version in _VERSIONS for version in versions):
        message = f"must include at least one of {', '.join(_VERSIONS)}"
        found.append(fields.invalid(path, versions, message))
    return found


def _client_errors(client: Object, path: str) -> list[FieldError]:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        return [fields.required(path, "exactly one of url or service is required")]
    if url is not None:
        return _url_errors(str(url), f"{path}.url")
    assert service is not None, "one of them is there"
    return _service_errors(service, f"{path}.service")


def _url_errors(url: str, path: str) -> list[FieldError]:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return [fields.required(path, f"url must be a valid URL: {error}{_FORM}")]
    found: list[FieldError] = []
    if parts.scheme != "https":
        message = f"'https' is the only allowed URL scheme{_FORM}"
        found.append(fields.invalid(path, parts.scheme, message))
    if not parts.netloc:
        found.append(fields.invalid(path, "", f"host must be specified{_FORM}"))
    if "@" in parts.netloc:
        message = "user information is not permitted in the URL"
        found.append(fields.invalid(path, parts.netloc.rpartition("@")[0], message))
    if parts.fragment:
        message = "fragments are not permitted in the URL"
        found.append(fields.invalid(path, parts.fragment, message))
    if parts.query:
        message = "query parameters are not permitted in the URL"
        found.append(fields.invalid(path, parts.query, message))
    return found


def _service_errors(service: Object, path: str) -> list[FieldError]:
    found = [fields.required(f"{path}.{k}") for k in ("name", "namespace") if not service.get(k)]
    problems = names.port_problems(service.get("port"))
    if problems:
        message = f"port is not valid: {', '.join(problems)}"
        found.append(fields.invalid(f"{path}.port", service.get("port"), message))
    text = service.get("path")
    if text in (None, "", "/"):
        return found
    if not str(text).startswith("/"):
        found.append(fields.invalid(f"{path}.path", text, "must start with a '/'"))
    for index, step in enumerate(str(text).removeprefix("/").removesuffix("/").split("/")):
        if not step:
            message = f"segment[{index}] may not be empty"
            found.append(fields.invalid(f"{path}.path", text, message))
    return found


MUTATING = KindSpec(resources.MUTATING_WEBHOOK_CONFIGURATION, _mutating_defaults, _check)
VALIDATING = KindSpec(resources.VALIDATING_WEBHOOK_CONFIGURATION, _defaults, _check)
