"""Figures over REST: what they say, to whom, and since when."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from temporalio.client import Client

from domain.tenancy import Tenant
from sandbox.processes import until
from services import analytics
from tests.integration.api.commanding import key, second_collector, working
from tests.integration.api.conftest import PASSWORD
from tests.integration.api.contacting import days_ago, debt, logged
from tests.integration.api.people import collector_of, make, place, read

NEW_YORK = ZoneInfo("America/New_York")
PATHS = ("dashboard", "collectors", "payments/trends", "aging-report")


def today() -> date:
    """That of the agencies, which are in New York."""
    return datetime.now(NEW_YORK).date()


async def done(world: Any, method: str, path: str, body: Any = None, who: str = "acme.admin") -> Any:
    answer = await world.call(who, method, path, body, **key())
    assert answer.status_code < 300, answer.text
    return answer.json()


async def pay(world: Any, account: dict[str, Any], amount: str) -> dict[str, Any]:
    """Cash, which is on the ledger when it is answered."""
    body = {"account_id": account["id"], "amount": amount, "method": "cash"}
    made: dict[str, Any] = await done(world, "POST", "/payments", body)

    async def posted() -> bool:
        return bool((await read(world, f"/payments/{made['id']}"))["status"] == "succeeded")

    await until(posted, within_s=30, what="the payment to be posted")
    return made


async def give(world: Any, account: dict[str, Any], collector_id: Any) -> None:
    await done(world, "POST", f"/accounts/{account['id']}/assign", {"collector_id": str(collector_id)})


async def run(world: Any, agency: str, statement: str, **values: Any) -> None:
    agency_id = world.agencies[agency]
    async with world.database.transaction(Tenant.system(agency_id, "test")) as tx:
        await tx.session.execute(text(statement), {"agency": agency_id, **values})


@pytest.fixture(scope="module")
async def story(world: Any, temporal_client: Client) -> AsyncIterator[Any]:
    """Acme: 1,000 placed with Sarah, 500 with nobody, 300 that was paid; rival: one account of 70."""
    async with working(world, temporal_client):
        world.collector, world.second = await collector_of(world), await second_collector(world)
        due = {"due_date": (today() - timedelta(days=45)).isoformat()}
        debtor = await make(world)
        one = await place(world, debtor, "1000.00", **due)
        await place(world, debtor, "500.00")
        paid = await place(world, debtor, "300.00")
        await give(world, one, world.collector)
        first = await pay(world, one, "400.00")
        await give(world, one, world.second)
        await pay(world, one, "100.00")
        await pay(world, paid, "300.00")
        await done(world, "POST", f"/payments/{first['id']}/refund", {"amount": "150.00"})
        await until(lambda: _refunded(world, first), within_s=30, what="the refund to be posted")
        talked = await debt(world, mine=False, amount="20.00")
        await give(world, talked, world.collector)
        await logged(world, talked, conversation=True, right_party=True, at=days_ago(1))
        await run(
            world,
            "acme",
            "INSERT INTO promise (agency_id, account_id, amount, currency, due_date, status, made_by,"
            " resolved_at) SELECT :agency, :account, 5, 'USD', '2026-01-01', status, 'acme.collector', now()"
            " FROM unnest(ARRAY['kept', 'kept', 'broken']) AS s(status)",
            account=one["id"],
        )
        await place(world, await make(world, "rival.admin"), "70.00", "rival.admin")
        yield world


async def _refunded(world: Any, payment: dict[str, Any]) -> bool:
    return bool((await read(world, f"/payments/{payment['id']}"))["refunded_amount"] == "150.00")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks gets figures that are counted then."""
    monkeypatch.setattr(analytics, "LEAST_AGE", timedelta(0))
    monkeypatch.setattr(analytics, "RESTS", 0)
    monkeypatch.setattr(analytics, "QUICK", timedelta(minutes=1))


def counts(accounts: int, placed: str, balance: str) -> dict[str, Any]:
    return {"accounts": accounts, "placed": placed, "balance": balance}


async def test_an_agency_at_a_glance(story: Any) -> None:
    before = datetime.now(UTC)
    seen = await read(story, "/analytics/dashboard")

    assert before - timedelta(seconds=1) < datetime.fromisoformat(seen["as_of"]) < datetime.now(UTC)
    assert (seen["refreshing"], seen["currency"]) == (False, "USD")
    assert seen["accounts"] == counts(4, "1820.00", "1170.00")
    assert seen["open"] == counts(3, "1520.00", "1170.00")
    assert seen["money"] == {
        "payments": 3,
        "received": "800.00",
        "refunded": "150.00",
        "charged_back": "0.00",
        "net": "650.00",
        "collected": "650.00",
    }
    assert (seen["owed_back"], seen["recovery_rate"]) == ("0.00", "0.3571")
    assert seen["promises"] == {"open": 0, "kept": 2, "broken": 1, "cancelled": 0, "kept_rate": "0.6667"}
    assert seen["contacts"] == {"attempts": 1, "right_party": 1, "right_party_rate": "1.0000"}
    assert seen["breaks"] == {"open": 0, "value": "0.00", "elsewhere": 0}
    funnel = {one["status"]: one["accounts"] for one in seen["statuses"]}
    assert list(funnel) == [
        *("new", "assigned", "in_contact", "negotiating", "payment_plan", "disputed", "settled", "closed")
    ]
    assert (sum(funnel.values()), funnel["settled"] + funnel["closed"]) == (4, 1)
    assert [one["risk_level"] for one in seen["risk"]] == ["LOW", "MEDIUM", "HIGH", "CRITICAL", None]
    assert sum(one["accounts"] for one in seen["risk"]) == 3


async def test_what_a_card_counts_is_what_the_list_behind_it_shows(story: Any) -> None:
    seen = await read(story, "/analytics/dashboard")
    still_open = ["new", "assigned", "in_contact", "negotiating", "payment_plan", "disputed"]
    for one in seen["statuses"]:
        shown = (await read(story, "/accounts", status=one["status"]))["results"]
        assert len(shown) == one["accounts"]
    for one in seen["risk"]:
        if one["risk_level"]:
            shown = (await read(story, "/accounts", risk_level=one["risk_level"], status=still_open))[
                "results"
            ]
            assert len(shown) == one["accounts"]


async def test_debts_by_age(story: Any) -> None:
    seen = await read(story, "/analytics/aging-report")

    assert (seen["today"], seen["total"]) == (today().isoformat(), counts(3, "1520.00", "1170.00"))
    assert {one.pop("bucket"): one for one in seen["buckets"]} == {
        "not_due": counts(0, "0.00", "0.00"),
        "0-30": counts(0, "0.00", "0.00"),
        "31-60": counts(1, "1000.00", "650.00"),
        "61-90": counts(0, "0.00", "0.00"),
        "90+": counts(0, "0.00", "0.00"),
        "unknown": counts(2, "520.00", "520.00"),
    }


async def test_money_is_theirs_who_had_the_account_when_it_came(story: Any) -> None:
    seen = await read(story, "/analytics/collectors")
    rows = {one["full_name"]: one for one in seen["results"]}

    assert [one["full_name"] for one in seen["results"]] == ["acme.collector", "acme.second", None]
    assert {name: one["money"]["collected"] for name, one in rows.items()} == {
        "acme.collector": "250.00",
        "acme.second": "100.00",
        None: "300.00",
    }
    assert rows["acme.second"]["held"] == counts(1, "1000.00", "650.00")
    assert rows["acme.collector"]["contacts"]["right_party"] == 1
    assert rows["acme.collector"]["promises"] == {"kept": 2, "broken": 1, "kept_rate": "0.6667"}
    assert (seen["from"], seen["to"]) == (str(today() - timedelta(days=29)), str(today()))
    past = await read(story, "/analytics/collectors", **{"from": "2025-01-01", "to": "2025-12-31"})
    assert {one["money"]["collected"] for one in past["results"]} == {"0.00"}
    assert past["results"][0]["held"]["accounts"] + past["results"][1]["held"]["accounts"] == 2


async def test_a_collector_sees_only_themselves(story: Any) -> None:
    seen = await read(story, "/analytics/collectors", "acme.second")

    assert [one["collector_id"] for one in seen["results"]] == [str(story.second)]
    assert seen["results"][0]["money"]["collected"] == "100.00"


async def test_a_login_that_is_no_collector_s_sees_nobody(story: Any) -> None:
    person = {"username": "acme.idle", "full_name": "Idle", "role": "collector", "password": PASSWORD}
    await done(story, "POST", "/users", person)
    story.tokens["acme.idle"] = (await story.services.authentication.log_in("acme.idle", PASSWORD)).access

    assert (await read(story, "/analytics/collectors", "acme.idle"))["results"] == []


async def test_whoever_looks_first_all_see_the_same(story: Any) -> None:
    """Charts of one page ask side by side, also before anything was counted."""
    await run(story, "rival", "DELETE FROM figures WHERE agency_id = :agency")
    asked = [story.call("rival.admin", "GET", f"/analytics/{path}") for path in PATHS * 3]
    answers = await asyncio.gather(*asked)

    assert [answer.status_code for answer in answers] == [200] * len(answers)


async def test_another_agency_has_its_own(story: Any) -> None:
    theirs = await read(story, "/analytics/dashboard", "rival.admin")

    assert theirs["accounts"] == counts(1, "70.00", "70.00")
    assert (theirs["money"]["collected"], theirs["recovery_rate"]) == ("0.00", "0.0000")
    assert theirs["contacts"]["right_party_rate"] is None
    rows = (await read(story, "/analytics/collectors", "rival.admin"))["results"]
    assert [one["full_name"] for one in rows] == ["rival.collector", None]


@pytest.mark.parametrize("period", ["day", "week", "month"])
async def test_a_trend_adds_up_to_what_came_in(story: Any, period: str) -> None:
    seen = await read(story, "/analytics/payments/trends", period=period)
    whole = (await read(story, "/analytics/dashboard"))["money"]

    assert (seen["period"], seen["total"], seen["to"]) == (period, whole, str(today()))
    last = seen["points"][-1]
    assert {name: last[name] for name in whole} == whole
    assert (seen["points"][0]["start"], last["end"]) == (seen["from"], str(today()))
    assert {one["received"] for one in seen["points"][:-1]} == {"0.00"}
    assert len(seen["points"]) == {"day": 30, "week": 12, "month": 13}[period]


async def test_a_trend_of_days_that_are_past(story: Any) -> None:
    query = {"from": "2025-01-30", "to": "2025-02-02", "period": "month"}
    seen = await read(story, "/analytics/payments/trends", **query)

    assert [(one["start"], one["end"]) for one in seen["points"]] == [
        ("2025-01-30", "2025-01-31"),
        ("2025-02-01", "2025-02-02"),
    ]
    assert seen["total"]["received"] == "0.00"


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("payments/trends", {"period": "year"}, "period"),
        ("payments/trends", {"from": "2026-02-30"}, "from"),
        ("payments/trends", {"from": "1700000000"}, "from"),
        ("payments/trends", {"from": "2026-02-02", "to": "2026-02-01"}, "from"),
        ("payments/trends", {"from": "2020-01-01", "to": "2026-01-01"}, "from"),
        ("payments/trends", {"from": "1066-10-14"}, "from"),
        ("payments/trends", {"to": "9999-12-31", "period": "month"}, "to"),
        ("payments/trends", {"form": "2026-01-01"}, "form"),
        ("collectors", {"from": "2020-01-01", "to": "2026-01-01"}, "from"),
        ("collectors", {"to": "tomorrow"}, "to"),
        ("dashboard", {"from": "2026-01-01"}, "from"),
        ("aging-report", {"today": "2026-01-01"}, "today"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_name(
    story: Any, path: str, query: dict[str, str], field: str
) -> None:
    answer = await story.call("acme.admin", "GET", f"/analytics/{path}?{urlencode(query)}")

    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field


async def test_asking_for_newer_ones_is_answered_once_per_key(story: Any) -> None:
    again = key()
    answers = [await story.call("acme.admin", "POST", "/analytics/refresh", **again) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["refreshing"] is False
    later = await story.call("acme.admin", "POST", "/analytics/refresh", **key())
    assert later.json()["as_of"] > answers[0].json()["as_of"]


async def test_figures_that_are_young_are_not_counted_again(
    story: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await read(story, "/analytics/dashboard")
    monkeypatch.setattr(analytics, "LEAST_AGE", timedelta(minutes=1))
    first = [(await read(story, f"/analytics/{path}"))["as_of"] for path in PATHS]
    assert len(set(first)) == 1
    monkeypatch.setattr(analytics, "LEAST_AGE", timedelta(0))
    monkeypatch.setattr(analytics, "RESTS", 1_000_000)
    assert (await read(story, "/analytics/dashboard"))["as_of"] == first[0]


async def test_a_large_agency_is_counted_by_a_worker_while_nobody_waits(
    story: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.figures.SMALL", 0)
    monkeypatch.setattr(analytics, "LARGE_LEAST_AGE", timedelta(0))
    await run(story, "acme", "DELETE FROM figures WHERE agency_id = :agency")

    never = await story.call("acme.admin", "GET", "/analytics/dashboard")
    assert (never.status_code, never.headers["Retry-After"]) == (503, "5")
    assert never.json()["type"] == "urn:recoup:problem:figures-not-ready"

    async def there() -> bool:
        answer = await story.call("acme.admin", "GET", "/analytics/dashboard")
        return bool(answer.status_code == 200)

    await until(there, within_s=30, what="the figures to be counted")
    first = await read(story, "/analytics/dashboard")
    assert first["refreshing"] is True
    assert first["accounts"]["accounts"] == 4

    async def newer() -> bool:
        return bool((await read(story, "/analytics/dashboard"))["as_of"] > first["as_of"])

    await until(newer, within_s=30, what="newer figures")
    asked = await story.call("acme.admin", "POST", "/analytics/refresh", **key())
    assert asked.json()["refreshing"] is True
    monkeypatch.setattr(analytics, "LARGE_LEAST_AGE", timedelta(minutes=1))
    assert (await read(story, "/analytics/dashboard"))["refreshing"] is False
