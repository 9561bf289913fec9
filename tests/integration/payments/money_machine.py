"""Lives of accounts: what debtors, people, banks and bad days do, done to the model and to the real thing."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from domain.payments import NO_LONGER_TAKEN
from sandbox.errors import NotReadyError
from sandbox.processes import until
from tests.integration.api.commanding import tell
from tests.integration.payments.money_house import House
from tests.integration.payments.money_model import (
    METHODS,
    ZERO,
    Account,
    Dispute,
    Entry,
    Payment,
    Refund,
)

SETTLE_S = 45
Step = tuple[Any, ...]


@dataclass
class Lives:
    """Accounts of one agency, lived side by side."""

    house: House
    accounts: list[Account]
    credit_taken: bool
    keys: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    heard: bool = True
    """Whether webhooks alone must bring all to our books: none was lost on the way."""
    rounds: int = 0
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def take(self, step: Step) -> None:
        """One step; where nothing is on its way, our books agree at once."""
        name, number, *values = step
        account = self.accounts[number]
        await getattr(self, f"step_{name}")(account, *values)
        if not account.stale and (wrong := await self.differences(account)):
            raise AssertionError("\n".join(wrong))

    async def step_pay(self, account: Account, way: str, amount: Decimal, copies: int) -> None:
        """Ask for a payment, once or several times at once under one key."""
        key, refuses = uuid4().hex, account.refuses(way, amount, credit_taken=self.credit_taken)
        answers = await asyncio.gather(*(self.ask(account, way, amount, key) for _ in range(copies)))
        taken = [answer for answer in answers if answer.status_code != 409]
        assert not taken or len(taken) == copies, [answer.text for answer in answers]
        if not account.stale:
            assert bool(taken) != refuses, f"{answers[0].text}, {account}"
        if not taken:
            self.refused.add(key)
            return
        assert {answer.status_code for answer in taken} <= {201, 202}, answers[0].text
        [payment_id] = {answer.json()["id"] for answer in taken}
        self.keys.append(key)
        payment = Payment(way, amount, key, payment_id)
        payment.state = METHODS[way][2]
        account.payments.append(payment)
        await self.look(account, payment, taken[0].json())

    async def ask(self, account: Account, way: str, amount: Decimal, key: str) -> Any:
        method, stripe_method, _ = METHODS[way]
        return await self.house.office.pay(
            {"id": account.id},
            format(amount, "f"),
            method=method,
            payment_method=stripe_method,
            idempotency_key=key,
        )

    async def look(self, account: Account, payment: Payment, shown: Any) -> None:
        """What our answer says of a payment that was asked for: where it says anything, it is true."""
        payment.intent = shown["processor_ref"]
        if shown["status"] == "pending":
            account.stale = True
            return
        payment.sure = True
        assert shown["status"] == payment.state, f"{shown}, {payment}"

    async def step_again(self, account: Account, number: int, other_body: bool) -> None:
        """The same key once more: the same payment; with another body, a refusal."""
        payment = account.payments[number]
        more = Decimal("0.01") if other_body else ZERO
        answer = await self.ask(account, payment.way, payment.amount + more, payment.key)
        if other_body:
            assert answer.status_code == 422, answer.text
            assert answer.json()["type"].endswith("idempotency-key-reused")
        else:
            assert answer.status_code in {201, 202}, answer.text
            assert answer.json()["id"] == payment.id

    async def step_refund(self, account: Account, number: int, amount: Decimal, asked: int) -> None:
        """Ask for a refund, or for the same one under several keys at once."""
        payment = account.payments[number]
        answers = await asyncio.gather(*(self.refund(payment, amount) for _ in range(asked)))
        fitting = 0 if amount <= 0 else int(payment.left / amount)
        made = [answer for answer in answers if answer.status_code in {201, 202}]
        failed = [answer for answer in answers if answer.status_code == 409 and "refund_id" in answer.json()]
        assert {answer.status_code for answer in answers} <= {201, 202, 409}, answers[0].text
        if not account.stale:
            assert (len(made), len(failed)) == (min(asked, fitting), 0), f"{answers[0].text}, {payment}"
        slow = payment.way in {"slow to refund", "bank"}
        for place in range(len(made)):
            status = ("pending" if slow else "succeeded") if place < fitting else "failed"
            payment.refunds.append(Refund(amount, status))
        payment.refunds += [Refund(amount, "failed") for _ in failed]
        assert not failed or len(made) <= fitting
        if any(answer.status_code == 202 for answer in made):
            # Some may not have reached Stripe: nothing else is done to the payment until that is known.
            payment.sure, account.stale = False, True

    async def refund(self, payment: Payment, amount: Decimal) -> Any:
        key = uuid4().hex
        return await self.house.office.refund({"id": payment.id}, amount=format(amount, "f"), key=key)

    async def step_there(self, account: Account, number: int, amount: Decimal) -> None:
        """Somebody refunds at Stripe, in its dashboard."""
        payment = account.payments[number]
        account.stale = True
        made = await self.house.office.caller.done(
            "refunds", payment_intent=payment.intent, amount=int(amount * 100)
        )
        payment.refunds.append(Refund(amount, made["status"], made["id"]))

    async def step_answer(self, account: Account, number: int, yes: bool) -> None:
        payment = account.payments[number]
        account.stale = True
        await self.control(f"payment_intents/{payment.intent}/authenticate", succeeds=yes)
        payment.state = "succeeded" if yes else "failed"

    async def step_bank(self, account: Account, number: int, yes: bool) -> None:
        payment = account.payments[number]
        account.stale = True
        told = {} if yes else {"failure": "account_closed"}
        await self.control(f"payment_intents/{payment.intent}/settle", **told)
        payment.state = "succeeded" if yes else "failed"

    async def step_finish(self, account: Account, number: int, which: int, yes: bool) -> None:
        """A refund reaches its end; one that had succeeded comes back."""
        refund = account.payments[number].refunds[which]
        account.stale = True
        await self.control(f"refunds/{refund.id}/finish", succeeds=yes)
        refund.status = "succeeded" if yes else "failed"

    async def step_dispute(self, account: Account, number: int, whole: bool) -> None:
        """The bank takes back what was not refunded, or the whole charge all the same."""
        payment = account.payments[number]
        account.stale = True
        found = await self.house.office.caller.get("charges", payment_intent=payment.intent)
        [charge] = [one for one in found["data"] if one["status"] == "succeeded"]
        amount = payment.amount if whole else payment.disputable
        made = await self.control(f"charges/{charge['id']}/dispute", whole=whole)
        assert made["amount"] == int(amount * 100)
        payment.disputes.append(Dispute(amount, made["id"]))

    async def step_decide(self, account: Account, number: int, won: bool) -> None:
        dispute = account.payments[number].disputes[-1]
        account.stale = True
        await self.control(f"disputes/{dispute.id}/decide", won=won)
        dispute.status = "won" if won else "lost"

    async def step_recall(self, account: Account) -> None:
        answer = await tell(self.house.office.world, {"id": account.id}, "recall", {"reason": "they asked"})
        assert answer.status_code == 200, answer.text
        account.recalled_after = len(account.entries)

    async def step_lift(self, account: Account) -> None:
        answer = await tell(self.house.office.world, {"id": account.id}, "DELETE holds/chargeback")
        assert answer.status_code == 200, answer.text
        for payment in account.payments:
            for dispute in payment.disputes:
                dispute.seen = True

    async def control(self, path: str, **body: Any) -> Any:
        return await self.house.office.caller.control(path, **body)

    async def end(self) -> None:
        """Debtors, banks and refunds have all answered at last: every second one well."""
        await self.settle()
        for account in self.accounts:
            for number, payment in enumerate(account.payments):
                if payment.state == "requires_action":
                    await self.step_answer(account, number, number % 2 == 0)
                elif payment.state == "processing":
                    await self.step_bank(account, number, number % 2 == 0)
                for which, refund in enumerate(payment.refunds):
                    if refund.status == "pending":
                        await self.step_finish(account, number, which, which % 2 == 0)
        await self.settle()

    async def settle(self, within_s: float = SETTLE_S) -> None:
        """Nothing fails any more: our books come to agree with the model, and it with Stripe."""
        await self.house.mend()
        if not self.heard:
            await self.house.office.reconciled()
            self.heard = True
        wrong: list[str] = []

        async def agrees() -> bool:
            wrong[:] = [words for account in self.accounts for words in await self.differences(account)]
            return not wrong

        with suppress(NotReadyError):
            await until(agrees, within_s=within_s, what="agreement")
        assert not wrong, "\n".join(wrong)
        for account in self.accounts:
            account.stale = False
            for payment in account.payments:
                payment.sure = True

    async def differences(self, account: Account) -> list[str]:
        """What our books have otherwise than the model."""
        query = self.house.office.query
        [row] = await query(_ACCOUNT, account=account.id)
        account.entries = [Entry(*entry) for entry in await query(_ENTRIES, account=account.id)]
        found = {str(payment.id): payment for payment in await query(_PAYMENTS, account=account.id)}
        for payment in account.payments:
            there = found.get(payment.id)
            if there is not None and there.failure_code == NO_LONGER_TAKEN and not payment.sure:
                # A crash held it up, and the account was paid otherwise before Stripe was asked.
                payment.state = there.status
        wrong = list(account.wrong())
        books = account.books()
        for name, ours in (*books._asdict().items(), ("held", account.held)):
            if getattr(row, name) != ours:
                wrong.append(f"{name} is {getattr(row, name)}, not {ours}: {account}")
        if found.keys() != {payment.id for payment in account.payments}:
            wrong.append(f"{sorted(found)} are there: {account}")
            return wrong
        for payment in account.payments:
            there = found[payment.id]
            payment.intent = there.processor_ref
            self.name_refunds(payment, there.refunds or [])
            shown = (there.status, there.amount, there.refunded_amount, *map(_sorted, there[5:7]))
            if shown != payment.shown():
                wrong.append(f"a payment is {shown}, not {payment.shown()}")
        return wrong

    @staticmethod
    def name_refunds(payment: Payment, rows: list[list[Any]]) -> None:
        """Learn Stripe's ids of the refunds that were asked for here."""
        known = {refund.id for refund in payment.refunds}
        for amount, status, ref in rows:
            asked = (one for one in payment.refunds if not one.id and one.status == status)
            mine = next((one for one in asked if one.amount == Decimal(amount)), None)
            if mine is not None and ref and ref not in known:
                mine.id = ref


def _sorted(rows: list[list[Any]] | None) -> list[tuple[Decimal, str]]:
    return sorted((Decimal(amount), status) for amount, status, *_ in rows or [])


async def together(*done: Awaitable[None]) -> None:
    """All at once; the first failure is raised when all are over."""
    for result in await asyncio.gather(*done, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


_ACCOUNT = """
    SELECT a.status, a.balance, a.held, COALESCE(credit, 0) AS credit, COALESCE(unapplied, 0) AS unapplied,
           COALESCE(losses, 0) AS losses
      FROM account a CROSS JOIN LATERAL (
        SELECT sum(CASE 'credit_balances' WHEN p.credit THEN amount WHEN p.debit THEN -amount END) AS credit,
               sum(CASE 'unapplied' WHEN p.credit THEN amount WHEN p.debit THEN -amount END) AS unapplied,
               sum(CASE 'processor_losses' WHEN p.debit THEN amount WHEN p.credit THEN -amount END) AS losses
          FROM posting p WHERE p.account_id = a.id) p
     WHERE a.id = :account
"""

_ENTRIES = """
    SELECT p.id::text, j.kind, j.key,
           (SELECT sum(amount) FROM posting
             WHERE journal_id = j.id AND (j.kind NOT LIKE 'application%' OR 'receivable' IN (debit, credit)))
             AS amount
      FROM journal j
      LEFT JOIN journal r ON r.id = j.reverses_id AND r.kind = 'application'
      LEFT JOIN payment p ON p.journal_id = COALESCE(r.reverses_id, j.reverses_id, j.id)
     WHERE j.kind <> 'placement'
       AND EXISTS (SELECT FROM posting WHERE journal_id = j.id AND account_id = :account)
     ORDER BY j.id
"""

_PAYMENTS = """
    SELECT p.id, p.status, p.amount, p.refunded_amount, p.processor_ref,
           (SELECT json_agg(json_build_array(amount::text, status, processor_ref) ORDER BY id) FROM refund
             WHERE payment_id = p.id) AS refunds,
           (SELECT json_agg(json_build_array(amount::text, status)) FROM chargeback
             WHERE payment_id = p.id) AS chargebacks, p.failure_code
      FROM payment p WHERE p.account_id = :account
"""
