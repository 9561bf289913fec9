"""What becomes of money that is owed back to a debtor: applied to a debt of theirs, or handed back."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from pydantic import BaseModel

from activities.account_change import AccountChange
from activities.credits import apply_credit, shares
from activities.plan_ends import check_may_be_asked
from db.commands import Answer
from domain.errors import Conflict, Invalid
from domain.money import LargeMoney
from domain.payments import BY_PROVIDER, PaymentRefused
from services.access import Principal, Right, require
from services.accounts import visible_account
from services.commands import CommandKey, carry_out
from services.payment_forms import ApplyCreditForm, GivingBackForm, HandBackForm, RefundForm
from services.payment_starts import PaymentStarter
from services.refunds import RefundFailed, promise_refund

if TYPE_CHECKING:
    from collections.abc import Mapping

    from activities.credits import Share
    from db.credits import CreditSource
    from db.models import Payment, Refund
    from db.session import Database, Transaction
    from domain.scoring import Scorer

Tell = Callable[[UUID, Sequence[UUID]], Awaitable[None]]
CREATED, ACCEPTED = 201, 202
NOTHING = Decimal(0)


class CreditApplied(BaseModel):
    """How much was applied to which debt, and what is owed on that and back to the debtor since."""

    account_id: UUID
    to_account_id: UUID
    applied: LargeMoney
    currency: str
    balance: LargeMoney
    credit_balance: LargeMoney
    unapplied: LargeMoney


class RefundMade(BaseModel):
    """One of the refunds by which money goes back."""

    payment_id: UUID
    refund_id: UUID
    amount: LargeMoney
    method: str
    status: str


class CreditHandedBack(BaseModel):
    """The refunds by which money goes back to the debtor, and what is still owed back."""

    account_id: UUID
    currency: str
    refunds: list[RefundMade]
    credit_balance: LargeMoney
    unapplied: LargeMoney


class Promised(BaseModel):
    """What is kept with the command: where its answer is looked up when it is sent again."""

    refunds: list[UUID]


class CreditService:
    """Credit balances and unapplied money on accounts of the principal's agency, for administrators.

    ``tell`` has workflows told of accounts that were changed; ``patience``: how long a caller is kept waiting
    for a refund. Raises ``Forbidden``, ``NotFound``, ``KeyReused``.
    """

    def __init__(
        self,
        database: "Database",
        scorers: "Mapping[str, Scorer]",
        starter: PaymentStarter,
        tell: Tell,
        patience: timedelta,
    ) -> None:
        self._database = database
        self._scorers = scorers
        self._starter = starter
        self._tell = tell
        self._patience = patience

    async def apply(
        self, who: Principal, command: CommandKey, account_id: UUID, form: ApplyCreditForm
    ) -> Answer:
        """Put money that is owed back on a debt of the same debtor, in one transaction.

        ``Invalid`` for an account of another debtor or in another currency, ``PaymentRefused`` where that
        debt takes no payments or not as much, ``Conflict`` with what is ``left`` for more than is owed back.
        """
        require(who, Right.REFUND_PAYMENTS)
        sent = _sent(command, account_id, form)
        to_id = form.to_account_id or account_id

        async def visible(tx: "Transaction") -> None:
            await visible_account(tx, who, account_id)
            await visible_account(tx, who, to_id)

        async def effect(tx: "Transaction") -> CreditApplied:
            owner = await AccountChange.begin(tx, account_id, self._scorers)
            debt = owner if to_id == account_id else await owner.beside(to_id)
            amount = await _to_apply(owner, debt, form.amount)
            taken = shares(await tx.credits.sources(account_id), amount)
            key = str(uuid4())
            journals = await apply_credit(owner, debt, taken, key=key, occurred_at=tx.began_at)
            facts: dict[str, Any] = {"to_account_id": to_id, "amount": amount, "reason": form.reason}
            facts["journals"] = [str(journal) for journal in journals]
            await owner.record("credit.applied", "account", account_id, facts)
            await debt.settle()
            owed = await tx.ledger.owed_back(account_id)
            return CreditApplied(
                account_id=account_id,
                to_account_id=to_id,
                applied=amount,
                currency=debt.account.currency,
                balance=debt.account.balance,
                credit_balance=owed.credit_balance,
                unapplied=owed.unapplied,
            )

        answer = await carry_out(self._database, who.tenant, sent, effect, first=visible)
        await self._tell(who.tenant.agency_id, [to_id])
        return answer

    async def hand_back(
        self, who: Principal, command: CommandKey, account_id: UUID, form: HandBackForm
    ) -> Answer:
        """Give money that is owed back to the debtor by the way it came: refunds of its payments, the oldest
        first, of which none touches the debt. 201 once all are paid out, else 202.

        ``Conflict`` with what is ``left`` for more than is owed back; ``Invalid`` where a reference is
        needed; ``RefundFailed`` when the provider does not pay one out.
        """
        require(who, Right.REFUND_PAYMENTS)
        sent = _sent(command, account_id, form)
        made_now: list[tuple[Payment, Refund]] = []

        async def visible(tx: "Transaction") -> None:
            await visible_account(tx, who, account_id)

        async def effect(tx: "Transaction") -> Promised:
            await tx.account_changes.lock(account_id)
            made_now.extend(await _promise(tx, account_id, form))
            return Promised(refunds=[refund.id for _, refund in made_now])

        kept = await carry_out(self._database, who.tenant, sent, effect, first=visible)
        for payment, refund in made_now:
            await self._starter.begin_refund(payment, refund, self._patience)
        promised = Promised.model_validate(kept.body)
        async with self._database.transaction(who.tenant) as tx:
            shown = await _handed_back(tx, account_id, promised.refunds)
        statuses = {one.status for one in shown.refunds}
        if statuses & {"failed", "canceled"}:
            refunds = [one.model_dump(mode="json") for one in shown.refunds]
            raise RefundFailed("not all of it was paid out; what was not is still owed back", refunds=refunds)
        return Answer(CREATED if statuses == {"succeeded"} else ACCEPTED, shown.model_dump(mode="json"))


def _sent(command: CommandKey, account_id: UUID, form: GivingBackForm) -> CommandKey:
    """A command by what was meant, however it was written."""
    return CommandKey(command.operation, command.key, {"account_id": str(account_id), **form.sent()})


async def _to_apply(owner: AccountChange, debt: AccountChange, wanted: Decimal | None) -> Decimal:
    """How much is put on a debt. Raises as ``CreditService.apply``."""
    if debt.account.debtor_id != owner.account.debtor_id:
        raise Invalid("that account is another person's; money is applied to debts of who paid it", field=_TO)
    if debt.account.currency != owner.account.currency:
        raise Invalid(
            f"that account is in {debt.account.currency}, the money in {owner.account.currency}", field=_TO
        )
    await check_may_be_asked(debt)
    room = debt.account.balance - await debt.tx.payments.reserved(debt.account.id)
    available = _available(await owner.tx.credits.sources(owner.account.id))
    amount = min(available, room) if wanted is None else wanted
    _check_left(amount if available else NOTHING, available, owner.account.currency)
    if amount > room or room <= 0:
        raise PaymentRefused(
            f"only {max(room, NOTHING)} is left to be paid on that account, payments under way taken off",
            balance=format(debt.account.balance, "f"),
        )
    return amount


_TO = "to_account_id"


def _available(sources: "Sequence[CreditSource]") -> Decimal:
    return sum((one.free for one in sources), NOTHING)


def _check_left(amount: Decimal, available: Decimal, currency: str) -> None:
    if amount > available or available <= 0:
        raise Conflict(
            f"only {available:.2f} {currency} is owed back, refunds under way and payments disputed at the"
            " bank left out",
            left=format(available, ".2f"),
        )


async def _promise(tx: "Transaction", account_id: UUID, form: HandBackForm) -> "list[tuple[Payment, Refund]]":
    """Record the refunds by which an amount goes back, pending."""
    sources = await tx.credits.sources(account_id)
    available = _available(sources)
    amount = available if form.amount is None else form.amount
    _check_left(amount, available, (await tx.account_changes.lock(account_id)).currency)
    taken = shares(sources, amount)
    if form.reference is None and any(not _by_provider(share) for share in taken):
        raise Invalid(
            "a part of it came as a check or cash and is handed back by hand: give the number of the check or"
            " receipt",
            field="reference",
        )
    return [
        await promise_refund(
            tx, share.source.payment_id, RefundForm(amount=share.amount, reason=_reason(share, form))
        )
        for share in taken
    ]


def _reason(share: "Share", form: HandBackForm) -> str:
    how = "owed back" if _by_provider(share) else f"owed back, handed back by hand: {form.reference}"
    return how if form.reason is None else f"{how}; {form.reason}"


def _by_provider(share: "Share") -> bool:
    return share.source.method in BY_PROVIDER


async def _handed_back(tx: "Transaction", account_id: UUID, refunds: "Sequence[UUID]") -> CreditHandedBack:
    made = []
    for refund_id in refunds:
        refund = await tx.refunds.get(refund_id)
        payment = await tx.payments.get(refund.payment_id)
        made.append(
            RefundMade(
                payment_id=payment.id,
                refund_id=refund.id,
                amount=refund.amount,
                method=payment.method,
                status=refund.status,
            )
        )
    owed = await tx.ledger.owed_back(account_id)
    return CreditHandedBack(
        account_id=account_id,
        currency=payment.currency,
        refunds=made,
        credit_balance=owed.credit_balance,
        unapplied=owed.unapplied,
    )
