"""What a user may ask of what partners are sent: send it now, see what has arrived and what has not."""

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypedDict
from uuid import UUID, uuid4, uuid5

from pydantic import Field
from temporalio.client import Client
from temporalio.common import (
    Priority,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.partner_sync_messages import SyncRequest
from activities.partner_ways import NoWay
from domain.errors import Conflict
from services.access import Principal, Right, require
from services.commands import CommandKey, carry_out
from services.fields import Form, View
from services.web_ui import WebUi
from services.workflow_presence import WorkflowPresence
from workflows import attributes, queues
from workflows.partner_sync import PartnerSync

if TYPE_CHECKING:
    from db.commands import Answer
    from db.keyset import Position
    from db.models import PartnerSyncRun
    from db.session import Database, Transaction

PATIENCE = timedelta(seconds=5)
"""How long Temporal may take to answer."""

_IDS = UUID("0d7f4c39-3f7b-5a55-8f5d-8c7f3a4f9b62")


class SyncNotRetried(Conflict):
    """A sending of which nothing is left to be sent, or not by this one."""

    type = "partner-sync-not-retried"
    title = "The sending is not taken up again"


class NewSync(Form):
    """A sending to be asked for: of all accounts of high priority, or of those that have ``changed`` only."""

    changed_only: bool = False


class SyncView(View):
    """A sending to a partner; ``total`` and ``delivered`` count accounts, and ``delivered`` is confirmed."""

    id: UUID
    partner_id: UUID
    scoring_run_id: UUID | None
    origin: str = Field(examples=["manual", "scoring"])
    requested_by: str
    delivery: str | None = Field(description="null until it is decided what is in it")
    status: str = Field(examples=["pending", "running", "completed", "failed"])
    total: int
    delivered: int
    reason: str | None = Field(description="why it failed")
    created_at: datetime
    completed_at: datetime | None
    web_ui_url: str


class BatchView(View):
    """The delivery record of a batch; ``sha256`` (hex) of the bytes that every attempt sends."""

    number: int
    items: int
    sha256: str
    status: str = Field(examples=["pending", "delivered", "failed"])
    attempts: int
    target: str | None = Field(description="where it was sent last")
    answer: str | None = Field(description="what the partner answered when it took it")
    last_problem: str | None
    created_at: datetime
    delivered_at: datetime | None


class SyncWithBatches(SyncView):
    """A sending and its batches, in order."""

    batches: tuple[BatchView, ...]


class PartnerSyncService:
    """Sendings to the partners of the principal's agency."""

    def __init__(self, database: "Database", client: Client, web_ui: WebUi) -> None:
        self._database = database
        self._client = client
        self._web_ui = web_ui
        self._presence = WorkflowPresence(client)

    async def start(self, who: Principal, command: CommandKey, partner_id: UUID, form: NewSync) -> "Answer":
        """Send a partner the accounts of high priority as they are now (202).

        ``NotFound``; ``NoWay`` (409) when the partner is not active or has no delivery. While Temporal is
        away ``RPCError`` is raised and nothing is left behind.
        """
        require(who, Right.RUN_RECONCILIATIONS)
        sync_id = _sync_id(who.tenant.agency_id, command)

        async def effect(tx: "Transaction") -> SyncView:
            partner = await tx.partners.get(partner_id)
            if not partner.active or partner.delivery == "none":
                raise NoWay(
                    "the partner is sent nothing: it must be active and have a delivery (sftp or https)"
                )
            sync = await tx.partner_syncs.open(
                sync_id, partner_id, origin="manual", requested_by=who.username
            )
            await tx.audit.record(
                "partner_sync.started", "partner_sync", sync_id, new={"partner_id": partner_id, **dict(form)}
            )
            await self._start(who, partner_id, sync_id, form)
            return self._view(sync)

        return await carry_out(self._database, who.tenant, command, effect, status=202)

    async def retry(self, who: Principal, command: CommandKey, sync_id: UUID) -> "Answer":
        """Take up a sending that has failed, or whose workflow was ended (202): what the partner has not
        confirmed is sent again, the same bytes under the same keys.

        ``NotFound``; ``SyncNotRetried`` (409) for one that is at work, has arrived, or is not the partner's
        newest, or whose accounts others work by now; ``NoWay`` (409) when the partner is not active or its
        delivery is another. While Temporal is away ``RPCError`` or ``Unavailable`` is raised and nothing is
        changed.
        """
        require(who, Right.RUN_RECONCILIATIONS)

        async def effect(tx: "Transaction") -> SyncView:
            sync = await tx.partner_syncs.get(sync_id, lock=True)
            await self._check_retry(tx, sync)
            old = {"status": sync.status, "delivered": sync.delivered, "reason": sync.reason}
            sync = await tx.partner_syncs.take_up(sync_id)
            await tx.audit.record("partner_sync.retried", "partner_sync", sync_id, old=old)
            request = SyncRequest(
                agency_id=who.tenant.agency_id,
                partner_id=sync.partner_id,
                sync_id=sync_id,
                origin="scoring" if sync.origin == "scoring" else "manual",
                requested_by=sync.requested_by,
                scoring_run_id=sync.scoring_run_id,
            )
            try:
                await self._client.start_workflow(
                    PartnerSync.run,
                    request,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    **_options(request),
                )
            except WorkflowAlreadyStartedError:
                raise SyncNotRetried("the sending is coming to its end just now; try again") from None
            return self._view(sync)

        return await carry_out(self._database, who.tenant, command, effect, status=202)

    async def _check_retry(self, tx: "Transaction", sync: "PartnerSyncRun") -> None:
        if sync.status == "completed":
            raise SyncNotRetried("everything in this sending was delivered")
        workflow_id = queues.partner_sync_workflow_id(sync.id)
        if sync.status != "failed" and not await self._presence.has_ended(workflow_id):
            raise SyncNotRetried("the sending is at work; what was not delivered is tried again by itself")
        partner = await tx.partners.get(sync.partner_id)
        if not partner.active or partner.delivery != (sync.delivery or partner.delivery):
            raise NoWay("the partner is not active, or its delivery was changed; ask for a new sending")
        if not await tx.partner_syncs.is_newest(sync):
            raise SyncNotRetried("the partner has a later sending, which has what is to be sent by now")
        if others := await tx.partner_syncs.given_to_others(sync.id):
            raise SyncNotRetried(
                f"{others} of the accounts in it were given to other partners; ask for a new sending"
            )

    async def page(
        self, who: Principal, partner_id: UUID, position: "Position | None", limit: int
    ) -> list[SyncView]:
        """Sendings to a partner, newest first, keyed by ``(created_at, id)``. ``NotFound``."""
        require(who, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(who.tenant) as tx:
            await tx.partners.get(partner_id)
            return [self._view(sync) for sync in await tx.partner_syncs.page(partner_id, position, limit)]

    async def get(self, who: Principal, sync_id: UUID) -> SyncWithBatches:
        """One sending with the delivery record of each batch. ``NotFound``."""
        require(who, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(who.tenant) as tx:
            sync = await tx.partner_syncs.get(sync_id)
            batches = await tx.partner_syncs.batches(sync_id)
        shown = tuple(BatchView.model_validate(batch) for batch in batches)
        return SyncWithBatches(**dict(self._view(sync)), batches=shown)

    async def _start(self, who: Principal, partner_id: UUID, sync_id: UUID, form: NewSync) -> None:
        """Start the workflow before the row is committed: should that fail, it makes the row itself."""
        request = SyncRequest(
            agency_id=who.tenant.agency_id,
            partner_id=partner_id,
            sync_id=sync_id,
            origin="manual",
            requested_by=who.username,
            everything=not form.changed_only,
        )
        try:
            await self._client.start_workflow(
                PartnerSync.run,
                request,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                **_options(request),
            )
        except WorkflowAlreadyStartedError:
            return

    def _view(self, sync: "PartnerSyncRun") -> SyncView:
        shown = {name: getattr(sync, name) for name in SyncView.model_fields if name != "web_ui_url"}
        return SyncView(**shown, web_ui_url=self._web_ui.workflow(queues.partner_sync_workflow_id(sync.id)))


class _Options(TypedDict):
    id: str
    task_queue: str
    search_attributes: TypedSearchAttributes
    priority: Priority
    static_summary: str
    rpc_timeout: timedelta


def _options(request: SyncRequest) -> _Options:
    """How the workflow of a sending is started, the first time and again."""
    return {
        "id": queues.partner_sync_workflow_id(request.sync_id),
        "task_queue": queues.LIFECYCLE,
        "search_attributes": attributes.of_agency(request.agency_id),
        "priority": Priority(fairness_key=str(request.agency_id)),
        "static_summary": "accounts of high priority to a partner",
        "rpc_timeout": PATIENCE,
    }


def _sync_id(agency_id: UUID, command: CommandKey) -> UUID:
    """Decided by the key, so that a repetition after a lost answer finds what was started."""
    if command.key is None:
        return uuid4()
    named = [str(agency_id), command.operation, command.key, command.body]
    return uuid5(_IDS, json.dumps(named, sort_keys=True, default=str))
