"""What an account can be told. One method is one command is one transaction."""

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from temporalio import activity

from activities.account_answers import DisputeAnswer, HoldAnswer, OfferAnswer, PromiseAnswer
from activities.account_change import AccountChange
from activities.account_messages import (
    AcceptOffer,
    AccountCommand,
    AccountSnapshot,
    AnswerDispute,
    Assign,
    Close,
    MakePromise,
    OfferSettlement,
    PlaceHold,
    Recall,
    RecordDispute,
    ReleaseHold,
    Transition,
)
from activities.account_snapshot import snapshot
from activities.settlements import offered, within_authority
from domain.accounts import RECALLED, AccountStatus
from domain.compliance import disputes
from domain.compliance.disputes import EarlierDispute
from domain.deadlines import MOST_DAYS_AHEAD, MOST_DAYS_BACK, MOST_HOLD_DAYS_AHEAD
from domain.errors import Conflict, Invalid, NotFound
from domain.stays import check_not_stayed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from db.session import Database
    from domain.compliance import RuleSet
    from domain.scoring import Scorer

S = AccountStatus
DISPUTE_UPHELD = "dispute_upheld"
CLOSED_BY_HAND = "closed_by_hand"
SENT_IN_ANSWER = frozenset({"verified", "corrected", "duplicative"})
"""Outcomes of a dispute in the period of which the person is sent word before collection goes on."""


class Told(NamedTuple):
    """What a command is answered with: an HTTP status and a body; no body is the account as it is then."""

    status: int = 200
    body: dict[str, Any] | None = None


Effect = Callable[[AccountChange], Awaitable[Told]]


class AccountCommands:
    """The commands of ``AccountLifecycle``. Each answers with the account's new snapshot.

    A command that was carried out before is not repeated; with another body its key is refused
    (``KeyReused``). Refusals write nothing: ``IllegalMove``, ``Conflict``, ``Invalid``, ``NotFound``.
    """

    def __init__(
        self, db: "Database", scorers: "Mapping[str, Scorer]", rule_sets: "Mapping[str, RuleSet]"
    ) -> None:
        self._db = db
        self._scorers = scorers
        self._rule_sets = rule_sets

    async def _carry_out(self, command: AccountCommand, effect: Effect) -> AccountSnapshot:
        """Claim, lock, judge, write, answer: all of it or nothing."""
        identity, account_id = command.identity, command.account.account_id
        async with self._db.transaction(command.tenant) as tx:
            digest = bytes.fromhex(identity.body_hash)
            known = await tx.commands.claim_digest(identity.operation, identity.key, digest)
            if known is None:
                change = await AccountChange.begin(tx, account_id, self._scorers, only_for=command.only_for)
                command.check(change.account.status)
                told = await effect(change)
                await change.settle()
                body = told.body or await tx.account_changes.json(account_id)
                await tx.commands.keep(identity.operation, identity.key, told.status, body)
            return await snapshot(tx, account_id, self._rule_sets)

    @activity.defn(name="accounts.assign")
    async def assign(self, command: Assign) -> AccountSnapshot:
        """Give the account to an active collector, whatever their ``max_accounts``; a new one is assigned."""

        async def effect(change: AccountChange) -> Told:
            account, collectors = change.account, change.tx.collectors
            try:
                collector = await collectors.get(command.collector_id)
            except NotFound:
                raise Invalid("there is no such collector", field="collector_id") from None
            if not collector.active:
                raise Invalid("this collector is not active", field="collector_id")
            if account.assigned_to != collector.id:
                before = account.assigned_to and await collectors.get(account.assigned_to)
                await change.write(
                    "account.assigned",
                    {"assigned_to": collector.id},
                    old={"assigned_to": account.assigned_to},
                    new={},
                )
                await change.event(
                    "assigned",
                    f"Assigned to {collector.full_name}",
                    old=before.full_name if before else None,
                    new=collector.full_name,
                    collector_id=str(collector.id),
                )
            if account.status is S.NEW:
                await change.move(S.ASSIGNED, "Assigned to a collector")
            return Told()

        return await self._carry_out(command, effect)

    @activity.defn(name="accounts.transition")
    async def transition(self, command: Transition) -> AccountSnapshot:
        """Move the account by hand; only the table of moves is asked."""

        async def effect(change: AccountChange) -> Told:
            to = command.new_status
            details = {"note": command.note} if command.note else {}
            if to is S.CLOSED:
                details["reason"] = CLOSED_BY_HAND
            await change.move(
                to, f"Moved from {change.account.status.value} to {to.value}", by_hand=True, **details
            )
            return Told()

        return await self._carry_out(command, effect)

    @activity.defn(name="accounts.promise")
    async def promise(self, command: MakePromise) -> AccountSnapshot:
        """Record a promise to pay; one that was open before is cancelled by it."""

        async def effect(change: AccountChange) -> Told:
            account, promises = change.account, change.tx.promises
            await _not_stayed(change, "a promise to pay")
            await _ahead(change, command.due_date, "due_date", at_most=MOST_DAYS_AHEAD)
            if command.amount > account.balance:
                raise Invalid(f"the balance is {account.balance} {account.currency}", field="amount")
            if earlier := await promises.open_on(account.id):
                await promises.end(earlier, "cancelled")
                await change.record("promise.cancelled", "promise", earlier.id, {"replaced": True})
                await change.cancelled("promise", earlier.id, "a new one replaces it")
            made = await promises.make(account, command.amount, command.due_date)
            if not account.promised:
                await change.write("account.promised", {"promised": True}, old={"promised": False}, new={})
            terms = {"amount": format(made.amount, "f"), "due_date": made.due_date.isoformat()}
            await change.record("promise.made", "promise", made.id, terms)
            await change.event(
                "promise",
                f"Promise to pay {made.amount:,.2f} {made.currency} by {made.due_date}",
                new="open",
                promise_id=str(made.id),
                **terms,
            )
            return Told(201, PromiseAnswer.of(made))

        return await self._carry_out(command, effect)

    @activity.defn(name="accounts.hold")
    async def hold(self, command: PlaceHold) -> AccountSnapshot:
        """Put a hold in force."""

        async def effect(change: AccountChange) -> Told:
            if command.until is not None:
                await _ahead(change, command.until, "until", at_most=MOST_HOLD_DAYS_AHEAD)
            hold = await change.tx.holds.place(change.account, command.kind, command.reason, command.until)
            until = {"until": hold.until.isoformat()} if hold.until else {}
            await change.record("hold.placed", "hold", hold.id, {"kind": hold.kind, **until})
            await change.event(
                "hold", f"Hold: {hold.kind}", new=hold.kind, reason=hold.reason, hold_id=str(hold.id), **until
            )
            await change.bring_holds_in_line([hold.kind])
            return Told(201, HoldAnswer.of(hold))

        return await self._carry_out(command, effect)

    @activity.defn(name="accounts.release")
    async def release(self, command: ReleaseHold) -> AccountSnapshot:
        """End a hold on this account; what holds the person ends on whichever accounts it was placed."""

        async def effect(change: AccountChange) -> Told:
            holds = await change.tx.holds.to_release(change.account, command.kind)
            await change.end_holds(holds, "Released")
            return Told(200, HoldAnswer.of(holds[0]))

        return await self._carry_out(command, effect)

    @activity.defn(name="accounts.dispute")
    async def dispute(self, command: RecordDispute) -> AccountSnapshot:
        """Record a dispute: collection stops until it is answered (12 CFR 1006.38(d)(2)).

        Of one that only repeats an answered one, the notice of that is answer enough.
        """

        async def effect(change: AccountChange) -> Told:
            account, store = change.account, change.tx.disputes
            today = await change.tx.account_changes.today()
            if command.received_on > today:
                raise Invalid("a dispute is not received in the future", field="received_on")
            if command.received_on < today - timedelta(days=MOST_DAYS_BACK):
                raise Invalid(
                    f"received_on lies more than {MOST_DAYS_BACK // 366} years back: look at the year",
                    field="received_on",
                )
            if open_one := await store.open_on(account.id):
                raise Conflict("a dispute is open already; answer it first", dispute_id=str(open_one.id))
            view = await change.tx.lifecycles.view(account.id)
            in_period = command.in_writing and disputes.in_period(
                command.received_on, view.validation_sent_on
            )
            answered = await store.answered(account.id)
            earlier = [
                EarlierDispute(reason=d.reason, in_writing=d.in_writing, in_period=d.in_period, answered=True)
                for d in answered
            ]
            repeated = disputes.is_duplicative(
                command.reason,
                in_writing=command.in_writing,
                in_period=in_period,
                new_information=command.new_information,
                earlier=earlier,
            )
            made = await store.record(
                account,
                command.reason,
                command.received_on,
                in_writing=command.in_writing,
                in_period=in_period,
                duplicate_of=answered[0].id if repeated else None,
            )
            facts: dict[str, Any] = {
                "in_writing": made.in_writing,
                "in_period": made.in_period,
                "duplicative": repeated,
            }
            await change.record("dispute.recorded", "dispute", made.id, facts)
            words = "Disputed again in the same words" if repeated else "Disputed"
            await change.event("dispute", words, new=made.status, dispute_id=str(made.id), **facts)
            if account.status is not S.DISPUTED:
                await change.move(S.DISPUTED, "A dispute arrived", dispute_id=str(made.id))
            return Told(201, DisputeAnswer.of(made))

        return await self._carry_out(command, effect)

    @activity.defn(name="accounts.answer_dispute")
    async def answer_dispute(self, command: AnswerDispute) -> AccountSnapshot:
        """Answer a dispute: collection goes on, or the account is closed because the debtor is right."""

        async def effect(change: AccountChange) -> Told:
            store, sent_on = change.tx.disputes, command.verification_sent_on
            dispute = await store.to_answer(change.account.id, command.dispute_id)
            if sent_on is not None and sent_on > await change.tx.account_changes.today():
                raise Invalid("a verification is not sent in the future", field="verification_sent_on")
            if sent_on is not None and sent_on < dispute.received_on:
                raise Invalid(
                    f"the dispute was received on {dispute.received_on}; what was sent before is no answer",
                    field="verification_sent_on",
                )
            if sent_on is None and command.outcome in SENT_IN_ANSWER and dispute.in_period:
                raise Invalid(
                    "say when the verification, or the notice that the dispute is duplicative, was sent:"
                    " until then collection stays stopped (12 CFR 1006.38(d)(2))",
                    field="verification_sent_on",
                )
            await store.answer(dispute, command.outcome, sent_on)
            sent = {"verification_sent_on": sent_on.isoformat()} if sent_on else {}
            await change.record(
                "dispute.answered", "dispute", dispute.id, {"outcome": command.outcome, **sent}
            )
            await change.event(
                "dispute",
                f"Dispute answered: {command.outcome}",
                old="open",
                new="answered",
                dispute_id=str(dispute.id),
                **sent,
            )
            if command.outcome == "invalid":
                await change.move(S.CLOSED, "The debtor is right", reason=DISPUTE_UPHELD)
            elif change.account.status is S.DISPUTED:
                await change.move(S.IN_CONTACT, "The dispute was answered", dispute_id=str(dispute.id))
            return Told(200, DisputeAnswer.of(dispute))

        return await self._carry_out(command, effect)

    @activity.defn(name="accounts.offer_settlement")
    async def offer_settlement(self, command: OfferSettlement) -> AccountSnapshot:
        """Make a settlement offer; one that was open before is cancelled by it."""

        async def effect(change: AccountChange) -> Told:
            account, offers = change.account, change.tx.offers
            await _not_stayed(change, "a settlement offer")
            await _ahead(change, command.expires_on, "expires_on", at_most=MOST_DAYS_AHEAD)
            amount = offered(command, account.balance)
            if amount > account.balance:
                raise Invalid(f"the balance is {account.balance} {account.currency}", field="amount")
            if command.only_for is not None:
                await within_authority(change, amount)
            if earlier := await offers.open_on(account.id):
                await offers.end(earlier, "cancelled")
                await change.record("offer.cancelled", "settlement_offer", earlier.id, {"replaced": True})
                await change.cancelled("offer", earlier.id, "a new one replaces it")
            made = await offers.make(
                account,
                amount=amount,
                percent=command.percent,
                instalments=command.instalments,
                expires_on=command.expires_on,
            )
            terms: dict[str, Any] = {
                "amount": format(amount, "f"),
                "instalments": made.instalments,
                "expires_on": made.expires_on.isoformat(),
            }
            await change.record("offer.made", "settlement_offer", made.id, terms)
            await change.event(
                "offer",
                f"Offer to settle for {amount:,.2f} {made.currency} until {made.expires_on}",
                new="open",
                offer_id=str(made.id),
                **terms,
            )
            return Told(201, OfferAnswer.of(made))

        return await self._carry_out(command, effect)

    @activity.defn(name="accounts.accept_offer")
    async def accept_offer(self, command: AcceptOffer) -> AccountSnapshot:
        """The debtor accepts an offer that is still good; one accepted before is replaced by it."""

        async def effect(change: AccountChange) -> Told:
            offer = await change.tx.offers.to_accept(change.account.id, command.offer_id)
            if offer.expires_on < await change.tx.account_changes.today():
                raise Conflict("the offer has expired; make a new one", offer_status="expired")
            if earlier := await change.tx.offers.accepted_on(change.account.id):
                await change.tx.offers.end(earlier, "cancelled")
                await change.record("offer.cancelled", "settlement_offer", earlier.id, {"replaced": True})
                await change.cancelled("offer", earlier.id, "another one is accepted", old="accepted")
            await change.tx.offers.end(offer, "accepted")
            await change.record("offer.accepted", "settlement_offer", offer.id, {})
            await change.event("offer", "Offer accepted", old="open", new="accepted", offer_id=str(offer.id))
            return Told(200, OfferAnswer.of(offer))

        return await self._carry_out(command, effect)

    @activity.defn(name="accounts.recall")
    async def recall(self, command: Recall) -> AccountSnapshot:
        """The creditor takes the account back: it is closed, and everything on it stops."""

        async def effect(change: AccountChange) -> Told:
            await change.move(S.CLOSED, "Recalled by the creditor", reason=RECALLED, note=command.reason)
            return Told()

        return await self._carry_out(command, effect)

    @activity.defn(name="accounts.close")
    async def close(self, command: Close) -> AccountSnapshot:
        """Close the account for a reason."""

        async def effect(change: AccountChange) -> Told:
            await change.move(S.CLOSED, "Closed by hand", by_hand=True, reason=command.reason)
            return Told()

        return await self._carry_out(command, effect)


async def _not_stayed(change: AccountChange, what: str) -> None:
    """``Conflict`` while the law stays every act to collect (``domain.stays``)."""
    dispute = await change.tx.disputes.open_on(change.account.id)
    holds = [hold.kind for hold in await change.tx.holds.in_force(change.account)]
    check_not_stayed(holds, dispute.id if dispute is not None and dispute.in_period else None, what)


async def _ahead(change: AccountChange, day: date, field: str, *, at_most: int) -> None:
    """``Invalid`` for a day before today where the agency is, or more than so many days after it."""
    today = await change.tx.account_changes.today()
    if day < today:
        raise Invalid(f"{day} is in the past; it is {today} where the agency is", field=field)
    if day > today + timedelta(days=at_most):
        raise Invalid(f"{day} is too far ahead; at most {at_most} days are", field=field)
