"""Request bodies: decoding, and finding what stands twice in them."""

from __future__ import annotations

import json
from typing import Any

import orjson

from cloudwright.apiserver.errors import bad_request, unsupported_media_type
from cloudwright.model.objects import Object

_YAML = ("application/yaml", "application/x-yaml", "text/yaml")


def media_type(headers: Any) -> str:
    """The content type without its parameters, lower-case; JSON when there is none."""
    text = str(headers.get("content-type") or "application/json")
    return text.partition(";")[0].strip().lower()


def decode_object(body: bytes, content_type: str) -> Object:
    """The object in a body.

    Raises:
        ApiError: 400, it cannot be parsed or is no object; 415, not JSON or YAML.
    """
    value = decode(body, content_type)
    if not isinstance(value, dict):
        raise bad_request("the body must be a JSON object")
    return value


def decode(body: bytes, content_type: str) -> Any:
    """The value in a body."""
    if content_type in _YAML:
        return _decode_yaml(body)
    if content_type not in ("application/json", ""):
        raise unsupported_media_type(
            f"the body of the request was in an unknown format ({content_type}); "
            "accepted media types include: application/json, application/yaml"
        )
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"the body is not valid JSON: {error}") from error


def duplicates(body: bytes, content_type: str) -> list[str]:
    """Names that stand twice in one JSON object, in the order found."""
    if content_type in _YAML:
        return []
    found: list[str] = []

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for name, value in pairs:
            if name in seen and name not in found:
                found.append(name)
            seen[name] = value
        return seen

    json.loads(body, object_pairs_hook=build)
    return found


def _decode_yaml(body: bytes) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Times stay text, as they are in JSON."""

    # The resolvers are a class attribute shared by every loader: replaced, never changed.
    Loader.yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in found if not tag.endswith(":timestamp")]
        for letter, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        # Aliases could name a value a million times in a few bytes.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(body, Loader)):
            raise bad_request("aliases (*name) are not allowed in a YAML body")
        return yaml.load(body, Loader)  # noqa: S506  (derived from SafeLoader)
    except yaml.YAMLError as error:
        raise bad_request(f"the body is not valid YAML: {error}") from error
