"""Built-in kinds in the form that Go gives them: what a write says is read into upstream's types.

That drops nulls and unknown fields, fills in and leaves out zero values as upstream's answers have
them, and spells quantities and times canonically (``model.golang``).
"""

from __future__ import annotations

import re

import orjson

from cloudwright.apiserver import bodies
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import ApiError, bad_request
from cloudwright.apiserver.refusals import patch_refused
from cloudwright.model import golang
from cloudwright.model.golang import GoError
from cloudwright.model.objects import Object

_JSON = "application/json"
_STRATEGIC = "application/strategic-merge-patch+json"
_MISTYPED = re.compile(r"^json: cannot unmarshal (\w+) .*into Go struct field \S+ of type (\S+)$")
_SHOWN = re.compile(r"unmarshal number (\S+) into")
_NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


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
        raise _refused(call, obj, _first_problem(call, name, obj, str(error))) from error
    found: Object = orjson.loads(json)
    found["apiVersion"], found["kind"] = resource.api_version, resource.kind
    return found, unknown


def _first_problem(call: Call, name: str, obj: Object, message: str) -> str:
    """What Go complains of first, with numbers as they are spelled in the body."""
    body = call.request.body
    direct = call.verb != "patch" and body.lstrip().startswith(b"{")
    for member in obj if direct else sorted(obj):
        try:
            golang.canonical(name, orjson.dumps({member: obj[member]}))
        except GoError as error:
            message = str(error)
            break
    shown = _SHOWN.search(message)
    if shown is not None and direct:
        wanted = float(shown[1])
        for found in _NUMBER.findall(body.decode("utf-8", "replace")):
            if float(found) == wanted:
                return message.replace(shown[0], f"unmarshal number {found} into")
    return message


def plain(call: Call) -> Object | None:
    """The object in the body of ``call``, read, checked and in its Go type's form in one step.

    ``None``: it is of no Go type, not JSON, or something is to be said about it: go the long way.
    """
    served = call.served
    if served.custom or call.request.headers.get("content-type", _JSON) != _JSON:
        return None
    name = golang.type_name(served.resource)
    if name is None:
        return None
    json = golang.plain(name, call.request.body)
    if json is None:
        return None
    found: Object = orjson.loads(json)
    said = (found.get("apiVersion", ""), found.get("kind", ""))
    return found if said == (served.resource.api_version, served.resource.kind) else None


def _restored(message: str) -> str:
    """What upstream says of a strategic patch, whose result is no JSON text to it."""
    found = _MISTYPED.search(message)
    if found is None:
        return message
    given = {"object": "map", "array": "slice", "number": "int64"}.get(found[1], found[1])
    wanted = found[2]
    if wanted.startswith("[]"):
        return f"cannot restore slice from {given}"
    if wanted.startswith("map["):
        return f"cannot restore map from {given}"
    if "." in wanted:
        return f"cannot restore struct from: {given}"
    return f"unrecognized type: {wanted}"


def _refused(call: Call, obj: Object, message: str) -> ApiError:
    """In upstream's words, which are others for patches."""
    resource = call.served.resource
    if call.request.method == "PATCH":
        if bodies.media_type(call.request.headers) == _STRATEGIC:
            message = _restored(message)
        return patch_refused(call, obj, message)
    kind, version = resource.kind, resource.version
    return bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {message}')
