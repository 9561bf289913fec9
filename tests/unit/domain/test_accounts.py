"""The table of moves, as it was agreed, and what follows from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.accounts import MOVES_BY_HAND, OPEN_STATUSES, WORKABLE_STATUSES, AccountStatus, legal_moves

AGREED = {
    "new": "assigned closed",
    "assigned": "in_contact disputed closed",
    "in_contact": "negotiating disputed closed",
    "negotiating": "payment_plan settled disputed closed",
    "payment_plan": "settled disputed closed",
    "disputed": "in_contact closed",
    "settled": "closed",
    "closed": "",
}


@pytest.mark.parametrize("status", AccountStatus)
def test_the_moves_by_hand_are_the_agreed_ones(status: AccountStatus) -> None:
    assert [move.value for move in legal_moves(status)] == AGREED[status].split()


@given(st.lists(st.integers(0, 9), max_size=20))
def test_a_walk_along_legal_moves_never_leaves_closed_nor_stays(choices: list[int]) -> None:
    status = AccountStatus.NEW
    for choice in choices:
        moves = legal_moves(status)
        if not moves:
            assert status is AccountStatus.CLOSED
            return
        assert status not in moves
        assert AccountStatus.NEW not in moves
        status = moves[choice % len(moves)]


def test_every_account_can_be_closed_and_every_status_reached() -> None:
    reached = {AccountStatus.NEW}
    for _ in AccountStatus:
        reached |= {move for status in reached for move in legal_moves(status)}
    assert reached == set(AccountStatus) == set(MOVES_BY_HAND)
    assert all(AccountStatus.CLOSED in legal_moves(s) for s in AccountStatus if s is not AccountStatus.CLOSED)


def test_what_is_over_is_not_open_and_what_is_disputed_not_workable() -> None:
    assert set(AccountStatus) - OPEN_STATUSES == {AccountStatus.SETTLED, AccountStatus.CLOSED}
    assert {AccountStatus.DISPUTED} == OPEN_STATUSES - WORKABLE_STATUSES
