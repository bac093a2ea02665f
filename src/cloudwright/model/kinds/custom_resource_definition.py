"""CustomResourceDefinition. The API server checks the rest: it needs to know what is served."""

from __future__ import annotations

from cloudwright.model import resources
from cloudwright.model.kinds.spec import KindSpec, mapping
from cloudwright.model.objects import Object


def _defaults(crd: Object) -> None:
    spec = mapping(crd, "spec")
    names = mapping(spec, "names")
    if kind := str(names.get("kind") or ""):
        if not names.get("singular"):
            names["singular"] = kind.lower()
        if not names.get("listKind"):
            names["listKind"] = f"{kind}List"
    if spec and spec.get("conversion") is None:
        spec["conversion"] = {"strategy": "None"}


SPEC = KindSpec(resources.CUSTOM_RESOURCE_DEFINITION, _defaults)
