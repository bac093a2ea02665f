"""What is wrong with a CustomResourceDefinition, in the words of ``apiextensions-apiserver``. Pure.

What all versions have in common is complained about under upstream's older, common fields
(``spec.validation``, ``spec.subresources`` …), as kube-apiserver does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from cloudwright.apiserver import jsonpath, schemachecks
from cloudwright.model import fields, names
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object, name_of

Checks = Iterator[FieldError]
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_REVIEWS = ("v1", "v1beta1")
_SELECTABLE_MAX = 8
_WARNING_MAX = 256
_APPROVED = "api-approved.kubernetes.io"
_PROTECTED = ("k8s.io", "kubernetes.io")


def validate(crd: Object, old: Object | None) -> list[FieldError]:
    """Everything that is wrong with a definition whose fields have the right types."""
    spec = crd.get("spec") or {}
    given = spec.get("names") or {}
    found: list[FieldError] = []
    if old is None and name_of(crd) != f"{given.get('plural', '')}.{spec.get('group', '')}":
        message = 'must be spec.names.plural+"."+spec.group'
        found.append(fields.invalid("metadata.name", name_of(crd), message))
    found += _head(spec)
    found += _versions(spec, _kept(spec, old))
    found += _names(given)
    found += _conversion(spec.get("conversion") or {})
    if spec.get("preserveUnknownFields"):
        message = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
            "spec.versions[*].schema instead"
        )
        found.append(fields.invalid("spec.preserveUnknownFields", True, message))
    found += _stored(crd, spec)
    found += _approval(crd, old)
    if old is not None:
        found += _immutable(spec, old)
    return found


def _head(spec: Object) -> Checks:
    group = spec.get("group") or ""
    if not group:
        yield fields.required("spec.group")
    elif problems := names.dns_subdomain_problems(group):
        yield fields.invalid("spec.group", group, ",".join(problems))
    elif "." not in group:
        yield fields.invalid("spec.group", group, "should be a domain with at least one dot")
    scope = spec.get("scope") or ""
    if not scope:
        yield fields.required("spec.scope")
    elif scope not in ("Cluster", "Namespaced"):
        yield fields.not_supported("spec.scope", scope, ("Cluster", "Namespaced"))


def _common(versions: list[Object], name: str) -> bool:
    """Whether all versions say the same of ``name``."""
    return all(one.get(name) == versions[0].get(name) for one in versions)


def _kept(spec: Object, old: Object | None) -> frozenset[str]:
    """The versions whose schema is what it was."""
    if old is None:
        return frozenset()
    before = {one.get("name"): one.get("schema") for one in old["spec"].get("versions") or ()}
    versions = spec.get("versions") or ()
    return frozenset(
        str(one.get("name"))
        for one in versions
        if one.get("name") in before and one.get("schema") == before[one.get("name")]
    )


def _versions(spec: Object, kept: frozenset[str]) -> Checks:
    versions: list[Object] = spec.get("versions") or []
    for at, version in enumerate(versions):
        path, name = f"spec.versions[{at}]", str(version.get("name") or "")
        if (version.get("schema") or {}).get("openAPIV3Schema") is None:
            yield fields.required(f"{path}.schema.openAPIV3Schema")
        if problems := names.dns_1035_label_problems(name):
            yield fields.invalid(f"{path}.name", name, ",".join(problems))
            if at == 0:
                yield fields.invalid("spec.version", name, ",".join(problems))
        yield from _deprecation(version, path)
    shown = [_shown(version) for version in versions]
    if len({version.get("name") for version in versions}) < len(versions):
        yield fields.invalid("spec.versions", shown, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        message = "must have exactly one version marked as storage version"
        yield fields.invalid("spec.versions", shown, message)
    if not any(version.get("storage") for version in versions):
        message = "must have at least one stored version"
        yield fields.invalid("status.storedVersions", None, message)
    parts: tuple[tuple[str, str, str, Callable[[Any, Object, str], Checks]], ...] = (
        ("schema", "spec.validation", "schema", partial(_schema, kept)),
        ("subresources", "spec.subresources", "subresources", _subresources),
        ("additionalPrinterColumns", "spec.additionalPrinterColumns", "additionalPrinterColumns",
         _columns),
        ("selectableFields", "spec.selectableFields", "selectableFields", _selectable),
    )  # fmt: skip
    for name, top, own, check in parts:
        if versions and _common(versions, name):
            yield from check(versions[0].get(name), versions[0], top)
            continue
        for at, version in enumerate(versions):
            yield from check(version.get(name), version, f"spec.versions[{at}].{own}")


def _shown(version: Object) -> Object:
    """As upstream prints it: by the names of its Go fields."""
    return {
        "Name": version.get("name", ""),
        "Served": bool(version.get("served")),
        "Storage": bool(version.get("storage")),
        "Deprecated": bool(version.get("deprecated")),
        "DeprecationWarning": version.get("deprecationWarning"),
        "Schema": None,
        "Subresources": None,
        "AdditionalPrinterColumns": None,
        "SelectableFields": None,
    }


def _deprecation(version: Object, path: str) -> Checks:
    text = version.get("deprecationWarning")
    if text is None:
        return
    where = f"{path}.deprecationWarning"
    if not version.get("deprecated"):
        yield fields.invalid(where, text, "can only be set for deprecated versions")
    if not text.strip():
        yield fields.invalid(where, text, "must not be an empty string")
    elif len(text) > _WARNING_MAX:
        yield fields.invalid(where, text, f"must be <= {_WARNING_MAX} characters long")
    elif any(not letter.isprintable() for letter in text):
        yield fields.invalid(where, text, "must only contain printable UTF-8 characters")


def _schema(kept: frozenset[str], given: Any, version: Object, path: str) -> Checks:
    schema = (given or {}).get("openAPIV3Schema")
    if isinstance(schema, Mapping):
        unchanged = str(version.get("name")) in kept
        yield from schemachecks.check(schema, f"{path}.openAPIV3Schema", unchanged=unchanged)


def _subresources(given: Any, _version: Object, path: str) -> Checks:
    scale = (given or {}).get("scale")
    if scale is None:
        return
    for name, roots, text in (
        ("specReplicasPath", (".spec.",), "should be a json path under .spec"),
        ("statusReplicasPath", (".status.",), "should be a json path under .status"),
        (
            "labelSelectorPath",
            (".spec.", ".status."),
            "should be a json path under either .spec or .status",
        ),
    ):
        where, value = f"{path}.scale.{name}", str(scale.get(name) or "")
        if not value:
            if name != "labelSelectorPath":
                yield fields.required(where)
        elif not value.startswith("."):
            yield fields.invalid(where, value, "must be a simple json path starting with .")
        elif not value.startswith(roots):
            yield fields.invalid(where, value, text)


def _columns(given: Any, _version: Object, path: str) -> Checks:
    for at, column in enumerate(given or ()):
        where, kind = f"{path}[{at}]", column.get("type") or ""
        if not column.get("name"):
            yield fields.required(f"{where}.name")
        text = f"must be one of {','.join(_COLUMN_TYPES)}"
        if not kind:
            yield fields.required(f"{where}.type", text)
        elif kind not in _COLUMN_TYPES:
            yield fields.invalid(f"{where}.type", kind, text)
        form = column.get("format") or ""
        if form and form not in _COLUMN_FORMATS:
            text = f"must be one of {','.join(_COLUMN_FORMATS)}"
            yield fields.invalid(f"{where}.format", form, text)
        value = column.get("jsonPath") or ""
        if not value:
            yield fields.required(f"{where}.JSONPath")
        else:
            yield from _simple_path(value, f"{where}.JSONPath")


def _simple_path(value: str, where: str) -> Checks:
    if not value.startswith("."):
        yield fields.invalid(where, value, "must be a simple json path starting with .")
        return
    try:
        jsonpath.compile_path(value)
    except jsonpath.JsonPathError as error:
        yield fields.invalid(where, value, f"is an invalid path: {error}")


def _selectable(given: Any, version: Object, path: str) -> Checks:
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    seen: set[str] = set()
    for at, one in enumerate(given or ()):
        where, value = f"{path}[{at}].jsonPath", str(one.get("jsonPath") or "")
        if not value:
            yield fields.required(where)
            continue
        found = _schema_at(schema, value)
        if found is None:
            text = "is an invalid path: does not refer to a valid field"
            yield fields.invalid(where, value, text)
        elif value.startswith(".metadata"):
            yield fields.invalid(where, value, "must not point to fields in metadata")
        elif found.get("type") not in ("string", "boolean", "integer"):
            text = (
                "must point to a field of type string, boolean or integer. Enum string fields and "
                "strings with formats are allowed."
            )
            yield fields.invalid(where, value, text)
        if value in seen:
            yield fields.duplicate(where, value)
        seen.add(value)
    if len(seen) > _SELECTABLE_MAX:
        yield fields.too_many(path, len(seen), _SELECTABLE_MAX)


def _schema_at(schema: Any, path: str) -> Any:
    if not path.startswith("."):
        return None
    for name in path[1:].split("."):
        schema = ((schema or {}).get("properties") or {}).get(name)
        if schema is None:
            return None
    return schema


def _names(given: Object) -> Checks:
    for name in ("plural", "singular", "kind", "listKind"):
        value = str(given.get(name) or _derived(given, name))
        if not value:
            yield fields.required(f"spec.names.{name}")
            continue
        mixed = name in ("kind", "listKind")
        problems = names.dns_1035_label_problems(value.lower() if mixed else value)
        if problems:
            text = ",".join(problems)
            text = f"may have mixed case, but should otherwise match: {text}" if mixed else text
            yield fields.invalid(f"spec.names.{name}", value, text)
    for name in ("shortNames", "categories"):
        for at, value in enumerate(given.get(name) or ()):
            if problems := names.dns_1035_label_problems(value):
                yield fields.invalid(f"spec.names.{name}[{at}]", value, ",".join(problems))
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        text = "kind and listKind may not be the same"
        yield fields.invalid("spec.names.listKind", given["listKind"], text)


def _derived(given: Object, name: str) -> str:
    kind = str(given.get("kind") or "")
    if name == "singular":
        return kind.lower()
    return f"{kind}List" if name == "listKind" and kind else ""


def _conversion(given: Object) -> Checks:
    strategy, hook = given.get("strategy") or "None", given.get("webhook")
    if strategy not in ("None", "Webhook"):
        allowed = ("None", "Webhook")
        yield fields.not_supported("spec.conversion.strategy", strategy, allowed)
    where = "spec.conversion.webhookClientConfig"
    reviews = list((hook or {}).get("conversionReviewVersions") or ())
    if strategy != "Webhook":
        text = "should not be set when strategy is not set to Webhook"
        if (hook or {}).get("clientConfig"):
            yield fields.forbidden(where, text)
        if reviews:
            yield fields.forbidden("spec.conversion.conversionReviewVersions", text)
        return
    config = (hook or {}).get("clientConfig")
    if config is None:
        yield fields.required(where, "required when strategy is set to Webhook")
    elif bool(config.get("url")) == bool(config.get("service")):
        yield fields.required(where, "exactly one of url or service is required")
    elif config.get("url") and not str(config["url"]).startswith("https://"):
        text = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
        yield fields.invalid(f"{where}.url", str(config["url"]).partition(":")[0], text)
    elif config.get("service"):
        # Upstream mistakes one for the other.
        for name, complaint in (("namespace", "name"), ("name", "namespace")):
            if not config["service"].get(name):
                yield fields.required(f"{where}.service.{complaint}")
    versions = "spec.conversion.conversionReviewVersions"
    if not reviews:
        yield fields.required(versions)
    elif not set(reviews) & set(_REVIEWS):
        text = f"must include at least one of {', '.join(_REVIEWS)}"
        yield fields.invalid(versions, reviews, text)


def _stored(crd: Object, spec: Object) -> Checks:
    given = (crd.get("status") or {}).get("storedVersions") or ()
    known = [version.get("name") for version in spec.get("versions") or ()]
    for at, version in enumerate(given):
        if version not in known:
            text = (
                f"missing from spec.versions; {version} was previously a storage version, and must "
                "remain in spec.versions until a storage migration ensures no data remains "
                f"persisted in {version} and removes {version} from status.storedVersions"
            )
            yield fields.invalid(f"status.storedVersions[{at}]", version, text)


def _approval(crd: Object, old: Object | None) -> Checks:
    group = str((crd.get("spec") or {}).get("group") or "")
    if not any(group == one or group.endswith(f".{one}") for one in _PROTECTED):
        return
    given = (crd["metadata"].get("annotations") or {}).get(_APPROVED, "")
    if old is not None and _state(given) == _state(
        (old["metadata"].get("annotations") or {}).get(_APPROVED, "")
    ):
        return
    where = f"metadata.annotations[{_APPROVED}]"
    about = "see https://github.com/kubernetes/enhancements/pull/1111"
    if _state(given) == "missing":
        text = f'protected groups must have approval annotation "{_APPROVED}", {about}'
        yield fields.required(where, text)
    elif _state(given) == "invalid":
        text = (
            f'protected groups must have approval annotation "{_APPROVED}" with either a URL or '
            f'a reason starting with "unapproved", {about}'
        )
        yield fields.invalid(where, given, text)


def _state(annotation: str) -> str:
    if not annotation:
        return "missing"
    if annotation.startswith("unapproved"):
        return "bypassed"
    return "approved" if annotation.startswith(("https://", "http://")) else "invalid"


def _immutable(spec: Object, old: Object) -> Checks:
    before = old["spec"]
    pairs = [("group", spec.get("group"), before["group"])]
    given, had = spec.get("names") or {}, before["names"]
    pairs.append(("names.plural", given.get("plural"), had["plural"]))
    conditions = (old.get("status") or {}).get("conditions") or ()
    if any(one.get("type") == "Established" and one.get("status") == "True" for one in conditions):
        pairs.append(("scope", spec.get("scope"), before["scope"]))
        pairs.append(("names.kind", given.get("kind"), had["kind"]))
    for path, value, was in pairs:
        if value != was:
            yield fields.invalid(f"spec.{path}", value, "field is immutable")
