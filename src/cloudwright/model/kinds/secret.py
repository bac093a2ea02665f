"""Secret: bytes by file name; ``stringData`` is written into ``data``."""

from __future__ import annotations

import base64
import json

from cloudwright.model import fields, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.config_map import data_errors
from cloudwright.model.kinds.spec import KindSpec, mapping, unchanged
from cloudwright.model.objects import Object

_SSH, _BASIC = "kubernetes.io/ssh-auth", "kubernetes.io/basic-auth"
_TOKEN, _ACCOUNT = "kubernetes.io/service-account-token", "kubernetes.io/service-account.name"
_JSON = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg")
_EITHER = ("username", "password")
_NEEDED = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    _SSH: ("ssh-privatekey",),
}


def _defaults(secret: Object) -> None:
    if text := secret.pop("stringData", None):
        data = secret.setdefault("data", {})
        for key, value in text.items():
            data[key] = base64.b64encode(str(value).encode()).decode()
    secret.setdefault("type", "Opaque")


def _check(secret: Object, old: Object | None) -> list[FieldError]:
    found = data_errors(secret, old, "data")
    kind, data = str(secret.get("type")), mapping(secret, "data")
    for key in _NEEDED.get(kind, ()):
        if key not in data or (kind == _SSH and not data[key]):
            found.append(fields.required(f"data[{key}]"))
        elif kind in _JSON and not _is_object(data[key]):
            message = "must be a JSON object"
            found.append(fields.invalid(f"data[{key}]", "<secret contents redacted>", message))
    if kind == _BASIC and not any(key in data for key in _EITHER):
        found += [fields.required(f"data[{key}]") for key in _EITHER]
    if kind == _TOKEN and not mapping(secret["metadata"], "annotations").get(_ACCOUNT):
        found.append(fields.required(f"metadata.annotations[{_ACCOUNT}]"))
    return found + unchanged(secret, old, "", "type")


def _is_object(encoded: str) -> bool:
    try:
        return isinstance(json.loads(base64.b64decode(encoded)), dict)
    except ValueError:
        return False


SPEC = KindSpec(resources.SECRET, _defaults, _check)
