"""Handling of what a provider has told us: what it is about is looked up, and what is true recorded."""

import json
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
    from db.session import Database, Transaction

ACTOR = "inbox"
UNNAMED_CURRENCY, CURRENCY_LETTERS = "USD", 3
OVER = frozenset({"handled", "ignored"})
NOTHING_TAKEN = "no money was taken"
SET_ASIDE = "people have explained it in the queue of breaks"
NO_INTENT = "it is about a charge that was made without a payment intent; look at it at Stripe"


class InboxActivities:
    """The steps of ``InboxEvent``. What an event says itself is never recorded: it may be long outdated."""

    def __init__(self, db: "Database", follower: "ProviderFollower") -> None:
        self._db = db
        self._follower = follower

    @activity.defn(name="inbox.handle")
    async def handle(self, ref: InboxRef) -> InboxOutcome:
        """Bring the payment that an event is about in line with Stripe, and the event to its end.

        An event about money that nobody here knows is left ``unmatched`` until people have matched or
        explained it; one about an intent that took none is ``ignored``. Raises what ``ProviderFollower``
        raises.
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
                return await self._unmatched(tx, event, followed, followed.reason)
            await tx.inbox.handled(ref.event_id)
            await tx.processor_breaks.matched(_subject_of(event))
        return InboxOutcome(status="handled", payment_id=followed.view.payment_id if followed.view else None)

    @activity.defn(name="inbox.fail")
    async def fail(self, failure: InboxFailure) -> InboxOutcome:
        """Leave an event for a later try."""
        async with self._db.transaction(Tenant.system(failure.agency_id, ACTOR)) as tx:
            await tx.inbox.leave(failure.event_id, "failed", failure.reason)
        return InboxOutcome(status="failed", reason=failure.reason)

    async def _unmatched(
        self, tx: "Transaction", event: "InboxEvent", followed: "Followed", reason: str
    ) -> InboxOutcome:
        """Leave an event for people, unless no money was taken, or they have explained it."""
        subject = _subject_of(event)
        if followed.news is not None and not followed.news.intent.amount_received:
            aside = f"{NOTHING_TAKEN}: {reason}"
        elif not await self._keep_as_break(tx, event, followed):
            aside = SET_ASIDE
        else:
            await tx.inbox.leave(event.id, "unmatched", reason)
            return InboxOutcome(status="unmatched", reason=reason)
        await tx.inbox.ignored(event.id, aside)
        await tx.processor_breaks.matched(subject)
        return InboxOutcome(status="ignored", reason=aside)

    async def _keep_as_break(self, tx: "Transaction", event: "InboxEvent", followed: "Followed") -> bool:
        """Put what nobody here knows into the queue of breaks, with the money that it is about; False where
        people have explained it."""
        intent = followed.news.intent if followed.news is not None else None
        taken = intent.amount_received if intent is not None and intent.amount_received else None
        currency = intent.currency if intent is not None else _currency_of(event)
        subject, reason = _subject_of(event), followed.reason or ""
        return await tx.processor_breaks.unmatched(subject, taken, currency, reason)

    async def _follow(self, event: "InboxEvent") -> "Followed":
        subject = subject_of(event.type)
        if subject is Subject.CHECKOUT and event.object_ref is not None:
            return await self._follower.of_page(event.agency_id, event.object_ref)
        if event.intent_ref is None:
            return Followed(reason=event.reason or NO_INTENT)
        return await self._follower.follow(
            event.agency_id, event.intent_ref, whole=subject in {Subject.REFUND, Subject.DISPUTE}
        )


def _subject_of(event: "InboxEvent") -> str:
    """What a break about an event is about: the same for all events of one intent."""
    return event.intent_ref or event.object_ref or event.event_ref


def _currency_of(event: "InboxEvent") -> str:
    """The currency that an event names itself; that of the house's country where it names none."""
    try:
        named = json.loads(event.body)["data"]["object"]["currency"]
    except (ValueError, LookupError, TypeError):
        return UNNAMED_CURRENCY
    return named.upper() if isinstance(named, str) and len(named) == CURRENCY_LETTERS else UNNAMED_CURRENCY
