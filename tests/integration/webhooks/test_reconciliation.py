"""Reconciliation with the stand-in: what differs is mended through the books, what cannot be is a break."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from temporalio.service import RPCError

from activities.payment_books import PaymentBooks
from activities.payment_messages import IntentFacts, PaymentRef
from activities.reconciliation_messages import ReconciliationRequest, ReconciliationSummary
from db.scorecard_files import builtin_scorecards
from sandbox.processes import until
from tests.integration.webhooks.office import Json, Office
from tests.integration.webhooks.test_inbox import sweep
from workflows.payment_reconciliation import PaymentReconciliation
from workflows.queues import LIFECYCLE, reconciliation_workflow_id


async def test_books_that_agree_have_no_breaks(office: Office) -> None:
    debt = await office.debt("100.00")
    payment = await office.paid(debt, "40.00")
    assert (await office.refund(payment, amount="15.00")).status_code in {201, 202}
    await office.ends(payment, "partially_refunded")
    run = await office.reconciled()
    assert (run["status"], run["reason"]) == ("completed", None)
    assert await office.differences(payment["processor_ref"]) == []


async def test_what_no_webhook_told_is_mended_through_the_books(office: Office) -> None:
    debt = await office.debt("200.00")
    await office.silence()
    made = await office.known_at_stripe_only(debt, "40.00")
    refund = await office.caller.done("refunds", payment_intent=made["id"], amount=1000)
    other = await office.paid(debt, "20.00")
    await office.caller.control(f"charges/{await office.charge(other['processor_ref'])}/dispute")

    run = await office.reconciled()

    assert run["mended"] >= 2
    payment = await office.payment_of(made["id"])
    assert (payment["status"], payment["refunded_amount"]) == ("partially_refunded", "10.00")
    assert (await office.get(other))["status"] == "disputed"
    assert await office.balance(debt) == "170.00"
    for ref in (made["id"], refund["id"], other["processor_ref"]):
        assert await office.differences(ref) == []
    again = await office.reconciled()
    assert again["mended"] == 0
    assert sorted(kind for kind, _ in await office.journals(debt)) == [
        "chargeback", "payment", "payment", "refund",
    ]  # fmt: skip


async def test_money_that_nobody_here_knows_is_a_break_until_it_is_matched(office: Office) -> None:
    await office.silence()
    made = await office.caller.paid(3000)
    refund = await office.caller.done("refunds", payment_intent=made["id"], amount=500)
    await office.reconciled()
    await office.reconciled()
    [found] = await office.differences(made["id"])
    assert (found["kind"], found["ours"], found["theirs"]) == ("missing_here", None, "30.00")
    assert [one["kind"] for one in await office.differences(refund["id"])] == ["missing_here"]
    assert "no payment here" in found["probable_cause"]

    debt = await office.debt("100.00")
    await office.row_for(debt, made["id"], "30.00")
    await office.reconciled()

    assert await office.differences(made["id"]) == []
    assert await office.differences(refund["id"]) == []
    [gone] = await office.differences(made["id"], state="resolved")
    assert (gone["id"], gone["resolved_at"] is not None) == (found["id"], True)
    assert await office.balance(debt) == "75.00"


async def test_a_payment_that_stripe_does_not_have_is_a_break(office: Office) -> None:
    debt = await office.debt("100.00")
    intent = f"pi_{uuid4().hex}"
    row_id = await office.row_for(debt, intent, "30.00")
    books = PaymentBooks(office.world.database, builtin_scorecards(), lambda *_: None)
    now = (await office.query("SELECT now()"))[0][0]
    facts = IntentFacts(
        intent_ref=intent, status="succeeded", amount_received=Decimal("30.00"), currency="USD", created=now
    )
    await books.record_intent(PaymentRef(agency_id=office.agency_id, payment_id=row_id), facts)
    await office.reconciled()
    [found] = await office.differences(intent)
    assert (found["kind"], found["ours"], found["theirs"]) == ("missing_there", "30.00", None)
    assert found["payment_id"] == str(row_id)
    # It stays in question when it is older than what the next run looks at.
    await office.query("UPDATE payment SET created_at = now() - interval '30 days' WHERE id = :id", id=row_id)
    await office.reconciled(days=1)
    assert [one["id"] for one in await office.differences(intent)] == [found["id"]]


async def test_another_amount_or_currency_is_a_break(office: Office) -> None:
    debt = await office.debt("100.00")
    payment = await office.paid(debt, "40.00")
    await office.query("UPDATE payment SET amount = 41.00 WHERE id = :id", id=UUID(payment["id"]))
    euros = (await office.other_currency())["id"]
    await office.reconciled()
    [amounts] = await office.differences(payment["processor_ref"])
    assert (amounts["kind"], amounts["ours"], amounts["theirs"]) == ("balance", "41.00", "40.00")
    [currencies] = await office.differences(euros)
    assert (currencies["kind"], currencies["currency"]) == ("currency", "EUR")
    await office.query("UPDATE payment SET amount = 40.00 WHERE id = :id", id=UUID(payment["id"]))
    await office.reconciled()
    assert await office.differences(payment["processor_ref"]) == []


async def test_what_stripe_took_before_the_window_is_looked_up_by_itself(office: Office) -> None:
    """As of a payment that was matched to its account long after."""
    debt = await office.debt("100.00")
    payment = await office.paid(debt, "40.00")
    await office.settled(payment["processor_ref"])
    charge = await office.caller.get(f"charges/{await office.charge(payment['processor_ref'])}")
    since = await a_window_behind(charge)
    await office.query(
        "UPDATE payment SET created_at = :since WHERE id = :id", since=since, id=UUID(payment["id"])
    )
    assert (await reconciled_since(office, since)).looked_up > 0
    assert await office.differences(payment["processor_ref"]) == []


@pytest.mark.parametrize(("won", "stands"), [(True, "succeeded"), (False, "disputed")])
async def test_a_dispute_whose_end_no_webhook_told_is_looked_up_however_old_it_is(
    office: Office, won: bool, stands: str
) -> None:
    debt = await office.debt("100.00")
    payment = await office.paid(debt, "40.00")
    dispute = await office.caller.control(f"charges/{await office.charge(payment['processor_ref'])}/dispute")
    await office.ends(payment, "disputed")
    await office.settled(payment["processor_ref"])
    await office.silence()
    await office.caller.control(f"disputes/{dispute['id']}/decide", won=won)

    await reconciled_since(office, await a_window_behind(dispute))

    [chargeback] = await office.query(
        "SELECT status FROM chargeback WHERE processor_ref = :ref", ref=dispute["id"]
    )
    assert chargeback[0] == ("won" if won else "lost")
    assert (await office.get(payment))["status"] == stands
    assert await office.balance(debt) == ("60.00" if won else "100.00")
    assert await looked_up_still(office, payment) is False


async def a_window_behind(made: Json) -> datetime:
    """A moment that has come, behind that at which something was made at Stripe."""
    since = datetime.fromtimestamp(made["created"] + 1, UTC)

    async def later() -> bool:
        return datetime.now(UTC) > since

    await until(later, within_s=60, what="the window to begin")
    return since


async def reconciled_since(office: Office, since: datetime) -> ReconciliationSummary:
    """A reconciliation whose window begins at ``since``."""
    run_id = uuid4()
    summary = await office.temporal.execute_workflow(
        PaymentReconciliation.run,
        ReconciliationRequest(agency_id=office.agency_id, origin="manual", run_id=run_id, since=since),
        id=reconciliation_workflow_id(run_id),
        task_queue=LIFECYCLE,
    )
    assert summary is not None
    assert summary.status == "completed"
    return summary


async def looked_up_still(office: Office, payment: Json) -> bool:
    """Whether the next run will look the payment up."""
    async with office.transaction() as tx:
        unfinished = await tx.payment_reconciliations.unfinished(None, 10_000)
    return UUID(payment["id"]) in {one.payment_id for one in unfinished}


async def test_what_cannot_be_brought_in_line_is_a_break_and_stops_nothing(office: Office) -> None:
    """Euros on the page of a payment in dollars, before the window; what comes behind it is in order."""
    debt = await office.debt("100.00")
    await office.silence()
    odd = await office.row_for(debt, None, "9.00")
    page = await office.caller.done(
        "checkout/sessions",
        mode="payment",
        success_url="http://example.test/",
        line_items__0__quantity=1,
        line_items__0__price_data__currency="eur",
        line_items__0__price_data__unit_amount=900,
        line_items__0__price_data__product_data__name="Account",
        payment_intent_data__metadata__recoup_payment=str(odd),
    )
    await office.query("UPDATE payment SET checkout_ref = :ref WHERE id = :id", ref=page["id"], id=odd)
    paid = await office.caller.control(f"checkout/{page['id']}/pay", payment_method="pm_card_visa")
    window = await a_window_behind(await office.caller.get(f"payment_intents/{paid['payment_intent']}"))
    fine = await office.known_at_stripe_only(debt, "20.00")
    ids = set()
    for _ in range(2):
        await reconciled_since(office, window)
        [found] = await office.differences(page["id"])
        assert (found["kind"], found["payment_id"]) == ("status", str(odd))
        assert found["probable_cause"] == "Stripe took EUR, the payment is in USD"
        ids.add(found["id"])
    assert len(ids) == 1
    assert (await office.payment_of(fine["id"]))["status"] == "succeeded"

    await office.query("UPDATE payment SET status = 'failed' WHERE id = :id", id=odd)
    await reconciled_since(office, window)
    assert await office.differences(page["id"]) == []


@pytest.mark.parametrize("part", ["amount", "currency"])
async def test_what_cannot_be_read_is_a_break_until_it_can_and_stops_nothing(
    office: Office, part: str
) -> None:
    debt = await office.debt("100.00")
    await office.silence()
    odd = await office.known_at_stripe_only(debt, "9.00")
    fine = await office.known_at_stripe_only(debt, "20.00")
    ref, store = await office.charge(odd["id"]), office.stripe.engine.store
    whole = store.get(office.stripe_id, ref)
    assert whole is not None
    store.put(office.stripe_id, whole | {part: {"not": "this"}})
    for _ in range(2):
        assert (await office.reconciled())["status"] == "completed"
        [found] = await office.differences(ref)
        assert (found["kind"], found["payment_id"]) == ("status", None)
        assert found["probable_cause"].startswith("unreadable: ")
    assert (await office.payment_of(fine["id"]))["status"] == "succeeded"
    window = await a_window_behind(odd)
    await office.silence()
    await reconciled_since(office, window)
    assert len(await office.differences(ref)) == 1, "nobody has read it since"

    store.put(office.stripe_id, whole)
    assert (await office.reconciled())["status"] == "completed"
    assert await office.differences(ref) == []


async def test_what_others_write_into_metadata_stops_nothing(office: Office) -> None:
    debt = await office.debt("100.00")
    payment = await office.paid(debt, "40.00")
    await office.silence()
    await office.caller.done(
        "refunds", payment_intent=payment["processor_ref"], amount=1500, metadata__recoup_refund="mine"
    )
    assert (await office.reconciled())["status"] == "completed"
    assert (await office.get(payment))["refunded_amount"] == "15.00"
    assert await office.balance(debt) == "75.00"


async def test_a_break_that_was_found_meanwhile_is_not_resolved(office: Office) -> None:
    """By a run that was asked for while the scheduled one, which has seen less, was at work."""
    async with office.transaction() as tx:
        now = await tx.session.scalar(text("SELECT now()"))
        slow = await tx.payment_reconciliations.open(
            uuid4(), origin="schedule", requested_by="test", since=now - timedelta(seconds=1), until=now
        )
    await office.silence()
    made = await office.caller.paid(3100)
    await reconciled_since(office, now - timedelta(days=1))
    assert len(await office.differences(made["id"])) == 1
    async with office.transaction() as tx:
        await tx.processor_items.conclude(slow)
        await tx.payment_reconciliations.end(slow.id)
    assert len(await office.differences(made["id"])) == 1


async def test_one_reconciliation_at_a_time(office: Office) -> None:
    run_id = uuid4()
    now = (await office.query("SELECT now()"))[0][0]
    async with office.transaction() as tx:
        await tx.payment_reconciliations.open(
            run_id, origin="schedule", requested_by="test", since=now, until=now
        )
    refused = await office.ask("acme.admin", "POST", "/payments/reconciliations", {})
    assert (refused.status_code, refused.json()["run_id"]) == (409, str(run_id))
    await office.query(
        "UPDATE payment_reconciliation SET created_at = now() - interval '7 hours' WHERE id = :id", id=run_id
    )
    assert (await office.reconciled())["status"] == "completed"


async def test_the_same_key_is_the_same_reconciliation(office: Office) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    answers = await asyncio.gather(
        *(office.ask("acme.admin", "POST", "/payments/reconciliations", {}, **key) for _ in range(3))
    )
    assert {one.status_code for one in answers} == {202}
    assert len({one.json()["id"] for one in answers}) == 1
    for days in (0, 91, "x", "3", True):
        refused = await office.ask("acme.admin", "POST", "/payments/reconciliations", {"days": days})
        assert (refused.status_code, refused.json()["field"]) == (422, "days")
    path = f"/payments/reconciliations/{answers[0].json()['id']}"
    assert (await office.ask("rival.admin", "GET", path)).status_code == 404

    async def ended() -> bool:
        return bool((await office.ask("acme.admin", "GET", path)).json()["status"] == "completed")

    await until(ended, within_s=30, what="the reconciliation to end")


async def test_a_sweep_starts_what_temporal_did_not_take(office: Office) -> None:
    debt = await office.debt("100.00")
    async with office.transaction() as tx:
        waiting = await tx.payments.add(
            UUID(debt["id"]),
            origin="request",
            key=uuid4().hex,
            amount=Decimal("30.00"),
            currency="USD",
            method="card",
            payment_method="pm_card_visa",
        )
    await sweep(office)
    # Whoever has just made it may be about to start it.
    with pytest.raises(RPCError, match="not found"):
        await office.process({"idempotency_key": waiting.idempotency_key}).describe()
    await office.query(
        "UPDATE payment SET created_at = now() - interval '2 minutes' WHERE id = :id", id=waiting.id
    )
    await sweep(office)
    payment = await office.ends({"id": str(waiting.id)}, "succeeded")
    async with office.transaction() as tx:
        refund = await tx.refunds.add(await tx.payments.get(waiting.id), Decimal("10.00"), origin="request")
    await office.query(
        "UPDATE refund SET created_at = now() - interval '2 minutes' WHERE id = :id", id=refund.id
    )
    await sweep(office)
    payment = await office.ends(payment, "partially_refunded")
    assert await office.balance(debt) == "80.00"


async def test_many_pages_of_charges_are_compared(office: Office) -> None:
    """More than Stripe lists at once, and more than a batch mends at once."""
    await office.silence()
    made = await asyncio.gather(*(office.caller.paid(100 + number) for number in range(120)))
    run = await office.reconciled()
    assert run["breaks"] >= 120
    for intent in (made[0], made[60], made[119]):
        assert [one["kind"] for one in await office.differences(intent["id"])] == ["missing_here"]
    left = await office.query("SELECT count(*) FROM processor_item")
    assert left[0][0] == 0
