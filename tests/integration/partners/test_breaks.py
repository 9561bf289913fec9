"""The queue of breaks: who may resolve what, what that does to the books, and only one gets there first."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.partners.office import Json, PartnerOffice
from tests.integration.partners.queue_desk import FIRST, NOTE, SECOND, QueueDesk


@pytest.fixture(scope="module")
async def queue(office: PartnerOffice) -> QueueDesk:
    return await QueueDesk.opened(office)


async def test_a_small_break_is_resolved_in_one_step_and_posted(queue: QueueDesk, partner: Json) -> None:
    account = await queue.office.account()
    broken = await queue.found(partner, account, theirs="90.00")
    assert (broken["difference"], broken["value"], broken["needs_approval"]) == ("-10.00", "10.00", False)
    assert broken["resolutions"] == ["accept_theirs", "write_off", "explain"]
    answer = await queue.resolve(broken, "accept_theirs")
    assert answer.status_code == 200, answer.text
    resolved = answer.json()
    assert (resolved["state"], resolved["resolution"], resolved["resolved_by"]) == (
        "resolved",
        "accept_theirs",
        FIRST,
    )
    assert resolved["resolutions"] == []
    assert (await queue.office.shown(account))["current_balance"] == "90.00"
    assert await queue.journals(account) == [("adjustment", "adjustments", "receivable", Decimal("10.00"))]
    [posted] = await queue.of_journal(resolved["journal_id"])
    assert str(posted[0]) == account["id"]
    [event] = await queue.events(account)
    assert partner["name"] in event["description"]
    assert event["metadata"]["break_id"] == broken["id"]
    assert await queue.recorded(broken) == [("break.resolved", FIRST)]
    assert await queue.is_sound()


async def test_above_the_limit_one_proposes_and_another_approves(queue: QueueDesk, partner: Json) -> None:
    account = await queue.office.account("500.00")
    broken = await queue.found(partner, account, ours="500.00", theirs="380.00")
    assert broken["needs_approval"] is True
    refused = await queue.resolve(broken, "accept_theirs")
    assert refused.status_code == 409, refused.text
    assert refused.json()["type"].endswith("approval-needed")
    assert refused.json()["approval_limit"] == "100.00"
    proposed = (await queue.propose(broken, "accept_theirs")).json()
    assert proposed["state"] == "proposed"
    [proposal] = proposed["proposals"]
    assert (proposal["ours"], proposal["theirs"], proposal["proposed_by"]) == ("500.00", "380.00", FIRST)
    again = await queue.propose(broken, "explain", SECOND)
    assert again.status_code == 409
    assert FIRST in again.json()["detail"]
    own = await queue.tell(broken, "approve")
    assert own.status_code == 403, own.text
    assert own.json()["type"].endswith("own-proposal")
    assert await queue.journals(account) == []
    approved = await queue.tell(broken, "approve", SECOND, note="checked")
    assert approved.status_code == 200, approved.text
    assert approved.json()["proposals"][0]["state"] == "approved"
    assert approved.json()["proposals"][0]["decided_by"] == SECOND
    assert (approved.json()["resolved_by"], approved.json()["resolution_note"]) == (SECOND, "checked")
    assert (await queue.office.shown(account))["current_balance"] == "380.00"
    late = await queue.tell(broken, "approve", SECOND)
    assert late.status_code == 409
    assert late.json()["type"].endswith("break-is-resolved")
    actions = [action for action, _ in await queue.recorded(broken) if action != "break.case_opened"]
    assert actions == ["break.proposed", "break.resolved"]
    assert await queue.is_sound()


async def test_what_a_resolution_moves_counts_for_the_limit(queue: QueueDesk, partner: Json) -> None:
    """A status that differs is no money at risk, but taking it over forgives the whole balance."""
    account = await queue.office.account("400.00")
    sides: dict[str, Any] = {"ours": "400.00", "theirs": None, "theirs_status": "PAID", "ours_status": "new"}
    broken = await queue.found(partner, account, kind="status", **sides, value=Decimal(0))
    assert (await queue.resolve(broken, "accept_theirs")).json()["type"].endswith("approval-needed")
    assert (await queue.resolve(broken, "explain")).status_code == 200


async def test_a_rejected_proposal_leaves_the_break_open(queue: QueueDesk, partner: Json) -> None:
    broken = await queue.found(partner, await queue.office.account())
    nothing = await queue.tell(broken, "approve", SECOND)
    assert nothing.status_code == 409
    await queue.propose(broken, "explain")
    rejected = (await queue.tell(broken, "reject", SECOND, note="not so")).json()
    assert (rejected["state"], rejected["proposals"][0]["state"]) == ("open", "rejected")
    await queue.propose(broken, "explain")
    taken_back = (await queue.tell(broken, "reject")).json()
    assert [one["state"] for one in taken_back["proposals"]] == ["rejected", "withdrawn"]
    await queue.propose(broken, "explain", SECOND)
    resolved = (await queue.resolve(broken, "explain")).json()
    assert [one["state"] for one in resolved["proposals"]] == ["rejected", "withdrawn", "withdrawn"]


@pytest.mark.parametrize(
    ("theirs", "status", "closed_reason", "journal"),
    [
        pytest.param("0.00", "closed", "paid", ("adjustments", "receivable", "80.00"), id="nothing-is-owed"),
        pytest.param("95.00", "new", None, ("receivable", "adjustments", "15.00"), id="more-is-owed"),
    ],
)
async def test_a_balance_taken_over_settles_or_grows(
    queue: QueueDesk, partner: Json, theirs: str, status: str, closed_reason: str | None, journal: Any
) -> None:
    account = await queue.office.account("80.00")
    broken = await queue.found(partner, account, ours="80.00", theirs=theirs)
    assert (await queue.resolve(broken, "accept_theirs")).status_code == 200
    shown = await queue.office.shown(account)
    assert (shown["status"], shown["current_balance"]) == (status, theirs)
    debit, credit, amount = journal
    assert await queue.journals(account) == [("adjustment", debit, credit, Decimal(amount))]
    assert await queue.is_sound()


@pytest.mark.parametrize("reason", ["paid", "settled_for_less"])
async def test_a_paid_account_that_owes_again_is_worked_again(
    queue: QueueDesk, partner: Json, reason: str
) -> None:
    account = await queue.office.account("60.00")
    await queue.office.pays(account, "60.00")
    assert (await queue.office.shown(account))["status"] == "closed"
    closed = "UPDATE account SET closed_reason = :reason WHERE id = :id"
    await queue.office.query(closed, reason=reason, id=account["id"])
    broken = await queue.found(partner, account, ours="0.00", theirs="25.00")
    assert (await queue.resolve(broken, "accept_theirs")).status_code == 200
    shown = await queue.office.shown(account)
    assert (shown["status"], shown["current_balance"]) == ("in_contact", "25.00")
    assert await queue.is_sound()


@pytest.mark.parametrize(
    ("theirs", "left", "status"), [("70.00", "70.00", "new"), ("0.00", "0.00", "settled")]
)
async def test_a_write_off_forgives_what_is_above_theirs(
    queue: QueueDesk, partner: Json, theirs: str, left: str, status: str
) -> None:
    account = await queue.office.account("90.00")
    broken = await queue.found(partner, account, ours="90.00", theirs=theirs)
    assert (await queue.resolve(broken, "write_off")).status_code == 200
    shown = await queue.office.shown(account)
    assert (shown["current_balance"], shown["status"]) == (left, status)
    [(kind, debit, credit, amount)] = await queue.journals(account)
    assert (kind, debit, credit) == ("write_off", "write_off", "receivable")
    assert amount == Decimal("90.00") - Decimal(left)
    assert await queue.is_sound()


REFUSED = [
    pytest.param({"theirs": "-100.00"}, "accept_theirs", id="below-zero"),
    pytest.param({"theirs": "120.00"}, "write_off", id="theirs-is-more"),
    pytest.param({"kind": "duplicate"}, "accept_theirs", id="a-duplicate"),
    pytest.param({"kind": "stale", "theirs": None}, "write_off", id="a-stale-line"),
    pytest.param({"kind": "status", "theirs": None, "theirs_status": "PARTIAL"}, "accept_theirs", id="words"),
    pytest.param({"ours": None, "kind": "missing_here"}, "accept_theirs", id="unknown-here"),
    pytest.param({}, "keep_ours", id="nobody-to-tell"),
]


@pytest.mark.parametrize(("columns", "resolution"), REFUSED)
async def test_what_is_not_possible_is_refused_and_not_offered(
    queue: QueueDesk, partner: Json, columns: dict[str, Any], resolution: str
) -> None:
    broken = await queue.found(partner, await queue.office.account(), **columns)
    assert resolution not in broken["resolutions"]
    for ask in (queue.resolve, queue.propose):
        refused = await ask(broken, resolution)
        assert refused.status_code == 409, refused.text
        assert refused.json()["type"].endswith("resolution-not-possible")
    assert (await queue.get(broken))["state"] == "open"


async def test_money_that_the_bank_states_otherwise_moves_the_house_s_cash(
    queue: QueueDesk, partner: Json
) -> None:
    account = await queue.office.account("100.00")
    payment = await queue.office.pays(account, "50.00")
    of_payment = {"payment_id": payment["id"], "subject": payment["id"], "ours": "50.00"}
    fee = await queue.found(partner, account, kind="fee", theirs="48.50", **of_payment)
    taken = (await queue.resolve(fee, "accept_theirs")).json()
    cash = (None, "adjustments", "cash", Decimal("1.50"))
    assert await queue.of_journal(taken["journal_id"]) == [cash]
    of_payment["ours"] = "48.50"
    gone = await queue.found(partner, account, kind="missing_there", theirs=None, **of_payment)
    lost = (await queue.resolve(gone, "write_off")).json()
    assert await queue.of_journal(lost["journal_id"]) == [
        (None, "processor_losses", "cash", Decimal("48.50"))
    ]
    assert (await queue.office.shown(account))["current_balance"] == "50.00", "the debtor has paid"
    assert await queue.is_sound()


async def test_a_payment_between_proposal_and_approval_is_a_conflict(queue: QueueDesk, partner: Json) -> None:
    account = await queue.office.account("300.00")
    broken = await queue.found(partner, account, ours="300.00", theirs="150.00")
    await queue.propose(broken, "accept_theirs")
    await queue.office.pays(account, "150.00")
    refused = await queue.tell(broken, "approve", SECOND)
    assert refused.status_code == 409, refused.text
    assert refused.json()["type"].endswith("break-changed")
    assert (refused.json()["found"], refused.json()["balance"]) == ("300.00", "150.00")
    assert (await queue.office.shown(account))["current_balance"] == "150.00"
    assert (await queue.get(broken))["proposals"][0]["state"] == "open"
    rejected = await queue.tell(broken, "reject", SECOND)
    assert rejected.json()["state"] == "open"
    stale = await queue.propose(broken, "write_off")
    assert stale.json()["type"].endswith("break-changed"), "not even proposed"
    assert (await queue.propose(broken, "explain")).status_code == 200


async def test_a_statement_between_proposal_and_approval_is_a_conflict(
    queue: QueueDesk, partner: Json
) -> None:
    broken = await queue.found(partner, await queue.office.account())
    await queue.propose(broken, "explain")
    await queue.alter(broken, "theirs = 89.00, difference = -11.00")
    refused = await queue.tell(broken, "approve", SECOND)
    assert refused.status_code == 409
    assert (refused.json()["proposed"]["theirs"], refused.json()["now"]["theirs"]) == ("90.00", "89.00")


async def test_of_two_who_resolve_at_once_one_gets_there(queue: QueueDesk, partner: Json) -> None:
    for _ in range(3):
        account = await queue.office.account()
        broken = await queue.found(partner, account)
        codes = await queue.at_once(
            queue.resolve(broken, "accept_theirs", FIRST),
            queue.resolve(broken, "accept_theirs", SECOND),
            queue.resolve(broken, "write_off", SECOND),
            queue.resolve(broken, "explain", FIRST),
        )
        assert codes == [200, 409, 409, 409]
        assert len(await queue.journals(account)) <= 1
        assert len([a for a, _ in await queue.recorded(broken) if a == "break.resolved"]) == 1
    assert await queue.is_sound()


async def test_of_many_proposals_and_decisions_at_once_one_of_each_holds(
    queue: QueueDesk, partner: Json
) -> None:
    account = await queue.office.account("900.00")
    broken = await queue.found(partner, account, ours="900.00", theirs="700.00")
    codes = await queue.at_once(*(queue.propose(broken, "accept_theirs") for _ in range(4)))
    assert codes == [200, 409, 409, 409]
    codes = await queue.at_once(
        *(queue.tell(broken, "approve", SECOND) for _ in range(2)),
        queue.tell(broken, "reject", SECOND),
        queue.tell(broken, "reject", FIRST),
    )
    assert codes == [200, 409, 409, 409]
    shown = await queue.get(broken)
    assert len(await queue.journals(account)) == (1 if shown["state"] == "resolved" else 0)
    assert await queue.is_sound()


async def test_payments_and_resolutions_at_once_leave_the_ledger_sound(
    queue: QueueDesk, partner: Json
) -> None:
    accounts = [await queue.office.account() for _ in range(4)]
    broken = [await queue.found(partner, account) for account in accounts]
    await asyncio.gather(
        *(queue.office.pays(account, "30.00") for account in accounts),
        *(queue.resolve(one, "accept_theirs") for one in broken),
    )
    for account, one in zip(accounts, broken, strict=True):
        resolved = (await queue.get(one))["state"] == "resolved"
        balance = (await queue.office.shown(account))["current_balance"]
        assert balance == ("60.00" if resolved else "70.00")
    assert await queue.is_sound()


async def test_a_command_sent_again_is_answered_again(queue: QueueDesk, partner: Json) -> None:
    broken = await queue.found(partner, await queue.office.account())
    key = uuid4().hex
    first = await queue.resolve(broken, "explain", key=key)
    again = await queue.resolve(broken, "explain", key=key)
    assert (first.status_code, again.status_code, again.json()) == (200, 200, first.json())
    other = await queue.resolve(broken, "write_off", key=key)
    assert other.status_code == 422
    assert len(await queue.recorded(broken)) == 1


async def test_who_has_seen_another_version_is_told(queue: QueueDesk, partner: Json) -> None:
    broken = await queue.found(partner, await queue.office.account())
    await queue.propose(broken, "explain", version=broken["version"])
    behind = await queue.tell(broken, "approve", SECOND, version=broken["version"])
    assert behind.status_code == 409
    assert behind.json()["version"] == broken["version"] + 1
    assert (await queue.tell(broken, "approve", SECOND, version=behind.json()["version"])).status_code == 200


@pytest.mark.parametrize(
    ("what", "body", "field"),
    [
        pytest.param("resolve", {"resolution": "explain"}, "note", id="no-note"),
        pytest.param("resolve", {"resolution": "explain", "note": "  "}, "note", id="an-empty-note"),
        pytest.param("propose", {"resolution": "forget", "note": NOTE}, "resolution", id="unknown"),
        pytest.param("resolve", {"resolution": "explain", "note": NOTE, "x": 1}, "x", id="more"),
        pytest.param("assign", {}, "owner", id="no-owner"),
        pytest.param("assign", {"owner": "nobody.here"}, "owner", id="an-unknown-owner"),
        pytest.param("assign", {"owner": "acme.collector"}, "owner", id="a-collector"),
        pytest.param("assign", {"owner": "rival.admin"}, "owner", id="another-agency-s"),
        pytest.param("approve", {"version": 0}, "version", id="no-such-version"),
    ],
)
async def test_bad_input_is_named(queue: QueueDesk, partner: Json, what: str, body: Json, field: str) -> None:
    broken = await queue.found(partner, await queue.office.account())
    answer = await queue.tell(broken, what, **body)
    assert answer.status_code == 422, answer.text
    assert field in answer.text


async def test_another_agency_s_breaks_are_not_there(queue: QueueDesk, partner: Json) -> None:
    broken = await queue.found(partner, await queue.office.account())
    assert broken["id"] not in await queue.ids("", who="rival.admin")
    assert (await queue.office.ask("rival.admin", "GET", f"/breaks/{broken['id']}")).status_code == 404
    for what in ("propose", "approve", "reject", "resolve"):
        body = {"resolution": "explain", "note": NOTE} if what in {"propose", "resolve"} else {}
        assert (await queue.tell(broken, what, "rival.admin", **body)).status_code == 404
    assert (await queue.get(broken))["version"] == broken["version"]


async def test_the_queue_is_filtered(queue: QueueDesk, partner: Json) -> None:
    other = await queue.office.partner()
    account = await queue.office.account()
    days = {0: "0-1", 1: "0-1", 2: "2-5", 5: "2-5", 6: "6-30", 30: "6-30", 31: "30+", 400: "30+"}
    aged = {}
    for day in days:
        one = await queue.found(partner, subject=f"aged-{day}", kind="missing_here", ours=None)
        await queue.alter(one, "found_at = now() - make_interval(days => :days, hours => 1)", days=day)
        aged[day] = one["id"]
        assert (await queue.get(one))["age_days"] == day
    mine = f"partner_id={partner['id']}"
    for bucket in ("0-1", "2-5", "6-30", "30%2B"):
        wanted = {aged[day] for day, name in days.items() if name == bucket.replace("%2B", "+")}
        assert await queue.ids(f"{mine}&age={bucket}") == wanted
    status = await queue.found(partner, account, kind="status", theirs="100.00")
    dear = await queue.found(other, account, ours="100.00", theirs="7000.00")
    assert await queue.ids(f"{mine}&kind=status") == {status["id"]}
    assert await queue.ids("min_value=6900.00") >= {dear["id"]}
    assert status["id"] not in await queue.ids("min_value=6900.00")
    assert await queue.ids(f"partner_id={other['id']}") == {dear["id"]}
    assert await queue.ids(f"account_id={account['id']}") == {status["id"], dear["id"]}
    await queue.tell(dear, "assign", owner=SECOND)
    assert await queue.ids(f"owner={SECOND}&partner_id={other['id']}") == {dear["id"]}
    assert await queue.ids(f"owner=me&partner_id={other['id']}", SECOND) == {dear["id"]}
    assert dear["id"] not in await queue.ids("owner=none")
    await queue.resolve(status, "explain")
    assert await queue.ids(f"{mine}&state=resolved") == {status["id"]}
    assert status["id"] not in await queue.ids(f"{mine}&state=open&state=proposed")
    for wrong in (
        "age=3-4",
        "min_value=-1",
        "kind=odd",
        "owner=nobody.here",
        "owner=%00",
        "own=me",
        "source=bank",
    ):
        assert (await queue.office.ask(FIRST, "GET", f"/breaks?{wrong}")).status_code == 422


async def test_the_queue_is_paged_through(queue: QueueDesk, partner: Json) -> None:
    made = [(await queue.found(partner, subject=f"page-{n}", kind="stale"))["id"] for n in range(5)]
    path, seen = f"/breaks?partner_id={partner['id']}&page_size=2", []
    while path:
        page = await queue.office.done("GET", path)
        seen += [row["id"] for row in page["results"]]
        path = (page["next"] or "").removeprefix("http://test/api/v1")
    assert seen == made[::-1]


async def test_a_break_that_resolved_itself_takes_its_proposal_with_it(
    queue: QueueDesk, partner: Json
) -> None:
    broken = await queue.found(partner, await queue.office.account())
    await queue.propose(broken, "explain")
    await queue.alter(broken, "state = 'resolved', resolution = 'cured', resolved_at = now()")
    async with queue.transaction() as tx:
        await tx.breaks.withdraw_of_resolved()
    shown = await queue.get(broken)
    assert [one["state"] for one in shown["proposals"]] == ["withdrawn"]
    assert (await queue.tell(broken, "approve", SECOND)).status_code == 409


async def test_age_stops_when_a_break_is_resolved(queue: QueueDesk, partner: Json) -> None:
    broken = await queue.found(partner, await queue.office.account())
    await queue.resolve(broken, "explain")
    await queue.alter(
        broken, "found_at = now() - CAST(:found AS interval), resolved_at = now() - CAST(:done AS interval)",
        found=timedelta(days=40), done=timedelta(days=37),
    )  # fmt: skip
    shown = await queue.get(broken)
    assert (shown["age_days"], shown["age"]) == (3, "2-5")
