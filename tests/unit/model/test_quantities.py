from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.model import quantities


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", "0"),
        ("250m", "0.25"),
        ("1.5", "1.5"),
        ("64Mi", "67108864"),
        ("2G", "2000000000"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("1E", "1000000000000000000"),
        (".5", "0.5"),
        ("5.", "5"),
        ("-1", "-1"),
        ("+3Ki", "3072"),
        ("100n", "0.0000001"),
        (7, "7"),
        (0.5, "0.5"),
    ],
)
def test_quantities_are_read_exactly(text: str | int | float, number: str) -> None:
    assert quantities.parse(text) == Decimal(number)


@pytest.mark.parametrize(
    "text", ["", "x", "1KiB", "1 Gi", "Mi", "1e", "1e99", "--1", "1.2.3", "0x10", "1" * 65, "1m5"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantit"):
        quantities.parse(text)


@pytest.mark.parametrize("value", [True, None, [], {}])
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="must be a number or text"):
        quantities.parse(value)  # type: ignore[arg-type]


@given(st.integers(0, 10**15))
def test_cpu_text_comes_back(millis: int) -> None:
    assert quantities.cpu_millis(quantities.format_cpu(millis)) == millis


@given(st.integers(0, 2**62))
def test_byte_text_comes_back(count: int) -> None:
    assert quantities.as_bytes(quantities.format_bytes(count)) == count


@given(st.integers(1, 10**6), st.sampled_from(["n", "u", "m"]))
def test_parts_are_rounded_up(number: int, suffix: str) -> None:
    exact = quantities.parse(f"{number}{suffix}")
    rounded = quantities.as_bytes(f"{number}{suffix}")
    assert rounded - 1 < exact <= rounded


@given(st.lists(st.integers(0, 10**6), max_size=8))
def test_requests_add_up(millis: list[int]) -> None:
    total = quantities.add({"cpu": f"{m}m"} for m in millis)
    assert total.get("cpu", Decimal(0)) == Decimal(sum(millis)) / 1000


def test_amounts_below_zero_are_a_problem() -> None:
    assert quantities.problems("-1") == ["must be greater than or equal to 0"]
    assert quantities.problems("1Gi") == []
    assert "regular expression" in quantities.problems("lots")[0]
