"""Reconciliations with partners: their runs, one at a time for each partner, and what they came to."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select, update
from sqlalchemy.dialects.postgresql import insert

from db.keyset import Position, newest_first
from db.models import Partner, PartnerReconciliationRun, PartnerRules
from db.partner_statements import StatementStore
from db.store import Store
from domain.errors import Conflict, NotFound

Run = PartnerReconciliationRun

ABANDONED_AFTER = timedelta(hours=6)
"""A run that does not know its workflow, is older than this and has not ended, never will."""

_GOING = ("pending", "running")


class PartnerReconciliationGoing(Conflict):
    """Another reconciliation with the partner is at work."""

    type = "partner-reconciliation-going"
    title = "A reconciliation with the partner is going"


class PartnerReconciliationEnded(Conflict):
    """A run that has failed or is done: nothing may be written for it any more."""

    type = "partner-reconciliation-ended"
    title = "The reconciliation has ended"


class PartnerRunStore(Store):
    """Reconciliations of one agency with its partners."""

    async def open(
        self,
        run_id: UUID,
        partner_id: UUID,
        *,
        origin: str,
        requested_by: str,
        scope: str,
        dry_run: bool,
        workflow_id: str | None = None,
    ) -> Run:
        """Make a run, carried out by ``workflow_id``, or find the one that has this id.

        ``PartnerReconciliationGoing`` (with its ``run_id``) while another run of the partner is at work.
        """
        await self._give_up(partner_id, run_id)
        await self._session.execute(
            insert(Run)
            .values(
                id=run_id,
                agency_id=self._agency_id,
                partner_id=partner_id,
                origin=origin,
                requested_by=requested_by,
                scope=scope,
                dry_run=dry_run,
                workflow_id=workflow_id,
            )
            .on_conflict_do_nothing()
        )
        run = await self._find(run_id)
        if run is not None:
            return run
        going = await self._session.scalar(
            select(Run.id).where(
                Run.agency_id == self._agency_id, Run.partner_id == partner_id, Run.status.in_(_GOING)
            )
        )
        raise PartnerReconciliationGoing(
            f"the reconciliation {going} with this partner is going; ask again when it has ended",
            run_id=str(going),
        )

    async def begin(self, run_id: UUID) -> Run:
        """Set a run to work by the partner's newest rules; one that is at work or has ended stays so."""
        newest = (
            select(func.max(PartnerRules.version))
            .where(PartnerRules.agency_id == self._agency_id, PartnerRules.partner_id == Run.partner_id)
            .scalar_subquery()
        )
        await self._session.execute(
            update(Run)
            .where(Run.agency_id == self._agency_id, Run.id == run_id, Run.status == "pending")
            .values(
                status="running", step="collecting", rules_version=newest, started_at=func.clock_timestamp()
            )
            .execution_options(synchronize_session=False)
        )
        return await self.get(run_id)

    async def going(self, run_id: UUID, *, lock: bool = False) -> Run:
        """A run that is at work. ``PartnerReconciliationEnded`` when it is not, or no more."""
        query = self._runs().where(Run.id == run_id).execution_options(populate_existing=True)
        run = await self._session.scalar(query.with_for_update() if lock else query)
        if run is None:
            raise NotFound("there is no such reconciliation")
        if run.status != "running":
            raise PartnerReconciliationEnded(f"the reconciliation has ended ({run.reason or run.status})")
        return run

    async def note(self, run_id: UUID, **values: Any) -> None:
        """Write down how far a run is: its ``step``, what it has counted. It must be at work."""
        written = await self._session.scalar(
            update(Run)
            .where(Run.agency_id == self._agency_id, Run.id == run_id, Run.status == "running")
            .values(**values)
            .returning(Run.id)
            .execution_options(synchronize_session=False)
        )
        if written is None:
            await self.going(run_id)

    async def complete(self, run_id: UUID, report: Mapping[str, Any], **counted: int) -> Run:
        """End a run with its report and what it ``counted``, by column. ``PartnerReconciliationEnded``."""
        ended = {"status": "completed", "step": None, "completed_at": func.clock_timestamp()}
        await self.note(run_id, **ended, report=dict(report), **counted)
        return await self.get(run_id)

    async def other_going(self, partner_id: UUID, run_id: UUID) -> Run | None:
        """The partner's run that is not ``run_id`` and has not ended, if there is one."""
        query = self._runs().where(Run.partner_id == partner_id, Run.id != run_id, Run.status.in_(_GOING))
        found: Run | None = await self._session.scalar(query)
        return found

    async def give_up(self, run_id: UUID, reason: str) -> None:
        """End a run whose workflow is not there any more; its statements wait for the next one.

        Nothing happens while one of its steps is still at it.
        """
        query = self._runs().where(Run.id == run_id, Run.status.in_(_GOING))
        if await self._session.scalar(query.with_for_update(skip_locked=True)) is None:
            return
        if await self.fail(run_id, reason):
            await StatementStore(self._session, self._tenant).reopen(run_id)

    async def fail(self, run_id: UUID, reason: str) -> bool:
        """End a run that cannot go on, so that the partner's next one may begin; whether it was going."""
        ended = await self._session.scalar(
            update(Run)
            .where(Run.agency_id == self._agency_id, Run.id == run_id, Run.status.in_(_GOING))
            .values(status="failed", reason=reason, completed_at=func.now())
            .returning(Run.id)
            .execution_options(synchronize_session=False)
        )
        return ended is not None

    async def get(self, run_id: UUID) -> Run:
        """One run. ``NotFound``."""
        run = await self._find(run_id)
        if run is None:
            raise NotFound("there is no such reconciliation")
        return run

    async def page(
        self,
        position: Position | None,
        limit: int,
        *,
        partner_id: UUID | None = None,
        statuses: Sequence[str] = (),
    ) -> Sequence[Run]:
        """Runs, newest first, keyed by ``(created_at, id)``."""
        query = self._runs()
        if partner_id is not None:
            query = query.where(Run.partner_id == partner_id)
        if statuses:
            query = query.where(Run.status.in_(statuses))
        return (
            await self._session.scalars(newest_first(query, (Run.created_at, Run.id), position, limit))
        ).all()

    async def scheduled(self) -> Sequence[UUID]:
        """The partners whose reconciliations are due each day: active ones with a time of day."""
        query = select(Partner.id).where(
            Partner.agency_id == self._agency_id, Partner.active, Partner.reconcile_at.is_not(None)
        )
        return (await self._session.scalars(query)).all()

    async def partners(self) -> Sequence[Partner]:
        """All partners of the agency: whose reconciliations are due at which time of day."""
        query = select(Partner).where(Partner.agency_id == self._agency_id).order_by(Partner.id)
        return (await self._session.scalars(query)).all()

    async def _give_up(self, partner_id: UUID, run_id: UUID) -> None:
        abandoned = await self._session.scalars(
            update(Run)
            .where(
                Run.agency_id == self._agency_id,
                Run.partner_id == partner_id,
                Run.id != run_id,
                Run.status.in_(_GOING),
                Run.workflow_id.is_(None),
                Run.created_at < func.now() - ABANDONED_AFTER,
            )
            .values(
                status="failed",
                reason="it was at work for six hours without coming to its end, and was given up",
                completed_at=func.now(),
            )
            .returning(Run.id)
            .execution_options(synchronize_session=False)
        )
        statements = StatementStore(self._session, self._tenant)
        for given_up in abandoned.all():
            await statements.reopen(given_up)

    async def _find(self, run_id: UUID) -> Run | None:
        query = self._runs().where(Run.id == run_id).execution_options(populate_existing=True)
        run: Run | None = await self._session.scalar(query)
        return run

    def _runs(self) -> "Select[Run]":
        return select(Run).where(Run.agency_id == self._agency_id)
