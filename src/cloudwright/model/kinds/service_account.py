"""ServiceAccount: whom a pod is, for the API and for the mesh."""

from __future__ import annotations

from cloudwright.model import resources
from cloudwright.model.kinds.spec import KindSpec

SPEC = KindSpec(resources.SERVICE_ACCOUNT)
