"""Cases of breaks on the real stack: begun by people or by value, escalated, told of news, word sent."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.testing import ActivityEnvironment

from activities.break_cases import BreakCaseActivities
from activities.break_messages import CasesSeenTo, NewsOfBreaks
from db.breaks import BreakFilter
from db.models import PartnerReconciliationRun, ReconciliationBreak
from domain.breaks import MOST_CASES
from services.break_starts import BreakCaseStarter
from tests.integration.partners.endpoint import SECRET, Endpoint
from tests.integration.partners.office import Json, PartnerOffice
from tests.integration.partners.queue_desk import FIRST, SECOND, QueueDesk
from workflows.break_case import LEFT, BreakCase

MATERIAL = "5000.00"


@pytest.fixture(scope="module")
async def queue(office: PartnerOffice) -> QueueDesk:
    return await QueueDesk.opened(office)


@pytest.fixture
async def told_partner(office: PartnerOffice) -> Json:
    """A partner that is sent files."""
    partner = await office.partner(delivery="sftp")
    (office.folder(partner["name"]) / "to-partner").mkdir()
    return partner


async def test_who_takes_a_break_has_until_then_to_answer(queue: QueueDesk, partner: Json) -> None:
    broken = await queue.found(partner, await queue.office.account())
    assert broken["workflow_id"] is None
    taken = await queue.tell(broken, "assign", owner=SECOND)
    assert (taken.status_code, taken.json()["owner"]) == (200, SECOND)

    async def begun() -> bool:
        return (await queue.get(broken))["workflow_id"] == f"break/{broken['id']}"

    await queue.until(begun, "its case to begin")
    shown = await queue.get(broken)
    assert shown["answer_due_at"] is not None
    assert shown["escalated_at"] is None
    assert shown["web_ui_url"].endswith(broken["id"])
    [step] = (await queue.case(broken).query(BreakCase.describe)).next
    assert step.what == "escalation"
    assert abs((step.at - datetime.fromisoformat(shown["answer_due_at"])).total_seconds()) < 1
    given_back = await queue.tell(broken, "assign", owner=None)
    assert given_back.json()["owner"] is None
    assert await queue.case(broken).result() == LEFT
    after = await queue.get(broken)
    assert (after["workflow_id"], after["answer_due_at"]) == (None, None)
    await queue.propose(broken, "explain")
    await queue.until(begun, "its case to begin again")
    await queue.tell(broken, "approve", SECOND)
    assert await queue.case(broken).result() == "explain"
    actions = [action for action, _ in await queue.recorded(broken)]
    assert actions.count("break.case_opened") == 2
    assert actions.count("break.assigned") == 2


async def test_what_is_not_answered_in_time_is_escalated_for_all_to_see(
    queue: QueueDesk, partner: Json
) -> None:
    account = await queue.office.account()
    broken = await queue.found(partner, account)
    await queue.tell(broken, "assign", owner=FIRST)
    await queue.becomes(broken, "its case to begin", workflow_id=f"break/{broken['id']}")
    assert broken["id"] not in await queue.ids("escalated=true")
    await queue.alter(broken, "answer_due_at = now() - interval '1 minute'")
    await queue.case(broken).signal(BreakCase.changed)

    async def escalated() -> bool:
        return (await queue.get(broken))["escalated_at"] is not None

    await queue.until(escalated, "the break to be escalated")
    assert broken["id"] in await queue.ids("escalated=true")
    assert "break.escalated" in [action for action, _ in await queue.recorded(broken)]
    assert "escalated" in (await queue.events(account))[-1]["description"]
    await queue.case(broken).signal(BreakCase.changed)
    assert (await queue.resolve(broken, "explain")).status_code == 200
    assert await queue.case(broken).result() == "explain"
    actions = [action for action, _ in await queue.recorded(broken)]
    assert actions.count("break.escalated") == 1


async def delivered(queue: QueueDesk, broken: Json) -> Json:
    """The break once word has reached the partner."""

    async def so() -> bool:
        return (await queue.get(broken))["message"]["state"] == "delivered"

    await queue.until(so, "word to be delivered")
    return await queue.get(broken)


async def test_our_record_is_kept_and_the_partner_is_sent_word(queue: QueueDesk, told_partner: Json) -> None:
    account = await queue.office.account("700.00")
    broken = await queue.found(told_partner, account, ours="700.00", theirs="100.00")
    kept = await queue.agreed(broken, "keep_ours")
    assert (kept["state"], kept["resolution"], kept["journal_id"]) == ("open", None, None)
    assert kept["told_at"] is not None
    assert kept["message"]["state"] in {"pending", "delivered"}
    message = (await delivered(queue, broken))["message"]
    assert (message["state"], message["attempts"], message["last_problem"]) == ("delivered", 1, None)
    name = f"break-{broken['id']}.json"
    assert queue.office.lying(told_partner, "to-partner") == [name]
    assert message["target"].endswith(f"/to-partner/{name}")
    lying = queue.office.folder(told_partner["name"]) / "to-partner" / name
    word = json.loads(lying.read_text())
    assert word["account_ref"] == account["external_ref"]
    assert word["ours"] == {"balance": "700.00", "status": "new"}
    assert word["yours"] == {"balance": "100.00", "status": None}
    assert (await queue.office.shown(account))["current_balance"] == "700.00"
    assert await queue.journals(account) == []


async def test_what_the_partner_was_told_waits_for_its_answer_and_is_escalated_without(
    queue: QueueDesk, told_partner: Json
) -> None:
    broken = await queue.found(told_partner, await queue.office.account())
    await queue.alter(broken, "escalated_at = now()")
    assert (await queue.resolve(broken, "keep_ours")).status_code == 200
    shown = await delivered(queue, broken)
    assert (shown["state"], shown["escalated_at"], shown["workflow_id"]) == (
        "open", None, f"break/{broken['id']}",
    )  # fmt: skip
    again = await queue.resolve(broken, "keep_ours")
    assert (again.status_code, again.json()["word"]) == (409, "delivered")
    await queue.alter(broken, "answer_due_at = now() - interval '1 minute'")
    await queue.case(broken).signal(BreakCase.changed)

    async def escalated() -> bool:
        return (await queue.get(broken))["escalated_at"] is not None

    await queue.until(escalated, "the break to be escalated")
    assert [action for action, _ in await queue.recorded(broken)].count("break.told") == 1
    assert (await queue.resolve(broken, "accept_theirs")).status_code == 200
    assert await queue.case(broken).result() == "accept_theirs"


async def test_word_that_could_not_be_sent_is_sent_again(queue: QueueDesk, told_partner: Json) -> None:
    broken = await queue.found(told_partner, await queue.office.account())
    name = f"break-{broken['id']}.json"
    assert (await queue.resolve(broken, "keep_ours")).status_code == 200
    await delivered(queue, broken)
    lying = queue.office.folder(told_partner["name"]) / "to-partner" / name
    sent = lying.read_bytes()
    lying.unlink()
    await queue.office.query(
        "UPDATE partner_message SET state = 'failed', delivered_at = NULL WHERE break_id = :id",
        id=broken["id"],
    )
    assert (await queue.resolve(broken, "keep_ours")).status_code == 200
    await delivered(queue, broken)
    assert lying.read_bytes() == sent


async def test_word_about_what_is_resolved_meanwhile_is_not_sent(
    queue: QueueDesk, told_partner: Json
) -> None:
    broken = await queue.found(told_partner, await queue.office.account())
    await queue.office.door.stop()
    try:
        assert (await queue.resolve(broken, "keep_ours")).status_code == 200
        assert (await queue.resolve(broken, "explain")).status_code == 200
        # An attempt that had begun before would still arrive.
        assert await queue.case(broken).result() == "explain"
    finally:
        await queue.office.door.start()
    assert (await queue.get(broken))["message"]["state"] == "failed"
    assert queue.office.lying(told_partner, "to-partner") == []


async def test_word_over_https_is_the_same_under_the_same_key_until_it_is_confirmed(
    queue: QueueDesk,
) -> None:
    endpoint = Endpoint(answers=["500", "cut"])
    await endpoint.start()
    try:
        way = {"delivery": "https", "delivery_url": endpoint.url, "signing_secret": SECRET}
        partner = await queue.office.partner(**way)
        broken = await queue.found(partner, await queue.office.account())
        assert (await queue.resolve(broken, "keep_ours")).status_code == 200
        await delivered(queue, broken)
    finally:
        await endpoint.stop()
    message = (await queue.get(broken))["message"]
    assert (message["state"], message["attempts"], message["target"]) == ("delivered", 3, endpoint.url)
    assert endpoint.keys == [f"break-{broken['id']}"] * 3
    assert len({delivery.body for delivery in endpoint.deliveries}) == 1


async def test_word_waits_for_a_partner_that_is_away(queue: QueueDesk, told_partner: Json) -> None:
    broken = await queue.found(told_partner, await queue.office.account())
    await queue.propose(broken, "keep_ours")
    async with queue.transaction() as tx:
        await tx.partners.change(UUID(told_partner["id"]), {"delivery": "none", "source_id": None}, {})
    refused = await queue.tell(broken, "approve", SECOND)
    assert refused.status_code == 409, "nobody would learn of it"
    async with queue.transaction() as tx:
        source = queue.office.source_id
        await tx.partners.change(UUID(told_partner["id"]), {"delivery": "sftp", "source_id": source}, {})
    await queue.office.door.stop()
    try:
        assert (await queue.tell(broken, "approve", SECOND)).status_code == 200

        async def tried() -> bool:
            return (await queue.get(broken))["message"]["last_problem"] is not None

        await queue.until(tried, "word to be tried")
        assert (await queue.get(broken))["message"]["state"] == "pending"
    finally:
        await queue.office.door.start()
    message = (await delivered(queue, broken))["message"]
    assert (message["state"], message["last_problem"]) == ("delivered", None)
    assert message["attempts"] >= 2


async def run_of(queue: QueueDesk, partner: Json) -> UUID:
    """A run that has just ended."""
    async with queue.transaction() as tx:
        run = PartnerReconciliationRun(
            agency_id=queue.office.agency_id,
            partner_id=UUID(partner["id"]),
            origin="manual",
            requested_by="test",
            status="completed",
        )
        tx.session.add(run)
        await tx.session.flush()
        return run.id


async def news(queue: QueueDesk, partner: Json, run_id: UUID) -> CasesSeenTo:
    """What follows a run."""
    starter = BreakCaseStarter(queue.office.temporal)
    cases = BreakCaseActivities(queue.office.world.database, starter.start, starter.answer, None)  # type: ignore[arg-type]
    told = NewsOfBreaks(agency_id=queue.office.agency_id, partner_id=UUID(partner["id"]), run_id=run_id)
    return await ActivityEnvironment().run(cases.follow, told)


async def test_what_is_material_becomes_a_case_by_itself_and_hears_of_the_next_statement(
    queue: QueueDesk, partner: Json
) -> None:
    small = await queue.found(partner, await queue.office.account(), theirs="1000.00")
    dear = await queue.found(partner, await queue.office.account(), theirs=MATERIAL)
    first = await news(queue, partner, await run_of(queue, partner))
    assert (first.started, first.told) == (1, 0)
    await queue.becomes(dear, "its case to begin", workflow_id=f"break/{dear['id']}")
    assert (await queue.get(small))["workflow_id"] is None
    run_id = await run_of(queue, partner)
    await queue.alter(dear, "seen_run_id = :run, seen_at = now() + interval '1 second'", run=run_id)
    again = await news(queue, partner, run_id)
    assert (again.started, again.told) == (0, 1)
    run_id = await run_of(queue, partner)
    await queue.propose(dear, "explain")
    cured = "state = 'resolved', resolution = 'cured', resolved_at = now()"
    await queue.alter(dear, cured)
    await news(queue, partner, run_id)
    assert await queue.case(dear).result() == "cured"
    assert [one["state"] for one in (await queue.get(dear))["proposals"]] == ["withdrawn"]


async def test_no_more_cases_begin_by_themselves_than_people_can_see_to(queue: QueueDesk) -> None:
    partner = await queue.office.partner()
    async with queue.transaction() as tx:
        for number in range(MOST_CASES + 20):
            tx.session.add(
                ReconciliationBreak(
                    agency_id=queue.office.agency_id,
                    source="partner",
                    partner_id=UUID(partner["id"]),
                    kind="missing_here",
                    subject=f"many-{number}",
                    currency="USD",
                    probable_cause="unknown",
                    value=Decimal(2000 + number),
                    theirs=Decimal(2000 + number),
                )
            )
        await tx.session.flush()
        wanted = {"material": Decimal(1000), "partner_id": UUID(partner["id"])}
        first = await tx.breaks.wanting_cases(most=MOST_CASES, **wanted)
        mine = {row.broken.id: row.broken.value for row in await everything(tx, partner)}
        begun = [one for one in first if one in mine]
        assert sorted(mine[one] for one in begun) == [Decimal(2000 + n) for n in range(20, MOST_CASES + 20)]
        for one in begun[:150]:
            await tx.breaks.open_case((await tx.breaks.get(one)).broken, timedelta(hours=1))
        left = [one for one in await tx.breaks.wanting_cases(most=MOST_CASES, **wanted) if one in mine]
        assert len(left) == MOST_CASES - 150, "no more than that at once"
        await tx.session.rollback()


async def everything(tx: Any, partner: Json) -> Any:
    return await tx.breaks.page(None, 1000, BreakFilter(partner_id=UUID(partner["id"])))


async def test_a_case_whose_start_was_lost_is_started_by_the_next_look(
    queue: QueueDesk, partner: Json
) -> None:
    """The command is committed, Temporal was away: the break says that somebody works it."""
    broken = await queue.found(partner, await queue.office.account())
    user = (await queue.office.query("SELECT id FROM app_user WHERE username = :name", name=FIRST))[0][0]
    await queue.alter(broken, "owner_id = :user", user=user)
    assert (await news(queue, partner, uuid4())).started >= 1
    await queue.becomes(broken, "its case to begin", workflow_id=f"break/{broken['id']}")
    running = await queue.case(broken).describe()
    assert running.status is WorkflowExecutionStatus.RUNNING
