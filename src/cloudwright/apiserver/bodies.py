"""Request bodies: decoding, and finding what stands twice in them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import orjson

from cloudwright.apiserver import gojson, yamls
from cloudwright.apiserver.errors import ApiError, bad_request, unsupported_media_type
from cloudwright.model import protobuf
from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from cloudwright.apiserver.calls import Call

_DEPTH_SAFE = 200
_SPACED = re.compile(rb'"\s+:')
_JSON, _YAML = "application/json", "application/yaml"
_SUBRESOURCES = {
    "Scale": "autoscaling",
    "Eviction": "policy",
    "TokenRequest": "authentication",
}
_UNKNOWN = "the body of the request was in an unknown format - accepted media types include: "
_ACCEPTED = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


class UnreadableError(ValueError):
    """A body that is no object, in the words of upstream's decoders."""


def media_type(headers: Any) -> str:
    """The content type without its parameters, lower-case; JSON when there is none.

    One whose parameters are malformed stays as it is: it is none that is known.
    """
    text = str(headers.get("content-type") or _JSON)
    kind, _, parameters = text.partition(";")
    if parameters and any("=" not in one for one in parameters.split(";") if one.strip()):
        return text
    return kind.strip().lower()


def read(call: Call, kind: str = "") -> Object:
    """The object in a call's body; ``kind`` is what it must be, if not of the path's kind.

    Raises:
        ApiError: 400, it cannot be parsed or is no object; 415, not JSON or YAML.
    """
    body = call.request.body
    custom = call.served.custom and not kind
    try:
        value = parse(body, media_type(call.request.headers))
        if custom:
            _check_said(value, body)
        elif kind and (said := value.get("kind")) and said != kind:
            raise other_kind(kind, value)
        return value
    except UnreadableError as error:
        raise unrecognized(kind or call.served.resource.kind, str(error), body) from error


def decode_object(body: bytes, content_type: str) -> Object:
    """The object in a body that is of no kind in particular.

    Raises:
        ApiError: 400, it cannot be parsed or is no object; 415, not JSON or YAML.
    """
    try:
        return parse(body, content_type)
    except UnreadableError as error:
        raise bad_request(str(error)) from error


def other_kind(kind: str, value: Object) -> ApiError:
    """400: a body of a subresource that is of another kind than ``kind``."""
    said, version = value["kind"], str(value.get("apiVersion") or "")
    short, group = version.rpartition("/")[2], _SUBRESOURCES.get(kind, "core")
    return bad_request(
        f'{said} in version "{short}" cannot be handled as a {kind}: '
        f"converting ({short}.{said}) to ({group}.{kind}): unknown conversion"
    )


def unrecognized(kind: str, problem: str, body: bytes) -> ApiError:
    """400: a body that is no ``kind``."""
    shown = gojson.summary(body)
    return bad_request(
        f"the object provided is unrecognized (must be of type {kind}): {problem} ({shown})"
    )


def _check_said(value: Object, body: bytes) -> None:
    """Custom objects have no type that could say what they are."""
    for name, word in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not value.get(name):
            text = body.decode("utf-8", "replace").strip()
            raise UnreadableError(f"Object '{word}' is missing in '{text}'")


def parse(body: bytes, content_type: str) -> Object:
    """The object in a body; nothing but null is an empty one.

    Raises:
        ApiError: 400, it is nested too deeply; 415, not JSON or YAML.
        UnreadableError: it cannot be parsed or is no object.
    """
    value = decode(body, content_type)
    if (
        type(value) is dict
        and type(version := value.get("apiVersion", "")) is str
        and type(value.get("kind", "")) is str
    ):
        if version.count("/") > 1:
            raise UnreadableError(f"unexpected GroupVersion string: {version}")
        return value
    problem = gojson.head_error(value)
    if problem:
        raise UnreadableError(f"couldn't get version/kind; json parse error: {problem}")
    if value is None:
        return {}
    return {k: v for k, v in value.items() if v is not None or k not in ("apiVersion", "kind")}


def decode(body: bytes, content_type: str) -> Any:
    """The value in a body.

    Raises:
        ApiError: 400, it is nested too deeply; 415, not JSON or YAML.
        UnreadableError: it cannot be parsed.
    """
    if content_type == _YAML:
        try:
            value = yamls.decode(body)
        except yamls.YamlError as error:
            raise UnreadableError(str(error)) from error
        check_encodes(value)
        return value
    if content_type == protobuf.MEDIA_TYPE:  # one that could be read came as JSON
        raise UnreadableError(protobuf.problem(body))
    if content_type not in (_JSON, ""):
        raise unsupported_media_type(_UNKNOWN + _ACCEPTED)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        problem, value = as_go(body)
        if problem:
            raise UnreadableError(
                f"couldn't get version/kind; json parse error: {problem}"
            ) from None
    if body.count(b"{") + body.count(b"[") > _DEPTH_SAFE:
        check_encodes(value)
    return value


def as_go(body: bytes) -> tuple[str, Any]:
    """What Go makes of text that is no strict JSON: what it says is wrong, or the value.

    Raises:
        ApiError: 400, it is nested too deeply.
    """
    problem = gojson.syntax_error(body)
    if problem:
        return problem, None
    try:
        return "", orjson.loads(gojson.mended(body))
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise bad_request("the body is nested too deeply") from error


def check_encodes(value: Any) -> None:
    """Refuse what could be read but not be written again.

    Raises:
        ApiError: 400, it is nested too deeply, or has a number of more than 64 bits.
    """
    try:
        orjson.dumps(value)
    except TypeError as error:
        what = "is nested too deeply" if "ecursion" in str(error) else f"has a value: {error}"
        raise bad_request(f"the body {what}") from error


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with all of its members, repeated ones too."""


def duplicates(body: bytes, decoded: Any) -> list[str]:
    """Paths of the members that their JSON object has twice; none for a body that is not JSON.

    ``decoded`` is the body's value: counting the members of both tells most bodies without.
    """
    if not body.lstrip().startswith(b"{"):
        return []
    again = orjson.dumps(decoded)
    if body.count(b'":') == again.count(b'":') and _SPACED.search(body) is None:
        return []
    found: list[str] = []
    _walk(json.loads(body.decode("utf-8", "gojson"), object_pairs_hook=_Pairs), "", found)
    return found


def merged(body: bytes) -> Object:
    """A JSON body whose repeated objects are put together, as Go reads them into its types."""
    pairs = json.loads(body.decode("utf-8", "gojson"), object_pairs_hook=_Pairs)
    found: Object = _merged(pairs)
    return found


def _merged(value: Any) -> Any:
    if isinstance(value, _Pairs):
        made: Object = {}
        for name, inner in value:
            again, before = _merged(inner), made.get(name)
            if isinstance(again, dict) and isinstance(before, dict):
                again = {**before, **again}
            made[name] = again
        return made
    if isinstance(value, list):
        return [_merged(inner) for inner in value]
    return value


def places(value: Any) -> list[str]:
    """The paths of every member: of a JSON body in its order, of an object in that of names."""
    if isinstance(value, bytes):
        value = json.loads(value.decode("utf-8", "gojson"), object_pairs_hook=_Pairs)
    found: list[str] = []
    _place(value, "", found)
    return found


def _place(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, _Pairs | dict):
        members = value if isinstance(value, _Pairs) else sorted(value.items())
        for name, inner in members:
            here = f"{path}.{name}" if path else name
            found.append(here)
            _place(inner, here, found)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _place(inner, f"{path}[{index}]", found)


def _walk(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, inner in value:
            here = f"{path}.{name}" if path else name
            if name in seen and here not in found:
                found.append(here)
            seen.add(name)
            _walk(inner, here, found)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _walk(inner, f"{path}[{index}]", found)
