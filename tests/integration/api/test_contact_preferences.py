"""When and where debtors are not to be contacted, over REST."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.tenancy import Tenant
from tests.integration.api.contacting import check, debt, results
from tests.integration.api.people import make


async def test_preferences_are_kept_and_count(world: Any) -> None:
    account = await debt(world, debtor=await make(world, postal_code="75201"))
    path = f"/debtors/{account['debtor']['id']}/contact-preferences"
    untold = (await world.call("acme.collector", "GET", path)).json()
    assert untold == {
        "debtor_id": account["debtor"]["id"], "time_zone": None, "inconvenient": [],
        "inconvenient_places": [], "zones": ["America/Chicago"], "updated_at": None,
    }  # fmt: skip

    at = datetime(2026, 6, 3, 18, tzinfo=UTC)  # a Wednesday, 13:00 in Dallas
    body = {
        "time_zone": "America/New_York",
        "inconvenient": [{"days": [4, 2, 2], "start": "12:00", "end": "13:30"}],
        "inconvenient_places": ["work"],
    }
    said = await world.call("acme.collector", "PUT", path, body)
    assert said.status_code == 200, said.text
    assert said.json() == (await world.call("acme.auditor", "GET", path)).json()
    assert said.json()["inconvenient"] == [{"days": [2, 4], "start": "12:00", "end": "13:30"}]
    assert said.json()["zones"] == ["America/Chicago", "America/New_York"]
    assert (await check(world, account, at=at))["rule"] == "inconvenient_time"
    assert (await check(world, account, at=at + timedelta(days=1)))["allowed"] is True
    assert (await check(world, account, at=at + timedelta(days=1), place="work"))["rule"] == (
        "inconvenient_place"
    )
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        record = (await tx.audit.of("debtor", account["debtor"]["id"]))[-1]
    assert (record.action, record.actor) == ("debtor.contact_preferences_changed", "acme.collector")
    assert (record.old["time_zone"], record.new["time_zone"]) == (None, "America/New_York")

    await world.call("acme.collector", "PUT", path, body)
    cleared = await world.call("acme.collector", "PUT", path, {})
    assert cleared.json()["inconvenient"] == cleared.json()["inconvenient_places"] == []
    assert (await check(world, account, at=at))["allowed"] is True
    events = [e for e in await results(world, account, "timeline") if "preferences" in e["description"]]
    assert len(events) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"time_zone": "Atlantis/Capital"}, "time_zone"),
        ({"inconvenient": [{"days": [7], "start": "08:00", "end": "09:00"}]}, "inconvenient[0].days[0]"),
        ({"inconvenient": [{"start": "8:00", "end": "09:00"}]}, "inconvenient[0].start"),
        ({"inconvenient": [{"start": "08:00", "end": "24:00"}]}, "inconvenient[0].end"),
        ({"inconvenient": [{"start": "08:00"}]}, "inconvenient[0].end"),
        ({"inconvenient": [{"start": "08:00", "end": "09:00"}] * 51}, "inconvenient"),
        ({"inconvenient_places": ["unknown"]}, "inconvenient_places[0]"),
        ({"zone": "UTC"}, "zone"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_bad_preferences_are_named(world: Any, body: dict[str, Any], field: str) -> None:
    account = await debt(world)
    path = f"/debtors/{account['debtor']['id']}/contact-preferences"
    answer = await world.call("acme.collector", "PUT", path, body)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
