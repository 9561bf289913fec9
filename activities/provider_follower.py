"""Bringing our books in line with what Stripe says of an intent, whoever it was that noticed."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from activities.payment_messages import PaymentRef
from domain.errors import DomainError, NotFound
from domain.payments import TAKEN, UNFINISHED
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    from activities.payment_books import PaymentBooks
    from activities.payment_messages import PaymentView
    from activities.stripe_news import News, StripeNews
    from db.models import Payment
    from db.session import Database, Transaction

ACTOR = "provider-events"
NOT_THERE = "Stripe has no such intent in this account"
NOT_OURS = "no payment here is for this intent; an administrator may match it to an account"


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of it: our payment as it stands now, or the reason why there is none.

    ``changed``: the books had not known it all.
    """

    view: "PaymentView | None" = None
    news: "News | None" = None
    changed: bool = False
    reason: str | None = None


class ProviderFollower:
    """Looks an intent up and records what is true of it, in the order in which it must have happened.

    ``tell`` wakes the processes that wait for the payment and for some refunds of it, where they run; it
    never raises.
    """

    def __init__(
        self,
        db: "Database",
        books: "PaymentBooks",
        news: "StripeNews",
        tell: "Callable[[Payment, Sequence[UUID]], Awaitable[None]]",
    ) -> None:
        self._db = db
        self._books = books
        self._news = news
        self._tell = tell

    async def follow(self, agency_id: "UUID", intent_ref: str, *, whole: bool = True) -> Followed:
        """Bring the payment of an intent in line; ``whole``: with its refunds and disputes.

        Raises what ``StripeNews`` and ``PaymentBooks`` raise; repeated, it goes on from where it was.
        """
        news = await self.look(agency_id, intent_ref, whole=whole)
        return Followed(reason=NOT_THERE) if news is None else await self.bring(agency_id, news)

    async def look(self, agency_id: "UUID", intent_ref: str, *, whole: bool = True) -> "News | None":
        """What is true of an intent, before anything is recorded of it; None where there is none."""
        return await self._news.of_intent(agency_id, intent_ref, whole=whole)

    async def bring(self, agency_id: "UUID", news: "News") -> Followed:
        """Record what is true of an intent. Raises what ``PaymentBooks`` raises."""
        async with self._db.transaction(Tenant.system(agency_id, ACTOR)) as tx:
            payment, reason = await _payment_of(tx, news)
            if payment is None:
                return Followed(news=news, reason=reason)
            before = await _standing(tx, payment)
            pending = [one.id for one in await tx.refunds.of(payment.id) if one.status == "pending"]
        view = await self._record(PaymentRef(agency_id=agency_id, payment_id=payment.id), news)
        if payment.status in UNFINISHED or pending:
            await self._tell(payment, pending)
        async with self._db.transaction(Tenant.system(agency_id, ACTOR)) as tx:
            after = await _standing(tx, await tx.payments.get(payment.id))
        return Followed(view=view, news=news, changed=before != after)

    async def of_page(self, agency_id: "UUID", checkout_ref: str) -> Followed:
        """Bring the payment of a payment page in line; its process looks at a page that took nothing."""
        page = await self._news.of_page(agency_id, checkout_ref)
        if page is None:
            return Followed(reason=NOT_THERE)
        if page.intent_ref is not None:
            return await self.follow(agency_id, page.intent_ref, whole=False)
        if page.payment_id is None:
            return Followed(reason=NOT_OURS)
        async with self._db.transaction(Tenant.system(agency_id, ACTOR)) as tx:
            try:
                payment = await tx.payments.get(page.payment_id)
            except NotFound:
                return Followed(reason=NOT_OURS)
        await self._tell(payment, ())
        return Followed()

    async def _record(self, ref: PaymentRef, news: "News") -> "PaymentView":
        """Record the intent, then what became of its money: a fact that fails keeps none from being recorded.

        Raises what the first one raised that did.
        """
        view = await self._books.record_intent(ref, news.intent)
        if view.status not in TAKEN:
            return view
        steps = [partial(self._books.record_refund, ref, refund) for refund in news.refunds]
        more = [partial(self._books.record_dispute, ref, dispute) for dispute in news.disputes]
        failed: list[DomainError] = []
        for step in (*steps, *more):
            try:
                view = await step()
            except DomainError as error:
                failed.append(error)
        if failed:
            raise failed[0]
        return view


async def _payment_of(tx: "Transaction", news: "News") -> "tuple[Payment | None, str | None]":
    """The payment of an intent: the one that knows it, else the one that the intent names."""
    payment = await tx.payments.by_processor_ref(news.intent.intent_ref)
    if payment is not None:
        return payment, None
    if news.payment_id is None:
        return None, NOT_OURS
    try:
        payment = await tx.payments.get(news.payment_id)
    except NotFound:
        return None, NOT_OURS
    if payment.processor_ref is None:
        return payment, None
    return None, f"it is for the payment {payment.id}, which has another intent ({payment.processor_ref})"


async def _standing(tx: "Transaction", payment: "Payment") -> tuple[object, ...]:
    """What the books say of a payment, to see whether anything came of a look."""
    refunds = sorted((str(one.id), one.status) for one in await tx.refunds.of(payment.id))
    chargebacks = sorted((str(one.id), one.status) for one in await tx.chargebacks.of(payment.id))
    return payment.status, payment.journal_id, refunds, chargebacks
