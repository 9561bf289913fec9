"""Lifecycles hear of what was changed beside them: at once, else at the next delivery."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from activities import notices as delivery
from activities.messages import AgencyRef
from activities.notices import DeliveryRequest, NoticeActivities
from api.composition import open_database
from db.notices import ADMISSION_MINUTES, Notice
from domain.tenancy import Tenant
from sandbox.processes import until
from services.notices import Signaller
from tests.integration.api.commanding import account_of, notices, tell, working
from tests.integration.api.people import change, make, place, read, set_account
from workflows import queues
from workflows.notices import NoticeDelivery


@pytest.fixture(scope="module", autouse=True)
async def worker(world: Any, temporal_client: Client) -> AsyncIterator[None]:
    async with working(world, temporal_client):
        yield


@pytest.fixture
def signaller(world: Any, temporal_client: Client) -> Signaller:
    return Signaller(world.database, temporal_client)


def system(world: Any, agency: str = "acme") -> Any:
    return world.database.transaction(Tenant.system(world.agencies[agency], "test"))


async def changed_beside(world: Any) -> dict[str, Any]:
    """An account with a lifecycle, then moved by something else, which has noted it."""
    account = await account_of(world)
    answer = await tell(world, account, "transition", {"new_status": "assigned"})
    assert answer.status_code == 200
    await set_account(world, account, status="in_contact", version=99)
    async with system(world) as tx:
        await tx.lifecycles.notify([UUID(account["id"])])
    return account


async def state(world: Any, account: dict[str, Any]) -> str:
    found: str = (await read(world, f"/accounts/{account['id']}/workflow"))["state"]
    return found


async def until_it_knows(world: Any, account: dict[str, Any]) -> None:
    """Until the lifecycle has read what was changed beside it."""

    async def knows() -> bool:
        return await state(world, account) == "in_contact"

    await until(knows, within_s=60, what="the lifecycle to hear of it")


async def test_a_running_lifecycle_is_told_and_the_notice_is_gone(world: Any, signaller: Signaller) -> None:
    account = await changed_beside(world)
    assert await state(world, account) == "assigned"

    await signaller.tell(world.agencies["acme"], [UUID(account["id"])])

    await until_it_knows(world, account)
    assert account["id"] not in await notices(world)


async def test_who_has_no_lifecycle_needs_no_telling(world: Any) -> None:
    account = await account_of(world)

    noted = await tell(world, account, "notes", {"text": "a call"})

    assert noted.status_code == 201
    assert account["id"] not in await notices(world)
    assert (await read(world, f"/accounts/{account['id']}/workflow"))["status"] == "not_started"


async def test_a_change_that_is_noted_meanwhile_keeps_its_notice(world: Any) -> None:
    account = await account_of(world)
    account_id = UUID(account["id"])
    async with system(world) as tx:
        await tx.lifecycles.notify([account_id])
    async with system(world) as tx:
        seen = await tx.notices.of([account_id])
    async with system(world) as tx:
        await tx.lifecycles.notify([account_id])

    async with system(world) as tx:
        await tx.notices.remove(seen)

    assert account["id"] in await notices(world)


async def test_another_agency_s_notices_are_left_alone_even_past_row_level_security(
    world: Any, module_database: Any
) -> None:
    account = await account_of(world)
    async with system(world) as tx:
        await tx.lifecycles.notify([UUID(account["id"])])
        [mine] = await tx.notices.of([UUID(account["id"])])
    everything = world.settings.model_copy(update={"database_url": module_database.superuser_url})
    rival = Tenant.system(world.agencies["rival"], "test")

    async with open_database(everything, "recoup-test") as database, database.transaction(rival) as tx:
        assert await tx.notices.of([mine.account_id]) == []
        await tx.notices.remove([mine])

    assert account["id"] in await notices(world)


async def test_what_was_left_is_delivered_the_oldest_first_within_the_agency(
    world: Any, temporal_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "BATCH", 2)
    changed = [await changed_beside(world) for _ in range(3)]
    async with system(world, "rival") as tx:
        assert await tx.notices.oldest(10) == []

    told = await temporal_client.execute_workflow(
        NoticeDelivery.run,
        AgencyRef(agency_id=world.agencies["acme"]),
        id=f"{queues.notice_workflow_id(world.agencies['acme'])}-{uuid4()}",
        task_queue=queues.LIFECYCLE,
    )

    assert told >= 3
    for account in changed:
        await until_it_knows(world, account)
    assert not {account["id"] for account in changed} & await notices(world)


async def test_a_notice_of_an_account_that_nobody_works_waits_and_is_dropped(world: Any) -> None:
    account = await account_of(world)
    account_id = UUID(account["id"])
    async with system(world) as tx:
        await tx.lifecycles.notify([account_id])
        await tx.notices.drop_unworked()
    assert account["id"] in await notices(world), "its lifecycle may just be starting"

    async with system(world) as tx:
        assert account_id not in [notice.account_id for notice in await tx.notices.oldest(500)]
        await tx.session.execute(
            text("UPDATE lifecycle_notice SET noted_at = now() - make_interval(mins => :age)"),
            {"age": ADMISSION_MINUTES + 1},
        )
        await tx.notices.drop_unworked()
    assert account["id"] not in await notices(world)


async def test_a_batch_ends_where_the_next_begins(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "BATCH", 2)
    accounts = [UUID((await account_of(world))["id"]) for _ in range(3)]
    for account_id in accounts:
        async with system(world) as tx:
            await tx.lifecycles.mark_admitted(account_id)
            await tx.lifecycles.notify([account_id])
    seen: list[UUID] = []

    async def none(found: Any) -> list[Notice]:
        seen.extend(notice.account_id for notice in found)
        return []

    activities, after = NoticeActivities(world.database, {}, none), None
    for _ in range(2):
        request = DeliveryRequest(agency_id=world.agencies["acme"], after=after)
        batch = await ActivityEnvironment().run(activities.deliver, request)
        after = batch.after

    assert seen == accounts
    assert (batch.told, batch.after) == (0, None)
    assert {str(account_id) for account_id in accounts} <= await notices(world)
    async with system(world) as tx:
        await tx.session.execute(text("DELETE FROM lifecycle_notice"))


async def test_a_lifecycle_that_takes_no_signal_keeps_no_other_from_theirs(
    world: Any, signaller: Signaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await changed_beside(world)
    async with system(world) as tx:
        [notice] = await tx.notices.of([UUID(account["id"])])
    refused = Notice(notice.noted_at, UUID(int=0))

    def workflow_id(account_id: UUID) -> str:
        """None where there is no account: a signal that the server refuses."""
        return queues.account_workflow_id(account_id) if account_id.int else ""

    monkeypatch.setattr("services.notices.account_workflow_id", workflow_id)

    assert await signaller.signal([refused, notice]) == [notice]
    assert await signaller.signal([refused]) == []
    assert await signaller.signal([]) == []


async def test_a_debtor_s_lifecycles_are_told_that_they_moved_and_of_nothing_that_moves_no_deadline(
    world: Any,
) -> None:
    debtor = await make(world, state="TX")
    mine = [await place(world, debtor) for _ in range(2)]
    await account_of(world)
    async with system(world) as tx:
        await tx.session.execute(text("DELETE FROM lifecycle_notice"))

    await change(world, debtor, phone="(214) 555-0199")
    assert await notices(world) == set()
    await change(world, debtor, state="OH")
    assert await notices(world) == {account["id"] for account in mine}


@pytest.mark.parametrize(
    "setting",
    [{"time_zone": "America/Chicago"}, {"rule_set": "strictest-states"}, {"name": "Acme Inc."}],
    ids="".join,
)
async def test_all_lifecycles_of_an_agency_are_told_what_moves_their_deadlines(
    world: Any, setting: dict[str, str]
) -> None:
    now = datetime.now(UTC)
    worked = [await account_of(world, admitted_at=now) for _ in range(2)]
    await account_of(world)
    await account_of(world, admitted_at=now, released_at=now)
    path = f"/agencies/{world.agencies['acme']}"
    before = (await world.call("platform", "GET", path)).json()
    async with system(world) as tx:
        await tx.session.execute(text("DELETE FROM lifecycle_notice"))
        rows = await tx.session.scalars(
            text("SELECT id FROM account WHERE admitted_at IS NOT NULL AND released_at IS NULL")
        )
        expected = {str(row) for row in rows} if "name" not in setting else set()

    assert (await world.call("platform", "PATCH", path, setting)).status_code == 200
    told = await notices(world)
    async with system(world) as tx:
        await tx.session.execute(text("DELETE FROM lifecycle_notice"))
    same = await world.call("platform", "PATCH", path, setting)

    assert told == expected
    assert "name" in setting or {account["id"] for account in worked} <= told
    assert (same.status_code, await notices(world)) == (200, set()), "nothing has changed by it"
    [name] = setting
    await world.call("platform", "PATCH", path, {name: before[name]})
