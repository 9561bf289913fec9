"""Reconciliation with the payment provider: look up, mend through the books, keep what remains as breaks."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid5

import structlog
from temporalio import activity

from activities.at_once import each
from activities.heartbeats import heartbeating
from activities.reconciliation_messages import (
    ACTOR,
    Conclusion,
    FailedReconciliation,
    LookedUp,
    LookUp,
    Mend,
    Mended,
    ReconciliationRef,
    ReconciliationRequest,
    ReconciliationSummary,
)
from domain.errors import DomainError
from domain.provider_events import oddity
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from activities.provider_follower import ProviderFollower
    from activities.stripe_lists import StripeLists
    from db.models import PaymentReconciliationRun
    from db.payment_reconciliations import Unfinished
    from db.processor_items import Item
    from db.session import Database
    from gateways.stripe import Unreadable

WINDOW = timedelta(days=3)
"""How far back a run looks by default: runs overlap, so that one that failed is made up for by the next."""

CLOCKS_DIFFER = timedelta(minutes=1)
"""Stripe is asked for what its clock, which may be ahead of ours, says was made until now."""

BATCH = 100
CHUNK = 500
AT_ONCE = 4
"""Stripe lets an account make some dozens of requests in a second, all its users together."""

_ODD = (DomainError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What one thing at Stripe may be the fault of: the books refuse it, or it is not what it should be."""

_OF_THE_AGENCY = frozenset({"stripe-authentication-failed", "no-stripe-credentials", "column-unreadable"})

_log = structlog.stdlib.get_logger("payment-reconciliation")


class ReconciliationActivities:
    """The steps of ``PaymentReconciliation``. They raise ``StripeOutage``, and what says that an agency's
    Stripe account cannot be used; a payment that cannot be brought in line by itself holds up no other.
    """

    def __init__(self, db: "Database", follower: "ProviderFollower", lists: "StripeLists") -> None:
        self._db = db
        self._follower = follower
        self._lists = lists

    @activity.defn(name="payment_reconciliation.open")
    async def open(self, request: ReconciliationRequest) -> ReconciliationRef | None:
        """Make the run, or find it; None for an agency without a Stripe account, when nobody asked for it."""
        # The same for every attempt of this step, so that a repeated one finds what it has made.
        run_id = request.run_id or uuid5(request.agency_id, str(activity.info().workflow_run_id))
        until = datetime.now(UTC)
        async with self._db.transaction(Tenant.system(request.agency_id, request.requested_by)) as tx:
            if request.origin == "schedule" and await tx.stripe_credentials.find() is None:
                return None
            run = await tx.payment_reconciliations.open(
                run_id,
                origin=request.origin,
                requested_by=request.requested_by,
                since=request.since or until - WINDOW,
                until=until,
            )
        over = run.status != "running"
        return ReconciliationRef(agency_id=request.agency_id, run_id=run.id, over=over)

    @activity.defn(name="payment_reconciliation.look_up")
    async def look_up(self, batch: LookUp) -> LookedUp:
        """Look up the next payments that are not final, and record what has become of them."""
        async with self._db.transaction(Tenant.system(batch.agency_id, ACTOR)) as tx:
            payments = await tx.payment_reconciliations.unfinished(batch.after, BATCH)
        async with heartbeating():
            changed = sum(await each(partial(self._look_up, batch.agency_id), payments, at_once=AT_ONCE))
        after = payments[-1].payment_id if len(payments) == BATCH else None
        return LookedUp(looked_up=len(payments), changed=changed, after=after)

    @activity.defn(name="payment_reconciliation.stage")
    async def stage(self, ref: ReconciliationRef) -> None:
        """Stage what Stripe has of the run's window, and what is in question since an earlier run."""
        tenant = Tenant.system(ref.agency_id, ACTOR)
        async with self._db.transaction(tenant) as tx:
            run = await tx.payment_reconciliations.get(ref.run_id)
            await tx.processor_items.clear(ref.run_id)
        async with heartbeating():
            chunk: list[Item] = []
            odd, until = partial(self._note_unreadable, ref.agency_id), run.until + CLOCKS_DIFFER
            async for item in self._lists.items(ref.agency_id, run.since, until, odd):
                chunk.append(item)
                if len(chunk) == CHUNK:
                    await self._stage(ref.agency_id, ref.run_id, chunk)
                    chunk = []
            await self._stage(ref.agency_id, ref.run_id, chunk)
            await self._stage_in_question(ref, tenant)

    @activity.defn(name="payment_reconciliation.mend")
    async def mend(self, batch: Mend) -> Mended:
        """Look up the next intents about which the books do not agree, and record what is true of them."""
        tenant = Tenant.system(batch.agency_id, ACTOR)
        async with self._db.transaction(tenant) as tx:
            run = await tx.payment_reconciliations.get(batch.run_id)
            intents = await tx.processor_items.differing(run, batch.after, BATCH)
        async with heartbeating():
            changed = sum(await each(partial(self._mend, run), intents, at_once=AT_ONCE))
        after = intents[-1] if len(intents) == BATCH else None
        return Mended(looked_up=len(intents), changed=changed, after=after)

    @activity.defn(name="payment_reconciliation.conclude")
    async def conclude(self, counted: Conclusion) -> ReconciliationSummary:
        """Keep what differs still as breaks, resolve those that are gone, and end the run."""
        async with heartbeating(), self._db.transaction(Tenant.system(counted.agency_id, ACTOR)) as tx:
            run = await tx.payment_reconciliations.get(counted.run_id)
            if run.status == "running":
                concluded = await tx.processor_items.conclude(run)
                await tx.processor_items.clear(run.id)
                run = await tx.payment_reconciliations.end(
                    run.id,
                    looked_up=counted.looked_up,
                    mended=counted.mended,
                    breaks=concluded.differences,
                )
        return ReconciliationSummary(
            run_id=run.id, status=run.status, looked_up=run.looked_up, mended=run.mended, breaks=run.breaks
        )

    @activity.defn(name="payment_reconciliation.fail")
    async def fail(self, failed: FailedReconciliation) -> None:
        """End a run that cannot go on."""
        async with self._db.transaction(Tenant.system(failed.agency_id, ACTOR)) as tx:
            await tx.processor_items.clear(failed.run_id)
            await tx.payment_reconciliations.end(failed.run_id, reason=failed.reason)

    async def _look_up(self, agency_id: "UUID", payment: "Unfinished") -> bool:
        ref = payment.intent_ref or payment.checkout_ref or ""
        try:
            if payment.intent_ref is not None:
                return (await self._follower.follow(agency_id, payment.intent_ref)).changed
            return (await self._follower.of_page(agency_id, ref)).changed
        except _ODD as error:
            cause = _cause(error, ref)
        async with self._db.transaction(Tenant.system(agency_id, ACTOR)) as tx:
            await tx.processor_breaks.not_looked_up(payment.payment_id, ref, cause)
        return False

    async def _mend(self, run: "PaymentReconciliationRun", intent_ref: str) -> bool:
        """Whether the books know more than before. What they refuse to record stays a difference."""
        try:
            news = await self._follower.look(run.agency_id, intent_ref)
            if news is None:
                return False
            await self._stage(run.agency_id, run.id, self._lists.items_of(news))
            return (await self._follower.bring(run.agency_id, news)).changed
        except _ODD as error:
            _cause(error, intent_ref)
            return False

    async def _stage_in_question(self, ref: ReconciliationRef, tenant: Tenant) -> None:
        """What open breaks are about may have been made before the window."""
        after = ""
        while True:
            async with self._db.transaction(tenant) as tx:
                refs = await tx.processor_breaks.open_refs(after, BATCH)
            for broken_ref, intent_ref in refs:
                try:
                    items = await self._items(ref, broken_ref, intent_ref)
                except _ODD as error:
                    _cause(error, broken_ref)
                    async with self._db.transaction(tenant) as tx:
                        await tx.processor_breaks.seen(broken_ref)
                else:
                    await self._stage(ref.agency_id, ref.run_id, items)
            if len(refs) < BATCH:
                return
            after = refs[-1][0]

    async def _items(
        self, ref: ReconciliationRef, broken_ref: str, intent_ref: str | None
    ) -> "Sequence[Item]":
        if intent_ref is not None:
            news = await self._follower.look(ref.agency_id, intent_ref)
            return () if news is None else self._lists.items_of(news)
        if broken_ref.startswith("re_"):
            refund = await self._lists.refund(ref.agency_id, broken_ref)
            return () if refund is None else (refund,)
        return ()

    async def _note_unreadable(self, agency_id: "UUID", found: "Unreadable") -> None:
        """Nobody can compare what cannot be read: it is kept as a break, for people to look at."""
        cause = f"unreadable: what Stripe says of this {found.kind} is not understood here ({found.problem})"
        _log.warning("not readable", ref=found.id, kind=found.kind, problem=found.problem)
        async with self._db.transaction(Tenant.system(agency_id, ACTOR)) as tx:
            await tx.processor_breaks.not_readable(found.id, cause)

    async def _stage(self, agency_id: "UUID", run_id: "UUID", items: "Sequence[Item]") -> None:
        async with self._db.transaction(Tenant.system(agency_id, ACTOR)) as tx:
            await tx.processor_items.stage(run_id, items)


def _cause(error: Exception, ref: str) -> str:
    """Why something could not be brought in line, in words. Raises what is no fault of its own."""
    if isinstance(error, DomainError):
        if error.retryable or error.type in _OF_THE_AGENCY:
            raise error
        cause = error.message
    else:
        cause = f"what Stripe says of it cannot be understood here: {oddity(error)}"
    _log.warning("not brought in line", ref=ref, error_type=type(error).__name__, exc_info=error)
    return cause
