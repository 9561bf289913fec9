"""The update ``transition`` of account workflows, against an update that does nothing, turn by turn."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from temporalio.client import WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy

from activities.account_messages import CommandIdentity, Done, Transition
from activities.messages import AccountRef
from benchmarks.bare import QUEUE, BareEntity
from benchmarks.placed import place
from benchmarks.turns import AT_ONCE, RoundTrips, Work, in_turn, warm_up
from domain.accounts import AccountStatus
from services.lifecycle_start import lifecycle_input, start_options
from workflows.accounts import AccountLifecycle

if TYPE_CHECKING:
    from benchmarks.world import Shop, World

WARM_UP = 20
_THERE_AND_BACK = (AccountStatus.DISPUTED, AccountStatus.IN_CONTACT)


@dataclass(frozen=True, slots=True)
class TransitionFigures:
    """Updates sent one after the other, and by ``AT_ONCE`` callers at once, to ``AT_ONCE`` workflows."""

    updates: int
    sequential: RoundTrips
    concurrent: RoundTrips


async def measure(world: "World", updates: int, report: Callable[[str], None]) -> TransitionFigures:
    """Send about ``updates`` of each kind in each of the two ways, in slices that take turns."""
    async with AsyncExitStack() as stack:
        shop = await stack.enter_async_context(world.shop())
        bare = await stack.enter_async_context(world.child("bare", "benchmarks.bare_worker"))
        await world.until_polled(bare, QUEUE)
        transition, nothing = await _transition(shop), _nothing(world)
        await asyncio.gather(*(warm_up(way, WARM_UP, count=updates) for way in (transition, nothing)))
        await world.checkpoint()
        report(f"{updates:,} updates of each kind, one after the other")
        sequential = await in_turn(transition, nothing, updates, callers=1)
        report(f"{updates:,} updates of each kind, {AT_ONCE} at once")
        concurrent = await in_turn(transition, nothing, updates, callers=AT_ONCE)
    return TransitionFigures(len(sequential.ours), sequential, concurrent)


async def _transition(shop: "Shop") -> Work:
    """Moves accounts to and fro, as the API has it done."""
    await place(shop.query, shop.agency_id, AT_ONCE)
    rows = await shop.query("UPDATE account SET status = 'in_contact' RETURNING id")
    accounts: list[UUID] = [row["id"] for row in rows]
    moves = [0] * AT_ONCE

    async def update(number: int) -> None:
        ref = AccountRef(agency_id=shop.agency_id, account_id=accounts[number])
        key, to = uuid4().hex, _THERE_AND_BACK[moves[number] % 2]
        moves[number] += 1
        command = Transition(
            account=ref,
            identity=CommandIdentity(operation="bench", key=key, body_hash=key + key),
            actor_kind="user",
            actor="bench",
            new_status=to,
        )
        done = await shop.world.client.execute_update_with_start_workflow(
            AccountLifecycle.transition,
            command,
            start_workflow_operation=WithStartWorkflowOperation(
                AccountLifecycle.run, lifecycle_input(ref), **start_options(ref, 0, "in_contact")
            ),
            id=key,
        )
        _check(done, to)

    return update


def _check(done: Done, to: AccountStatus) -> None:
    if done.status is not to:
        raise RuntimeError(f"an account was to become {to}, it is {done.status}")


def _nothing(world: "World") -> Work:
    """Tells bare entities to do nothing, by the same kind of request."""
    ids = [f"bare-entity/{uuid4()}" for _ in range(AT_ONCE)]

    async def update(number: int) -> None:
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            BareEntity.run,
            id=ids[number],
            task_queue=QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        await world.client.execute_update_with_start_workflow(
            BareEntity.nothing, start_workflow_operation=start, id=uuid4().hex
        )

    return update
