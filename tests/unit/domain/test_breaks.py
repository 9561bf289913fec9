"""What resolving a break does: never more than the difference, only where there is something to rest on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.breaks import (
    AGES,
    ApprovalNeeded,
    Difference,
    Effect,
    NotPossible,
    Resolution,
    age_in_days,
    bucket_of,
    check_limit,
    effect_of,
    is_incoming,
    possible,
)
from domain.reconciliation import BreakKind

R = Resolution
OF_ACCOUNT = Difference(
    source="partner",
    kind="balance",
    ours=Decimal("100.00"),
    theirs=Decimal("90.00"),
    about_account=True,
    about_payment=False,
    paid_there=False,
    incoming=True,
    can_be_told=True,
)
OF_PAYMENT = replace(OF_ACCOUNT, about_account=False, about_payment=True)
AT_PROCESSOR = replace(OF_PAYMENT, source="processor", can_be_told=False)

amounts = st.none() | st.decimals("-500.00", "500.00", places=2)
differences = st.builds(
    Difference,
    source=st.sampled_from(["partner", "processor"]),
    kind=st.sampled_from([kind.value for kind in BreakKind]),
    ours=amounts,
    theirs=amounts,
    about_account=st.booleans(),
    about_payment=st.booleans(),
    paid_there=st.booleans(),
    incoming=st.booleans(),
    can_be_told=st.booleans(),
)


@given(differences)
def test_no_resolution_moves_more_than_what_the_sides_differ_by(difference: Difference) -> None:
    ours, theirs = difference.ours or Decimal(0), difference.theirs or Decimal(0)
    for resolution in possible(difference):
        effect = effect_of(resolution, difference)
        assert effect.moved <= max(abs(theirs - ours), abs(ours))
        moves = [effect.added, effect.forgiven, effect.cash, effect.lost]
        assert len([one for one in moves if one]) <= 1
        assert min(effect.forgiven, effect.lost) >= 0
        assert not (effect.on_account and difference.about_payment)
        if effect.on_account:
            assert difference.about_account
            assert ours + effect.added - effect.forgiven >= 0, "no balance falls below zero"


@given(differences)
def test_to_explain_is_always_possible_and_moves_nothing(difference: Difference) -> None:
    assert R.EXPLAIN in possible(difference)
    assert effect_of(R.EXPLAIN, difference) == Effect()


@given(st.decimals("0.00", "500.00", places=2), st.decimals("0.00", "500.00", places=2))
def test_taking_theirs_over_makes_ours_theirs(ours: Decimal, theirs: Decimal) -> None:
    difference = replace(OF_ACCOUNT, ours=ours, theirs=theirs)
    if ours == theirs:
        assert R.ACCEPT_THEIRS not in possible(difference)
        return
    effect = effect_of(R.ACCEPT_THEIRS, difference)
    assert ours + effect.added == theirs
    assert effect.settles == (theirs == 0)


CASES: list[Any] = [
    pytest.param(OF_ACCOUNT, R.ACCEPT_THEIRS, Effect(added=Decimal("-10.00")), id="less-there"),
    pytest.param(OF_ACCOUNT, R.WRITE_OFF, Effect(forgiven=Decimal("10.00")), id="write-off"),
    pytest.param(OF_ACCOUNT, R.KEEP_OURS, Effect(told=True), id="keep"),
    pytest.param(
        replace(OF_ACCOUNT, kind="status", theirs=None, paid_there=True),
        R.ACCEPT_THEIRS,
        Effect(added=Decimal("-100.00"), settles=True),
        id="paid-there",
    ),
    pytest.param(
        replace(OF_ACCOUNT, kind="missing_there", theirs=None),
        R.WRITE_OFF,
        Effect(forgiven=Decimal("100.00")),
        id="missing-there",
    ),
    pytest.param(
        replace(OF_ACCOUNT, kind="status", ours=Decimal(0), theirs=Decimal(0), paid_there=True),
        R.ACCEPT_THEIRS,
        Effect(settles=True),
        id="nothing-is-owed-on-either-side",
    ),
    pytest.param(
        replace(OF_PAYMENT, kind="fee"), R.ACCEPT_THEIRS, Effect(cash=Decimal("-10.00")), id="a-fee"
    ),
    pytest.param(
        replace(OF_PAYMENT, kind="missing_there", theirs=None),
        R.WRITE_OFF,
        Effect(lost=Decimal("100.00")),
        id="money-that-never-came",
    ),
    pytest.param(AT_PROCESSOR, R.WRITE_OFF, Effect(lost=Decimal("10.00")), id="at-the-processor"),
]


@pytest.mark.parametrize(("difference", "resolution", "effect"), CASES)
def test_what_a_resolution_does(difference: Difference, resolution: Resolution, effect: Effect) -> None:
    assert effect_of(resolution, difference) == effect


@pytest.mark.parametrize(
    ("difference", "resolution"),
    [
        pytest.param(replace(OF_ACCOUNT, theirs=Decimal("-0.01")), R.ACCEPT_THEIRS, id="below-zero"),
        pytest.param(replace(OF_ACCOUNT, kind="status", theirs=None), R.ACCEPT_THEIRS, id="words-only"),
        pytest.param(replace(OF_ACCOUNT, kind="currency"), R.ACCEPT_THEIRS, id="another-currency"),
        pytest.param(replace(OF_ACCOUNT, kind="duplicate"), R.WRITE_OFF, id="a-duplicate"),
        pytest.param(replace(OF_ACCOUNT, kind="timing"), R.ACCEPT_THEIRS, id="not-heard-of-yet"),
        pytest.param(replace(OF_ACCOUNT, kind="timing"), R.WRITE_OFF, id="nothing-to-forgive"),
        pytest.param(replace(OF_ACCOUNT, theirs=Decimal("100.01")), R.WRITE_OFF, id="theirs-is-more"),
        pytest.param(replace(OF_ACCOUNT, about_account=False), R.ACCEPT_THEIRS, id="nothing-of-ours"),
        pytest.param(replace(OF_ACCOUNT, can_be_told=False), R.KEEP_OURS, id="nobody-to-tell"),
        pytest.param(replace(OF_PAYMENT, kind="missing_there", theirs=None), R.ACCEPT_THEIRS, id="gone"),
        pytest.param(AT_PROCESSOR, R.ACCEPT_THEIRS, id="the-processor-s"),
        pytest.param(AT_PROCESSOR, R.KEEP_OURS, id="no-word-to-the-processor"),
        pytest.param(replace(AT_PROCESSOR, incoming=False), R.WRITE_OFF, id="a-refund"),
    ],
)
def test_what_is_not_possible(difference: Difference, resolution: Resolution) -> None:
    with pytest.raises(NotPossible):
        effect_of(resolution, difference)
    assert resolution not in possible(difference)


@pytest.mark.parametrize(
    ("value", "moved", "needed"),
    [("100.00", "0", False), ("100.01", "0", True), ("0", "100.01", True), ("0", "100.00", False)],
)
def test_above_the_limit_a_second_person_is_needed(value: str, moved: str, needed: bool) -> None:
    effect = Effect(added=-Decimal(moved))
    if not needed:
        check_limit(Decimal(value), effect, Decimal(100))
        return
    with pytest.raises(ApprovalNeeded):
        check_limit(Decimal(value), effect, Decimal(100))


@given(st.integers(0, 5000))
def test_each_age_is_in_one_bucket(days: int) -> None:
    within = [
        bucket for bucket, (first, last) in AGES.items() if first <= days and (last is None or days <= last)
    ]
    assert within == [bucket_of(days)]


def test_age_counts_whole_days_and_never_less_than_none() -> None:
    found = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for hours, days in ((-5, 0), (0, 0), (23, 0), (24, 1), (47, 1), (24 * 31, 31)):
        assert age_in_days(found, found + timedelta(hours=hours)) == days


@pytest.mark.parametrize(("subject", "incoming"), [("pi_1", True), ("ch_1", True), ("re_1", False)])
def test_what_goes_out_at_the_processor_is_known_by_its_id(subject: str, incoming: bool) -> None:
    assert is_incoming(subject) is incoming
