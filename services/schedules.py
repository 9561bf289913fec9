"""The Temporal schedules of an agency, its partners and the installation: kept as declared, looked at,
triggered and paused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleDescription,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import Priority
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import Conflict, NotFound
from domain.tenancy import Tenant
from services.access import Principal, Right, require
from services.commands import CommandKey, carry_out
from services.fields import Form, View, readable
from services.web_ui import WebUi
from workflows import attributes
from workflows.schedules import (
    INSTALLATION,
    Daily,
    DeclaredSchedule,
    Every,
    declared,
    declared_for_partner,
    partner_schedule_id,
)

if TYPE_CHECKING:
    from db.commands import Answer
    from db.models import Agency, Partner
    from db.session import Database, Transaction

PATIENCE = timedelta(seconds=5)
"""How long Temporal may take to answer."""

SHOWN_RUNS = 5
ACTOR = "schedules"
_PAUSED, _RESUMED = "schedule.paused", "schedule.resumed"


class PauseForm(Form):
    """Why a schedule is paused or resumed."""

    note: Annotated[
        str, StringConstraints(strip_whitespace=True, max_length=500), AfterValidator(readable)
    ] = ""


class ScheduledRun(View):
    """A run that a schedule started."""

    workflow_id: str
    run_id: str
    scheduled_at: datetime | None = None
    started_at: datetime | None = None
    web_ui_url: str


class PausedBy(View):
    """Who has paused a schedule from here, and when; what is done in Temporal's Web UI is not known here."""

    actor: str
    at: datetime


class ScheduleView(View):
    """A schedule as callers see it; times are UTC, the nearest first."""

    id: str
    title: str = Field(examples=["nightly scoring of all accounts"])
    workflow: str
    spec: str = Field(examples=["every 15 minutes", "every day at 04:30 America/New_York"])
    next_runs: tuple[datetime, ...]
    paused: bool
    note: str | None
    paused_by: PausedBy | None = None
    last_runs: tuple[ScheduledRun, ...]
    running: tuple[ScheduledRun, ...]
    web_ui_url: str


class ScheduleService:
    """Schedules of one's own agency. ``poll_every`` is how often inboxes are looked into."""

    def __init__(self, database: "Database", client: Client, web_ui: WebUi, *, poll_every: timedelta) -> None:
        self._database = database
        self._client = client
        self._web_ui = web_ui
        self._poll_every = poll_every

    async def ensure(self, agency_id: UUID) -> None:
        """Bring an agency's schedules in line with their declaration; safe to repeat.

        They are there while the agency is active. What is paused stays paused, with its note. Raises
        ``RPCError`` while Temporal does not answer.
        """
        async with self._database.transaction(Tenant.system(agency_id, ACTOR)) as tx:
            agency = await tx.agencies.get(agency_id)
            partners = await tx.partner_runs.partners()
        every = self._of_agency(agency)
        await asyncio.gather(
            self.ensure_installation(),
            *(self._apply(wanted) if agency.active else self._remove(wanted.id) for wanted in every),
            *(self._fit(agency, partner) for partner in partners),
        )

    async def ensure_installation(self) -> None:
        """Bring the schedules that belong to no agency in line with their declaration; safe to repeat."""
        await asyncio.gather(*(self._apply(wanted) for wanted in INSTALLATION))

    async def _fit(self, agency: "Agency", partner: "Partner") -> None:
        wanted = _of_partner(agency, partner)
        if wanted is None or not agency.active:
            await self._remove(partner_schedule_id(partner.id))
        else:
            await self._apply(wanted)

    async def _apply(self, wanted: DeclaredSchedule) -> None:
        schedule = _schedule(wanted)
        try:
            await self._client.create_schedule(
                wanted.id,
                schedule,
                search_attributes=attributes.of_agency(wanted.agency_id),
                rpc_timeout=PATIENCE,
            )
        except ScheduleAlreadyRunningError:

            def keep_state(present: ScheduleUpdateInput) -> ScheduleUpdate:
                schedule.state = present.description.schedule.state
                return ScheduleUpdate(schedule)

            await self._client.get_schedule_handle(wanted.id).update(keep_state, rpc_timeout=PATIENCE)

    async def _remove(self, schedule_id: str) -> None:
        try:
            await self._client.get_schedule_handle(schedule_id).delete(rpc_timeout=PATIENCE)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    async def list(self, who: Principal) -> list[ScheduleView]:
        """The schedules of the principal's agency that are there."""
        require(who, Right.READ_SCHEDULES)
        async with self._database.transaction(who.tenant) as tx:
            wanted = await self._declared(tx, who.tenant.agency_id)
            paused = await _pauses(tx, [schedule.id for schedule in wanted])
        found = await asyncio.gather(*(self._describe(schedule.id) for schedule in wanted))
        return [
            self._view(schedule, description, paused.get(schedule.id))
            for schedule, description in zip(wanted, found, strict=True)
            if description is not None
        ]

    async def of_installation(self) -> "Sequence[ScheduleView]":
        """The schedules that belong to no agency, those of them that are there: for the operator."""
        found = [(wanted, await self._describe(wanted.id)) for wanted in INSTALLATION]
        return [self._view(wanted, there, None) for wanted, there in found if there is not None]

    async def trigger(self, who: Principal, command: CommandKey, schedule_id: str) -> "Answer":
        """Start a run now (202). ``Conflict`` while one is going: Temporal would drop it silently."""

        async def start(description: ScheduleDescription, handle: ScheduleHandle) -> None:
            if going := _running(description):
                raise Conflict(
                    "a run of this schedule is going; it is not started twice",
                    running=[run.workflow_id for run in going],
                )
            await handle.trigger(rpc_timeout=PATIENCE)

        return await self._change(who, command, schedule_id, "schedule.triggered", start, status=202)

    async def pause(self, who: Principal, command: CommandKey, schedule_id: str, form: PauseForm) -> "Answer":
        """Start no more runs until it is resumed; the one that is going ends as it would."""

        async def stop(_: ScheduleDescription, handle: ScheduleHandle) -> None:
            await handle.pause(note=form.note or f"paused by {who.username}", rpc_timeout=PATIENCE)

        return await self._change(who, command, schedule_id, _PAUSED, stop)

    async def resume(
        self, who: Principal, command: CommandKey, schedule_id: str, form: PauseForm
    ) -> "Answer":
        """Start runs again."""

        async def go_on(_: ScheduleDescription, handle: ScheduleHandle) -> None:
            await handle.unpause(note=form.note or f"resumed by {who.username}", rpc_timeout=PATIENCE)

        return await self._change(who, command, schedule_id, _RESUMED, go_on)

    async def _change(
        self,
        who: Principal,
        command: CommandKey,
        schedule_id: str,
        action: str,
        change: Callable[[ScheduleDescription, ScheduleHandle], Awaitable[None]],
        *,
        status: int = 200,
    ) -> "Answer":
        """Change a schedule of the principal's agency once per key, with an audit record."""
        require(who, Right.MANAGE_SCHEDULES)

        async def effect(tx: "Transaction") -> ScheduleView:
            own = {schedule.id: schedule for schedule in await self._declared(tx, who.tenant.agency_id)}
            description = await self._describe(schedule_id) if schedule_id in own else None
            if description is None:
                raise NotFound("there is no such schedule")
            await tx.audit.record(action, "schedule", schedule_id)
            await change(description, self._client.get_schedule_handle(schedule_id))
            changed = await self._describe(schedule_id) or description
            return self._view(own[schedule_id], changed, (await _pauses(tx, [schedule_id])).get(schedule_id))

        return await carry_out(self._database, who.tenant, command, effect, status=status)

    async def _declared(self, tx: "Transaction", agency_id: UUID) -> Sequence[DeclaredSchedule]:
        agency = await tx.agencies.get(agency_id)
        of_partners = [_of_partner(agency, partner) for partner in await tx.partner_runs.partners()]
        return [*self._of_agency(agency), *(found for found in of_partners if found is not None)]

    def _of_agency(self, agency: "Agency") -> tuple[DeclaredSchedule, ...]:
        return declared(agency.id, time_zone=agency.time_zone, poll_every=self._poll_every)

    async def _describe(self, schedule_id: str) -> ScheduleDescription | None:
        try:
            return await self._client.get_schedule_handle(schedule_id).describe(rpc_timeout=PATIENCE)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise

    def _view(
        self, wanted: DeclaredSchedule, description: ScheduleDescription, paused_by: PausedBy | None
    ) -> ScheduleView:
        state, info = description.schedule.state, description.info
        recent = sorted(info.recent_actions, key=lambda action: action.started_at, reverse=True)
        return ScheduleView(
            id=wanted.id,
            title=wanted.summary,
            workflow=wanted.workflow,
            spec=_spec(description),
            next_runs=tuple(info.next_action_times[:SHOWN_RUNS]) if not state.paused else (),
            paused=state.paused,
            note=state.note,
            paused_by=paused_by if state.paused else None,
            last_runs=tuple(
                self._run(recorded.action, recorded.scheduled_at, recorded.started_at)
                for recorded in recent[:SHOWN_RUNS]
                if isinstance(recorded.action, ScheduleActionExecutionStartWorkflow)
            ),
            running=tuple(self._run(run) for run in _running(description)),
            web_ui_url=self._web_ui.schedule(wanted.id),
        )

    def _run(
        self,
        run: ScheduleActionExecutionStartWorkflow,
        scheduled_at: datetime | None = None,
        started_at: datetime | None = None,
    ) -> ScheduledRun:
        return ScheduledRun(
            workflow_id=run.workflow_id,
            run_id=run.first_execution_run_id,
            scheduled_at=scheduled_at,
            started_at=started_at,
            web_ui_url=self._web_ui.workflow(run.workflow_id, run.first_execution_run_id),
        )


def _of_partner(agency: "Agency", partner: "Partner") -> DeclaredSchedule | None:
    """The schedule that a partner has; None while it is not active or has no time of day."""
    if not partner.active or partner.reconcile_at is None:
        return None
    found = declared_for_partner(agency.id, partner.id, partner.reconcile_at, agency.time_zone)
    return replace(found, summary=f"reconciliation with {partner.name}")


async def _pauses(tx: "Transaction", schedule_ids: "Sequence[str]") -> dict[str, PausedBy]:
    """Who has paused each schedule last, of those that nobody has resumed since."""
    records = await tx.audit.latest("schedule", schedule_ids, (_PAUSED, _RESUMED))
    return {
        record.entity_id: PausedBy(actor=record.actor, at=record.at)
        for record in records
        if record.action == _PAUSED
    }


def _schedule(wanted: DeclaredSchedule) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            wanted.workflow,
            wanted.argument,
            id=wanted.workflow_id,
            task_queue=wanted.task_queue,
            typed_search_attributes=attributes.of_agency(wanted.agency_id),
            static_summary=wanted.summary,
            priority=Priority(fairness_key=str(wanted.agency_id or wanted.id)),
        ),
        spec=_when(wanted),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=wanted.catch_up),
    )


def _running(description: ScheduleDescription) -> list[ScheduleActionExecutionStartWorkflow]:
    return [
        action
        for action in description.info.running_actions
        if isinstance(action, ScheduleActionExecutionStartWorkflow)
    ]


def _when(wanted: DeclaredSchedule) -> ScheduleSpec:
    match wanted.timing:
        case Every() as timing:
            offset = timing.offset(wanted.agency_id)
            return ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timing.period, offset=offset)])
        case Daily(at, time_zone):
            once = ScheduleCalendarSpec(hour=[ScheduleRange(at.hour)], minute=[ScheduleRange(at.minute)])
            return ScheduleSpec(calendars=[once], time_zone_name=time_zone)


def _spec(description: ScheduleDescription) -> str:
    """When a schedule fires, in words; as it is there, which may differ from its declaration."""
    spec = description.schedule.spec
    times = [_every(interval.every) for interval in spec.intervals]
    times += [f"{_at(calendar)} {spec.time_zone_name or 'UTC'}" for calendar in spec.calendars]
    return "; ".join(times)


_MINUTE_S = 60
_HOUR_S = 3600


def _at(calendar: ScheduleCalendarSpec) -> str:
    """A time of every day in words: ``every day at 04:30``; Temporal's comment for what somebody changed."""
    match calendar.hour, calendar.minute:
        case [hour], [minute] if hour.end <= hour.start and minute.end <= minute.start:
            return f"every day at {hour.start:02}:{minute.start:02}"
    return calendar.comment or "at times set by hand"


def _every(period: timedelta) -> str:
    """A period in words: ``every 15 minutes``."""
    seconds = int(period.total_seconds())
    for unit, length in (("hour", _HOUR_S), ("minute", _MINUTE_S), ("second", 1)):
        if seconds % length == 0:
            count = seconds // length
            return f"every {unit}" if count == 1 else f"every {count} {unit}s"
    raise ValueError("a period has at least one second")
