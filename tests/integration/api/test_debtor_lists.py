"""Lists of debtors over REST: searched, filtered, by risk, and who may see whom."""

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import update

from db.models import Account
from domain.tenancy import Tenant
from tests.integration.api.people import (
    change,
    collector_of,
    ids,
    make,
    place,
    read,
    set_account,
)

RISKY: dict[str, Any] = {
    "monthly_income": "1.00",
    "late_payments_count": 9,
    "contract_type": "freelance",
    "industry_sector": "entertainment",
    "family_situation": "divorced_with_dependents",
}


async def risky(world: Any, *amounts: str, **facts: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    debtor = await make(world, "rival.admin", **{**RISKY, **facts})
    return debtor, [await place(world, debtor, amount, "rival.admin") for amount in amounts]


NOBODY = "00000000-0000-7000-8000-000000000000"


async def test_lists_are_paged_filtered_and_searched(world: Any) -> None:
    mark = uuid4().hex[:8]
    people = [
        await make(
            world, full_name=f"{mark} {n}", email=f"{mark}.{n}@example.com", debtor_ref=f"REF-{mark}-{n}",
            state="TX" if n % 2 else "CA", employment_status="student" if n else "retired",
        )
        for n in range(5)
    ]  # fmt: skip
    placed = await place(world, people[1])
    newest = [person["id"] for person in reversed(people)]

    path, pages = f"/debtors?search={mark}&page_size=2", list[dict[str, Any]]()
    while path:
        pages.append((await world.call("acme.admin", "GET", path)).json())
        path = (pages[-1]["next"] or "").removeprefix("/api/v1")
    back = (await world.call("acme.admin", "GET", pages[2]["previous"].removeprefix("/api/v1"))).json()

    assert [row["id"] for page in pages for row in page["results"]] == newest
    assert back["results"] == pages[1]["results"]
    assert await ids(world, search=f"{mark.upper()}.3@") == [people[3]["id"]]
    assert await ids(world, search=f"REF-{mark}-2") == [people[2]["id"]]
    assert await ids(world, search=f"ref-{mark}-2") == []
    assert await ids(world, search=placed["external_ref"][2:]) == [people[1]["id"]]
    await change(world, people[4], full_name=f"Renamed {mark}")
    assert await ids(world, search=f"renamed {mark}") == [people[4]["id"]]
    assert await ids(world, debtor_ref=f"REF-{mark}-4") == [people[4]["id"]]
    assert await ids(world, debtor_ref=f"REF-{mark}") == []
    assert await ids(world, search=mark, state="TX") == [people[3]["id"], people[1]["id"]]
    assert await ids(world, search=mark, state=["TX", "CA"]) == newest
    assert await ids(world, search=mark, employment_status="retired") == [people[0]["id"]]
    assert await ids(world, search="100%") == await ids(world, search="_" * 50) == []
    [row] = (await read(world, "/debtors", search=f"REF-{mark}-1"))["results"]
    assert row["accounts"] == {
        "count": 1, "open": 1, "total_balance": "1250.00", "highest_risk": placed["risk_level"]
    }  # fmt: skip


async def test_a_search_that_many_match_finds_the_same(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = uuid4().hex[:8]
    people = [await make(world, full_name=f"{mark} {n}", debtor_ref=f"{mark}{n}") for n in range(3)]
    placed = await place(world, people[0], external_ref=f"R-{mark}")
    await change(world, people[0], full_name="Somebody Else")
    wanted = [person["id"] for person in reversed(people)]

    async def found() -> list[list[str]]:
        searches = (mark, f"{mark}0", placed["external_ref"].lower())
        return [await ids(world, search=search) for search in searches]

    probed = await found()
    monkeypatch.setattr("db.debtor_lists.SEARCH_PROBE", 0)

    assert await found() == probed == [wanted, [people[0]["id"]], [people[0]["id"]]]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/debtors?search=a%00b", "search"),
        ("/debtors?search=" + "x" * 201, "search"),
        ("/debtors?state=" + "x" * 51, "state[0]"),
        ("/debtors?debtor_ref=a%0ab", "debtor_ref"),
        ("/debtors?page_size=501", "page_size"),
        ("/debtors?cursor=!!!", "cursor"),
        ("/debtors/high-risk?level=LOW", "level[0]"),
        ("/debtors/high-risk?level=HIGH&level=extreme", "level[1]"),
        ("/debtors/high-risk?min_priority=4", "min_priority"),
        ("/debtors/high-risk?cursor=e30", "cursor"),
        ("/debtors/highrisk", "debtor_id"),
    ],
)
async def test_a_bad_filter_is_named(world: Any, path: str, field: str) -> None:
    answer = await world.call("acme.admin", "GET", path)

    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_a_cursor_of_another_list_is_refused(world: Any) -> None:
    for _ in range(2):
        await make(world)
    first = await read(world, "/debtors", page_size=1)
    cursor = first["next"].split("cursor=")[1].split("&")[0]

    answer = await world.call("acme.admin", "GET", f"/debtors/high-risk?cursor={cursor}")

    assert (answer.status_code, answer.json()["field"]) == (422, "cursor")


async def test_debtors_at_high_risk_come_once_the_most_valuable_first(world: Any) -> None:
    """In an agency of its own: the list has every debtor at high risk."""
    one, ones = await risky(world, "700.00", "9000.00", "300.00")
    two, twos = await risky(world, "8000.00", "8000.00", "2000.00")
    three, threes = await risky(world, "400.00", employment_status="employed", industry_sector="retail")
    calm, _ = await risky(
        world,
        "999999.00",
        monthly_income="9000000.00",
        late_payments_count=0,
        employment_status="employed",
        contract_type="permanent",
        industry_sector="government",
        family_situation="married_dual_income",
    )
    paid, paids = await risky(world, "9999.00", "50.00")
    async with world.database.transaction(Tenant.system(world.agencies["rival"], "test")) as tx:
        await tx.session.execute(
            update(Account)
            .where(Account.id.in_([UUID(account["id"]) for account in paids]))
            .values(status="closed")
        )

    rows = (await read(world, "/debtors/high-risk", "rival.admin"))["results"]

    assert [(row["id"], row["account"]["id"]) for row in rows] == [
        (one["id"], ones[1]["id"]),
        (two["id"], twos[0]["id"]),
        (three["id"], threes[0]["id"]),
    ]
    assert (rows[0]["risk_level"], rows[2]["risk_level"]) == ("CRITICAL", "HIGH")
    assert rows[0]["priority_score"] == ones[1]["priority_score"]
    assert (rows[0]["risk_score"], rows[0]["priority"]) == (ones[1]["risk_score"], ones[1]["priority"])
    high = await ids(world, "/debtors/high-risk", "rival.admin", level="high")
    assert high == [three["id"]]
    urgent = await ids(world, "/debtors/high-risk", "rival.admin", min_priority=2)
    assert urgent == [one["id"], two["id"]]
    assert calm["id"] not in {row["id"] for row in rows}
    assert paid["id"] not in {row["id"] for row in rows}

    path, pages = "/debtors/high-risk?page_size=1", list[dict[str, Any]]()
    while path:
        pages.append((await world.call("rival.admin", "GET", path)).json())
        path = (pages[-1]["next"] or "").removeprefix("/api/v1")
    back = (await world.call("rival.admin", "GET", pages[2]["previous"].removeprefix("/api/v1"))).json()
    assert [row for page in pages for row in page["results"]] == rows
    assert back["results"] == pages[1]["results"]


async def test_a_collector_sees_the_debtors_of_their_accounts_only(world: Any) -> None:
    theirs, another = await make(world, **RISKY), await make(world, **RISKY)
    own, foreign = await place(world, theirs, "500.00"), await place(world, theirs, "60000.00")
    await place(world, another)
    await set_account(world, own, assigned_to=await collector_of(world))
    who = "acme.collector"

    assert await ids(world, who=who) == await ids(world, "/debtors/high-risk", who) == [theirs["id"]]
    assert await ids(world, who=who, search=another["debtor_ref"]) == []
    shown = await read(world, f"/debtors/{theirs['id']}", who)
    assert (shown["accounts"]["count"], shown["accounts"]["total_balance"]) == (1, "500.00")
    assert shown["ssn"] == "***-**-9173"
    [row] = (await read(world, "/debtors/high-risk", who))["results"]
    assert row["account"]["id"] == own["id"]
    explained = await read(world, f"/debtors/{theirs['id']}/score", who)
    assert [account["account_id"] for account in explained["accounts"]] == [own["id"]]
    assert explained["count"] == 1
    assert foreign["id"] not in str(explained)
    for path in ("", "/score"):
        answer = await world.call(who, "GET", f"/debtors/{another['id']}{path}")
        assert answer.status_code == 404
    for method in ("PUT", "PATCH"):
        answer = await world.call(who, method, f"/debtors/{theirs['id']}", {"full_name": "X"})
        assert answer.status_code == 403


async def test_nobody_sees_another_agencys_debtor(world: Any) -> None:
    made = await make(world, full_name="Walled Off")
    await place(world, made)

    for method, path, body in (
        ("GET", "", None),
        ("GET", "/score", None),
        ("PUT", "", {"full_name": "X"}),
        ("PATCH", "", {"city": "X"}),
    ):
        foreign = await world.call("rival.admin", method, f"/debtors/{made['id']}{path}", body)
        unknown = await world.call("rival.admin", method, f"/debtors/{NOBODY}{path}", body)
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.json()["detail"] == unknown.json()["detail"]
    assert await ids(world, who="rival.admin", search="walled off") == []
    assert await ids(world, who="rival.admin", debtor_ref=made["debtor_ref"]) == []
    assert (await read(world, f"/debtors/{made['id']}"))["full_name"] == "Walled Off"


async def test_ssn_digits_are_shown_to_few_and_kept_in_the_clear_nowhere(
    world: Any, module_database: Any
) -> None:
    made = await make(world, ssn_last4="9173")
    await place(world, made)
    await change(world, made, ssn_last4="0000")
    key = {"Idempotency-Key": uuid4().hex}
    await world.call("acme.admin", "PATCH", f"/debtors/{made['id']}", {"ssn_last4": "9173"}, **key)
    picked = {"X-Agency": str(world.agencies["acme"])}

    shown = {
        who: (await world.call(who, "GET", f"/debtors/{made['id']}", **headers)).json()["ssn"]
        for who, headers in (("acme.admin", {}), ("acme.auditor", {}), ("platform", picked))
    }

    assert shown == {
        "acme.admin": "***-**-9173", "acme.auditor": "***-**-****", "platform": "***-**-****"
    }  # fmt: skip
    async with await psycopg.AsyncConnection.connect(module_database.owner_url) as link:
        for table in ("audit_record", "command", "timeline_event", "debtor_search"):
            statement = f"SELECT t::text FROM {table} t WHERE t::text ~ '(\\W|^)9173(\\W|$)'"  # noqa: S608
            assert await (await link.execute(statement)).fetchall() == []
