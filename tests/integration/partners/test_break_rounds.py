"""What people decide about a break, and what the partner's next statement makes of that."""

from typing import Any

import pytest

from tests.integration.partners.office import Json, PartnerOffice, now
from tests.integration.partners.queue_desk import SECOND, QueueDesk


@pytest.fixture(scope="module")
async def queue(office: PartnerOffice) -> QueueDesk:
    return await QueueDesk.opened(office)


async def states(queue: QueueDesk, partner: Json, account: Json, balance: str, status: str) -> Json:
    """The partner says so, and a run compares it."""
    [said] = await queue.office.say(
        partner,
        {
            "account_ref": account["external_ref"],
            "balance": balance,
            "status": status,
            "processed_at": now(),
        },
    )
    assert said["outcome"] == "accepted", said
    run = await queue.office.reconciled(partner, scope="messages")
    assert run["status"] == "completed", run
    return run


async def standing(queue: QueueDesk, account: Json, kind: str = "balance") -> list[Json]:
    """The breaks about an account that nobody has resolved."""
    path = f"/breaks?account_id={account['id']}&kind={kind}&state=open&state=proposed"
    return list((await queue.office.done("GET", path))["results"])


async def test_what_was_taken_over_is_no_difference_any_more(queue: QueueDesk, partner: Json) -> None:
    account = await queue.office.account("900.00")
    await states(queue, partner, account, "650.00", "PARTIAL")
    [broken] = await standing(queue, account)
    assert (broken["ours"], broken["theirs"], broken["partner"]) == ("900.00", "650.00", partner["name"])
    assert broken["explanation"]
    taken = await queue.agreed(broken, "accept_theirs")
    assert taken["journal_id"] is not None
    await states(queue, partner, account, "650.00", "PARTIAL")
    assert await standing(queue, account) == []
    assert (await queue.office.shown(account))["current_balance"] == "650.00"
    assert await queue.is_sound()


async def test_what_was_explained_comes_back_only_when_it_is_another(queue: QueueDesk, partner: Json) -> None:
    account = await queue.office.account("300.00")
    await states(queue, partner, account, "250.00", "UNPAID")
    [broken] = await standing(queue, account)
    assert (await queue.resolve(broken, "explain")).status_code == 200
    await states(queue, partner, account, "250.00", "UNPAID")
    assert await standing(queue, account) == []
    await states(queue, partner, account, "240.00", "UNPAID")
    [other] = await standing(queue, account)
    assert (other["theirs"], other["id"] != broken["id"]) == ("240.00", True)


async def test_a_partner_that_agrees_after_all_ends_the_case_and_what_was_proposed(
    queue: QueueDesk, partner: Json
) -> None:
    account = await queue.office.account("500.00")
    await states(queue, partner, account, "200.00", "PARTIAL")
    [broken] = await standing(queue, account)
    await queue.propose(broken, "accept_theirs")
    await queue.becomes(broken, "its case to begin", workflow_id=f"break/{broken['id']}")
    await states(queue, partner, account, "210.00", "PARTIAL")
    behind = await queue.tell(broken, "approve", SECOND)
    assert behind.status_code == 409, "another balance than was proposed"
    await states(queue, partner, account, "500.00", "UNPAID")
    assert await queue.case(broken).result() == "cured"
    cured = await queue.get(broken)
    assert (cured["state"], cured["resolution"]) == ("resolved", "cured")
    assert [one["state"] for one in cured["proposals"]] == ["withdrawn"]
    assert (await queue.office.shown(account))["current_balance"] == "500.00"


@pytest.mark.parametrize(
    "say", [{"balance": "-100.00", "status": "PAID"}, {"balance": "0", "status": "PAID"}]
)
async def test_a_balance_below_zero_is_a_break_that_cannot_be_taken_over(
    queue: QueueDesk, partner: Json, say: dict[str, Any]
) -> None:
    account = await queue.office.account("50.00")
    await states(queue, partner, account, say["balance"], say["status"])
    [broken] = await standing(queue, account)
    taken = await queue.resolve(broken, "accept_theirs")
    if say["balance"] == "0":
        assert taken.status_code == 200, taken.text
        assert (await queue.office.shown(account))["status"] == "closed"
        await states(queue, partner, account, "0", "PAID")
        assert await standing(queue, account) == []
        assert await standing(queue, account, "status") == []
    else:
        assert taken.status_code == 409, taken.text
        assert "accept_theirs" not in (await queue.get(broken))["resolutions"]
