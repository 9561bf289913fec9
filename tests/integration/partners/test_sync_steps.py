"""The steps of a sending, one by one: what is in it is decided once, what is confirmed counts once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.testing import ActivityEnvironment

from activities.partner_sync import BatchChanged, PartnerSyncActivities
from activities.partner_sync_messages import BatchRef, SyncEnd, SyncRef, SyncRequest, UndeliveredBatch
from activities.partner_ways import NoWay, PartnerWays
from activities.portfolio_sources import PortfolioSources
from gateways.partner_https import PartnerHttps, PartnerRefused, PartnerUnavailable
from gateways.sftp import SftpGateway
from gateways.storage import ObjectStorage
from tests.integration.partners.endpoint import SECRET, Endpoint
from tests.integration.partners.office import Json, PartnerOffice
from workflows import queues


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    made = Endpoint()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(scope="module")
async def stocked(empty_office: PartnerOffice) -> PartnerOffice:
    """An office with five accounts of high priority, of which one is held."""
    accounts = await empty_office.accounts(5, "1500.00")
    await empty_office.query("UPDATE account_score SET high_priority = true")
    await empty_office.query(
        "UPDATE account_score SET queued = false WHERE account_id = :id", id=accounts[0]["id"]
    )
    return empty_office


@pytest.fixture(autouse=True)
async def alone(stocked: PartnerOffice) -> None:
    """The partners of other tests are left: theirs are free for this one's."""
    await stocked.query("UPDATE partner SET active = false")


class Steps:
    """A sending to one partner, two accounts in a batch."""

    def __init__(self, office: PartnerOffice, partner: Json) -> None:
        self.office = office
        self.partner = partner
        storage = ObjectStorage(office.world.settings.storage_url)
        sources = PortfolioSources(office.world.database, SftpGateway(), storage)
        ways = PartnerWays(sources, PartnerHttps(timeout_s=2))
        sizes = {"https": 2, "sftp": 2}
        self.activities = PartnerSyncActivities(office.world.database, ways, batch_sizes=sizes)
        self.request = SyncRequest(
            agency_id=office.agency_id, partner_id=UUID(partner["id"]), sync_id=uuid4(), origin="manual"
        )

    async def open(self) -> SyncRef:
        return await ActivityEnvironment().run(self.activities.open, self.request)

    async def deliver(self, number: int) -> None:
        ref = BatchRef(agency_id=self.office.agency_id, sync_id=self.request.sync_id, number=number)
        await ActivityEnvironment().run(self.activities.deliver, ref)

    async def finish(self, reason: str | None = None) -> Any:
        end = SyncEnd(agency_id=self.office.agency_id, sync_id=self.request.sync_id, reason=reason)
        return await ActivityEnvironment().run(self.activities.finish, end)

    async def shown(self) -> Json:
        return await self.office.done("GET", f"/syncs/{self.request.sync_id}")

    async def known(self) -> int:
        [row] = await self.office.query(
            "SELECT count(*) FROM partner_account WHERE partner_id = :p AND sent_at IS NOT NULL",
            p=self.partner["id"],
        )
        return int(row[0])


async def begun(office: PartnerOffice, endpoint: Endpoint) -> Steps:
    way = {"delivery": "https", "delivery_url": endpoint.url, "signing_secret": SECRET}
    return Steps(office, await office.partner(**way))


async def test_what_is_in_a_sending_is_decided_once_and_nothing_held_is_in_it(
    stocked: PartnerOffice, endpoint: Endpoint
) -> None:
    steps = await begun(stocked, endpoint)
    first, second = await asyncio.gather(steps.open(), steps.open())
    assert first == second == SyncRef(agency_id=stocked.agency_id, sync_id=steps.request.sync_id, batches=2)
    await stocked.query("UPDATE account SET status = 'in_contact'")
    try:
        assert await steps.open() == first
        for number in (1, 2):
            await steps.deliver(number)
    finally:
        await stocked.query("UPDATE account SET status = 'new'")
    accounts = [account for delivery in endpoint.deliveries for account in delivery.accounts]
    assert [account["internal_balance"] for account in accounts] == ["1500.00"] * 4
    assert [account["internal_status"] for account in accounts] == ["new"] * 4
    assert len({account["account_ref"] for account in accounts}) == 4
    summary = await steps.finish()
    assert (summary.status, summary.total, summary.delivered) == ("completed", 4, 4)
    assert await steps.finish() == summary
    assert (await steps.open()).over


async def test_a_batch_counts_once_however_often_its_delivery_is_tried(
    stocked: PartnerOffice, endpoint: Endpoint
) -> None:
    steps = await begun(stocked, endpoint)
    await steps.open()
    endpoint.answers = ["500"]
    with pytest.raises(PartnerUnavailable):
        await steps.deliver(1)
    assert ((await steps.shown())["delivered"], await steps.known()) == (0, 0)
    await asyncio.gather(*(steps.deliver(1) for _ in range(3)))
    await steps.deliver(1)
    shown = await steps.shown()
    assert (shown["delivered"], await steps.known()) == (2, 2)
    assert shown["batches"][0]["status"] == "delivered"
    assert len(set(endpoint.keys)) == len({delivery.body for delivery in endpoint.deliveries}) == 1
    requests = len(endpoint.deliveries)
    await steps.deliver(1)
    assert len(endpoint.deliveries) == requests, "what is on record is not sent again"


async def test_of_two_batches_only_the_one_that_was_taken_counts(
    stocked: PartnerOffice, endpoint: Endpoint
) -> None:
    steps = await begun(stocked, endpoint)
    await steps.open()
    endpoint.answers = ["413"]
    with pytest.raises(PartnerRefused):
        await steps.deliver(1)
    given_up = UndeliveredBatch(
        agency_id=stocked.agency_id, sync_id=steps.request.sync_id, number=1, reason="too large"
    )
    await steps.activities.give_up(given_up)
    await steps.deliver(2)
    summary = await steps.finish()
    assert (summary.status, summary.total, summary.delivered) == ("failed", 4, 2)
    assert summary.reason == "1 of 2 batches were not delivered: too large"
    assert await steps.known() == 2
    assert [batch["status"] for batch in (await steps.shown())["batches"]] == ["failed", "delivered"]


async def test_what_was_not_even_tried_is_not_delivered_either(
    stocked: PartnerOffice, endpoint: Endpoint
) -> None:
    steps = await begun(stocked, endpoint)
    await steps.open()
    summary = await steps.finish("partner.example: not reached")
    assert (summary.status, summary.delivered) == ("failed", 0)
    batches = (await steps.shown())["batches"]
    assert [(batch["status"], batch["attempts"]) for batch in batches] == [("failed", 0)] * 2
    assert {batch["last_problem"] for batch in batches} == {"partner.example: not reached"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"active": False}, "not active"),
        ({"delivery": "none"}, "is none now"),
        ({"delivery": "sftp"}, "sftp now"),
    ],
    ids=["left", "none", "sftp"],
)
async def test_a_partner_that_changes_meanwhile_is_sent_nothing_of_the_old_sort(
    stocked: PartnerOffice, endpoint: Endpoint, change: Json, word: str
) -> None:
    steps = await begun(stocked, endpoint)
    await steps.open()
    await stocked.done("PATCH", f"/partners/{steps.partner['id']}", change)
    with pytest.raises(NoWay, match=word):
        await steps.deliver(1)
    assert endpoint.deliveries == []


async def test_a_mended_address_is_used_by_the_next_attempt(
    stocked: PartnerOffice, endpoint: Endpoint
) -> None:
    steps = await begun(stocked, endpoint)
    await steps.open()
    path = f"/partners/{steps.partner['id']}"
    await stocked.done("PATCH", path, {"delivery_url": "http://127.0.0.1:1/"})
    with pytest.raises(PartnerUnavailable):
        await steps.deliver(1)
    await stocked.done("PATCH", path, {"delivery_url": endpoint.url})
    await steps.deliver(1)
    [first, _] = (await steps.shown())["batches"]
    assert (first["target"], first["attempts"], first["status"]) == (endpoint.url, 2, "delivered")


async def test_other_bytes_under_the_same_key_are_never_sent(
    stocked: PartnerOffice, endpoint: Endpoint
) -> None:
    steps = await begun(stocked, endpoint)
    await steps.open()
    await stocked.query(
        "UPDATE partner_sync_item SET internal_balance = 1 WHERE sync_id = :id", id=steps.request.sync_id
    )
    with pytest.raises(BatchChanged):
        await steps.deliver(1)
    assert endpoint.deliveries == []


async def test_who_is_not_served_any_more_gets_no_sending(stocked: PartnerOffice, endpoint: Endpoint) -> None:
    steps = await begun(stocked, endpoint)
    await stocked.done("PATCH", f"/partners/{steps.partner['id']}", {"active": False})
    with pytest.raises(NoWay) as refusal:
        await steps.open()
    await steps.finish(refusal.value.message)
    shown = await steps.shown()
    assert (shown["status"], shown["total"], shown["reason"]) == ("failed", 0, refusal.value.message)


async def test_files_are_whole_and_the_same_when_they_are_written_again(stocked: PartnerOffice) -> None:
    steps = Steps(stocked, await stocked.partner(delivery="sftp"))
    await steps.open()
    await steps.deliver(1)
    folder = stocked.folder(steps.partner["name"]) / "to-partner"
    [name] = stocked.lying(steps.partner, "to-partner")
    first = (folder / name).read_bytes()
    await stocked.query(
        "UPDATE partner_batch SET status = 'pending' WHERE sync_id = :id", id=steps.request.sync_id
    )
    (folder / name).write_text("cut off")
    await steps.deliver(1)
    assert [path.name for path in folder.iterdir()] == [name]
    assert (folder / name).read_bytes() == first
    assert first.splitlines()[0].decode() == (
        "debtor_id,account_ref,risk_score,internal_balance,internal_status,processed_at"
    )


LATER = (
    "INSERT INTO partner_sync (agency_id, partner_id, origin, requested_by)"
    " SELECT agency_id, id, 'manual', 'x' FROM partner WHERE id = :p"
)


async def retried(office: PartnerOffice, steps: Steps, who: str = "acme.admin") -> Any:
    return await office.ask(who, "POST", f"/syncs/{steps.request.sync_id}/retry")


async def test_only_the_batches_that_are_not_confirmed_are_taken_up_again(
    stocked: PartnerOffice, endpoint: Endpoint
) -> None:
    steps = await begun(stocked, endpoint)
    await steps.open()
    await steps.deliver(1)
    assert (await steps.finish("away for twelve hours")).status == "failed"
    assert (await retried(stocked, steps, "rival.admin")).status_code == 404
    assert (await retried(stocked, steps)).status_code == 202
    shown = await steps.shown()
    assert (shown["status"], shown["delivered"], shown["completed_at"]) == ("running", 2, None)
    assert [batch["status"] for batch in shown["batches"]] == ["delivered", "pending"]
    assert (await steps.open()).batches == 2
    for number in (1, 2):
        await steps.deliver(number)
    assert endpoint.keys == [f"{steps.request.sync_id}-{number}" for number in (1, 2)]
    summary = await steps.finish()
    assert (summary.status, summary.total, summary.delivered) == ("completed", 4, 4)


async def test_a_sending_that_is_at_work_is_not_taken_up_unless_its_workflow_was_terminated(
    stocked: PartnerOffice, endpoint: Endpoint
) -> None:
    partner = (await begun(stocked, endpoint)).partner
    started = (await stocked.ask("acme.admin", "POST", f"/partners/{partner['id']}/syncs", {})).json()
    path = f"/syncs/{started['id']}/retry"
    refused = await stocked.ask("acme.admin", "POST", path)
    assert (refused.status_code, "at work" in refused.text) == (409, True)
    workflow = stocked.temporal.get_workflow_handle(queues.partner_sync_workflow_id(UUID(started["id"])))
    await workflow.terminate()
    answers = await asyncio.gather(*(stocked.ask("acme.admin", "POST", path) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]
    assert (await workflow.describe()).status is WorkflowExecutionStatus.RUNNING
    await workflow.terminate()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("UPDATE partner SET active = false WHERE id = :p", "not active"),
        ("UPDATE partner SET delivery = 'none' WHERE id = :p", "delivery was changed"),
        (LATER, "later sending"),
        ("UPDATE partner_assignment SET partner_id = uuidv7() WHERE partner_id = :p", "4 of the accounts"),
    ],
    ids=["left", "silent", "later", "moved"],
)
async def test_what_would_be_wrong_to_send_by_now_is_not_taken_up(
    stocked: PartnerOffice, endpoint: Endpoint, change: str, word: str
) -> None:
    steps = await begun(stocked, endpoint)
    await steps.open()
    await steps.finish("away")
    await stocked.query(change, p=steps.partner["id"])
    try:
        refused = await retried(stocked, steps)
    finally:
        await stocked.query("DELETE FROM partner_assignment")
    assert (refused.status_code, word in refused.text) == (409, True), refused.text
    assert (await steps.shown())["status"] == "failed"
