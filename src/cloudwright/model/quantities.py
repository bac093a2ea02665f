"""Kubernetes quantities: ``250m``, ``1.5``, ``64Mi``, ``2G``, ``1e3`` (``resource.Quantity``)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, Decimal, localcontext
from typing import Any

Value = str | int | float
"""How a quantity may stand in JSON."""

_PATTERN = re.compile(
    r"([+-]?(?:\d+\.?\d*|\.\d+))(?:(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E)|[eE]([+-]?\d+))?"
)
_BINARY = {f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", 1)}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_MAX_EXPONENT = 36
PATTERN_TEXT = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"


def parse(value: Value) -> Decimal:
    """The number that a quantity stands for, exactly.

    Raises:
        ValueError: it is not a quantity; the message is upstream's.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"quantities must be a number or text, not {type(value).__name__}")
    match = _PATTERN.fullmatch(str(value))
    if match is None or len(str(value)) > 64:
        raise ValueError(f"quantities must match the regular expression '{PATTERN_TEXT}'")
    number, suffix, exponent = match.groups()
    if exponent is not None and abs(int(exponent)) > _MAX_EXPONENT:
        raise ValueError(f"the exponent of a quantity must lie within ±{_MAX_EXPONENT}")
    with localcontext() as context:
        context.prec = 150
        result: Decimal = Decimal(number)
        if suffix in _BINARY:
            return Decimal(result * _BINARY[suffix])
        return result.scaleb(_DECIMAL[suffix] if suffix else int(exponent or 0))


def cpu_millis(value: Value) -> int:
    """Thousandths of a processor, rounded up. Raises ``ValueError`` as ``parse``."""
    return _ceiling(parse(value) * 1000)


def as_bytes(value: Value) -> int:
    """A number of bytes (or of anything whole), rounded up. Raises ``ValueError`` as ``parse``."""
    return _ceiling(parse(value))


def format_cpu(millis: int) -> str:
    """``1500`` → ``1500m``; ``2000`` → ``2``."""
    return f"{millis}m" if millis % 1000 else str(millis // 1000)


def format_bytes(count: int) -> str:
    """The shortest exact text with a binary suffix: ``67108864`` → ``64Mi``; ``1000`` stays."""
    for suffix, size in reversed(_BINARY.items()):
        if count and count % size == 0:
            return f"{count // size}{suffix}"
    return str(count)


def add(requests: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    """The sum of several resource lists (``{"cpu": "250m", "memory": "64Mi"}``) by resource."""
    total: dict[str, Decimal] = {}
    for request in requests:
        for name, value in request.items():
            total[name] = total.get(name, Decimal(0)) + parse(value)
    return total


def problems(value: Any) -> list[str]:
    """What is wrong with ``value`` as an amount of a resource: no quantity, or below zero."""
    try:
        number = parse(value)
    except ValueError as error:
        return [str(error)]
    return ["must be greater than or equal to 0"] if number < 0 else []


def _ceiling(number: Decimal) -> int:
    return int(number.to_integral_value(rounding=ROUND_CEILING))
