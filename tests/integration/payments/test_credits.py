"""Money that is owed back to debtors: applied to their debts, taken off them again, handed back."""

from decimal import Decimal
from typing import Any

import pytest

from domain.tenancy import Tenant
from tests.integration.api.commanding import tell
from tests.integration.api.people import make, place, set_account
from tests.integration.payments.till import Json, Till

PROBLEM = "urn:recoup:problem:"


async def overpaid(till: Till, debt: str, paid: str, **more: Any) -> tuple[Json, Json, Json]:
    """An account on which more was paid than was owed, its payment, and another account of its debtor."""
    debtor = await make(till.world)
    account = await place(till.world, debtor, debt)
    other = await place(till.world, debtor, "50.00")
    payment = await till.paid(account, paid, **({"method": "cash", "payment_method": None} | more))
    return dict(account), payment, dict(other)


async def owed_back(till: Till, account: Json) -> tuple[str, str]:
    """Credit balance and unapplied money, as the account shows them."""
    shown = (await till.ask("acme.admin", "GET", f"/accounts/{account['id']}")).json()
    return shown["credit_balance"], shown["unapplied"]


async def credit(till: Till, account: Json, what: str, **body: Any) -> Any:
    headers = {"Idempotency-Key": key} if (key := body.pop("key", None)) else {}
    given = {"reason": "as the debtor wrote"} | body if what == "apply" else body
    path = f"/accounts/{account['id']}/credit-balance/{what}"
    return await till.ask(body.pop("who", "acme.admin"), "POST", path, given, **headers)


async def sound(till: Till) -> None:
    async with till.world.database.transaction(Tenant.system(till.agency_id, "test")) as tx:
        assert [one async for one in tx.ledger.breaches()] == []
        assert [one async for one in tx.payment_audit.breaches()] == []


@pytest.mark.parametrize("what", ["apply", "refund"])
async def test_the_same_said_otherwise_under_a_key_is_done_once(till: Till, what: str) -> None:
    account, _, other = await overpaid(till, "100.00", "130.00")
    more = {"to_account_id": other["id"]} if what == "apply" else {"reference": "receipt 7"}
    key = f"{what}-{account['id']}"
    for amount in ("5", "5.00", "5.0"):
        answer = await credit(till, account, what, amount=amount, key=key, **more)
        assert answer.status_code in {200, 201, 202}, answer.text
    assert await owed_back(till, account) == ("25.00", "0.00")
    changed = await credit(till, account, what, amount="5.01", key=key, **more)
    assert (changed.status_code, changed.json()["type"]) == (422, f"{PROBLEM}idempotency-key-reused")
    await sound(till)


async def test_it_is_applied_to_another_debt_and_taken_off_it_when_the_payment_goes_back(till: Till) -> None:
    account, payment, other = await overpaid(till, "100.00", "130.00")
    assert await owed_back(till, account) == ("30.00", "0.00")
    for _ in range(2):
        answer = await credit(till, account, "apply", to_account_id=other["id"], key=f"apply-{account['id']}")
        assert answer.status_code == 200, answer.text
        assert answer.json() == {
            "account_id": account["id"],
            "to_account_id": other["id"],
            "applied": "30.00",
            "currency": "USD",
            "balance": "20.00",
            "credit_balance": "0.00",
            "unapplied": "0.00",
        }
    assert await till.balance(other) == "20.00"
    assert (await credit(till, account, "apply", to_account_id=other["id"])).json()["left"] == "0.00"
    await sound(till)

    assert (await till.refund(payment, amount="40.00")).status_code == 201

    assert (await till.balance(account), await till.balance(other)) == ("10.00", "50.00")
    kinds = [kind for kind, _ in await till.journals(other)]
    assert kinds == ["application", "application_reversal"]
    assert await till.status(account) == "in_contact"
    assert await owed_back(till, account) == ("0.00", "0.00")
    await sound(till)


async def test_what_is_owed_again_is_paid_with_it_first(till: Till) -> None:
    """Nobody is asked for what is here already."""
    account = await till.debt("100.00")
    card = await till.paid(account, "40.00")
    cash = await till.paid(account, "70.00", method="cash", payment_method=None)
    assert await owed_back(till, account) == ("10.00", "0.00")
    assert (await till.refund(card, amount="7.77")).status_code == 201
    assert (await till.balance(account), await till.status(account)) == ("0.00", "closed")
    assert await owed_back(till, account) == ("2.23", "0.00")
    await sound(till)
    assert (await till.refund(card)).status_code == 201
    assert (await till.balance(account), await till.status(account)) == ("30.00", "in_contact")
    assert await owed_back(till, account) == ("0.00", "0.00")
    assert (await till.refund(cash)).status_code == 201
    assert (await till.balance(account), await owed_back(till, account)) == ("100.00", ("0.00", "0.00"))
    await sound(till)


@pytest.mark.parametrize("why", ["disputed", "bankruptcy"])
async def test_where_people_decide_it_is_not_put_on_the_debt_by_itself(till: Till, why: str) -> None:
    account = await till.debt("100.00")
    card = await till.paid(account, "40.00")
    await till.paid(account, "50.00", method="cash", payment_method=None)
    await till.query("UPDATE agency SET overpayments = 'credit' WHERE id = :agency", agency=till.agency_id)
    await till.paid(account, "20.00")
    assert await owed_back(till, account) == ("10.00", "0.00")
    await set_account(till.world, account, status="in_contact", closed_reason=None)
    if why == "disputed":
        await till.dispute(account)
    else:
        await tell(till.world, account, "holds", {"kind": why, "reason": "told by the court"})
    assert (await till.refund(card, amount="7.77")).status_code == 201
    assert (await till.balance(account), await owed_back(till, account)) == ("7.77", ("10.00", "0.00"))
    await sound(till)


async def test_a_debt_that_it_pays_in_full_is_closed_and_reopened(till: Till) -> None:
    """The money came after the account was recalled; it pays a smaller debt; then all of it goes back."""
    debtor = await make(till.world)
    late, other = [await place(till.world, debtor, amount) for amount in ("100.00", "50.00")]
    await set_account(till.world, late, status="closed", closed_reason="recalled")
    paid = await till.paid(late, "80.00", method="check", payment_method=None)
    assert await owed_back(till, late) == ("0.00", "80.00")
    answer = await credit(till, late, "apply", to_account_id=other["id"])
    assert (answer.json()["applied"], answer.json()["unapplied"]) == ("50.00", "30.00")
    assert (await till.balance(other), await till.status(other)) == ("0.00", "closed")
    assert (await till.refund(paid)).status_code == 201
    assert (await till.balance(other), await till.status(other)) == ("50.00", "in_contact")
    assert (await till.balance(late), await till.status(late)) == ("100.00", "closed")
    await sound(till)


async def test_it_is_handed_back_by_the_way_it_came(till: Till) -> None:
    account, cash, _ = await overpaid(till, "100.00", "130.00")
    await set_account(till.world, account, status="in_contact")
    await till.query("UPDATE agency SET overpayments = 'credit' WHERE id = :agency", agency=till.agency_id)
    card = await till.paid(account, "25.00")
    assert await owed_back(till, account) == ("55.00", "0.00")

    refused = await credit(till, account, "refund")
    assert (refused.status_code, refused.json()["field"]) == (422, "reference")
    more = await credit(till, account, "refund", amount="55.01", reference="check 7")
    assert (more.status_code, more.json()["left"]) == (409, "55.00")
    for _ in range(2):
        answer = await credit(
            till, account, "refund", amount="50.00", reference="check 7", key=f"back-{account['id']}"
        )
        assert answer.status_code == 201, answer.text
        shown = answer.json()
        made = [(one["payment_id"], one["amount"], one["status"]) for one in shown["refunds"]]
        assert made == [(cash["id"], "30.00", "succeeded"), (card["id"], "20.00", "succeeded")]
        assert (shown["credit_balance"], shown["unapplied"]) == ("5.00", "0.00")

    [at_stripe] = (await till.caller.get("refunds", payment_intent=card["processor_ref"]))["data"]
    assert at_stripe["amount"] == 2000
    [by_hand] = (await till.get(cash))["refunds"]
    assert by_hand["reason"] == "owed back, handed back by hand: check 7"
    assert (await till.balance(account), await till.journals(account)) == (
        "0.00",
        [("payment", Decimal(n)) for n in ("130.00", "25.00")]
        + [("refund", Decimal(n)) for n in ("30.00", "20.00")],
    )
    await sound(till)


@pytest.mark.parametrize(
    ("debt", "amount", "status", "named"),
    [
        ("another person's", None, 422, "to_account_id"),
        ("another agency's", None, 404, None),
        ("disputed", None, 409, None),
        ("held", None, 409, None),
        ("theirs", "30.01", 409, None),
        ("too small", "30.00", 409, None),
        ("theirs", "0.00", 422, "amount"),
    ],
    ids=["person", "agency", "disputed", "held", "more", "small", "nothing"],
)
async def test_what_is_not_applied(
    till: Till, debt: str, amount: str | None, status: int, named: str | None
) -> None:
    account, _, other = await overpaid(till, "100.00", "130.00")
    if debt == "another person's":
        other = await till.debt("50.00")
    elif debt == "another agency's":
        other = {"id": "0198f1f0-0000-7000-8000-000000000000"}
    elif debt == "disputed":
        await set_account(till.world, other, status="disputed")
    elif debt == "held":
        hold = {"kind": "bankruptcy", "reason": "filed"}
        assert (
            await till.ask("acme.admin", "POST", f"/accounts/{other['id']}/holds", hold)
        ).status_code < 300
    elif debt == "too small":
        await till.paid(other, "45.00", method="cash", payment_method=None)
    body = {"amount": amount} if amount else {}
    answer = await credit(till, account, "apply", to_account_id=other["id"], **body)
    assert (answer.status_code, answer.json().get("field")) == (status, named), answer.text
    assert await owed_back(till, account) == ("30.00", "0.00")
