"""The patch types of the API: JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge.

Each is a pure function from an object and a patch to the changed object.
"""

from __future__ import annotations

from typing import Any

import orjson

from cloudwright.apiserver import bodies, strategic
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import (
    ApiError,
    bad_request,
    too_large,
    unsupported_media_type,
)
from cloudwright.model import schemas
from cloudwright.model.objects import Object
from cloudwright.model.resources import MICRO_SERVICE

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
_OPERATIONS_MAX = 10_000
_COPIED_BYTES_MAX = 3 * 1024 * 1024


class Patch:
    """A parsed patch that can be applied to one object after another."""

    def __init__(self, call: Call) -> None:
        kind = bodies.media_type(call.request.headers)
        self._call = call
        self._kind = _effective(call, kind)
        self._body = bodies.decode(call.request.body, "application/json")
        if self._kind == JSON_PATCH:
            if not isinstance(self._body, list):
                raise bad_request("a JSON patch must be a list of operations")
            if len(self._body) > _OPERATIONS_MAX:
                message = f"at most {_OPERATIONS_MAX} operations are allowed in a patch"
                raise ApiError(413, "RequestEntityTooLarge", message)
        elif not isinstance(self._body, dict):
            raise bad_request("the patch must be a JSON object")

    def apply(self, obj: Object) -> Object:
        """The changed object; ``obj`` itself may be changed.

        Raises:
            ApiError: 400 or 422, the patch does not fit the object.
        """
        if self._kind == JSON_PATCH:
            result = json_patch(obj, self._body)
        elif self._kind == STRATEGIC:
            resource = self._call.served.resource
            try:
                result = strategic.merge(
                    obj, self._body, lambda path: schemas.merge_key(resource, path)
                )
            except strategic.PatchError as error:
                raise bad_request(str(error)) from error
        else:
            result = merge_patch(obj, self._body)
        if not isinstance(result, dict) or not isinstance(result.get("metadata", {}), dict):
            raise bad_request("the patch leaves no object behind")
        return result


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, all else replaces. Changes and returns ``target``."""
    if not isinstance(patch, dict):
        return patch
    if not isinstance(target, dict):
        target = {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = merge_patch(target.get(name), value)
    return target


def json_patch(target: Object, operations: list[Any]) -> Any:
    """RFC 6902.

    Raises:
        ApiError: 422, an operation cannot be applied (also a failed ``test``); 400, it is none.
    """
    import jsonpatch
    import jsonpointer

    copied = 0
    try:
        for operation in operations:
            if isinstance(operation, dict) and operation.get("op") == "copy":
                # Copies of copies double: a few hundred bytes could ask for all the memory.
                source = jsonpointer.resolve_pointer(target, operation["from"])
                copied += len(orjson.dumps(source))
                if copied > _COPIED_BYTES_MAX:
                    raise too_large(_COPIED_BYTES_MAX)
            target = jsonpatch.JsonPatch([operation]).apply(target, in_place=True)
        return target
    except (jsonpatch.InvalidJsonPatch, TypeError, KeyError) as error:
        raise bad_request(f"the JSON patch is not valid: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        message = f"the server rejected our request due to an error in our request: {error}"
        raise ApiError(422, "Invalid", message) from error


def _effective(call: Call, kind: str) -> str:
    """The patch type to apply for a content type."""
    if kind in (JSON_PATCH, MERGE):
        return kind
    if kind == STRATEGIC:
        if call.served.patch_keys:
            return kind
        if call.group == MICRO_SERVICE.group:
            # `kubectl patch ms …` sends this type unless told otherwise, and people of this
            # schema type it so; without merge keys it means the same as a merge patch.
            return MERGE
    accepted = [JSON_PATCH, MERGE, *([STRATEGIC] if call.served.patch_keys else []), APPLY]
    raise unsupported_media_type(
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(accepted)
    )
