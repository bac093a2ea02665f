"""CustomResourceDefinition. The API server checks the rest: it needs to know what is served."""

from __future__ import annotations

from cloudwright.model import resources
from cloudwright.model.kinds.spec import KindSpec

SPEC = KindSpec(resources.CUSTOM_RESOURCE_DEFINITION)
