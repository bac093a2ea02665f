"""Which rules of a definition cost too much in the worst case, in upstream's words. Pure.

kube-apiserver estimates what each rule of ``x-kubernetes-validations`` can cost at most, from the
bounds in its schema, and refuses what is beyond 10,000,000 units for a rule or 100,000,000 for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cloudwright.apiserver import structures
from cloudwright.model import fields
from cloudwright.model.fields import FieldError

RULE_MAX = 10_000_000
"""Units that one expression of a rule may be estimated to cost."""
SCHEMA_MAX = 100_000_000
"""Units that all rules of one schema may be estimated to cost."""
_NAMED_MAX = 4
_MANY = 100.0
_FEW = 1.5


def check(schema: Mapping[str, Any], path: str, *, unchanged: bool) -> Iterator[FieldError]:
    """What is too expensive in the valid schema that stands at ``path``.

    ``unchanged``: the same schema is stored already; then only the sum of all rules counts.
    """
    costs = structures.of(schema).rule_costs(path)
    for where, cost in costs:
        if cost > RULE_MAX and not unchanged:
            name = where.rpartition(".")[2]
            text = _exceeds(f"estimated {name} cost", cost, RULE_MAX)
            yield fields.forbidden(where, text)
    total = sum(cost for _, cost in costs)
    if total <= SCHEMA_MAX:
        return
    named = [(where, cost) for where, cost in costs if cost >= SCHEMA_MAX // 100]
    for where, _ in sorted(named, key=lambda one: -one[1])[:_NAMED_MAX]:
        text = (
            "contributed to estimated rule cost total exceeding cost limit for entire "
            "OpenAPIv3 schema"
        )
        yield fields.forbidden(where, text)
    name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
    yield fields.forbidden(path, _exceeds(name, min(total, 2**64 - 1), SCHEMA_MAX))


def _exceeds(name: str, cost: int, limit: int) -> str:
    factor = cost / limit
    if factor > _MANY:
        shown = "more than 100x"
    elif factor < _FEW:
        shown = f"{factor:f}x"
    else:
        shown = f"{factor:.1f}x"
    return (
        f"{name} exceeds budget by factor of {shown} (try simplifying the rule, or adding "
        "maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
