"""Secret: bytes by file name; ``stringData`` is written into ``data``."""

from __future__ import annotations

import base64

from cloudwright.model import fields, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.config_map import data_errors
from cloudwright.model.kinds.spec import KindSpec, mapping, unchanged
from cloudwright.model.objects import Object

_NEEDED = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def _defaults(secret: Object) -> None:
    if text := secret.pop("stringData", None):
        data = secret.setdefault("data", {})
        for key, value in text.items():
            data[key] = base64.b64encode(str(value).encode()).decode()
    secret.setdefault("type", "Opaque")


def _check(secret: Object, old: Object | None) -> list[FieldError]:
    found = data_errors(secret, old, "data")
    for key in _NEEDED.get(str(secret.get("type")), ()):
        if key not in mapping(secret, "data"):
            found.append(fields.required(f"data[{key}]"))
    return found + unchanged(secret, old, "", "type")


SPEC = KindSpec(resources.SECRET, _defaults, _check)
