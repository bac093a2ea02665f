"""The Gateway API: CustomResourceDefinitions of its standard channel, as they are published.

``schema/gateway_api.json.gz`` is written by ``scripts/generate_gateway_crds.py`` from the Go module
``sigs.k8s.io/gateway-api``. Read anew at each call.
"""

from __future__ import annotations

import gzip
import json
from importlib.resources import files
from typing import cast

from cloudwright.model.objects import Object

GROUP = "gateway.networking.k8s.io"


def definitions() -> list[Object]:
    """Every definition, sorted by name."""
    data = (files("cloudwright.model") / "schema" / "gateway_api.json.gz").read_bytes()
    return cast("list[Object]", json.loads(gzip.decompress(data)))
