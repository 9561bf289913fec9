"""What agrees with a partner's record, and what a difference is."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.accounts import OPEN_STATUSES, AccountStatus
from domain.reconciliation import (
    BreakKind,
    Cause,
    Difference,
    Fee,
    OurAccount,
    Terms,
    TheirAccount,
    Tolerance,
    explain,
    judge,
    name_key,
)

NOW = datetime(2026, 11, 22, tzinfo=UTC)
TERMS = Terms(NOW)
amounts = st.decimals(-10_000, 10_000, places=2)
D = Decimal


def ours(balance: str = "500.00", status: AccountStatus = AccountStatus.NEW, **more: object) -> OurAccount:
    return OurAccount(D(balance), D("500.00"), "USD", status, **more)  # type: ignore[arg-type] # by name


def theirs(balance: str | None = "500.00", status: str | None = "UNPAID", **more: object) -> TheirAccount:
    values = {"currency": None, "processed_at": NOW, **more}
    return TheirAccount(None if balance is None else D(balance), status, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("our_balance", "their_balance", "agree"),
    [
        ("500.00", "501.00", True),
        ("500.00", "501.01", False),
        ("500.00", "499.00", True),
        ("50.00", "50.50", True),
        ("50.00", "50.51", False),
        ("500.00", "-100.00", False),
        ("0.00", "0.00", True),
        ("0.00", "0.01", False),
        ("0.01", "0.00", False),
        ("-0.50", "0.50", False),
        ("-200.00", "-201.00", True),
    ],
)
def test_tolerance_is_the_lesser_of_an_amount_and_a_share(
    our_balance: str, their_balance: str, agree: bool
) -> None:
    assert Tolerance().agree(D(our_balance), D(their_balance)) is agree


@given(amounts, amounts)
def test_what_agrees_has_the_same_sign_and_is_near(a: Decimal, b: Decimal) -> None:
    if Tolerance().agree(a, b):
        assert abs(a - b) <= min(D(1), abs(a) / 100)
        assert (a > 0, a < 0) == (b > 0, b < 0)


@given(amounts)
def test_every_amount_agrees_with_itself_whatever_the_tolerance(a: Decimal) -> None:
    assert Tolerance(D(0), D(0)).agree(a, a)


@pytest.mark.parametrize("status", AccountStatus)
@pytest.mark.parametrize("word", ["UNPAID", "PARTIAL", "PAID"])
def test_unpaid_and_partial_are_open_and_paid_is_settled_or_closed_as_paid(
    status: AccountStatus, word: str
) -> None:
    expected = (status in OPEN_STATUSES) == (word != "PAID")
    assert (judge(ours(status=status, closed_reason="paid"), theirs(status=word), TERMS) == []) is expected


def test_closed_for_other_reasons_is_no_status_of_a_partner() -> None:
    closed = ours(status=AccountStatus.CLOSED, closed_reason="recalled")
    assert judge(closed, theirs(), TERMS) == [Difference(BreakKind.STATUS, Cause.CLOSED_HERE)]
    assert judge(closed, theirs(status="PAID"), TERMS) == [
        Difference(BreakKind.STATUS, Cause.PAID_ONLY_THERE)
    ]


@pytest.mark.parametrize(
    ("our_side", "their_balance", "kind", "cause"),
    [
        (ours(), "-100.00", BreakKind.BALANCE, Cause.NEGATIVE_THERE),
        (ours(), "0.00", BreakKind.BALANCE, Cause.PAID_ONLY_THERE),
        (ours("0.00"), "20.00", BreakKind.BALANCE, Cause.PAID_ONLY_HERE),
        (ours(), "5.00", BreakKind.BALANCE, Cause.DECIMAL_SHIFT),
        (ours(), "50000.00", BreakKind.BALANCE, Cause.DECIMAL_SHIFT),
        (ours("300.00"), "500.00", BreakKind.BALANCE, Cause.NO_PAYMENT_KNOWN_THERE),
        (ours(), "400.00", BreakKind.BALANCE, Cause.LESS_THERE),
        (ours(), "600.00", BreakKind.BALANCE, Cause.MORE_THERE),
        (ours("400.00", posted_since=D(-100)), "500.00", BreakKind.TIMING, Cause.POSTED_SINCE),
        (ours("400.00", posted_since=D(-100)), "600.00", BreakKind.BALANCE, Cause.MORE_THERE),
        (ours(in_transit=D(50)), "450.00", BreakKind.TIMING, Cause.IN_TRANSIT),
        (ours(), "514.80", BreakKind.FEE, Cause.KNOWN_FEE),
        (ours(), "485.20", BreakKind.BALANCE, Cause.LESS_THERE),
    ],
)
def test_a_difference_of_amount_has_a_cause(
    our_side: OurAccount, their_balance: str, kind: BreakKind, cause: Cause
) -> None:
    terms = Terms(NOW, fees=(Fee("card", D("0.30"), D("2.9")),))
    assert judge(our_side, theirs(their_balance), terms) == [Difference(kind, cause)]


def test_what_explains_the_amounts_explains_the_statuses() -> None:
    settled = ours("0.00", AccountStatus.SETTLED, posted_since=D(-500))
    assert judge(settled, theirs(), TERMS) == [Difference(BreakKind.TIMING, Cause.POSTED_SINCE)]
    both = judge(ours(), theirs("400.00", "PAID"), TERMS)
    assert [d.kind for d in both] == [BreakKind.BALANCE, BreakKind.STATUS]


def test_the_stale_and_the_foreign_are_compared_no_further() -> None:
    old = theirs("1.00", "PAID", processed_at=NOW - timedelta(days=45, seconds=1))
    assert judge(ours(), old, TERMS) == [Difference(BreakKind.STALE, Cause.TOO_OLD)]
    foreign = theirs("1.00", "PAID", currency="EUR")
    assert judge(ours(), foreign, TERMS) == [Difference(BreakKind.CURRENCY, Cause.OTHER_CURRENCY)]


def test_what_is_not_stated_is_not_compared() -> None:
    assert judge(ours(), theirs(None, None), TERMS) == []
    assert judge(ours(), theirs(None, "SOLD"), TERMS) == [Difference(BreakKind.STATUS, Cause.UNKNOWN_STATUS)]


def test_every_cause_has_words_and_words_are_left_as_they_are() -> None:
    assert all(" " in explain(cause) for cause in Cause)
    assert explain("Stripe took money") == "Stripe took money"


@pytest.mark.parametrize(("one", "other"), [("Ana Lima", "LIMA, ana"), ("O'Neil  Jo", "jo o neil")])
def test_names_are_the_same_in_any_order(one: str, other: str) -> None:
    assert name_key(one) == name_key(other) != name_key("Ana Limas")
