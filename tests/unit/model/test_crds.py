"""Definitions of our kinds for foreign API servers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cloudwright.model.crds import RULES, definition
from cloudwright.model.resources import MICRO_SERVICE, POD, ROUTE

ROOT = Path(__file__).parents[3]
FORBIDDEN = {
    *("$ref", "definitions"),
    *("x-kubernetes-group-version-kind", "x-kubernetes-patch-strategy"),
}


def schemas(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """A schema and every schema in it."""
    found = [schema]
    for inner in (schema.get("properties") or {}).values():
        found += schemas(inner)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            found += schemas(schema[key])
    return found


@pytest.mark.parametrize("resource", [MICRO_SERVICE, ROUTE])
def test_they_are_structural(resource: Any) -> None:
    (version,) = definition(resource)["spec"]["versions"]
    every = schemas(version["schema"]["openAPIV3Schema"])
    assert len(every) > 10
    for schema in every:
        assert not FORBIDDEN & set(schema)
        assert schema.get("type") or schema.get("x-kubernetes-int-or-string")


def test_every_rule_has_its_place() -> None:
    (version,) = definition(MICRO_SERVICE)["spec"]["versions"]
    every = schemas(version["schema"]["openAPIV3Schema"])
    placed = [rule for s in every for rule in s.get("x-kubernetes-validations") or []]
    assert len(placed) == sum(len(rules) for rules in RULES[MICRO_SERVICE.kind].values())


def test_only_our_kinds_have_one() -> None:
    with pytest.raises(ValueError, match="not one of our kinds"):
        definition(POD)


def test_the_files_in_deploy_are_fresh() -> None:
    script = ROOT / "scripts" / "generate_crds.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
