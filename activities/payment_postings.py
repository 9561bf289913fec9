"""One payment inside one transaction: posted, paid back, charged back; with its account brought in line."""

from datetime import UTC, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from activities.account_change import AccountChange
from activities.account_money import came_in, went_back
from activities.credits import pay_what_is_owed, take_back_applied
from activities.plan_following import plan_follows
from domain.errors import Conflict
from domain.holds import HoldKind
from domain.payments import DISPUTE_LOST, DISPUTE_WON, PaymentStatus, status_of_money

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from activities.payment_messages import DisputeFacts, IntentFacts, RefundFacts
    from db.lifecycles import NoticeSignal
    from db.models import Chargeback, Hold, Payment, Refund

P = PaymentStatus


class CurrencyDiffers(Conflict):
    """The provider took another currency than was asked for: nothing is posted, people must look."""

    type = "currency-differs"
    title = "Currency differs"


class PaymentChange:
    """A payment that this transaction has locked, its account before it.

    ``noted``: the account's lifecycle, or its plan, is to be told of what was changed.
    """

    def __init__(self, account: AccountChange, payment: "Payment") -> None:
        self.account = account
        self.payment = payment
        self.tx = account.tx
        self.noted = False

    async def take(self, facts: "IntentFacts") -> None:
        """Post what Stripe took: what it says it received, whatever was asked for."""
        if facts.currency != self.payment.currency:
            raise CurrencyDiffers(
                f"Stripe took {facts.currency}, the payment is in {self.payment.currency}",
                processor_ref=facts.intent_ref,
            )
        await self._post(
            self.tx.began_at,
            facts.amount_received,
            processor_ref=facts.intent_ref,
            charge_ref=facts.charge_ref,
            failure_code=None,
            failure_message=None,
            action_url=None,
        )

    async def note(self, status: PaymentStatus, facts: "IntentFacts") -> None:
        """Write down where a payment stands that has taken nothing."""
        if self._page_is_open(facts):
            # Whoever was declined may try again; how it ends, the process says when the page has closed.
            await self.tx.payments.change(self.payment, processor_ref=facts.intent_ref)
            return
        if status is P.FAILED:
            await self.tx.payments.change(
                self.payment, processor_ref=facts.intent_ref, charge_ref=facts.charge_ref
            )
            if self.payment.status != P.FAILED:
                await self.fail(facts.failure_code or "failed", facts.failure_message)
            return
        before = self.payment.status
        await self.tx.payments.change(
            self.payment,
            status=status.value,
            processor_ref=facts.intent_ref,
            charge_ref=facts.charge_ref,
            action_url=facts.action_url or self.payment.action_url,
            failure_code=facts.failure_code,
            failure_message=facts.failure_message,
        )
        if status is P.PROCESSING and before != P.PROCESSING:
            await self._event(f"{self._words()}: the bank has it", before)

    def _page_is_open(self, facts: "IntentFacts") -> bool:
        """Whether the intent waits for a method on a page on which the debtor pays by themselves."""
        on_a_page = self.payment.checkout_ref is not None and facts.status == "requires_payment_method"
        return on_a_page and self.payment.status in {P.PENDING, P.REQUIRES_ACTION}

    async def post_received(self) -> None:
        """Post a check or cash, as of the day on which it came."""
        day = self.payment.received_on
        occurred_at = self.payment.created_at
        if day is not None:
            zone = ZoneInfo((await self.tx.agencies.get(self.payment.agency_id)).time_zone)
            if day < occurred_at.astimezone(zone).date():
                # Of today it came now: after what was agreed on this morning.
                occurred_at = datetime.combine(day, time(12), zone).astimezone(UTC)
        await self._post(occurred_at, self.payment.amount)

    async def fail(self, code: str, message: str | None) -> None:
        """The payment took nothing and never will."""
        before = self.payment.status
        await self.tx.payments.change(
            self.payment, status=P.FAILED.value, failure_code=code, failure_message=message, action_url=None
        )
        await self._have_plan_follow()
        await self._event(f"{self._words()} failed: {code.replace('_', ' ')}", before, failure_code=code)
        await self._record("payment.failed", {"failure_code": code})
        await self._tell("account_changed")

    async def refund_of(self, facts: "RefundFacts") -> "Refund":
        """Our record of a refund that Stripe tells of; made now where it was made at Stripe."""
        refunds = self.tx.refunds
        refund = await refunds.by_processor_ref(facts.refund_ref)
        if refund is None and (refund := await self._asked_for(facts)) is not None:
            await refunds.change(refund, processor_ref=facts.refund_ref)
        if refund is None:
            refund = await refunds.add(
                self.payment, facts.amount, origin="provider", processor_ref=facts.refund_ref
            )
        return refund

    async def _asked_for(self, facts: "RefundFacts") -> "Refund | None":
        """The refund that was asked for here and that this one answers; anybody can name one at Stripe."""
        for refund in await self.tx.refunds.of(self.payment.id):
            waits = refund.processor_ref is None and refund.status == "pending"
            if refund.id == facts.refund_id and waits and refund.amount == facts.amount:
                return refund
        return None

    async def pay_back(self, refund: "Refund") -> None:
        """Post a refund that was paid out."""
        occurred_at = self.tx.began_at
        await take_back_applied(
            self.account, self._journal(), refund.amount, key=str(refund.id), occurred_at=occurred_at
        )
        journal_id = await self.account.give_back(
            self._journal(),
            refund.amount,
            kind="refund",
            key=str(refund.id),
            occurred_at=occurred_at,
            gone=True,
        )
        await self.tx.refunds.change(refund, status="succeeded", journal_id=journal_id, failure_code=None)
        await pay_what_is_owed(self.account, key=f"{refund.id}/paid", occurred_at=occurred_at)
        before = await self._restate()
        words = f"{refund.amount:,.2f} {refund.currency} of {self._words(lower=True)} were refunded"
        await self._event(words, before, refund_id=str(refund.id), amount=format(refund.amount, "f"))
        await self.account.record(
            "refund.paid", "refund", refund.id, {"amount": refund.amount, "journal_id": journal_id}
        )
        await went_back(self.account, occurred_at)
        await self._tell("payment_reversed")

    async def refund_failed(self, refund: "Refund", facts: "RefundFacts") -> None:
        """A refund was not paid out after all; what was posted of it is posted again."""
        if refund.journal_id is not None:
            refund.undone_by_id = await self.account.post_again(
                self._journal(), refund.amount, key=f"refund/{refund.id}", occurred_at=self.tx.began_at
            )
            await came_in(self.account, self.tx.began_at)
        await self.tx.refunds.change(refund, status=facts.status, failure_code=facts.failure_code)
        await pay_what_is_owed(self.account, key=f"{refund.id}/failed", occurred_at=self.tx.began_at)
        before = await self._restate()
        words = f"A refund of {refund.amount:,.2f} {refund.currency} failed"
        await self._event(words, before, refund_id=str(refund.id), failure_code=facts.failure_code)
        await self.account.record("refund.failed", "refund", refund.id, {"status": facts.status})
        await self._tell("payment_posted")

    async def refund_refused(self, refund: "Refund", code: str) -> None:
        """A refund was never made; it took nothing off the ledger."""
        await self.tx.refunds.change(refund, status="failed", failure_code=code)
        await pay_what_is_owed(self.account, key=f"{refund.id}/refused", occurred_at=self.tx.began_at)
        words = f"A refund of {refund.amount:,.2f} {refund.currency} was refused: {code.replace('_', ' ')}"
        await self._event(words, self.payment.status, refund_id=str(refund.id), failure_code=code)
        await self.account.record("refund.failed", "refund", refund.id, {"failure_code": code})

    async def dispute(self, facts: "DisputeFacts") -> None:
        """What Stripe says of a dispute of this payment; nothing where it is known."""
        self._journal()
        chargeback = await self.tx.chargebacks.by_processor_ref(facts.dispute_ref)
        known = chargeback.status if chargeback is not None else None
        if (
            known == facts.status
            or known in DISPUTE_WON
            or (known == DISPUTE_LOST and facts.status not in DISPUTE_WON)
        ):
            return
        if chargeback is None:
            chargeback = await self._open_chargeback(facts)
        elif chargeback.journal_id is None:
            chargeback.amount = facts.amount  # An inquiry's may be another than what is withdrawn in the end.
        elif facts.inquiry:
            return
        now = self.tx.began_at
        await self.tx.chargebacks.change(chargeback, status=facts.status, respond_by=facts.respond_by)
        withdrawn = not facts.inquiry and facts.status not in DISPUTE_WON and chargeback.journal_id is None
        if withdrawn:
            await self._withdraw(chargeback, now)
        if facts.status in DISPUTE_WON:
            await self._reinstate(chargeback, now)
        elif withdrawn or known is None:
            await self._hold(chargeback)
        before = await self._restate()
        await pay_what_is_owed(self.account, key=f"{chargeback.id}/{facts.status}", occurred_at=now)
        words = "Inquiry about" if facts.inquiry else "Chargeback of"
        await self._event(
            f"{words} {chargeback.amount:,.2f} {chargeback.currency} ({facts.reason}):"
            f" {facts.status.replace('_', ' ')}",
            before,
            chargeback_id=str(chargeback.id),
        )

    async def _open_chargeback(self, facts: "DisputeFacts") -> "Chargeback":
        chargeback = await self.tx.chargebacks.add(
            self.payment,
            processor_ref=facts.dispute_ref,
            amount=facts.amount,
            status=facts.status,
            reason=facts.reason,
            respond_by=facts.respond_by,
        )
        await self.account.record(
            "chargeback.opened", "chargeback", chargeback.id, {"amount": facts.amount, "reason": facts.reason}
        )
        return chargeback

    async def _withdraw(self, chargeback: "Chargeback", now: datetime) -> None:
        """The bank has taken the money back: off the ledger."""
        await take_back_applied(
            self.account, self._journal(), chargeback.amount, key=str(chargeback.id), occurred_at=now
        )
        chargeback.journal_id = await self.account.give_back(
            self._journal(),
            chargeback.amount,
            kind="chargeback",
            key=str(chargeback.id),
            occurred_at=now,
            gone=True,
        )
        await pay_what_is_owed(self.account, key=f"{chargeback.id}/withdrawn", occurred_at=now)
        await went_back(self.account, now)
        await self._tell("payment_reversed")

    async def _hold(self, chargeback: "Chargeback") -> None:
        """Nobody works the account until the bank has decided, or somebody has looked at it."""
        if (hold := await self._hold_in_force()) is None:
            reason = f"A payment is disputed at the bank ({chargeback.reason})"
            hold = await self.tx.holds.place(self.account.account, HoldKind.CHARGEBACK, reason, None)
            await self.account.record("hold.placed", "hold", hold.id, {"kind": hold.kind})
            await self.account.event("hold", f"Hold: {hold.kind}", new=hold.kind, hold_id=str(hold.id))
            await self.account.bring_holds_in_line({hold.kind})
        elif not any(one.hold_id == hold.id for one in await self._chargebacks()):
            return  # Somebody has placed it by hand, and ends it.
        await self.tx.chargebacks.change(chargeback, hold_id=hold.id)
        await self._tell("account_changed")

    async def _hold_in_force(self) -> "Hold | None":
        in_force = await self.tx.holds.in_force(self.account.account)
        return next((hold for hold in in_force if hold.kind == HoldKind.CHARGEBACK), None)

    async def _chargebacks(self) -> "Sequence[Chargeback]":
        return await self.tx.chargebacks.on_account(self.account.account.id)

    async def _unhold(self) -> None:
        """End the hold that chargebacks have brought, once none of those is left, nor any that is open."""
        hold, known = await self._hold_in_force(), await self._chargebacks()
        if hold is None or not any(one.hold_id == hold.id for one in known):
            return
        for one in known:
            if one.status not in DISPUTE_WON and (one.status != DISPUTE_LOST or one.hold_id == hold.id):
                return
        await self.account.end_holds([hold], "The dispute is over")

    async def _reinstate(self, chargeback: "Chargeback", now: datetime) -> None:
        """The bank took nothing in the end: the money is here again, and the hold that it brought ends."""
        if chargeback.journal_id is not None and chargeback.undone_by_id is None:
            chargeback.undone_by_id = await self.account.post_again(
                self._journal(), chargeback.amount, key=f"chargeback/{chargeback.id}", occurred_at=now
            )
            await came_in(self.account, now)
            await self._tell("payment_posted")
        await self._unhold()
        await self._tell("account_changed")

    async def _post(self, occurred_at: datetime, amount: Decimal, **known: object) -> None:
        before = self.payment.status
        journal_id = await self.account.receive(amount, key=str(self.payment.id), occurred_at=occurred_at)
        await self.tx.payments.change(
            self.payment, status=P.SUCCEEDED.value, amount=amount, journal_id=journal_id, **known
        )
        await self._event(f"{self._words()} received", before, amount=format(self.payment.amount, "f"))
        await self._record("payment.posted", {"amount": self.payment.amount, "journal_id": journal_id})
        await came_in(self.account, occurred_at)
        await self._have_plan_follow()
        await self._tell("payment_posted")

    async def _restate(self) -> str:
        """Bring amount refunded and status in line with refunds and chargebacks; the status before."""
        before = self.payment.status
        if self.payment.journal_id is None:
            return before
        refunds = await self.tx.refunds.of(self.payment.id)
        paid_back = sum((one.amount for one in refunds if one.status == "succeeded"), Decimal(0))
        refunded = min(paid_back, self.payment.amount)
        charged_back = any(
            one.journal_id is not None and one.undone_by_id is None
            for one in await self.tx.chargebacks.of(self.payment.id)
        )
        status = status_of_money(self.payment.amount, refunded, charged_back=charged_back)
        await self.tx.payments.change(self.payment, status=status.value, refunded_amount=refunded)
        await self._have_plan_follow()
        return before

    def _journal(self) -> "UUID":
        if self.payment.journal_id is None:
            raise Conflict("this payment took no money; there is nothing to give back")
        return self.payment.journal_id

    def _words(self, *, lower: bool = False) -> str:
        words = f"Payment of {self.payment.amount:,.2f} {self.payment.currency}"
        return f"p{words[1:]}" if lower else words

    async def _event(self, words: str, before: str, **details: str | None) -> None:
        await self.account.event(
            "payment",
            words,
            old=before,
            new=self.payment.status,
            payment_id=str(self.payment.id),
            **{name: value for name, value in details.items() if value is not None},
        )

    async def _record(self, action: str, new: dict[str, object]) -> None:
        await self.account.record(action, "payment", self.payment.id, new)

    async def _have_plan_follow(self) -> None:
        self.noted |= await plan_follows(self.account, self.payment)

    async def _tell(self, signal: "NoticeSignal") -> None:
        # One that starts at this moment is told when it is marked (``AdmissionStore.admit``).
        if self.account.account.worked:
            await self.tx.lifecycles.notify([self.payment.account_id], signal)
            self.noted = True
