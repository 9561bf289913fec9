"""What goes wrong between us and Stripe: nothing is charged twice, lost, or called failed by guess."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment

from activities.payment_messages import IntentFacts, PaymentRef
from activities.payments import PaymentActivities
from activities.stripe_till import StripeAccountReplaced, StripeNotReady, StripeTill
from domain.errors import Unavailable
from domain.payments import NO_LONGER_TAKEN, NOT_ATTEMPTED
from domain.tenancy import Role, Tenant
from gateways.stripe import PaymentDeclined, StripeAccount
from sandbox.ports import free_port
from sandbox.processes import until
from sandbox.temporal import TemporalServer
from services.access import Principal
from services.commands import CommandKey
from services.payment_forms import PaymentForm
from services.payment_starts import PaymentStarter
from services.payments import PaymentService
from tests.integration.api.people import make, place
from tests.integration.payments.till import Till

INTENTS, CONFIRM = "/v1/payment_intents", "/v1/payment_intents/*/confirm"
KINDS = (
    "timeout_before",
    "timeout_after",
    "error_before",
    "error_after",
    "unavailable",
    "rate_limit",
    "reset_before",
    "reset_after",
)


@pytest.mark.parametrize("path", [INTENTS, CONFIRM], ids=["create", "confirm"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_lost_or_wrong_answer_is_one_charge(till: Till, kind: str, path: str) -> None:
    account = await till.debt()
    fault = till.breaks(kind, path)
    payment = await till.paid(account, "40.00")
    assert fault.hits == 1
    assert len(await till.charges(account)) == 1
    assert [one["status"] for one in await till.intents(account)] == ["succeeded"]
    assert await till.journals(account) == [("payment", Decimal("40.00"))]
    assert payment["failure_code"] is None


@pytest.mark.parametrize("kind", ["timeout_after", "error_after", "reset_after"])
async def test_a_decline_whose_answer_is_lost_stays_one_decline(till: Till, kind: str) -> None:
    account = await till.debt()
    till.breaks(kind, CONFIRM)
    answer = await till.pay(account, payment_method="pm_card_chargeDeclinedInsufficientFunds")
    ended = await till.ends(answer.json())
    assert (ended["status"], ended["failure_code"]) == ("failed", "insufficient_funds")
    [intent] = await till.intents(account)
    attempts = await till.caller.get("charges", payment_intent=intent["id"])
    assert len(attempts["data"]) == 1


async def test_a_decline_is_found_when_its_key_is_forgotten(till: Till) -> None:
    """A second attempt looks first, and does not ask at all."""
    payment = await pending(till, await till.debt(), payment_method="pm_card_chargeDeclinedExpiredCard")
    intent = await with_intent(till, payment)
    with pytest.raises(PaymentDeclined):
        await till.account.confirm(intent, key=uuid4().hex)
    async with till.world.database.transaction(tenant(till)) as tx:
        payment = await tx.payments.get(payment.id)
    asked = till.breaks("unavailable", CONFIRM, count=None)
    said = await StripeTill(Fixed(till.account), return_url=till.stripe.url).confirm(payment, attempt=2)
    assert isinstance(said, IntentFacts)
    assert (said.status, said.failure_code) == ("requires_payment_method", "expired_card")
    assert asked.hits == 0


async def test_an_outage_is_outlasted_and_the_caller_told_meanwhile(till: Till) -> None:
    account = await till.debt()
    fault = till.breaks("unavailable", "/v1/*", method="*", count=None)
    async with till.in_haste() as hasty:
        answer = await hasty.pay(account)
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")

    async def asked_again() -> bool:
        return fault.hits >= 2

    await until(asked_again, within_s=60, what="Stripe to be asked again")
    till.stripe.faults.clear()
    await till.ends(answer.json(), "succeeded")
    assert len(await till.charges(account)) == 1


@pytest.mark.parametrize("neighbour", ["fine", "odd"])
async def test_keys_that_stripe_has_forgotten_are_not_trusted(till: Till, neighbour: str) -> None:
    """An intent was made, its answer lost, and its key is no longer known: it is found by its metadata, also
    beside a newer one that cannot be read."""
    account = await till.debt()
    payment = await pending(till, account, age=timedelta(hours=30))
    made = await till.account.create_intent(
        payment.amount,
        "USD",
        key=uuid4().hex,
        kinds=["card"],
        payment_method_id="pm_card_visa",
        metadata={"recoup_payment": str(payment.id), "recoup_account": account["id"]},
    )
    if neighbour == "odd":
        other = await till.account.create_intent(Decimal(1), "USD", key=uuid4().hex, kinds=["card"])
        kept = till.stripe.engine.store.get(till.stripe_id, other.id)
        till.stripe.engine.store.put(till.stripe_id, {**(kept or {}), "currency": {"not": "this"}})
    await PaymentStarter(till.temporal).start(payment)
    ended = await till.ends({"id": str(payment.id)})
    assert (ended["status"], ended["processor_ref"]) == ("succeeded", made.id)
    assert len(await till.intents(account)) == 1


@pytest.mark.parametrize("made", [False, True], ids=["never asked", "intent made"])
async def test_what_waited_too_long_is_not_taken_out_of_the_blue(till: Till, made: bool) -> None:
    account = await till.debt()
    payment = await pending(till, account, age=timedelta(days=4))
    intent = await with_intent(till, payment) if made else None
    await PaymentStarter(till.temporal).start(payment)
    ended = await till.ends({"id": str(payment.id)})
    assert (ended["status"], ended["failure_code"]) == ("failed", NOT_ATTEMPTED)
    if intent is not None:
        assert (await till.account.retrieve(intent)).status == "canceled"
    assert await till.journals(account) == []


@pytest.mark.parametrize("status", ["disputed", "in_contact"])
@pytest.mark.parametrize("made", [False, True], ids=["never asked", "intent made"])
async def test_an_account_that_was_disputed_meanwhile_is_not_charged(
    till: Till, made: bool, status: str
) -> None:
    account = await till.debt(status=status)
    payment = await pending(till, account, age=timedelta(hours=1))
    if made:
        await with_intent(till, payment)
    await till.dispute(account)
    await PaymentStarter(till.temporal).start(payment)
    ended = await till.ends({"id": str(payment.id)})
    assert (ended["status"], ended["failure_code"]) == ("failed", NO_LONGER_TAKEN)
    assert await till.charges(account) == []


@pytest.mark.parametrize(
    ("age", "attempt"), [(timedelta(0), 2), (timedelta(hours=1), 1)], ids=["tried again", "waited"]
)
@pytest.mark.parametrize("step", ["create_intent", "confirm", "open_link"])
async def test_whoever_asks_late_asks_first_whether_it_still_may_be(
    till: Till, step: str, age: timedelta, attempt: int
) -> None:
    account = await till.debt(status="in_contact")
    payment = await pending(till, account, age=age, origin="link" if step == "open_link" else "request")
    if step == "confirm":
        await with_intent(till, payment)
    await till.dispute(account)
    steps = PaymentActivities(
        till.world.database, StripeTill(Fixed(till.account), return_url=till.stripe.url)
    )
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=attempt)
    ref = PaymentRef(agency_id=till.agency_id, payment_id=payment.id)
    said = await environment.run(getattr(steps, step), ref)
    assert (said.failure_code if step == "confirm" else said.code) == NO_LONGER_TAKEN
    assert await till.charges(account) == []


async def test_a_process_that_begins_anew_finds_what_was_done(till: Till) -> None:
    """As after its history was lost: the steps are taken again, nothing is charged again."""
    account = await till.debt()
    payment = await till.paid(account)
    await till.query(
        "UPDATE payment SET idempotency_key = :key WHERE id = :id", key=uuid4().hex, id=payment["id"]
    )
    async with till.world.database.transaction(tenant(till)) as tx:
        again = await tx.payments.get(UUID(payment["id"]))
    await PaymentStarter(till.temporal).start(again)
    view = await till.process({"idempotency_key": again.idempotency_key}).result()
    assert view["status"] == "succeeded"
    assert len(await till.charges(account)) == 1
    assert await till.journals(account) == [("payment", Decimal("40.00"))]


async def test_without_temporal_the_payment_waits_for_whoever_starts_it(till: Till, tmp_path: Path) -> None:
    account = await till.debt()
    server = TemporalServer(free_port(), log=tmp_path / "temporal.log")
    await server.start()
    away = await Client.connect(server.address, data_converter=pydantic_data_converter)
    await server.stop()
    service = PaymentService(till.world.database, PaymentStarter(away), timedelta(seconds=1))
    who = Principal(uuid4(), "admin", Role.AGENCY_ADMIN, till.agency_id)
    form = PaymentForm(
        account_id=UUID(account["id"]),
        amount=Decimal("40.00"),
        method="card",
        payment_method="pm_card_visa",
        idempotency_key=uuid4().hex,
    )
    answer = await service.take(who, CommandKey("POST /payments"), form)
    assert (answer.status, answer.body["status"]) == (202, "pending")
    async with till.world.database.transaction(tenant(till)) as tx:
        payment = await tx.payments.get(UUID(answer.body["id"]))
    with pytest.raises(Unavailable):
        await PaymentStarter(away).start(payment)
    starter = PaymentStarter(till.temporal)
    await starter.start(payment)
    await starter.start(payment)
    await till.ends(answer.body, "succeeded")
    await starter.start(payment)
    assert len(await till.charges(account)) == 1


async def test_an_agency_without_credentials_keeps_its_payment_waiting_for_them(till: Till) -> None:
    rival = replace(till, agency="rival")
    debtor = await make(till.world, who="rival.admin")
    account = await place(till.world, debtor, "50.00", who="rival.admin")
    payment = await pending(rival, account)
    await PaymentStarter(till.temporal).start(payment)
    process = rival.process({"idempotency_key": payment.idempotency_key})

    async def tried_again() -> bool:
        described = await process.describe()
        return any(one.attempt > 1 for one in described.raw_description.pending_activities)

    await until(tried_again, within_s=60, what="the step to be tried again")
    async with till.world.database.transaction(tenant(rival)) as tx:
        await tx.stripe_credentials.put(
            secret_key=till.key, account_ref="acct_rival", webhook_secret=None, webhook=None
        )
    assert (await process.result())["status"] == "succeeded"
    assert len(await till.charges(account)) == 1


@pytest.mark.parametrize("origin", ["request", "link"])
async def test_what_cannot_be_asked_for_fails_and_keeps_nothing_back(till: Till, origin: str) -> None:
    """As of a payment that was accepted before its currency was refused."""
    account = await till.debt()
    payment = await pending(till, account, origin=origin, currency="JPY")
    await PaymentStarter(till.temporal).start(payment)
    ended = await till.ends({"id": str(payment.id)})
    assert (ended["status"], ended["failure_code"]) == ("failed", "invalid")
    assert "JPY" in ended["failure_message"]


@dataclass
class Fixed:
    """The same account for whoever asks."""

    account: StripeAccount

    async def of(self, agency_id: UUID) -> StripeAccount:
        return self.account


async def test_what_only_settings_can_mend_is_waited_for(till: Till) -> None:
    account = await till.debt()
    paid = await till.paid(account)
    async with till.world.database.transaction(tenant(till)) as tx:
        payment = await tx.payments.get(UUID(paid["id"]))
    for key, kind, words in (
        ("rk_live_7", StripeNotReady, "secret key"),
        (f"sk_test_{uuid4().hex}", StripeAccountReplaced, "another Stripe account"),
    ):
        stranger = StripeTill(Fixed(till.gateway.account(key)), return_url="http://127.0.0.1")
        with pytest.raises(kind, match=words) as looked:
            await stranger.look_up(payment)
        with pytest.raises(kind, match=words):
            await stranger.confirm(payment, attempt=1)
        assert looked.value.retryable is (kind is StripeNotReady)


def tenant(till: Till) -> Tenant:
    return Tenant.system(till.agency_id, "test")


async def with_intent(till: Till, payment: Any) -> str:
    """Make a payment's intent, unconfirmed; its id."""
    intent = await till.account.create_intent(
        payment.amount,
        "USD",
        key=uuid4().hex,
        kinds=["card"],
        payment_method_id=payment.payment_method,
    )
    await till.world.database.readings(tenant(till)).payments.note_intent(payment.id, intent.id)
    return intent.id


async def pending(
    till: Till,
    account: Any,
    *,
    age: timedelta = timedelta(0),
    payment_method: str = "pm_card_visa",
    origin: str = "request",
    currency: str = "USD",
) -> Any:
    """A payment whose row was written and that nobody has started."""
    async with till.world.database.transaction(tenant(till)) as tx:
        return await tx.payments.add(
            UUID(account["id"]),
            origin=origin,
            key=uuid4().hex,
            amount=Decimal("40.00"),
            currency=currency,
            method="card",
            payment_method=payment_method,
            created_at=datetime.now(UTC) - age,
        )
