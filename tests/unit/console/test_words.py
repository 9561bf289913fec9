"""How pages write money, telephone numbers and ages."""

from decimal import Decimal

import pytest

from console.rendering import age, money, phone, sentence


@pytest.mark.parametrize(
    ("amount", "currency", "places", "shown"),
    [
        (Decimal("22781.81"), "USD", 2, "$22,781.81"),
        (Decimal(-5), "USD", 2, "−$5.00"),
        ("40008733.14", "USD", 0, "$40,008,733"),
        (Decimal("1234.5"), "EUR", 2, "1,234.50 EUR"),
        (Decimal("-0.01"), "", 2, "−0.01"),
        (Decimal(0), "USD", 2, "$0.00"),
        (None, "USD", 2, "–"),
    ],
    ids=["dollars", "below zero", "whole dollars", "another currency", "no currency", "zero", "none"],
)
def test_money(amount: Decimal | str | None, currency: str, places: int, shown: str) -> None:
    assert money(amount, currency, places) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [("+18135550132", "+1 813-555-0132"), ("+493012345678", "+49 30 12345678"), ("ext. 12", "ext. 12")],
    ids=["American", "foreign", "none"],
)
def test_a_telephone_number(number: str, shown: str) -> None:
    assert phone(number) == shown


@pytest.mark.parametrize(("days", "shown"), [(0, "today"), (1, "1 day"), (1200, "1,200 days")])
def test_an_age(days: int, shown: str) -> None:
    assert age(days) == shown


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "the notice was due on 2026-11-07 (12 CFR 1006.34)",
            "The notice was due on 7 Nov 2026 (12 CFR 1006.34)",
        ),
        ("2026-11-18: due", "18 Nov 2026: due"),
        ("from 2026-02-30 on", "From 2026-02-30 on"),
        ("R-2026-11-18 and 2026-11-18T10:00", "R-2026-11-18 and 2026-11-18T10:00"),
        ("", ""),
    ],
    ids=["within", "first", "no day", "no day by itself", "nothing"],
)
def test_a_sentence(said: str, shown: str) -> None:
    assert sentence(said) == shown
