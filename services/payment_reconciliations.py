"""What a user may ask of the reconciliation with the payment provider: start one, see what it came to."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID, uuid4, uuid5

from pydantic import Field
from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.payment_reconciliation import WINDOW
from activities.reconciliation_messages import ReconciliationRequest
from activities.stripe_accounts import NoStripeCredentials
from domain.money import Money
from services.access import Principal, Right, require
from services.commands import CommandKey, carry_out
from services.fields import Form, View
from services.web_ui import WebUi
from workflows import attributes, queues
from workflows.payment_reconciliation import PaymentReconciliation
from workflows.schedules import reconciliation_schedule_id

if TYPE_CHECKING:
    from db.commands import Answer
    from db.keyset import Position
    from db.models import PaymentReconciliationRun, ReconciliationBreak
    from db.session import Database, Transaction

PATIENCE = timedelta(seconds=5)
"""How long Temporal may take to answer."""

MOST_DAYS = 90
_IDS = UUID("6c3f0c2e-7c57-5b0a-9d6a-0d4a3f2f9f51")


class NewReconciliation(Form):
    """A reconciliation to be asked for: of what was made at Stripe in the last ``days``."""

    days: Annotated[int, Field(strict=True, ge=1, le=MOST_DAYS)] = WINDOW.days


class ReconciliationView(View):
    """A reconciliation of payments made in ``[since, until)``.

    ``looked_up`` and ``mended`` count payments, ``breaks`` differences that it could not mend.
    """

    id: UUID
    origin: str
    requested_by: str
    since: datetime
    until: datetime
    status: str
    looked_up: int
    mended: int
    breaks: int
    reason: str | None
    created_at: datetime
    completed_at: datetime | None
    web_ui_url: str


class ProcessorBreakView(View):
    """A difference from Stripe's books; ``ours`` and ``theirs`` are null where there is nothing."""

    id: UUID
    kind: str
    payment_id: UUID | None
    processor_ref: str = Field(validation_alias="subject")
    ours: Money | None
    theirs: Money | None
    currency: str
    probable_cause: str
    state: str
    found_at: datetime
    resolved_at: datetime | None


class PaymentReconciliationService:
    """Reconciliations of the principal's agency with its Stripe account."""

    def __init__(self, database: "Database", client: Client, web_ui: WebUi) -> None:
        self._database = database
        self._client = client
        self._web_ui = web_ui

    async def start(self, who: Principal, command: CommandKey, form: NewReconciliation) -> "Answer":
        """Start a reconciliation (202).

        ``ReconciliationGoing`` (409, with the ``run_id``) while another one is at work,
        ``NoStripeCredentials`` (409). While Temporal is away ``RPCError`` is raised; nothing is left behind.
        """
        require(who, Right.RUN_RECONCILIATIONS)
        run_id = _run_id(who.tenant.agency_id, command)
        until = datetime.now(UTC)

        async def effect(tx: "Transaction") -> ReconciliationView:
            if await tx.stripe_credentials.find(lock=True) is None:
                raise NoStripeCredentials
            await tx.payment_reconciliations.refuse_second(run_id)
            since = until - timedelta(days=form.days)
            run = await tx.payment_reconciliations.open(
                run_id, origin="manual", requested_by=who.username, since=since, until=until
            )
            await tx.audit.record(
                "reconciliation.started", "payment_reconciliation", run_id, new=form.model_dump(mode="json")
            )
            await self._start(who, run_id, since)
            return self._view(run)

        return await carry_out(self._database, who.tenant, command, effect, status=202)

    async def get(self, who: Principal, run_id: UUID) -> ReconciliationView:
        """One reconciliation. ``NotFound``."""
        require(who, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(who.tenant) as tx:
            return self._view(await tx.payment_reconciliations.get(run_id))

    async def page(self, who: Principal, position: "Position | None", limit: int) -> list[ReconciliationView]:
        """Reconciliations, newest first, keyed by ``(created_at, id)``."""
        require(who, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(who.tenant) as tx:
            return [self._view(run) for run in await tx.payment_reconciliations.page(position, limit)]

    async def breaks(
        self,
        who: Principal,
        position: "Position | None",
        limit: int,
        *,
        states: Sequence[str],
        kinds: Sequence[str],
    ) -> "Sequence[ReconciliationBreak]":
        """Breaks, newest first, keyed by ``(id,)``."""
        require(who, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(who.tenant) as tx:
            return await tx.processor_breaks.page(position, limit, states=states, kinds=kinds)

    async def _start(self, who: Principal, run_id: UUID, since: datetime) -> None:
        """Start the workflow before the run's row is committed: should that fail, it makes the row itself."""
        agency_id = who.tenant.agency_id
        try:
            await self._client.start_workflow(
                PaymentReconciliation.run,
                ReconciliationRequest(
                    agency_id=agency_id,
                    origin="manual",
                    run_id=run_id,
                    requested_by=who.username,
                    since=since,
                ),
                id=queues.reconciliation_workflow_id(run_id),
                task_queue=queues.LIFECYCLE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                search_attributes=attributes.of_agency(agency_id),
                priority=Priority(fairness_key=str(agency_id)),
                static_summary="reconciliation with the payment provider",
                rpc_timeout=PATIENCE,
            )
        except WorkflowAlreadyStartedError:
            return

    def _view(self, run: "PaymentReconciliationRun") -> ReconciliationView:
        scheduled = run.origin == "schedule"
        url = (
            self._web_ui.schedule(reconciliation_schedule_id(run.agency_id))
            if scheduled
            else self._web_ui.workflow(queues.reconciliation_workflow_id(run.id))
        )
        shown = {name: getattr(run, name) for name in ReconciliationView.model_fields if name != "web_ui_url"}
        return ReconciliationView(**shown, web_ui_url=url)


def _run_id(agency_id: UUID, command: CommandKey) -> UUID:
    """Decided by the key, so that a repetition after a lost answer finds the run that was started."""
    if command.key is None:
        return uuid4()
    return uuid5(_IDS, json.dumps([str(agency_id), command.key, command.body], sort_keys=True, default=str))
