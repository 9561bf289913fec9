"""What a user may ask of payments: have one taken, a page made on which one is paid, look at them."""

from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from activities.account_change import AccountChange
from activities.plan_ends import check_may_be_asked
from activities.stripe_accounts import NoStripeCredentials
from db.commands import Answer
from domain.errors import Conflict, Invalid
from domain.payments import (
    BY_PROVIDER,
    MOST_DAYS_BACK,
    UNFINISHED,
    PaymentMethod,
    PaymentRefused,
    PaymentStatus,
    check_amount,
    check_currency,
)
from services.access import Principal, Right, require
from services.accounts import check_account_visible, check_visible
from services.commands import CommandKey, Made, carry_out
from services.payment_forms import LinkForm, PaymentForm
from services.payment_starts import PaymentStarter
from services.payment_views import PaymentDetail, PaymentSummary, detail, summary

if TYPE_CHECKING:
    from db.account_changes import LockedAccount
    from db.keyset import Position
    from db.models import Payment
    from db.session import Database, Transaction

TAKE = "POST /payments"
LEAST_LINK, LONGEST_LINK = timedelta(minutes=30), timedelta(hours=24)
"""How long Stripe keeps a page open."""

CREDIT = "credit"
OK, CREATED, ACCEPTED = 200, 201, 202


class PaymentService:
    """Payments on accounts of the principal's agency; a collector's are those assigned to them.

    ``patience``: how long a caller is kept waiting for a payment to be finished.
    """

    def __init__(self, database: "Database", starter: PaymentStarter, patience: timedelta) -> None:
        self._database = database
        self._starter = starter
        self._patience = patience

    async def take(self, who: Principal, command: CommandKey, form: PaymentForm) -> Answer:
        """Take a payment, or record one that was handed in: 201 once it has ended, else 202.

        The same key with the same body has no second effect: the answer is the payment as it is then.
        ``NotFound`` for an account that is not the principal's; ``PaymentRefused`` where it takes no payments
        or not as much, with all that is under way on it; ``NoStripeCredentials``; ``Invalid``. What was
        handed in is here already and never refused so: what of it is not owed is a credit, or unapplied.
        """
        require(who, Right.TAKE_PAYMENTS)
        sent = CommandKey(TAKE, _key(command.key, form.idempotency_key), form.sent())

        async def effect(tx: "Transaction") -> "Payment":
            account = await tx.account_changes.lock(form.account_id)
            room = await _room(tx, account) if form.method in BY_PROVIDER else None
            if form.currency is not None and form.currency != account.currency:
                raise Invalid(
                    f"the account is in {account.currency}; payments on it are, too", field="currency"
                )
            if room is not None:
                await _check_amount(tx, form.amount, room)
                await _check_provider(tx, account.currency)
            return await tx.payments.add(
                account.id,
                origin="request",
                key=sent.key or "",
                amount=form.amount,
                currency=account.currency,
                method=form.method.value,
                payment_method=form.payment_method,
                reference=form.reference,
                **await _days(tx, form),
            )

        return await self._carry_out(who, sent, form.account_id, effect)

    async def link(self, who: Principal, command: CommandKey, account_id: UUID, form: LinkForm) -> Answer:
        """Have a page made on which the debtor pays: 201 with its ``action_url``, 202 while that takes time.

        Refused as ``take``. What an open page asks for is not kept back from other payments: if both are
        paid, the rest is the debtor's credit.
        """
        require(who, Right.TAKE_PAYMENTS)
        expires_at = _expiry(form.expires_at)

        async def effect(tx: "Transaction") -> "Payment":
            account = await tx.account_changes.lock(account_id)
            room = await _room(tx, account)
            amount = room.balance - room.under_way if form.amount is None else form.amount
            if amount <= 0:
                raise PaymentRefused(
                    "nothing is left to be paid on the account, what is under way taken off",
                    balance=format(room.balance, "f"),
                    under_way=format(room.under_way, "f"),
                )
            await _check_amount(tx, amount, room)
            await _check_provider(tx, account.currency)
            return await tx.payments.add(
                account.id,
                origin="link",
                key=command.key or uuid4().hex,
                amount=amount,
                currency=account.currency,
                method=form.method.value,
                action_until=expires_at,
            )

        return await self._carry_out(who, command, account_id, effect)

    async def cancel(self, who: Principal, command: CommandKey, payment_id: UUID) -> Answer:
        """Take back a link, or a payment that nobody was asked for yet: 200 with its end, 202 before that.

        ``Conflict`` for any other. Money that is on its way all the same is posted.
        """
        require(who, Right.TAKE_PAYMENTS)

        async def visible(tx: "Transaction") -> None:
            await visible_payment(tx, who, payment_id)

        async def effect(tx: "Transaction") -> Made:
            await tx.account_changes.lock(await tx.payments.account_of(payment_id))
            payment = await tx.payments.lock(payment_id)
            _check_may_be_taken_back(payment)
            await tx.payments.change(payment, cancel_requested_at=tx.began_at)
            await tx.audit.record(
                "payment.cancel_requested", "payment", payment_id, new={"account_id": payment.account_id}
            )
            return Made(id=payment_id)

        await carry_out(self._database, who.tenant, command, effect, first=visible)
        async with self._database.transaction(who.tenant) as tx:
            payment = await tx.payments.get(payment_id)
        if payment.status in UNFINISHED:
            await self._starter.end(payment, self._patience)
        shown = await self.get(who, payment_id)
        return Answer(ACCEPTED if shown.status in UNFINISHED else OK, shown.model_dump(mode="json"))

    async def get(self, who: Principal, payment_id: UUID) -> PaymentDetail:
        """One payment, its refunds and chargebacks. ``NotFound`` when it is not there or not theirs."""
        require(who, Right.READ_PAYMENTS)
        async with self._database.transaction(who.tenant) as tx:
            return await payment_detail(tx, await visible_payment(tx, who, payment_id))

    async def page(
        self,
        who: Principal,
        position: "Position | None",
        limit: int,
        *,
        account_id: UUID | None = None,
        statuses: Collection[str] = (),
    ) -> list[PaymentSummary]:
        """Payments next to ``position`` (id), nearest first."""
        require(who, Right.READ_PAYMENTS)
        async with self._database.transaction(who.tenant) as tx:
            return await payment_page(tx, who, position, limit, account_id=account_id, statuses=statuses)

    async def _carry_out(
        self,
        who: Principal,
        command: CommandKey,
        account_id: UUID,
        add: "Callable[[Transaction], Awaitable[Payment]]",
    ) -> Answer:
        """Have a payment's row made once, its process started, and answer the payment as it then is."""
        made_now: list[Payment] = []

        async def visible(tx: "Transaction") -> None:
            await check_account_visible(tx, who, account_id)

        async def effect(tx: "Transaction") -> Made:
            payment = await add(tx)
            await _note(tx, payment)
            made_now.append(payment)
            return Made(id=payment.id)

        kept = await carry_out(self._database, who.tenant, command, effect, first=visible)
        payment_id = UUID(kept.body["id"])
        if made_now:
            await self._starter.begin(made_now[0], self._patience)
        shown, left_behind = await self._shown(who, payment_id)
        if not made_now and left_behind is not None:
            await self._starter.begin(left_behind, self._patience)
            shown, _ = await self._shown(who, payment_id)
        return Answer(_status(shown), shown.model_dump(mode="json"))

    async def _shown(self, who: Principal, payment_id: UUID) -> "tuple[PaymentDetail, Payment | None]":
        """A payment that was asked for here, and its row, where nobody seems to have started what follows."""
        payment, touched = await self._database.readings(who.tenant).payments.look_at(payment_id)
        if touched:
            async with self._database.transaction(who.tenant) as tx:
                shown = await payment_detail(tx, payment)
        else:
            shown = detail(payment, None, [], [])
        return shown, payment if _left_behind(payment, self._patience) else None


async def payment_page(
    tx: "Transaction",
    who: Principal,
    position: "Position | None",
    limit: int,
    *,
    account_id: UUID | None,
    statuses: Collection[str],
) -> list[PaymentSummary]:
    """``PaymentService.page`` in a transaction that is open."""
    rows = await tx.payments.page(
        position, limit, account_id=account_id, statuses=statuses, only_for=who.sees_only
    )
    plans = await tx.payments.plans(rows)
    return [summary(row, plans.get(row.instalment_id) if row.instalment_id else None) for row in rows]


async def visible_payment(tx: "Transaction", who: Principal, payment_id: UUID) -> "Payment":
    """A payment that the principal may see; ``NotFound`` for any other, or none."""
    payment = await tx.payments.get(payment_id)
    await check_visible(tx, who, payment.account_id, "payment")
    return payment


def may_be_taken_back(payment: "Payment | PaymentSummary") -> bool:
    """Whether nobody was asked for it yet, or it is a link on which nobody has paid; never one of a plan."""
    waits = {PaymentStatus.PENDING}
    if payment.origin == "link":
        waits.add(PaymentStatus.REQUIRES_ACTION)
    return payment.instalment_id is None and payment.method in BY_PROVIDER and payment.status in waits


def _check_may_be_taken_back(payment: "Payment") -> None:
    if payment.instalment_id is not None:
        raise Conflict("the payment is of a plan; pause or cancel the plan, or change its date")
    if not may_be_taken_back(payment):
        raise Conflict(
            f"the payment is {payment.status.replace('_', ' ')}; only a link that waits, or a payment that"
            " nobody was asked for yet, can be cancelled",
            status_now=payment.status,
        )


async def payment_detail(tx: "Transaction", payment: "Payment") -> PaymentDetail:
    """A payment with its plan and all that went back of it."""
    plans = await tx.payments.plans([payment])
    return detail(
        payment,
        plans.get(payment.instalment_id) if payment.instalment_id else None,
        await tx.refunds.of(payment.id),
        await tx.chargebacks.of(payment.id),
    )


class _Room(NamedTuple):
    """What is owed on an account, and what of that is being asked for."""

    balance: Decimal
    under_way: Decimal


async def _room(tx: "Transaction", account: "LockedAccount") -> _Room:
    """What may be asked for on an account. ``PaymentRefused`` when its debtor must not be asked."""
    await check_may_be_asked(AccountChange(tx, account, {}))
    return _Room(account.balance, await tx.payments.reserved(account.id))


async def _check_amount(tx: "Transaction", amount: Decimal, room: _Room) -> None:
    agency = await tx.agencies.get(tx.tenant.agency_id)
    check_amount(amount, *room, credit_taken=agency.overpayments == CREDIT)


async def _check_provider(tx: "Transaction", currency: str) -> None:
    check_currency(currency)
    if await tx.stripe_credentials.find() is None:
        raise NoStripeCredentials


async def _days(tx: "Transaction", form: PaymentForm) -> dict[str, Any]:
    """The columns for when a check or cash came, or a debit was agreed to; where the agency is."""
    if form.method is PaymentMethod.CARD:
        return {}
    today = await tx.account_changes.today()
    if form.method not in BY_PROVIDER:
        return {"received_on": _recent(form.received_on, today, "received_on") or today}
    day = _recent(form.authorised_on, today, "authorised_on")
    now = datetime.now(UTC)
    if day is None or day == today:
        return {"authorised_at": now}
    zone = ZoneInfo((await tx.agencies.get(tx.tenant.agency_id)).time_zone)
    return {"authorised_at": min(datetime.combine(day, time(12), zone), now)}


def _recent(day: date | None, today: date, field: str) -> date | None:
    if day is not None and not today - timedelta(days=MOST_DAYS_BACK) <= day <= today:
        raise Invalid(
            f"{field} must not lie in the future, nor more than {MOST_DAYS_BACK} days back", field=field
        )
    return day


def _expiry(wanted: datetime | None) -> datetime:
    now = datetime.now(UTC)
    if wanted is None:
        return now + LONGEST_LINK
    if not now + LEAST_LINK < wanted <= now + LONGEST_LINK:
        raise Invalid(
            "expires_at must be more than 30 minutes and at most 24 hours ahead", field="expires_at"
        )
    return wanted


def _key(header: str | None, body: str | None) -> str:
    if header is None and body is None:
        raise Invalid(
            "a payment needs a key of your own, so that it is never taken twice: send idempotency_key, or the"
            " header Idempotency-Key",
            field="idempotency_key",
        )
    if header is not None and body is not None and header != body:
        raise Invalid("idempotency_key and the header Idempotency-Key differ", field="idempotency_key")
    return header or body or ""


async def _note(tx: "Transaction", payment: "Payment") -> None:
    facts = {"amount": payment.amount, "currency": payment.currency, "method": payment.method}
    await tx.audit.record(
        "payment.requested",
        "payment",
        payment.id,
        new={"account_id": payment.account_id, "origin": payment.origin, **facts},
    )
    if payment.origin == "link":
        words = f"A page was made to pay {payment.amount:,.2f} {payment.currency} on"
        await tx.timeline.add(
            payment.account_id,
            "payment",
            words,
            new=payment.status,
            details={"payment_id": str(payment.id), "amount": format(payment.amount, "f")},
        )


def _left_behind(payment: "Payment", patience: timedelta) -> bool:
    """Whether nobody seems to have started what follows, so that a repetition should."""
    return payment.status == "pending" and datetime.now(UTC) - payment.created_at > patience


def _status(shown: PaymentDetail) -> int:
    if shown.status not in UNFINISHED:
        return CREATED
    return CREATED if shown.origin == "link" and shown.action_url else ACCEPTED
