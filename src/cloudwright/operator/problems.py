"""What is wrong with a MicroService's spec, by field path: the same words as at admission."""

from __future__ import annotations

from cloudwright.model import schemas
from cloudwright.model.objects import Object
from cloudwright.model.resources import MICRO_SERVICE


def problems(service: Object) -> list[str]:
    """``path: what`` for everything that keeps a MicroService from being rolled out."""
    schema = schemas.schema_for(MICRO_SERVICE)
    found = schemas.validate(schema, {**service, "status": {}}) if schema else []
    return [str(error) for error in found]
