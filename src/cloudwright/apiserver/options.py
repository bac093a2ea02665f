"""What the query of a write says: ``metav1.CreateOptions``, ``UpdateOptions``, ``PatchOptions``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from cloudwright.apiserver import bodies
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import invalid
from cloudwright.apiserver.yamls import repeated_keys
from cloudwright.model import fields
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object

MANAGER_BYTES_MAX = 128
APPLY = ("application/apply-patch+yaml", "application/apply-patch+cbor")
YAML = "application/yaml"
_MODES = ("", "Ignore", "Strict", "Warn")
_KINDS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """The parameters, checked."""

    manager: str
    """Who writes: ``fieldManager``, or the product in the user agent; maybe empty."""
    validation: str
    """``Ignore``, ``Strict`` or ``Warn`` (the default)."""
    force: bool = False
    """Take fields that others own (apply only)."""
    doubled: tuple[str, ...] = ()
    """What is said of fields that stand twice in the body, unless ``validation`` is ``Ignore``."""


def read(call: Call, media_type: str = "") -> WriteOptions:
    """The options of ``call``; ``media_type`` is the content type of a patch.

    Raises:
        ApiError: 400, a parameter is no boolean; 422, one has a value that is not allowed.
    """
    query = call.query
    if not call.request.query and call.verb != "patch":
        # Cut before it is remembered: no more than that of it is looked at.
        return _plain(call.request.headers.get("user-agent", "")[: 2 * MANAGER_BYTES_MAX])
    manager, validation = query.get("fieldManager"), query.get("fieldValidation")
    force = query.flag("force")
    found: list[FieldError] = []
    if call.verb == "patch":
        if media_type in APPLY:
            if not manager:
                found.append(fields.required("fieldManager", "is required for apply patch"))
        elif query.get("force"):
            message = "may not be specified for non-apply patch"
            found.append(fields.forbidden("force", message))
    if manager:
        found += _manager_errors(manager)
    runs = query.every("dryRun")
    if any(value != "All" for value in runs):
        found.append(fields.not_supported("dryRun", runs, ("All",)))
    if validation not in _MODES:
        found.append(fields.not_supported("fieldValidation", validation, _MODES))
    if found:
        kind = _KINDS.get(call.verb, "UpdateOptions")
        raise invalid("meta.k8s.io", kind, "", [error.as_cause() for error in found])
    if not manager:
        manager = manager_of(call.request.headers.get("user-agent", ""))
    return WriteOptions(manager, validation or "Warn", force)


@lru_cache(maxsize=1024)
def _plain(user_agent: str) -> WriteOptions:
    """The options of a write that says nothing but who writes."""
    return WriteOptions(manager_of(user_agent), "Warn")


def with_doubled(wanted: WriteOptions, call: Call, obj: Object) -> WriteOptions:
    """The options with what stands twice in the body of ``call``, which was decoded as ``obj``."""
    if wanted.validation == "Ignore":
        return wanted
    body = call.request.body
    if bodies.media_type(call.request.headers) == YAML:
        found = [f'line {at}: key "{key}" already set in map' for at, key in repeated_keys(body)]
    else:
        found = [f'duplicate field "{path}"' for path in bodies.duplicates(body, obj)]
    return replace(wanted, doubled=tuple(found)) if found else wanted


def manager_of(user_agent: str) -> str:
    """The part of a user agent before its version, as the name of a field manager."""
    name = user_agent.partition("/")[0]
    if not name.isprintable():
        name = "".join(letter for letter in name if letter.isprintable())
    if len(name) <= MANAGER_BYTES_MAX // 4:
        return name
    return name.encode()[:MANAGER_BYTES_MAX].decode(errors="ignore")


def _manager_errors(manager: str) -> list[FieldError]:
    found: list[FieldError] = []
    if len(manager.encode()) > MANAGER_BYTES_MAX:
        found.append(fields.too_long("fieldManager", MANAGER_BYTES_MAX))
    if not manager.isprintable():
        at = 0
        for letter in manager:
            if not letter.isprintable():
                message = f"invalid character U+{ord(letter):04X} (at position {at})"
                found.append(fields.invalid("fieldManager", manager, message))
            at += len(letter.encode())
    return found
