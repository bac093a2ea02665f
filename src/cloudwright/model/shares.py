"""``IntOrString``: a number, or a percentage of something. Pure."""

from __future__ import annotations


def of_total(value: int | str, total: int, *, up: bool = True) -> int:
    """The number that ``value`` stands for; parts of one are rounded ``up`` or down.

    Raises:
        ValueError: it is neither a number nor a percentage.
    """
    if isinstance(value, int):
        return value
    if not value.endswith("%"):
        raise ValueError(f"{value!r} is neither a whole number nor a percentage")
    share = int(value[:-1]) * total
    return -(-share // 100) if up else share // 100
