"""Telling running lifecycles, and plans, that their accounts were changed beside them."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import Unavailable
from domain.tenancy import Tenant
from services.plan_starts import plan_input, plan_options
from workflows.plans import PaymentPlan
from workflows.queues import account_workflow_id, plan_workflow_id

if TYPE_CHECKING:
    from db.notices import Notice
    from db.session import Database

PATIENCE_S = 1.0
"""How long the caller may be kept waiting for what is only a favour."""

SIGNAL_PATIENCE = timedelta(seconds=5)
AT_ONCE = 16
AT_MOST = 500
"""Accounts that are told on the spot; a schedule tells the others."""

_AWAY = frozenset(
    {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.RESOURCE_EXHAUSTED}
)
_log = structlog.stdlib.get_logger("notices")


class Signaller:
    """Signals lifecycles, and the plans of their accounts.

    The change itself notes which, and what to tell (``LifecycleStore.notify``).
    """

    def __init__(self, database: "Database", client: Client) -> None:
        self._database = database
        self._client = client
        self._under_way: set[asyncio.Task[None]] = set()

    async def tell(self, agency_id: UUID, account_ids: Sequence[UUID]) -> None:
        """Tell the lifecycles of these accounts, which were noted, after the commit of what changed them.

        Does its best and never raises: a schedule tells what is left within minutes. Waits for
        ``PATIENCE_S`` at most; what takes longer goes on behind the caller's back.
        """
        await asyncio.wait({self.tell_soon(agency_id, account_ids)}, timeout=PATIENCE_S)

    def tell_soon(self, agency_id: UUID, account_ids: Sequence[UUID]) -> asyncio.Task[None]:
        """``tell`` for those who do not wait at all."""
        telling = asyncio.create_task(self._tell(agency_id, account_ids[:AT_MOST]))
        self._under_way.add(telling)
        telling.add_done_callback(self._under_way.discard)
        return telling

    async def _tell(self, agency_id: UUID, account_ids: Sequence[UUID]) -> None:
        tenant = Tenant.system(agency_id, "notices")
        try:
            async with self._database.transaction(tenant) as tx:
                notices = await tx.notices.of(account_ids)
            if not notices:
                return
            told = await self.signal(notices)
            async with self._database.transaction(tenant) as tx:
                await tx.notices.remove(told)
        except Unavailable as error:
            _log.warning("lifecycles were not told", agency_id=str(agency_id), error_type=error.type)

    async def signal(self, notices: "Sequence[Notice]") -> "list[Notice]":
        """Signal the lifecycles of these notices, a few at once; answers those that need no repetition.

        Where none runs there is none to tell. ``Unavailable`` when Temporal is away.
        """
        gate = asyncio.Semaphore(AT_ONCE)

        async def refusal(notice: "Notice") -> RPCStatusCode | None:
            async with gate:
                return await self._refusal(notice)

        refusals = await asyncio.gather(*(refusal(notice) for notice in notices))
        told = [notice for notice, status in zip(notices, refusals, strict=True) if status is None]
        if not told and _AWAY.intersection(refusals):
            raise Unavailable("Temporal takes no signals at the moment; the notices are kept")
        return told

    async def _refusal(self, notice: "Notice") -> RPCStatusCode | None:
        """Tell the account's lifecycle and its plan; why one of them could not be told."""
        return await self._untold_lifecycle(notice) or await self._untold_plan(notice)

    async def _untold_plan(self, notice: "Notice") -> RPCStatusCode | None:
        """A plan that goes on is started where it does not run: its start may have been lost."""
        if notice.plan_id is None or notice.agency_id is None:
            return None
        try:
            if notice.plan_goes_on:
                await self._client.start_workflow(
                    PaymentPlan.run,
                    plan_input(notice.agency_id, notice.plan_id),
                    start_signal="changed",
                    rpc_timeout=SIGNAL_PATIENCE,
                    **plan_options(notice.agency_id, notice.plan_id),
                )
            else:
                plan = self._client.get_workflow_handle(plan_workflow_id(notice.plan_id))
                await plan.signal(PaymentPlan.changed, rpc_timeout=SIGNAL_PATIENCE)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND and not notice.plan_goes_on:
                return None
            _log.warning("a plan was not told", plan_id=str(notice.plan_id), status=error.status.name)
            return error.status
        return None

    async def _untold_lifecycle(self, notice: "Notice") -> RPCStatusCode | None:
        lifecycle = self._client.get_workflow_handle(account_workflow_id(notice.account_id))
        try:
            await lifecycle.signal(notice.signal, rpc_timeout=SIGNAL_PATIENCE)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            _log.warning(
                "a lifecycle was not told", account_id=str(notice.account_id), status=error.status.name
            )
            return error.status
        return None
