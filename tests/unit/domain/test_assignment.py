"""Spreading accounts over collectors: what holds whatever comes."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.assignment import Unassigned, Workload, room_of, spread

COLLECTORS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8), st.integers(0, 5_000)), max_size=6).map(
    lambda drawn: [
        Workload(UUID(int=1000 + n), maximum, accounts, value)
        for n, (maximum, accounts, value) in enumerate(drawn)
    ]
)
ACCOUNTS = st.lists(st.integers(1, 1_000), max_size=40).map(
    lambda values: [Unassigned(UUID(int=n), value) for n, value in enumerate(values, 1)]
)


@given(ACCOUNTS, COLLECTORS)
def test_every_account_goes_to_one_collector_or_is_left_over(
    accounts: list[Unassigned], workloads: list[Workload]
) -> None:
    plan = spread(accounts, workloads)

    given_out = [assignment.account_id for assignment in plan.assignments]
    # The best first, until nobody has room: no worse one is assigned while a better one is left over.
    assert [*given_out, *plan.left_over] == [account.account_id for account in accounts]
    assert len(given_out) == min(len(accounts), room_of(workloads))


@given(ACCOUNTS, COLLECTORS)
def test_nobody_gets_more_than_they_may_have(accounts: list[Unassigned], workloads: list[Workload]) -> None:
    plan = spread(accounts, workloads)

    assert [after.collector_id for after in plan.workloads] == [before.collector_id for before in workloads]
    for before, after in zip(workloads, plan.workloads, strict=True):
        assert after.accounts <= max(before.accounts, before.max_accounts)


@given(ACCOUNTS, COLLECTORS)
def test_the_workloads_are_what_was_there_and_what_was_given(
    accounts: list[Unassigned], workloads: list[Workload]
) -> None:
    plan = spread(accounts, workloads)

    worth = {account.account_id: account.value_cents for account in accounts}
    for before, after in zip(workloads, plan.workloads, strict=True):
        mine = [a.account_id for a in plan.assignments if a.collector_id == before.collector_id]
        assert after.accounts - before.accounts == len(mine)
        assert after.value_cents - before.value_cents == sum(worth[account] for account in mine)


@given(ACCOUNTS, COLLECTORS)
def test_nobody_is_ahead_of_one_with_room_by_more_than_their_last_account(
    accounts: list[Unassigned], workloads: list[Workload]
) -> None:
    plan = spread(accounts, workloads)

    worth = {account.account_id: account.value_cents for account in accounts}
    last = {a.collector_id: worth[a.account_id] for a in plan.assignments}
    for ahead in plan.workloads:
        if ahead.collector_id not in last:
            continue
        for behind in plan.workloads:
            if behind.room:
                assert ahead.value_cents - behind.value_cents <= last[ahead.collector_id]


@given(ACCOUNTS, COLLECTORS, st.integers(1, 7))
def test_spreading_in_parts_is_spreading_at_once(
    accounts: list[Unassigned], workloads: list[Workload], size: int
) -> None:
    assignments, left_over, now = [], [], tuple(workloads)
    for first in range(0, len(accounts), size):
        part = spread(accounts[first : first + size], now)
        assignments += part.assignments
        left_over += part.left_over
        now = part.workloads

    whole = spread(accounts, workloads)
    assert (tuple(assignments), tuple(left_over), now) == (
        whole.assignments,
        whole.left_over,
        whole.workloads,
    )


@given(ACCOUNTS, COLLECTORS)
def test_the_order_of_the_collectors_does_not_matter(
    accounts: list[Unassigned], workloads: list[Workload]
) -> None:
    assert spread(accounts, workloads[::-1]).assignments == spread(accounts, workloads).assignments


def test_the_least_loaded_is_first_then_who_has_fewer_accounts_then_the_lower_id() -> None:
    first, second, third = UUID(int=1), UUID(int=2), UUID(int=3)
    workloads = [Workload(third, 9, 1, 100), Workload(second, 9, 1, 100), Workload(first, 9, 2, 100)]

    plan = spread([Unassigned(UUID(int=n), 50) for n in range(10, 14)], workloads)

    assert [a.collector_id for a in plan.assignments] == [second, third, first, second]


@pytest.mark.parametrize("workloads", [[], [Workload(UUID(int=1), 3, 3)], [Workload(UUID(int=1), 0)]])
def test_without_room_all_is_left_over(workloads: list[Workload]) -> None:
    plan = spread([Unassigned(UUID(int=9), 1)], workloads)

    assert (plan.assignments, plan.left_over) == ((), (UUID(int=9),))
