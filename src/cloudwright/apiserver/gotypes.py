"""Built-in kinds in the form that Go gives them: what a write says is read into upstream's types.

That drops nulls and unknown fields, fills in and leaves out zero values as upstream's answers have
them, and spells quantities and times canonically (``model.golang``).
"""

from __future__ import annotations

import orjson

from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import ApiError, bad_request
from cloudwright.apiserver.refusals import patch_refused
from cloudwright.model import golang
from cloudwright.model.golang import GoError
from cloudwright.model.objects import Object


def read(call: Call, obj: Object) -> tuple[Object, list[str]] | None:
    """``obj`` as its Go type has it, and the paths of its unknown fields; ``None``: it has none.

    Raises:
        ApiError: 400 (422 for a patch), a value has a wrong type.
    """
    resource = call.served.resource
    if call.served.custom:
        return None
    name = golang.type_name(resource)
    if name is None:
        return None
    try:
        json, unknown = golang.canonical(name, orjson.dumps(obj))
    except orjson.JSONEncodeError as error:
        raise bad_request("the body is nested too deeply") from error
    except GoError as error:
        raise _refused(call, obj, str(error)) from error
    found: Object = orjson.loads(json)
    found["apiVersion"], found["kind"] = resource.api_version, resource.kind
    return found, unknown


def _refused(call: Call, obj: Object, message: str) -> ApiError:
    """In upstream's words, which are others for patches."""
    resource = call.served.resource
    if call.request.method == "PATCH":
        return patch_refused(call, obj, message)
    kind, version = resource.kind, resource.version
    return bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {message}')
