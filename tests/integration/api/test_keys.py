"""An idempotency key is its user's: nobody else gets the answer that it has."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from temporalio.client import Client

from tests.integration.api.commanding import (
    account_of,
    collectors,
    events,
    key,
    second_collector,
    tell,
    working,
)
from tests.integration.api.contacting import CALL, days_ago
from tests.integration.api.people import read, set_account

REUSED = "urn:recoup:problem:idempotency-key-reused"


@pytest.fixture(scope="module", autouse=True)
async def worker(world: Any, temporal_client: Client) -> AsyncIterator[None]:
    async with working(world, temporal_client):
        yield


@pytest.fixture(scope="module")
async def people(world: Any) -> dict[str, UUID]:
    """The collectors of acme by their logins."""
    return {**await collectors(world), "acme.second": await second_collector(world)}


def bodies() -> dict[str, Any]:
    return {
        "promises": {"amount": "100", "due_date": f"{datetime.now(UTC) + timedelta(days=10):%Y-%m-%d}"},
        "contacts": {**CALL, "at": days_ago(1).isoformat()},
        "notes": {"text": "Calls back on Monday"},
    }


@pytest.mark.parametrize("what", ["promises", "contacts", "notes"])
async def test_a_key_belongs_to_the_user_who_used_it(world: Any, people: dict[str, UUID], what: str) -> None:
    account = await account_of(world, status="in_contact", assigned_to=people["acme.collector"])
    once, body = key(), bodies()[what]
    first = await tell(world, account, what, body, "acme.collector", **once)
    assert first.status_code == 201, first.text
    before = await events(world, account)

    platform = {**once, "X-Agency": "acme"}
    answers = [
        await tell(world, account, what, body, "acme.admin", **once),
        await tell(world, account, what, body, "platform", **platform),
    ]
    again = await tell(world, account, what, body, "acme.collector", **once)
    not_theirs = await tell(world, account, what, body, "acme.second", **once)
    await set_account(world, account, assigned_to=people["acme.second"])
    answers.append(await tell(world, account, what, body, "acme.second", **once))

    lost = await tell(world, account, what, body, "acme.collector", **once)
    unknown = await tell(world, account, what, body, "acme.collector", **key())

    assert not_theirs.status_code == lost.status_code == 404, "not theirs: not even that the key is known"
    assert lost.json() == unknown.json()
    assert first.json()["id"] not in not_theirs.text
    assert (again.status_code, again.json()) == (201, first.json())
    for answer in answers:
        said = answer.json()
        assert (answer.status_code, said["type"], said["field"]) == (422, REUSED, "Idempotency-Key")
        assert first.json()["id"] not in answer.text
    assert await events(world, account) == before


async def test_a_platform_administrator_s_keys_are_theirs_too(world: Any) -> None:
    once, body = key(), {"name": "Keyed Bank"}
    first = await world.call("platform", "POST", "/creditors", body, **{**once, "X-Agency": "acme"})

    other = await world.call("acme.admin", "POST", "/creditors", body, **once)
    again = await world.call("platform", "POST", "/creditors", body, **{**once, "X-Agency": "acme"})

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert (other.status_code, other.json()["type"]) == (422, REUSED)
    rows = (await read(world, "/creditors"))["results"]
    assert [row["name"] for row in rows].count("Keyed Bank") == 1
