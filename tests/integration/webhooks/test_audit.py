"""`recoup audit payments`: sound books pass, and each way in which they could be wrong is found."""

import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from db.payment_audit import PaymentBreach
from tests.command_line import CommandLine
from tests.integration.webhooks.office import Json, Office

Audit = Callable[[], Awaitable[tuple[int, Any]]]


@pytest.fixture
def audit(office: Office, command_line: CommandLine) -> Audit:
    """Exit code and report of an audit that asks Stripe too."""

    async def run() -> tuple[int, Any]:
        settings = {
            "RECOUP_DATABASE_URL": office.world.settings.database_url,
            "RECOUP_STRIPE_URL": office.stripe.url,
        }
        words = ("audit", "payments", "--json", "--agency", "acme", "--stripe")
        code, out, err = await command_line.run(*words, **settings)
        assert not err, err
        return code, json.loads(out)

    return run


@pytest.fixture(scope="module")
async def story(open_all_day: Office) -> Json:
    """A payment with all that can go back of one, and a refund that failed."""
    office = open_all_day
    debt = await office.debt("300.00")
    payment = await office.paid(debt, "100.00")
    assert (await office.refund(payment, amount="30.00")).status_code in {201, 202}
    payment = await office.ends(payment, "partially_refunded")
    await office.caller.control(f"charges/{await office.charge(payment['processor_ref'])}/dispute")
    payment = await office.ends(payment, "disputed")
    other = await office.paid(await office.debt("50.00"), "50.00")
    declined = await office.pay(await office.debt("50.00"), payment_method="pm_card_visa_chargeDeclined")
    await office.ends(declined.json(), "failed")
    await office.settled(payment["processor_ref"])
    await office.settled(other["processor_ref"])
    return payment


async def test_sound_books_agree_with_themselves_and_with_stripe(
    office: Office, story: Json, audit: Audit
) -> None:
    code, report = await audit()
    assert (code, report["differing"], report["breaches"]) == (0, 0, [])
    assert (report["payments"], report["at_stripe"]) == (3, 4)
    left = await office.query(
        "SELECT (SELECT count(*) FROM payment_reconciliation), (SELECT count(*) FROM processor_item)"
    )
    assert tuple(left[0]) == (0, 0)


class _UndoneError(Exception):
    """Takes back what a test has spoilt."""


async def found(office: Office, statement: str, story: Json) -> list[PaymentBreach]:
    """What the audit finds when a statement has spoilt the story's payment; nothing of it stays."""
    breaches: list[PaymentBreach] = []
    with contextlib.suppress(_UndoneError):
        async with office.transaction() as tx:
            await tx.session.execute(text(statement), {"payment": story["id"]})
            breaches += [breach async for breach in tx.payment_audit.breaches()]
            raise _UndoneError
    return breaches


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        pytest.param(*case, id=name)
        for name, case in {
            "amount": ("UPDATE payment SET amount = 101 WHERE id = :payment", "its journal of 100.00"),
            "refunded": ("UPDATE payment SET refunded_amount = 29 WHERE id = :payment", "29.00 went back"),
            "status": (
                "UPDATE payment SET status = 'failed' WHERE id = :payment",
                "failed but has a journal",
            ),
            "currency": ("UPDATE payment SET currency = 'EUR' WHERE id = :payment", "another currency"),
            "no-journal": ("UPDATE payment SET journal_id = NULL WHERE id = :payment", "has no journal"),
            "journal-of-another-kind": (
                (
                    "UPDATE payment p SET journal_id = r.journal_id FROM refund r"
                    " WHERE p.id = :payment AND r.payment_id = :payment"
                ),
                "its journal is no payment",
            ),
            "another-account": (
                (
                    "UPDATE payment SET account_id = (SELECT min(id::text)::uuid FROM account"
                    " WHERE id <> payment.account_id) WHERE id = :payment"
                ),
                "on another account",
            ),
            "two-of-one-journal": (
                (
                    "UPDATE payment p SET journal_id = o.journal_id, amount = o.amount, status = 'succeeded'"
                    " FROM payment o WHERE o.id = :payment AND p.status = 'failed'"
                ),
                "belongs to 2 of them",
            ),
            "refund-amount": ("UPDATE refund SET amount = 31 WHERE payment_id = :payment", "is of 31.00"),
            "refund-status": (
                "UPDATE refund SET status = 'failed' WHERE payment_id = :payment",
                "is failed but is on the ledger",
            ),
            "refund-orphan": (
                "UPDATE refund SET journal_id = NULL WHERE payment_id = :payment",
                "a refund that belongs to no payment",
            ),
            "chargeback-amount": (
                "UPDATE chargeback SET amount = 1 WHERE payment_id = :payment",
                "is of 1.00",
            ),
            "chargeback-orphan": (
                "UPDATE chargeback SET journal_id = NULL WHERE payment_id = :payment",
                "a chargeback that belongs to no payment",
            ),
            "undone-by-another": (
                "UPDATE chargeback SET undone_by_id = journal_id WHERE payment_id = :payment",
                "undone by what is no reinstatement",
            ),
        }.items()
    ],
)
async def test_each_spoilt_row_is_found(office: Office, story: Json, statement: str, said: str) -> None:
    assert said in str([breach.what for breach in await found(office, statement, story)])
    assert await found(office, "SELECT 1", story) == []


async def test_a_difference_from_stripe_is_found_to_the_cent(
    office: Office, story: Json, audit: Audit
) -> None:
    await office.silence()
    made = await office.caller.paid(1001)
    code, report = await audit()
    assert code == 1
    assert [(one["entity"], one["ref"]) for one in report["breaches"]] == [("missing_here", made["id"])]
    assert "nothing here, 10.01 at Stripe, USD" in report["breaches"][0]["what"]


async def test_what_was_taken_at_an_account_that_was_left_is_no_difference(
    office: Office, audit: Audit
) -> None:
    payment = await office.paid(await office.debt("50.00"), "50.00")
    await office.settled(payment["processor_ref"])
    assert (await office.register(key=f"sk_test_{uuid4().hex}")).status_code == 200
    try:
        code, report = await audit()
        assert (code, report["breaches"]) == (0, [])
        refused = await office.refund(payment)
        assert (refused.status_code, refused.json()["account_ref"]) == (409, office.stripe_id)
    finally:
        assert (await office.register()).status_code == 200
    _, back = await audit()
    assert payment["processor_ref"] not in [one["ref"] for one in back["breaches"]]
