"""Money that went back: what was paid is worked again, what was ended otherwise is not."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from activities.account_messages import Close, Recall, RecordDispute, RefusedTransition, Transition
from db.notices import ADMISSION_MINUTES
from domain.accounts import AccountStatus as S
from tests.integration.accounts.desk import Desk


async def test_a_paid_account_comes_back_when_the_payment_goes_back(desk: Desk) -> None:
    account = await desk.place(status="negotiating", amount="100.00")
    journal = await desk.post(account, "100.00")
    paid = await desk.steps.payment_posted(desk.ref(account))
    assert (paid.status, (await desk.account(account))["closed_reason"]) == (S.CLOSED, "paid")

    await desk.reverse(account, journal)
    back = await desk.steps.payment_reversed(desk.ref(account))

    row = await desk.account(account)
    assert (back.status, row["closed_reason"], row["queued"]) == (S.IN_CONTACT, None, True)
    assert row["balance"] == Decimal("100.00")
    assert row["admitted_at"] is not None, "a lifecycle works it"
    before = await desk.timeline(account)
    await desk.steps.payment_reversed(desk.ref(account))
    assert await desk.timeline(account) == before


async def test_an_account_that_came_back_is_told_of_what_is_changed_beside_it(desk: Desk) -> None:
    """Its place was given up when it was closed; notices of accounts that nobody works are dropped."""
    account = await desk.place(status="negotiating", amount="100.00")
    await desk.steps.admit(desk.ref(account))
    journal = await desk.post(account, "100.00")
    await desk.steps.payment_posted(desk.ref(account))
    async with desk.db.transaction(desk.tenant) as tx:
        await tx.admission.release(account)
    await desk.reverse(account, journal)
    await desk.steps.payment_reversed(desk.ref(account))

    async with desk.db.transaction(desk.tenant) as tx:
        await tx.lifecycles.notify([account])
    await desk.query(
        "UPDATE lifecycle_notice SET noted_at = noted_at - make_interval(mins => %s) WHERE account_id = %s",
        ADMISSION_MINUTES + 1,
        account,
    )
    async with desk.db.transaction(desk.tenant) as tx:
        await tx.notices.drop_unworked()
        assert [notice.account_id for notice in await tx.notices.oldest(10)] == [account]


@pytest.mark.parametrize(("order", "reason"), [(Recall, "recalled"), (Close, "too old")])
async def test_what_was_recalled_or_closed_stays_so(desk: Desk, order: type, reason: str) -> None:
    account = await desk.place(status="negotiating")
    journal = await desk.post(account, "10.00")
    await desk.tell(order, account, reason="too old")
    await desk.reverse(account, journal)
    after = await desk.steps.payment_reversed(desk.ref(account))
    row = await desk.account(account)
    assert (after.status, row["closed_reason"], row["queued"]) == (S.CLOSED, reason, False)


async def test_a_dispute_that_was_never_answered_comes_back_with_the_account(desk: Desk) -> None:
    account = await desk.place(status="in_contact", amount="100.00")
    await desk.tell(
        RecordDispute, account, reason="not mine", received_on=datetime.now(UTC).date(), in_writing=True
    )
    journal = await desk.post(account, "100.00")
    assert (await desk.steps.payment_posted(desk.ref(account))).status is S.CLOSED
    await desk.reverse(account, journal)

    back = await desk.steps.payment_reversed(desk.ref(account))

    assert back.status is S.DISPUTED
    [dispute] = await desk.query("SELECT status FROM dispute WHERE account_id = %s", account)
    assert dispute["status"] == "open"
    assert (await desk.account(account))["queued"] is False


async def test_a_refusal_that_is_noted_twice_is_one_event(desk: Desk) -> None:
    account = await desk.place()
    order = desk.order(Transition, account, new_status=S.SETTLED)
    refused = RefusedTransition(
        account=order.account,
        identity=order.identity,
        new_status=S.SETTLED,
        reason="the account is new",
        asked_by="admin",
    )
    for _ in range(2):
        await desk.steps.note_refusal(refused)
    assert [kind for kind, _, _ in await desk.events(account)] == ["refused"]
