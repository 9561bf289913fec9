"""What the worklist is narrowed to, and counts of long lists that stop where nobody wants to know more."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from benchmarks.scored_accounts import fill
from db.account_lists import AccountFilter
from db.scorecard_files import builtin_scorecards
from db.worklist import Whose, WorklistFilter
from domain.accounts import AccountStatus
from domain.scoring import RiskLevel
from domain.tenancy import Role
from services import counting
from services.access import Principal
from services.counting import BoundedCount

ACCOUNTS = 300
Row = dict[str, Any]

DOCUMENTS = """
    INSERT INTO account_search (account_id, agency_id, document)
    SELECT a.id, a.agency_id, lower(a.external_ref || E'\\n' || d.full_name || E'\\n' || d.phone)
      FROM account a JOIN debtor d ON d.id = a.debtor_id
"""
ROWS = """
    SELECT a.id, a.status, a.creditor_id, a.assigned_to, a.external_ref, s.level, s.queued, d.full_name
      FROM account a JOIN account_score s ON s.account_id = a.id JOIN debtor d ON d.id = a.debtor_id
     ORDER BY s.rank DESC, a.id
"""


@pytest.fixture(scope="module")
async def rows(world: Any, module_database: Any) -> list[Row]:
    """Acme's accounts, in the order of the worklist; nine in ten are queued."""
    async with world.database.platform() as tx:
        await tx.scorecards.keep(builtin_scorecards()["recovery-v1"])
    await fill(module_database.owner_url, world.agencies["acme"], ACCOUNTS)
    connect = psycopg.AsyncConnection.connect
    async with await connect(module_database.owner_url, row_factory=dict_row) as connection:
        await connection.execute(DOCUMENTS)
        await connection.execute(
            "UPDATE account SET status = 'negotiating' WHERE status = 'new' AND balance_cents % 3 = 0"
        )
        return await (await connection.execute(ROWS)).fetchall()


@pytest.fixture
def who(world: Any) -> Principal:
    return Principal(UUID(int=1), "acme.admin", Role.AGENCY_ADMIN, world.agencies["acme"])


FILTERS: dict[str, tuple[dict[str, Any], Callable[[Row], bool]]] = {
    "status": ({"status": "assigned"}, lambda row: row["status"] == "assigned"),
    "two statuses": (
        {"status": ["new", "negotiating"]},
        lambda row: row["status"] in {"new", "negotiating"},
    ),
    "a status that is never queued": ({"status": "closed"}, lambda _: False),
    "one that is, and one that is not": (
        {"status": ["closed", "negotiating"]},
        lambda row: row["status"] == "negotiating",
    ),
    "risk level": ({"risk_level": ["high", "CRITICAL"]}, lambda row: row["level"] in {"HIGH", "CRITICAL"}),
    "search by name": ({"search": "number 1"}, lambda row: "Number 1" in row["full_name"]),
    "search by reference": ({"search": "r-77"}, lambda row: "R-77" in row["external_ref"]),
    "search for what means something elsewhere": ({"search": "%_"}, lambda _: False),
    "all at once": (
        {"status": ["assigned"], "risk_level": ["MEDIUM"], "search": "person number"},
        lambda row: row["status"] == "assigned" and row["level"] == "MEDIUM",
    ),
}


@pytest.mark.parametrize("probe", [5_000, 3])
@pytest.mark.parametrize("name", FILTERS)
async def test_a_narrowed_worklist(
    world: Any, rows: list[Row], name: str, probe: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.worklist.SEARCH_PROBE", probe)
    query, matches = FILTERS[name]
    path, found = f"/worklist?{urlencode({**query, 'page_size': 40}, doseq=True)}", []
    while path:
        answer = await world.call("acme.admin", "GET", path)
        assert answer.status_code == 200, answer.text
        found += [row["id"] for row in answer.json()["results"]]
        path = (answer.json()["next"] or "").removeprefix("http://test/api/v1")

    expected = [str(row["id"]) for row in rows if row["queued"] and matches(row)]
    assert found == expected
    assert ("never" in name or "elsewhere" in name) is (not expected)


async def test_a_worklist_of_one_creditor_and_one_collector(world: Any, rows: list[Row]) -> None:
    first = next(row for row in rows if row["queued"] and row["assigned_to"])
    query = {"creditor": first["creditor_id"], "collector": first["assigned_to"], "page_size": 500}
    answer = await world.call("acme.admin", "GET", f"/worklist?{urlencode(query)}")
    assert [row["id"] for row in answer.json()["results"]] == [
        str(row["id"])
        for row in rows
        if row["queued"]
        and (row["creditor_id"], row["assigned_to"]) == (first["creditor_id"], first["assigned_to"])
    ]
    nobodys = await world.call("acme.collector", "GET", f"/worklist?{urlencode(query)}")
    assert nobodys.json()["results"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=old", "status"),
        ("risk_level=9", "risk_level"),
        ("creditor=x", "creditor"),
        ("name=x", "name"),
    ],
)
async def test_what_a_worklist_cannot_be_narrowed_to_is_named(world: Any, query: str, field: str) -> None:
    answer = await world.call("acme.admin", "GET", f"/worklist?{query}")
    assert answer.status_code == 422
    assert answer.json()["field"].startswith(field)


async def test_short_lists_are_counted_in_full(world: Any, rows: list[Row], who: Principal) -> None:
    accounts, worklist = world.services.accounts, world.services.worklist
    queued = [row for row in rows if row["queued"]]
    high = [row for row in rows if row["level"] == "HIGH"]

    assert await accounts.count(who, AccountFilter()) == BoundedCount(ACCOUNTS, more=False)
    assert await accounts.count(who, AccountFilter(risk_levels=["HIGH"])) == BoundedCount(
        len(high), more=False
    )
    assert await accounts.count(who, AccountFilter(search="nobody at all")) == (0, False)
    found = sum("Number 1" in row["full_name"] for row in rows)
    assert await accounts.count(who, AccountFilter(search="number 1")) == (found, False)
    assert await worklist.count(who, Whose()) == (len(queued), False)
    assigned = sum(row["status"] == "assigned" and row["level"] == "LOW" for row in queued)
    narrowed = WorklistFilter((AccountStatus.ASSIGNED,), (RiskLevel.LOW,))
    assert await worklist.count(who, Whose(narrowed=narrowed)) == (assigned, False)
    nobody = sum(row["assigned_to"] is None for row in queued)
    assert await worklist.count(who, Whose(nobody=True)) == (nobody, False)


async def test_long_lists_are_counted_as_far_as_anybody_wants_to_know(
    world: Any, rows: list[Row], who: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(rows) == ACCOUNTS
    accounts, worklist = world.services.accounts, world.services.worklist
    for module in ("services.accounts", "services.worklist", "services.counting"):
        monkeypatch.setattr(f"{module}.COUNTED_TO", 100)

    assert counting.bounded(100) == BoundedCount(100, more=False)
    assert counting.bounded(101) == BoundedCount(100, more=True)
    for wanted in (AccountFilter(), AccountFilter(search="person"), AccountFilter(statuses=["assigned"])):
        assert await accounts.count(who, wanted) == (100, True)
    for narrowed in (WorklistFilter(), WorklistFilter(search="person")):
        assert await worklist.count(who, Whose(narrowed=narrowed)) == (100, True)


async def test_of_a_search_that_finds_too_much_it_is_said_that_there_may_be_more(
    world: Any, rows: list[Row], who: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(rows) == ACCOUNTS
    for module in ("db.accounts", "db.account_lists", "db.worklist"):
        monkeypatch.setattr(f"{module}.SEARCH_COUNTED", 50)

    count = await world.services.accounts.count(who, AccountFilter(search="person"))
    queued = await world.services.worklist.count(who, Whose(narrowed=WorklistFilter(search="person")))
    assert (count.value, count.more, queued.more) == (51, True, True)
    assert queued.value <= 51
    assert await world.services.accounts.count(who, AccountFilter(search="r-77")) == (1, False)


async def test_counts_are_of_what_one_may_see(world: Any, rows: list[Row], who: Principal) -> None:
    accounts, worklist = world.services.accounts, world.services.worklist
    own, other = [row for row in rows if row["queued"] and row["assigned_to"]][:2]
    collector = Principal(
        UUID(int=2), "c", Role.COLLECTOR, world.agencies["acme"], collector_id=own["assigned_to"]
    )
    mine = [row for row in rows if row["assigned_to"] == own["assigned_to"]]
    rival = replace(who, agency_id=world.agencies["rival"])

    assert await accounts.count(collector, AccountFilter()) == (len(mine), False)
    assert await worklist.count(collector, Whose()) == (sum(row["queued"] for row in mine), False)
    assert own["assigned_to"] != other["assigned_to"]
    assert await accounts.count(collector, AccountFilter(collector_id=other["assigned_to"])) == (0, False)
    assert await worklist.count(collector, Whose(other["assigned_to"])) == (0, False)
    assert await worklist.count(collector, Whose(nobody=True)) == (0, False)
    assert await accounts.count(rival, AccountFilter()) == (0, False)
    assert await worklist.count(rival, Whose()) == (0, False)
