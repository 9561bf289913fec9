"""Account workflows through the real admission, against bare workflows on the same server."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from activities.admission import STARTS_AT_ONCE
from activities.messages import AgencyRef
from benchmarks.bare import QUEUE, Bare
from benchmarks.portfolio_import import until_scored, written
from sandbox.processes import until
from workflows import queues
from workflows.admission import Admission

if TYPE_CHECKING:
    from temporalio.client import WorkflowHandle

    from benchmarks.world import Shop, World

LEAST_RATIO = 0.8
WARM_UP = 50
_WITHIN_S = 600.0


@dataclass(frozen=True, slots=True)
class AdmissionFigures:
    """Workflows brought to their timer per second: through the admission, and bare, turn by turn."""

    accounts: int
    admitted: tuple[float, ...]
    bare: tuple[float, ...]

    @property
    def admitted_per_s(self) -> float:
        """Median rate of the admission."""
        return median(self.admitted)

    @property
    def bare_per_s(self) -> float:
        """Median rate of the floor."""
        return median(self.bare)

    @property
    def ratio(self) -> float:
        """Admission over floor, by medians."""
        return self.admitted_per_s / self.bare_per_s


async def measure(
    world: "World", accounts: int, repeat: int, report: Callable[[str], None]
) -> AdmissionFigures:
    """Admit ``accounts`` and start as many bare workflows, in turn, ``repeat`` times."""
    async with AsyncExitStack() as stack:
        # As quick as the server: the rate is no limit here.
        shop = await stack.enter_async_context(world.shop(admission_rate=max(1_000, accounts)))
        bare = await stack.enter_async_context(world.child("bare", "benchmarks.bare_worker"))
        await world.until_polled(bare, QUEUE)
        await _place(shop, accounts * repeat + WARM_UP)
        await _start_bare(world, WARM_UP)
        await _admit(shop, WARM_UP)
        admitted, started = [], []
        for turn in range(1, repeat + 1):
            started.append(await _start_bare(world, accounts))
            report(f"{turn} of {repeat}: {accounts:,} bare workflows, {started[-1]:.1f} a second")
            admitted.append(await _admit(shop, accounts))
            report(f"{turn} of {repeat}: {accounts:,} accounts admitted, {admitted[-1]:.1f} a second")
    return AdmissionFigures(accounts, tuple(admitted), tuple(started))


async def _place(shop: "Shop", accounts: int) -> None:
    """Import and score accounts; the agency admits none of them yet."""
    folder = shop.world.settings.home / "accounts"
    folder.mkdir()
    await shop.send(written(folder, accounts))
    await shop.poll()
    await until_scored(shop)


async def _admit(shop: "Shop", count: int) -> float:
    """Make room for ``count`` more accounts and admit them; workflows per second."""
    client = shop.world.client
    before = {row["id"] for row in await shop.query("SELECT id FROM account WHERE admitted_at IS NOT NULL")}
    await shop.query("UPDATE agency SET lifecycle_capacity = %s", len(before) + count)
    began = datetime.now(UTC)
    await client.execute_workflow(
        Admission.run,
        AgencyRef(agency_id=shop.agency_id),
        id=queues.admission_workflow_id(shop.agency_id),
        task_queue=queues.LIFECYCLE,
    )
    rows = await shop.query("SELECT id FROM account WHERE admitted_at IS NOT NULL ORDER BY admitted_at")
    handles = [
        client.get_workflow_handle(queues.account_workflow_id(row["id"]))
        for row in rows
        if row["id"] not in before
    ]
    if len(handles) != count:
        raise RuntimeError(f"{len(handles)} accounts were admitted, not {count}")
    return await _rate(began, handles)


async def _start_bare(world: "World", count: int) -> float:
    """Start bare workflows as the admission does, so many at once; workflows per second."""
    handles: list[WorkflowHandle[Any, Any]] = []

    async def start() -> None:
        handles.append(await world.client.start_workflow(Bare.run, id=f"bare/{uuid4()}", task_queue=QUEUE))

    began = datetime.now(UTC)
    await _some_at_once([start() for _ in range(count)])
    return await _rate(began, handles)


async def _rate(began: datetime, handles: Sequence["WorkflowHandle[Any, Any]"]) -> float:
    """Workflows per second from ``began`` to the moment when the last of them waited on its timer.

    The moments are the server's own; looking for them one by one hardly disturbs it. The workflows
    are ended afterwards, so that each turn finds the same server.
    """
    waiting = [await _waiting_since(handle) for handle in reversed(handles)]
    await _some_at_once([handle.terminate() for handle in handles])
    return len(handles) / (max(waiting) - began).total_seconds()


async def _waiting_since(handle: "WorkflowHandle[Any, Any]") -> datetime:
    found: list[datetime] = []

    async def waits() -> bool:
        found.extend(
            [
                event.event_time.ToDatetime(UTC)
                async for event in handle.fetch_history_events()
                if event.HasField("timer_started_event_attributes")
            ]
        )
        return bool(found)

    await until(waits, within_s=_WITHIN_S, what=f"{handle.id} to wait on its timer")
    return found[0]


async def _some_at_once(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    limit = asyncio.Semaphore(STARTS_AT_ONCE)

    async def one(part: Coroutine[Any, Any, None]) -> None:
        async with limit:
            await part

    async with asyncio.TaskGroup() as tasks:
        for part in work:
            tasks.create_task(one(part))
