"""Spreading accounts over collectors: the best accounts first, the value in balance."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Workload:
    """What a collector has to work: open accounts assigned to them and their balances, in cents.

    ``max_accounts`` bounds what automatic assignment adds; by hand they may have been given more.
    """

    collector_id: UUID
    max_accounts: int
    accounts: int = 0
    value_cents: int = 0

    @property
    def room(self) -> int:
        """How many more accounts may be added, at least 0."""
        return max(0, self.max_accounts - self.accounts)


@dataclass(frozen=True, slots=True)
class Unassigned:
    """An account that nobody works yet, worth its balance in cents."""

    account_id: UUID
    value_cents: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """One account for one collector."""

    account_id: UUID
    collector_id: UUID


@dataclass(frozen=True, slots=True)
class Plan:
    """Who gets what, in the order in which it was given; ``workloads`` as they are then, as they came.

    ``left_over`` are the accounts that nobody had room for.
    """

    assignments: tuple[Assignment, ...]
    left_over: tuple[UUID, ...]
    workloads: tuple[Workload, ...]


def room_of(workloads: Iterable[Workload]) -> int:
    """How many accounts the collectors can take together."""
    return sum(workload.room for workload in workloads)


def spread(accounts: Iterable[Unassigned], workloads: Sequence[Workload]) -> Plan:
    """Give each account, in the order given (best first), to the collector with the least to work.

    The least is by value, then by number of accounts, then by id, among those with room; so a collector
    is ahead of another who has room by no more than the account that they were given last. Going on
    with the plan's ``workloads`` comes to the same as spreading all at once.
    """
    now = {workload.collector_id: workload for workload in workloads}
    queue = [_place(workload) for workload in workloads if workload.room]
    heapq.heapify(queue)
    assignments: list[Assignment] = []
    left_over: list[UUID] = []
    for account in accounts:
        if not queue:
            left_over.append(account.account_id)
            continue
        collector_id = queue[0][-1]
        assignments.append(Assignment(account.account_id, collector_id))
        loaded = now[collector_id] = _loaded(now[collector_id], account)
        if loaded.room:
            heapq.heapreplace(queue, _place(loaded))
        else:
            heapq.heappop(queue)
    return Plan(tuple(assignments), tuple(left_over), tuple(now.values()))


def _loaded(workload: Workload, account: Unassigned) -> Workload:
    return replace(
        workload, accounts=workload.accounts + 1, value_cents=workload.value_cents + account.value_cents
    )


def _place(workload: Workload) -> tuple[int, int, UUID]:
    return (workload.value_cents, workload.accounts, workload.collector_id)
