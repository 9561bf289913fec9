"""What a user may ask of reconciliations with partners: start one, see what it came to."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4, uuid5

from pydantic import Field
from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.partner_run_messages import PartnerReconciliationRequest, Scope
from activities.partner_runs import PartnerNotActive, make_room
from services.access import Principal, Right, require
from services.commands import CommandKey, carry_out
from services.fields import Form, View
from services.web_ui import WebUi
from services.workflow_presence import WorkflowPresence
from workflows import attributes, queues
from workflows.partner_reconciliation import PartnerReconciliation
from workflows.schedules import partner_schedule_id

if TYPE_CHECKING:
    from db.commands import Answer
    from db.keyset import Position
    from db.models import PartnerReconciliationRun
    from db.session import Database, Transaction

PATIENCE = timedelta(seconds=5)
"""How long Temporal may take to answer."""

_IDS = UUID("0b6d3f1e-7d3a-5a0b-8c1d-52b1c7a9e4f0")


class NewPartnerReconciliation(Form):
    """A reconciliation to be asked for.

    ``scope`` ``full``: the files in the partner's folder and every message acknowledged until now, and what
    the partner does not name is missed; ``messages``: these alone, and nothing is missed. ``dry_run``: only
    the figures are written.
    """

    scope: Scope = "full"
    dry_run: bool = False


class PartnerReconciliationView(View):
    """A reconciliation with a partner.

    ``lines``: of the statements it took; ``problems``: those of them that could not be read; ``matched``:
    those whose account or payment was found; ``breaks``: differences that it found, new ones and those that
    were there still; ``resolved``: of these, by the partner's rules; ``cured``: earlier ones that are gone.
    """

    id: UUID
    partner_id: UUID
    origin: str = Field(examples=["manual", "schedule"])
    requested_by: str
    scope: str = Field(examples=["full", "messages"])
    dry_run: bool
    status: str = Field(examples=["pending", "running", "completed", "failed"])
    step: str | None = Field(examples=["collecting", "matching", "reporting"])
    rules_version: int | None
    lines: int
    problems: int
    matched: int
    breaks: int
    resolved: int
    cured: int
    reason: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    web_ui_url: str


class PartnerReconciliationService:
    """Reconciliations of the principal's agency with its partners."""

    def __init__(self, database: "Database", client: Client, web_ui: WebUi) -> None:
        self._database = database
        self._client = client
        self._web_ui = web_ui
        self._presence = WorkflowPresence(client)

    async def start(
        self, who: Principal, command: CommandKey, partner_id: UUID, form: NewPartnerReconciliation
    ) -> "Answer":
        """Start a reconciliation (202).

        ``PartnerReconciliationGoing`` (409, with the ``run_id``) while one with this partner is at work,
        ``PartnerNotActive`` (409). While Temporal is away ``RPCError`` is raised; nothing is left behind.
        """
        require(who, Right.RUN_RECONCILIATIONS)
        run_id = _run_id(who.tenant.agency_id, command)

        async def effect(tx: "Transaction") -> PartnerReconciliationView:
            partner = await tx.partners.get(partner_id)
            if not partner.active:
                raise PartnerNotActive("the partner is not active; nothing is compared with it")
            await make_room(tx, partner_id, run_id, self._presence.has_ended)
            run = await tx.partner_runs.open(
                run_id,
                partner_id,
                origin="manual",
                requested_by=who.username,
                workflow_id=queues.partner_reconciliation_workflow_id(run_id),
                **form.model_dump(),
            )
            await tx.audit.record(
                "partner_reconciliation.started", "partner_reconciliation", run_id, new=form.model_dump()
            )
            await self._start(who, partner_id, run_id, form)
            return self.view(run)

        return await carry_out(self._database, who.tenant, command, effect, status=202)

    async def get(self, who: Principal, run_id: UUID) -> PartnerReconciliationView:
        """One reconciliation. ``NotFound``."""
        require(who, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(who.tenant) as tx:
            return self.view(await tx.partner_runs.get(run_id))

    async def page(
        self,
        who: Principal,
        position: "Position | None",
        limit: int,
        *,
        partner_id: UUID | None,
        statuses: Sequence[str],
    ) -> list[PartnerReconciliationView]:
        """Reconciliations, newest first, keyed by ``(created_at, id)``."""
        require(who, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(who.tenant) as tx:
            runs = await tx.partner_runs.page(position, limit, partner_id=partner_id, statuses=statuses)
            return [self.view(run) for run in runs]

    def view(self, run: "PartnerReconciliationRun") -> PartnerReconciliationView:
        """A run as callers see it."""
        shown = {
            name: getattr(run, name)
            for name in PartnerReconciliationView.model_fields
            if name != "web_ui_url"
        }
        return PartnerReconciliationView(**shown, web_ui_url=self._url(run))

    async def _start(
        self, who: Principal, partner_id: UUID, run_id: UUID, form: NewPartnerReconciliation
    ) -> None:
        """Start the workflow before the run's row is committed: should that fail, it makes the row itself."""
        agency_id = who.tenant.agency_id
        try:
            await self._client.start_workflow(
                PartnerReconciliation.run,
                PartnerReconciliationRequest(
                    agency_id=agency_id,
                    partner_id=partner_id,
                    origin="manual",
                    run_id=run_id,
                    requested_by=who.username,
                    scope=form.scope,
                    dry_run=form.dry_run,
                ),
                id=queues.partner_reconciliation_workflow_id(run_id),
                task_queue=queues.LIFECYCLE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                search_attributes=attributes.of_agency(agency_id),
                priority=Priority(fairness_key=str(agency_id)),
                static_summary="reconciliation with a partner",
                rpc_timeout=PATIENCE,
            )
        except WorkflowAlreadyStartedError:
            return

    def _url(self, run: "PartnerReconciliationRun") -> str:
        """Where the run can be watched; Temporal chooses the workflow ids of scheduled runs."""
        if run.origin == "schedule":
            return self._web_ui.schedule(partner_schedule_id(run.partner_id))
        return self._web_ui.workflow(queues.partner_reconciliation_workflow_id(run.id))


def _run_id(agency_id: UUID, command: CommandKey) -> UUID:
    """Decided by the key, so that a repetition after a lost answer finds the run that was started."""
    if command.key is None:
        return uuid4()
    return uuid5(_IDS, json.dumps([str(agency_id), command.key, command.body], sort_keys=True, default=str))
