"""What a user may ask of automatic assignment: a run, a look at what it would do, and what runs came to."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4, uuid5

from pydantic import Field
from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.assignment import AssignmentRequest
from db.commands import Answer
from domain.assignment import Plan, Workload, room_of, spread
from domain.errors import Conflict
from domain.money import CENT, LargeMoney
from domain.tenancy import Tenant
from services.access import Principal, Right, require
from services.commands import CommandKey, carry_out
from services.fields import View
from services.progress import Progress
from services.web_ui import WebUi
from workflows import attributes, queues
from workflows.assignment import AutoAssignment

if TYPE_CHECKING:
    from db.keyset import Position
    from db.models import AssignmentRun
    from db.session import Database, Transaction

PATIENCE = timedelta(seconds=5)
"""How long Temporal may take to answer."""

PREVIEWED_AT_ONCE = 10_000
_IDS = UUID("8c2d1b6e-5a0f-5e0b-b4f3-6a9f0c1d7e42")


class AssignmentGoing(Conflict):
    """Another assignment run of the agency is at work."""

    type = "assignment-run-going"
    title = "An assignment run is going"


class CollectorShare(View):
    """What a collector was given, or would be: accounts, and their balances together."""

    collector_id: UUID
    full_name: str | None
    accounts: int
    value: LargeMoney


class AssignmentPreview(View):
    """What a run would come to now, in accounts."""

    assigned: int
    left_over: int = Field(description="accounts that nobody has room for")
    collectors: tuple[CollectorShare, ...]


class AssignmentRunView(View):
    """A run of automatic assignment and how far it is; ``assigned`` and ``left_over`` count accounts."""

    id: UUID
    status: str = Field(examples=["pending", "running", "completed", "failed"])
    origin: str = Field(examples=["manual", "schedule"])
    requested_by: str
    assigned: int
    left_over: int | None = Field(description="accounts that nobody had room for, once the run has ended")
    collectors: tuple[CollectorShare, ...]
    reason: str | None = Field(description="why it failed")
    started_at: datetime | None
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime
    web_ui_url: str


class AssignmentService:
    """Automatic assignment of the principal's agency."""

    def __init__(self, database: "Database", client: Client, web_ui: WebUi) -> None:
        self._database = database
        self._client = client
        self._web_ui = web_ui
        self.events = Progress(self._read)

    async def start(self, who: Principal, command: CommandKey) -> Answer:
        """Start a run (202).

        ``AssignmentGoing`` (409, with the ``run_id`` where it is known) while another run of the agency is
        going. While Temporal is away ``RPCError`` is raised and nothing is left behind.
        """
        require(who, Right.RUN_ASSIGNMENTS)
        agency_id = who.tenant.agency_id
        run_id = _run_id(agency_id, command)

        async def effect(tx: "Transaction") -> AssignmentRunView:
            known = await tx.assignment_runs.find(run_id)
            if known is not None:
                # Its answer was lost: the workflow has made the row itself.
                return await self._view(tx, known)
            run = await tx.assignment_runs.open(run_id, origin="manual", requested_by=who.username)
            await tx.audit.record("assignment.started", "assignment_run", run_id)
            await self._start(tx, run)
            return await self._view(tx, run)

        return await carry_out(self._database, who.tenant, command, effect, status=202)

    async def _start(self, tx: "Transaction", run: "AssignmentRun") -> None:
        """Start the workflow of a run before its row is committed; it waits for the row, or makes it."""
        try:
            await self._client.start_workflow(
                AutoAssignment.run,
                AssignmentRequest(
                    agency_id=run.agency_id,
                    origin="manual",
                    run_id=run.id,
                    requested_by=run.requested_by,
                ),
                id=queues.assignment_workflow_id(run.agency_id),
                task_queue=queues.LIFECYCLE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                search_attributes=attributes.of_agency(run.agency_id),
                priority=Priority(fairness_key=str(run.agency_id)),
                static_summary="assignment of accounts to collectors",
                rpc_timeout=PATIENCE,
            )
        except WorkflowAlreadyStartedError:
            going = await tx.assignment_runs.going(besides=run.id)
            known = {} if going is None else {"run_id": str(going)}
            raise AssignmentGoing(
                "an assignment of this agency is going; ask again when it has ended", **known
            ) from None

    async def preview(self, who: Principal) -> AssignmentPreview:
        """What a run would come to now; changes nothing."""
        require(who, Right.RUN_ASSIGNMENTS)
        async with self._database.transaction(who.tenant) as tx:
            before = await tx.assignment.workloads()
            after = await _planned(tx, before)
            waiting = await tx.assignment.count_waiting()
            names = await tx.assignment_runs.names([workload.collector_id for workload in before])
        shares = {
            now.collector_id: (now.accounts - then.accounts, now.value_cents - then.value_cents)
            for then, now in zip(before, after, strict=True)
        }
        assigned = sum(accounts for accounts, _ in shares.values())
        return AssignmentPreview(
            assigned=assigned, left_over=max(0, waiting - assigned), collectors=_shares(shares, names)
        )

    async def page(self, who: Principal, position: "Position | None", limit: int) -> list[AssignmentRunView]:
        """At most ``limit`` runs next to ``position`` (created_at, id), nearest first."""
        require(who, Right.READ_ASSIGNMENTS)
        async with self._database.transaction(who.tenant) as tx:
            return await self._views(tx, await tx.assignment_runs.page(position, limit))

    async def get(self, who: Principal, run_id: UUID) -> AssignmentRunView:
        """One run. ``NotFound`` when it is not there or not this agency's."""
        require(who, Right.READ_ASSIGNMENTS)
        return await self._read(who.tenant.agency_id, run_id)

    async def _read(self, agency_id: UUID, run_id: UUID) -> AssignmentRunView:
        async with self._database.transaction(Tenant.system(agency_id, "assignment")) as tx:
            return await self._view(tx, await tx.assignment_runs.get(run_id))

    async def _view(self, tx: "Transaction", run: "AssignmentRun") -> AssignmentRunView:
        [view] = await self._views(tx, [run])
        return view

    async def _views(self, tx: "Transaction", runs: "Sequence[AssignmentRun]") -> list[AssignmentRunView]:
        collectors = {UUID(collector) for run in runs for collector in run.shares}
        names = await tx.assignment_runs.names(sorted(collectors)) if collectors else {}
        return [self._run_view(run, names) for run in runs]

    def _run_view(self, run: "AssignmentRun", names: dict[UUID, str]) -> AssignmentRunView:
        shares = {
            UUID(collector): (share["accounts"], share["cents"]) for collector, share in run.shares.items()
        }
        return AssignmentRunView(
            **{
                name: getattr(run, name)
                for name in AssignmentRunView.model_fields
                if name not in {"collectors", "web_ui_url"}
            },
            collectors=_shares(shares, names),
            web_ui_url=self._web_ui.workflow(queues.assignment_workflow_id(run.agency_id)),
        )


async def _planned(tx: "Transaction", workloads: Sequence[Workload]) -> tuple[Workload, ...]:
    """The workloads as a run would leave them."""
    plan, after = Plan((), (), tuple(workloads)), None
    while room := room_of(plan.workloads):
        limit = min(PREVIEWED_AT_ONCE, room)
        waiting = await tx.assignment.waiting(limit, after=after)
        plan = spread((one.account for one in waiting), plan.workloads)
        if len(waiting) < limit:
            break
        after = waiting[-1].place
    return plan.workloads


def _shares(shares: dict[UUID, tuple[int, int]], names: dict[UUID, str]) -> tuple[CollectorShare, ...]:
    """By name, then by id; collectors who were given nothing are shown too."""
    return tuple(
        CollectorShare(
            collector_id=collector,
            full_name=names.get(collector),
            accounts=accounts,
            value=cents * CENT,
        )
        for collector, (accounts, cents) in sorted(
            shares.items(), key=lambda item: (names.get(item[0], ""), item[0])
        )
    )


def _run_id(agency_id: UUID, command: CommandKey) -> UUID:
    """Decided by the key, so that a repetition after a lost answer finds the run that was started."""
    if command.key is None:
        return uuid4()
    return uuid5(_IDS, json.dumps([str(agency_id), command.key, command.body], sort_keys=True, default=str))
