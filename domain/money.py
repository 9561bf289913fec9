"""Amounts of money: exact decimals with two places, never floats."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

CENT = Decimal("0.01")
MAX_AMOUNT = Decimal("999999999.99")
"""The largest amount a caller may name; columns (NUMERIC(14,2)) hold sums of a thousand of these."""


_PLAIN = r"^-?[0-9]{1,12}(\.[0-9]{1,2})?$"
_TWO_DECIMALS = r"^-?[0-9]{1,12}\.[0-9]{2}$"


def _plain(value: object) -> object:
    """What ``Decimal`` would take but nobody writes as money (1e3, 1_000, ٣, floats) is refused."""
    if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, str) and re.fullmatch(_PLAIN.strip("^$"), value):
        return value
    raise ValueError('must be an amount such as "1250.00": a string of digits with at most two decimals')


def _two_places(amount: Decimal) -> str:
    return format(amount.quantize(CENT), "f")


Money = Annotated[
    Decimal,
    Field(max_digits=14, decimal_places=2, allow_inf_nan=False),
    BeforeValidator(_plain),
    PlainSerializer(_two_places, return_type=str, when_used="json"),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": _PLAIN}, {"type": "integer"}], "examples": ["1250.00"]},
        mode="validation",
    ),
    WithJsonSchema(
        {"type": "string", "pattern": _TWO_DECIMALS, "examples": ["1250.00"]}, mode="serialization"
    ),
]
"""An amount in the account's currency; a JSON string, answered with two decimals, taken with up to two."""

LargeMoney = Annotated[
    Decimal,
    PlainSerializer(_two_places, return_type=str, when_used="json"),
    WithJsonSchema(
        {"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{2}$", "examples": ["132500000.00"]},
        mode="serialization",
    ),
]
"""What amounts add up or multiply to, a priority score for one: larger than any one amount may be."""

PositiveMoney = Annotated[Money, Field(gt=0, le=MAX_AMOUNT)]
"""An amount that a caller may ask for: above zero, at most ``MAX_AMOUNT``."""


def cents(amount: Decimal) -> int:
    """``amount`` in cents; raises ``ValueError`` when it has a fraction of a cent."""
    scaled = amount * 100
    whole = int(scaled)
    if scaled != whole:
        raise ValueError(f"{amount} has more than two decimals")
    return whole


def split_exact(total: Decimal, weights: Sequence[Decimal | int]) -> list[Decimal]:
    """Split ``total`` in proportion to ``weights`` so that the parts add up to it, to the cent.

    Largest remainder method: every part is rounded down, then the missing cents go to the parts
    with the largest remainders, the earlier part first where they tie. Weights are not negative
    and at least one is positive, else ``ValueError``.
    """
    whole = sum(Decimal(w) for w in weights)
    if whole <= 0 or any(w < 0 for w in weights):
        raise ValueError("weights must be at least 0 and not all 0")
    sign, magnitude = (-1, -total) if total < 0 else (1, total)
    left = cents(magnitude)
    exact = [magnitude * 100 * Decimal(w) / whole for w in weights]
    parts = [int(e) for e in exact]
    by_remainder = sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))
    for i in by_remainder[: left - sum(parts)]:
        parts[i] += 1
    return [sign * Decimal(p) * CENT for p in parts]
