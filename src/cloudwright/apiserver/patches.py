"""The patch types of the API by content type: JSON, merge and strategic merge patches."""

from __future__ import annotations

import orjson

from cloudwright.apiserver import bodies, jsonpatches, strategic
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import ApiError, bad_request, unsupported_media_type
from cloudwright.apiserver.gojson import mismatch
from cloudwright.apiserver.jsonpatches import OPERATIONS_MAX, JsonPatchError
from cloudwright.model import schemas
from cloudwright.model.objects import Object
from cloudwright.model.resources import MICRO_SERVICE

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
REJECTED = "the server rejected our request due to an error in our request"


class Patch:
    """A parsed patch that can be applied to one object after another."""

    def __init__(self, call: Call) -> None:
        kind = bodies.media_type(call.request.headers)
        self._call = call
        self._kind = _effective(call, kind)
        # Upstream reads a patch twice when it looks for unknown fields, and says so.
        strict = call.query.get("fieldValidation") != "Ignore" and self._kind != STRATEGIC
        prefix = "error decoding patch: " if strict else ""
        try:
            self._body = orjson.loads(call.request.body)
            bodies.check_encodes(self._body)
        except orjson.JSONDecodeError:
            problem, self._body = bodies.as_go(call.request.body)
            if problem:
                raise bad_request(f"{prefix}{problem}") from None
        if self._kind == JSON_PATCH:
            if not isinstance(self._body, list):
                into = "[]handlers.jsonPatchOp" if strict else "jsonpatch.Patch"
                raise bad_request(prefix + mismatch(self._body, into))
            if len(self._body) > OPERATIONS_MAX:
                message = (
                    "Request entity too large: "
                    f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, "
                    f"got {len(self._body)}"
                )
                raise ApiError(413, "RequestEntityTooLarge", message)
        elif not isinstance(self._body, dict):
            raise bad_request(prefix + mismatch(self._body, "map[string]interface {}"))

    def apply(self, obj: Object) -> Object:
        """The changed object; ``obj`` itself may be changed.

        Raises:
            ApiError: 400, 422 or (as upstream) 500, the patch does not fit the object.
        """
        # Parts of the body become parts of the object, which others may change.
        body = orjson.loads(orjson.dumps(self._body))
        if self._kind == JSON_PATCH:
            try:
                result = jsonpatches.json_patch(obj, body)
            except JsonPatchError as error:
                raise ApiError(422, "Invalid", REJECTED, details={}) from error
        elif self._kind == STRATEGIC:
            result = self._strategic(obj, body)
        else:
            result = jsonpatches.merge_patch(obj, body)
        if not isinstance(result, dict) or not isinstance(result.get("metadata", {}), dict):
            raise bad_request("the patch leaves no object behind")
        return result

    def _strategic(self, obj: Object, body: Object) -> Object:
        resource = self._call.served.resource
        try:
            return strategic.merge(obj, body, lambda path: schemas.merge_key(resource, path))
        except strategic.PatchError as error:
            if error.http_status == 400:
                raise bad_request(str(error)) from error
            if error.http_status == 422:
                raise ApiError(422, "Invalid", REJECTED, details={}) from error
            raise ApiError(error.http_status, "", str(error)) from error


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
    if not call.served.custom:
        raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})
    accepted = ", ".join((JSON_PATCH, MERGE, APPLY))
    text = "the body of the request was in an unknown format - accepted media types include"
    raise unsupported_media_type(f"{text}: {accepted}")
