"""The steps of an account's lifecycle that nobody commands: reading, deadlines, money that came or went."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.account_change import ENDED, AccountChange
from activities.account_messages import (
    AccountSnapshot,
    DeadlineReached,
    FollowUp,
    RefusedTransition,
)
from activities.account_money import came_in, end_promise, is_kept, went_back
from activities.account_snapshot import snapshot, snapshot_of
from activities.messages import AccountRef
from domain.accounts import FOLLOW_UP_DAYS, OPEN_STATUSES
from domain.deadlines import Deadline, DeadlineKind
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from db.session import Database
    from domain.compliance import RuleSet
    from domain.scoring import Scorer

ACTOR = "account-lifecycle"
_NOTED = {
    DeadlineKind.VALIDATION_END: ("validation", "The validation period is over"),
    DeadlineKind.DISPUTE_ANSWER: ("dispute", "The dispute is not answered yet: escalated"),
    DeadlineKind.LIMITATION: (
        "limitation",
        "The statute of limitations is reached: no suit, no threat of one",
    ),
}
"""Deadlines whose coming is put on the timeline, once; kind of the event and words."""


class AccountActivities:
    """The steps of ``AccountLifecycle``; each answers with the account as it is then. ``NotFound``."""

    def __init__(
        self, db: "Database", scorers: "Mapping[str, Scorer]", rule_sets: "Mapping[str, RuleSet]"
    ) -> None:
        self._db = db
        self._scorers = scorers
        self._rule_sets = rule_sets

    @activity.defn(name="accounts.load")
    async def load(self, ref: AccountRef) -> AccountSnapshot:
        """The account as it is now. A debt that is old already is noted so at once, not by an alarm."""
        readings = self._db.readings(Tenant.system(ref.agency_id, ACTOR))
        found = snapshot_of(await readings.lifecycles.view(ref.account_id), self._rule_sets)
        now = datetime.now(UTC)
        for deadline in found.deadlines:
            if deadline.kind is DeadlineKind.LIMITATION and deadline.at <= now:
                return await self.deadline_reached(DeadlineReached(account=ref, deadline=deadline))
        return found

    @activity.defn(name="accounts.admit")
    async def admit(self, ref: AccountRef) -> AccountSnapshot:
        """``load`` for a lifecycle that a command has started: from now on the account counts as worked."""
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            await tx.lifecycles.mark_admitted(ref.account_id)
            return await snapshot(tx, ref.account_id, self._rule_sets)

    @activity.defn(name="accounts.deadline_reached")
    async def deadline_reached(self, reached: DeadlineReached) -> AccountSnapshot:
        """Do what a deadline brings; nothing when it is over, moved or was done before."""
        ref, deadline = reached.account, reached.deadline
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            change = await AccountChange.begin(tx, ref.account_id, self._scorers)
            now = await snapshot(tx, ref.account_id, self._rule_sets)
            if deadline in now.deadlines:
                await self._do(change, deadline)
                await change.settle()
            return await snapshot(tx, ref.account_id, self._rule_sets)

    @activity.defn(name="accounts.payment_posted")
    async def payment_posted(self, ref: AccountRef) -> AccountSnapshot:
        """Money came in: do what follows from it, as far as whoever posted it has not."""
        return await self._weigh(ref, came_in)

    @activity.defn(name="accounts.payment_reversed")
    async def payment_reversed(self, ref: AccountRef) -> AccountSnapshot:
        """Money went back: do what follows from it, as far as whoever posted that has not."""
        return await self._weigh(ref, _is_worked_again)

    async def _weigh(
        self, ref: AccountRef, consequence: Callable[[AccountChange, datetime], Awaitable[None]]
    ) -> AccountSnapshot:
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            change = await AccountChange.begin(tx, ref.account_id, self._scorers)
            await consequence(change, tx.began_at)
            await change.settle()
            return await snapshot(tx, ref.account_id, self._rule_sets)

    @activity.defn(name="accounts.note_refusal")
    async def note_refusal(self, refused: RefusedTransition) -> None:
        """A transition that nobody waited for could not be made: people shall see it."""
        ref, to = refused.account, refused.new_status.value
        operation, key = f"refused: {refused.identity.operation}", refused.identity.key
        digest = bytes.fromhex(refused.identity.body_hash)
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            if await tx.commands.claim_digest(operation, key, digest) is not None:
                return
            await tx.timeline.add(
                ref.account_id,
                "refused",
                f"Not moved to {to}: {refused.reason}",
                details={"new_status": to, "asked_by": refused.asked_by},
            )
            await tx.commands.keep(operation, key, 200, None)

    @activity.defn(name="accounts.note_follow_up")
    async def note_follow_up(self, follow_up: FollowUp) -> bool:
        """Put a follow-up on the timeline, once; False when it was there or the account was touched."""
        async with self._db.transaction(Tenant.system(follow_up.agency_id, ACTOR)) as tx:
            return await tx.lifecycles.note_follow_up(
                follow_up.account_id,
                due_at=follow_up.due_at,
                idle_since=follow_up.due_at - timedelta(days=FOLLOW_UP_DAYS),
            )

    async def _do(self, change: AccountChange, deadline: Deadline) -> None:
        kind, tx, account_id = deadline.kind, change.tx, change.account.id
        if kind is DeadlineKind.FOLLOW_UP:
            await tx.lifecycles.note_follow_up(
                account_id, due_at=deadline.at, idle_since=deadline.at - timedelta(days=FOLLOW_UP_DAYS)
            )
        elif kind is DeadlineKind.PROMISE_DUE:
            promise = await tx.promises.open_on(account_id)
            if promise is not None:
                await end_promise(change, promise, kept=await is_kept(change, promise))
        elif kind is DeadlineKind.OFFER_EXPIRY:
            offer = await tx.offers.open_on(account_id)
            if offer is not None:
                await tx.offers.end(offer, "expired")
                await change.record("offer.expired", "settlement_offer", offer.id, {})
                await change.event("offer", "The offer has expired", old="open", new="expired")
        elif kind is DeadlineKind.SETTLEMENT_DUE:
            offer = await tx.offers.accepted_on(account_id)
            if offer is not None:
                await tx.offers.end(offer, "expired")
                await change.record("offer.expired", "settlement_offer", offer.id, {"unpaid": True})
                words = "The settlement has lapsed: it was not paid in time"
                await change.event("offer", words, old="accepted", new="expired", offer_id=str(offer.id))
        elif kind is DeadlineKind.HOLD_END:
            in_force = await tx.holds.in_force(change.account)
            await change.end_holds([hold for hold in in_force if hold.id == deadline.subject_id], ENDED)
        elif await tx.lifecycles.note_milestone(account_id, deadline.name, deadline.at):
            event, words = _NOTED[kind]
            await change.event(event, words, deadline=kind.value, due_at=deadline.at.isoformat())


async def _is_worked_again(change: AccountChange, occurred_at: datetime) -> None:
    """``went_back``, for an account whose lifecycle is at work: it takes a place again."""
    await went_back(change, occurred_at)
    # Also where the books have opened it: the lifecycle may just have given its place back.
    if change.account.status in OPEN_STATUSES:
        await change.tx.lifecycles.mark_admitted(change.account.id)
