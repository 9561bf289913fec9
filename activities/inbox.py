"""Handling of what a provider has told us: what it is about is looked up, and what is true recorded."""

from typing import TYPE_CHECKING

from temporalio import activity

from activities.heartbeats import heartbeating
from activities.inbox_messages import InboxFailure, InboxOutcome, InboxRef
from activities.provider_follower import Followed
from domain.provider_events import Subject, subject_of
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from activities.provider_follower import ProviderFollower
    from db.models import InboxEvent
    from db.session import Database

ACTOR = "inbox"
OVER = frozenset({"handled", "ignored"})
NO_INTENT = "it is about a charge that was made without a payment intent; look at it at Stripe"


class InboxActivities:
    """The steps of ``InboxEvent``. What an event says itself is never recorded: it may be long outdated."""

    def __init__(self, db: "Database", follower: "ProviderFollower") -> None:
        self._db = db
        self._follower = follower

    @activity.defn(name="inbox.handle")
    async def handle(self, ref: InboxRef) -> InboxOutcome:
        """Bring the payment that an event is about in line with Stripe, and the event to its end.

        An event about a payment that nobody here knows is left ``unmatched``. Raises what
        ``ProviderFollower`` raises.
        """
        tenant = Tenant.system(ref.agency_id, ACTOR)
        async with self._db.transaction(tenant) as tx:
            event = await tx.inbox.get(ref.event_id)
        if event.status in OVER:
            return InboxOutcome(status=event.status)
        async with heartbeating():
            followed = await self._follow(event)
        async with self._db.transaction(tenant) as tx:
            if followed.reason is not None:
                await tx.inbox.leave(ref.event_id, "unmatched", followed.reason)
                return InboxOutcome(status="unmatched", reason=followed.reason)
            await tx.inbox.handled(ref.event_id)
        return InboxOutcome(status="handled", payment_id=followed.view.payment_id if followed.view else None)

    @activity.defn(name="inbox.fail")
    async def fail(self, failure: InboxFailure) -> InboxOutcome:
        """Leave an event for a later try."""
        async with self._db.transaction(Tenant.system(failure.agency_id, ACTOR)) as tx:
            await tx.inbox.leave(failure.event_id, "failed", failure.reason)
        return InboxOutcome(status="failed", reason=failure.reason)

    async def _follow(self, event: "InboxEvent") -> "Followed":
        subject = subject_of(event.type)
        if subject is Subject.CHECKOUT and event.object_ref is not None:
            return await self._follower.of_page(event.agency_id, event.object_ref)
        if event.intent_ref is None:
            return Followed(reason=event.reason or NO_INTENT)
        return await self._follower.follow(
            event.agency_id, event.intent_ref, whole=subject in {Subject.REFUND, Subject.DISPUTE}
        )
