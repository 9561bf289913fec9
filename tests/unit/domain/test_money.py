"""Money: exact decimals, split to the cent."""

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from domain.money import CENT, MAX_AMOUNT, Money, PositiveMoney, cents, split_exact

amounts = st.decimals(-MAX_AMOUNT, MAX_AMOUNT, places=2)
weights = st.lists(st.integers(0, 10**9), min_size=1, max_size=30).filter(any)


@given(amounts, weights)
def test_parts_add_up_to_the_cent(total: Decimal, shares: list[int]) -> None:
    parts = split_exact(total, shares)
    assert sum(parts) == total
    assert len(parts) == len(shares)
    assert all(part == part.quantize(CENT) for part in parts)


@given(amounts, weights)
def test_no_part_is_a_cent_away_from_its_exact_share(total: Decimal, shares: list[int]) -> None:
    for part, share in zip(split_exact(total, shares), shares, strict=True):
        # Compared without division: |part - total * share / sum| < 0.01
        assert abs(part * sum(shares) - total * share) < CENT * sum(shares)


@given(amounts, weights)
def test_a_larger_share_never_gets_less(total: Decimal, shares: list[int]) -> None:
    parts = split_exact(abs(total), shares)
    for one, first in zip(parts, shares, strict=True):
        for other, second in zip(parts, shares, strict=True):
            assert one <= other or first >= second


@given(amounts, weights)
def test_a_negative_total_is_split_like_its_opposite(total: Decimal, shares: list[int]) -> None:
    assert split_exact(-total, shares) == [-part for part in split_exact(total, shares)]


def test_of_equal_remainders_the_earlier_part_gets_the_cent() -> None:
    assert split_exact(Decimal("100.00"), [1, 1, 1]) == [Decimal("33.34"), Decimal("33.33"), Decimal("33.33")]
    assert split_exact(Decimal("0.01"), [0, 1, 1]) == [Decimal(0), CENT, Decimal(0)]


def test_weights_may_have_decimals() -> None:
    assert split_exact(Decimal("10.00"), [Decimal("0.5"), Decimal("1.5")]) == [
        Decimal("2.50"),
        Decimal("7.50"),
    ]


@pytest.mark.parametrize("shares", [[], [0, 0], [1, -1], [2, -1]])
def test_weights_that_say_nothing_are_refused(shares: list[int]) -> None:
    with pytest.raises(ValueError, match="weights"):
        split_exact(Decimal(1), shares)


def test_a_fraction_of_a_cent_is_no_amount() -> None:
    with pytest.raises(ValueError, match="more than two decimals"):
        cents(Decimal("1.005"))
    with pytest.raises(ValueError, match="more than two decimals"):
        split_exact(Decimal("0.001"), [1])
    assert cents(Decimal("-1.5")) == -150


@given(amounts)
def test_money_is_a_json_string_with_two_decimals(amount: Decimal) -> None:
    adapter = TypeAdapter[Any](Money)
    text = adapter.dump_json(amount).decode()
    assert text == f'"{amount:.2f}"'
    assert adapter.validate_json(text) == amount


NO_MONEY = [
    *("1.005", "NaN", "Infinity", "1e3", "1e20", "", "1,000.00", "1_000.00", "٣.00", " 10.00 ", "10.00\n"),
    *("+5.00", ".5", "5.", "--5", "1" * 13, 1.5, 10.0, True, None, [], Decimal("1.005"), Decimal("NaN")),
]


@pytest.mark.parametrize("value", NO_MONEY, ids=repr)
def test_what_is_no_money_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter[Any](Money).validate_python(value)


@pytest.mark.parametrize("value", ["5", "5.0", "5.00", "05.00", 5, Decimal(5), Decimal("5E0")], ids=repr)
def test_what_people_write_as_money_is_taken(value: object) -> None:
    assert TypeAdapter[Any](Money).validate_python(value) == 5


def test_the_schema_says_what_is_taken_and_what_is_answered() -> None:
    adapter = TypeAdapter[Any](Money)
    text, integer = adapter.json_schema(mode="validation")["anyOf"]
    assert integer == {"type": "integer"}
    pattern = re.compile(text["pattern"])
    for value in ("5", "5.0", "5.00", "-5.00"):
        assert pattern.search(value)
    for value in NO_MONEY:
        assert not isinstance(value, str) or value.endswith("\n") or not pattern.search(value)
    answered = adapter.json_schema(mode="serialization")["pattern"]
    assert re.search(answered, "5.00")
    assert not re.search(answered, "5.0")


@pytest.mark.parametrize("value", ["0", "-0.01", "1000000000.00"])
def test_what_nobody_may_ask_for_is_refused(value: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter[Any](PositiveMoney).validate_python(value)
    TypeAdapter[Any](PositiveMoney).validate_python(MAX_AMOUNT)
