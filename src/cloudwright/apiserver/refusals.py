"""Why a write is refused before anything is written: names, versions, what exists already. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from cloudwright.apiserver import bodies, encoding, metadata, strategic, strategies
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import (
    MODIFIED,
    ApiError,
    already_exists,
    bad_request,
    conflict,
    invalid,
)
from cloudwright.apiserver.store.interface import Record
from cloudwright.model import fields, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object, name_of

_OF_NO_GROUP = (("v1", "List"), ("v1", "Status"))
_META_ORDER = (
    *("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation"),
    *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "labels"),
    *("annotations", "ownerReferences", "finalizers", "managedFields"),
)
"""The order of ``ObjectMeta`` in Go, where a message shows a whole object."""
_REGISTERED = frozenset(
    {
        *((one.api_version, one.kind) for one in resources.BUILT_IN),
        *((one.api_version, f"{one.kind}List") for one in resources.BUILT_IN),
        *(("v1", kind) for kind in ("List", "Status", "Binding", "APIVersions", "APIGroup")),
    }
)
_KEYS = {"endpoints": "services/endpoints", "nodes": "minions", "services": "services/specs"}


def raise_invalid(call: Call, name: str, found: Sequence[FieldError]) -> None:
    """Refuse an object with errors.

    Raises:
        ApiError: 422, there is at least one.
    """
    if found:
        causes = [error.as_cause() for error in found]
        raise invalid(call.group, call.served.resource.kind, name, causes)


def check_names(call: Call, obj: Object) -> None:
    """The object must be of the kind, namespace and name that the path says.

    Raises:
        ApiError: 400 or 422.
    """
    check_kind(call, obj)
    raise_invalid(call, call.name, metadata.shape_errors(obj))
    check_place(call, obj)


def check_kind(call: Call, obj: Object) -> None:
    """The object must be of the kind and version that the path says, or not say it.

    Raises:
        ApiError: 400.
    """
    resource = call.served.resource
    api_version = obj.setdefault("apiVersion", resource.api_version)
    kind = obj.setdefault("kind", resource.kind)
    if (api_version, kind) != (resource.api_version, resource.kind):
        error = _other_kind(call, obj, api_version, kind)
        if call.verb == "patch":
            error = patch_refused(call, obj, error.message.partition(": ")[2] or error.message)
        raise error


def check_place(call: Call, obj: Object) -> None:
    """The namespace and the name must be those of the path; its metadata is well formed.

    Raises:
        ApiError: 400.
    """
    found = obj.setdefault("metadata", {})
    namespace = found.get("namespace")
    if namespace and namespace != call.namespace and call.served.resource.namespaced:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if call.name:
        name = found.get("name")
        if not name:
            raise bad_request(
                f"the name of the object ({call.name} based on URL) was undeterminable: "
                "name must be provided"
            )
        if name != call.name:
            raise bad_request(
                f"the name of the object ({name}) does not match the name on the URL ({call.name})"
            )


def _other_kind(call: Call, obj: Object, api_version: object, kind: object) -> ApiError:
    resource = call.served.resource
    if api_version != resource.api_version and (api_version, kind) not in _OF_NO_GROUP:
        if not call.served.custom and (api_version, kind) not in _REGISTERED:
            version = str(api_version).rpartition("/")[2]
            return bad_request(
                f'{kind} in version "{version}" cannot be handled as a {resource.kind}: '
                f'no kind "{kind}" is registered for version "{api_version}" in scheme '
                '"pkg/runtime/scheme.go:111"'
            )
        return bad_request(
            f"the API version in the data ({api_version}) does not match the expected API "
            f"version ({resource.api_version})"
        )
    if call.served.custom:
        error = fields.invalid("kind", kind, f"must be {resource.kind}")
        found = obj.get("metadata")
        name = str(found.get("name", "")) if isinstance(found, dict) else ""
        return invalid(call.group, str(kind), name, [error.as_cause()])
    group = resource.group.partition(".")[0] or "core"
    return bad_request(
        f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
        f"converting ({resource.version}.{kind}) to ({group}.{resource.kind}): unknown conversion"
    )


def patch_refused(call: Call, patched: Object, message: str) -> ApiError:
    """422: what the patch in the call makes of the object cannot be read."""
    if bodies.media_type(call.request.headers) == "application/strategic-merge-patch+json":
        text = strategic.shown(bodies.as_go(call.request.body)[1])
    else:
        found = patched.get("metadata")
        if isinstance(found, dict):
            last = len(_META_ORDER)
            place = {name: at for at, name in enumerate(_META_ORDER)}
            ordered = sorted(found.items(), key=lambda one: place.get(one[0], last))
            patched = {**patched, "metadata": dict(ordered)}
        text = orjson.dumps(dict(sorted(patched.items()))).decode()
    error = fields.invalid("patch", text, message)
    return invalid("", "", "", [error.as_cause()])


def version_on_create() -> ApiError:
    """500, as upstream: a new object has no version."""
    return ApiError(500, "", "resourceVersion should not be set on objects to be created")


def taken(call: Call, obj: Object, record: Record | None) -> ApiError:
    """409: an object of this name exists; ``record`` is that one, if it still does."""
    name = name_of(obj)
    if obj["metadata"].get("generateName"):
        error = already_exists(call.group, call.plural, name)
        error.message += ", the server was not able to generate a unique name for the object"
        error.details["retryAfterSeconds"] = 1
    else:
        error = already_exists(call.group, call.plural, name)
    if record is not None and encoding.decode(record.value)["metadata"].get("deletionTimestamp"):
        error.message = f"object is being deleted: {error.message}"
    return error


def check_version(call: Call, new: Object, old: Object, record: Record) -> bool:
    """Whether the new object names the version it was made from; it must be the current one.

    Raises:
        ApiError: 409, another uid or version; 422, this kind needs a version.
    """
    given = new.get("metadata")
    given = given if isinstance(given, dict) else {}
    uid = old["metadata"].get("uid")
    if call.verb == "update" and given.get("uid") and given["uid"] != uid:
        raise conflict(call.group, call.plural, call.name, _other_uid(call, given["uid"], uid))
    version = given.get("resourceVersion")
    if version in (None, "", "0"):
        if call.verb == "update" and not strategies.unconditional(call.served):
            error = fields.invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(call.group, call.plural, call.name, [error.as_cause()])
        return False
    if version != str(record.revision):
        raise conflict(call.group, call.plural, call.name, MODIFIED)
    return True


def _other_uid(call: Call, given: object, uid: object) -> str:
    group = f"{call.group}/" if call.served.custom else ""
    where = f"{call.namespace}/" if call.namespace else ""
    plural = _KEYS.get(call.plural, call.plural) if not call.group else call.plural
    return (
        f"StorageError: invalid object, Code: 4, Key: /registry/{group}{plural}/{where}"
        f"{call.name}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: "
        f"UID in precondition: {given}, UID in object meta: {uid}"
    )
