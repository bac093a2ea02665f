"""Rules that cost too much in the worst case are refused when a definition is written."""

from __future__ import annotations

from typing import Any

import pytest

from cloudwright.apiserver import crdcosts, schemachecks

TEXT = {"type": "string"}
HINT = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, "
    "maps, and strings are declared)"
)


def schema(inner: dict[str, Any], rule: str, **more: Any) -> dict[str, Any]:
    ruled = {**inner, "x-kubernetes-validations": [{"rule": rule, **more}]}
    return {"type": "object", "properties": {"a": ruled}}


NESTED = {"type": "array", "items": {"type": "array", "items": TEXT}}
PATH = "s.properties[a].x-kubernetes-validations[0]"


@pytest.mark.parametrize(
    ("inner", "rule", "factor"),
    [
        (NESTED, "self.all(x, x.all(y, y == 'a'))", "more than 100x"),
        ({"type": "array", "items": TEXT}, "self.all(x, x.contains('abc'))", "more than 100x"),
        ({**NESTED, "maxItems": 2}, "self.all(x, x.all(y, y == 'a'))", "1.048576x"),
        ({**NESTED, "maxItems": 3}, "self.all(x, x.all(y, y == 'a'))", "1.6x"),
        ({**NESTED, "maxItems": 1}, "self.all(x, x.all(y, y == 'a'))", ""),
        (TEXT, "self == 'a'", ""),
    ],
)
def test_a_rule_that_costs_too_much_is_refused(
    inner: dict[str, Any], rule: str, factor: str
) -> None:
    found = [str(error) for error in schemachecks.check(schema(inner, rule), "s")]
    if not factor:
        assert found == []
        return
    text = (
        f"{PATH}.rule: Forbidden: estimated rule cost exceeds budget by factor of {factor} {HINT}"
    )
    assert text in found


def test_what_is_stored_already_may_stay_as_expensive_as_it_is() -> None:
    given = schema({"type": "array", "items": TEXT}, "self.all(x, x.contains('ab'))")
    assert schemachecks.check(given, "s")
    bounded = schema(
        {"type": "array", "maxItems": 100, "items": TEXT}, "self.all(x, x.contains('ab'))"
    )
    assert schemachecks.check(bounded, "s")
    assert schemachecks.check(bounded, "s", unchanged=True) == []


def test_the_sum_counts_also_when_nothing_changed() -> None:
    rule = "self.all(x, x.contains('abc'))"
    given = schema({"type": "array", "items": TEXT}, rule)
    found = list(crdcosts.check(given, "s", unchanged=True))
    assert [error.path for error in found] == [f"{PATH}.rule", "s"]
    assert "total for entire OpenAPIv3 schema exceeds budget" in found[1].message


def test_a_message_costs_too() -> None:
    given = schema(
        {"type": "array", "items": TEXT},
        "true",
        messageExpression="self.map(x, self.join(x)).join()",
    )
    found = list(crdcosts.check(given, "s", unchanged=False))
    assert found[0].path == f"{PATH}.messageExpression"
    assert found[0].message.startswith("estimated messageExpression cost exceeds budget")
