"""The frame of a reconciliation with a partner: its row is opened, counted in, and ended."""

from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from temporalio import activity

from activities.heartbeats import heartbeating
from activities.partner_messages import MatchFigures
from activities.partner_run_messages import (
    ACTOR,
    ClosedStatements,
    CollectedStatements,
    FailedPartnerRun,
    PartnerReconciliationRequest,
    PartnerReconciliationSummary,
    PartnerRunConclusion,
    PartnerRunRef,
)
from domain.errors import Conflict, Invalid
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from db.models import PartnerReconciliationRun
    from db.session import Database, Transaction

    Ended = Callable[[str], Awaitable[bool]]

NOT_THERE = "its workflow was ended by somebody before it came to its end"
_log = structlog.stdlib.get_logger("partner-reconciliation")


class PartnerNotActive(Conflict):
    """Nothing is exchanged with a partner that is not active."""

    type = "partner-not-active"
    title = "The partner is not active"


class PartnerRunActivities:
    """The first and the last steps of ``PartnerReconciliation``.

    ``ended`` says of a workflow whether it has ended, and raises ``Unavailable`` when it cannot.
    """

    def __init__(self, db: "Database", ended: "Ended") -> None:
        self._db = db
        self._ended = ended

    @activity.defn(name="reconciliation.begin")
    async def begin(self, request: PartnerReconciliationRequest) -> PartnerRunRef | None:
        """Make the run, or find it, and set it to work by the partner's newest rules.

        None for a scheduled one while another is going or the partner is not active: tomorrow is another
        day. One that was asked for raises ``PartnerReconciliationGoing`` or ``PartnerNotActive``.
        """
        try:
            async with self._db.transaction(Tenant.system(request.agency_id, request.requested_by)) as tx:
                partner = await tx.partners.get(request.partner_id)
                if not partner.active:
                    raise PartnerNotActive("the partner is not active; nothing is compared with it")
                run_id = _id_of(request)
                await make_room(tx, request.partner_id, run_id, self._ended)
                await tx.partner_runs.open(
                    run_id,
                    request.partner_id,
                    origin=request.origin,
                    requested_by=request.requested_by,
                    scope=request.scope,
                    dry_run=request.dry_run,
                    workflow_id=activity.info().workflow_id,
                )
                run = await tx.partner_runs.begin(run_id)
        except Conflict as error:
            if request.origin == "manual":
                raise
            _log.info("left out", partner_id=str(request.partner_id), reason=error.type)
            return None
        return PartnerRunRef(
            agency_id=request.agency_id,
            partner_id=run.partner_id,
            run_id=run.id,
            scope="messages" if run.scope == "messages" else "full",
            dry_run=run.dry_run,
            over=run.status != "running",
        )

    @activity.defn(name="reconciliation.close")
    async def close(self, collected: CollectedStatements) -> ClosedStatements:
        """Give the run what was staged of the partner: every message acknowledged until now, and the files
        where it takes them. A dry run is told what there is, and takes nothing.

        In a run that is not ``whole`` nothing is missed: it may stand in the file that could not be taken.
        """
        ref = collected.run
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            await tx.partner_runs.going(ref.run_id, lock=True)
            closed = await tx.statements.close_for(ref.run_id, ref.scope, dry_run=ref.dry_run)
            await tx.partner_runs.note(
                ref.run_id,
                step="matching",
                lines=closed.lines,
                problems=closed.problems,
                report={"whole": collected.whole},
            )
        return ClosedStatements(
            statements=len(closed.statement_ids), lines=closed.lines, problems=closed.problems
        )

    @activity.defn(name="reconciliation.conclude")
    async def conclude(self, concluded: PartnerRunConclusion) -> PartnerReconciliationSummary:
        """Write the report of a run that was matched and end it; one that has ended stays as it is."""
        ref = concluded.run
        async with heartbeating(), self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            run = await tx.partner_runs.get(ref.run_id)
            if run.status == "running":
                figures = MatchFigures.model_validate(run.report["matching"])
                report = await tx.partner_reports.figures(run)
                run = await tx.partner_runs.complete(
                    run.id,
                    {**run.report, **report, "problems": concluded.problems},
                    matched=figures.matched,
                    breaks=figures.breaks,
                    resolved=figures.resolved,
                    cured=figures.cured,
                )
            return summary_of(run)

    @activity.defn(name="reconciliation.fail")
    async def fail(self, failed: FailedPartnerRun) -> None:
        """End a run that cannot go on, so that the partner's next one may begin, with its statements."""
        run_id = _id_of(failed.request)
        async with self._db.transaction(Tenant.system(failed.request.agency_id, ACTOR)) as tx:
            if await tx.partner_runs.fail(run_id, failed.reason):
                await tx.statements.reopen(run_id)


async def make_room(tx: "Transaction", partner_id: UUID, run_id: UUID, ended: "Ended") -> None:
    """Before a run is opened: give up the partner's other one, where its workflow was terminated.

    A run's row says that it has ended before its workflow does; where only the workflow has, nobody is left
    to say so.
    """
    other = await tx.partner_runs.other_going(partner_id, run_id)
    if other is not None and other.workflow_id is not None and await ended(other.workflow_id):
        await tx.partner_runs.give_up(other.id, NOT_THERE)


def _id_of(request: PartnerReconciliationRequest) -> UUID:
    if request.run_id is None:
        raise Invalid("the run has no id", field="run_id")
    return request.run_id


def summary_of(run: "PartnerReconciliationRun") -> PartnerReconciliationSummary:
    """What a run came to, as its workflow answers it."""
    return PartnerReconciliationSummary(
        run_id=run.id,
        status=run.status,
        lines=run.lines,
        problems=run.problems,
        matched=run.matched,
        breaks=run.breaks,
        resolved=run.resolved,
        cured=run.cured,
    )
