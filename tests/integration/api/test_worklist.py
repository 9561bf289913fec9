"""The worklist over REST: what is on it, in which order, for whom, and by which index."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import psycopg
import pytest

from benchmarks.scored_accounts import fill
from db.keyset import Position
from db.scorecard_files import builtin_scorecards
from db.worklist import Whose, WorklistFilter, page_query, rows_of
from domain.scoring import RiskLevel
from domain.tenancy import Tenant

PLACE = """
WITH d AS (
    INSERT INTO debtor (agency_id, natural_key, full_name, email, city, monthly_income, late_payments_count)
    VALUES (%(agency)s, 'ref:' || %(ref)s, 'Zoë "Z" O''Brien\\', NULL, 'Dallas', %(income)s, %(late)s)
    RETURNING id
), a AS (
    INSERT INTO account (agency_id, creditor_id, debtor_id, external_ref, status, original_amount, balance,
                         assigned_to, due_date)
    SELECT %(agency)s, c.id, d.id, %(ref)s, 'new', 99999.99, %(balance)s, %(collector)s, '2026-03-31'
      FROM d, (SELECT id FROM creditor WHERE agency_id = %(agency)s ORDER BY id LIMIT 1) c
    RETURNING id, balance_cents
)
INSERT INTO account_score (account_id, agency_id, collector_id, queued, rank, total, level, priority,
                           high_priority, points, scorecard_id, scored_at, inputs_hash, account_version,
                           debtor_version)
SELECT id, %(agency)s, %(collector)s, %(queued)s, balance_cents * %(total)s, %(total)s, %(level)s, 3,
       balance_cents * %(total)s > 50000000, '{1}', %(card)s, now(), '', 1, 1 FROM a
RETURNING account_id, rank
"""


BROKEN = """
WITH a AS (SELECT agency_id, id, balance, currency FROM account WHERE id = %(account)s), p AS (
    INSERT INTO promise (agency_id, account_id, amount, currency, due_date, made_by, status)
    SELECT agency_id, id, 1, currency, current_date, 'test', status
      FROM a, (VALUES ('kept'), ('broken')) s(status)
)
INSERT INTO payment_plan (agency_id, account_id, total, currency, frequency, first_due, counted_from,
                          agreed_on, varies_down, made_by, status, ended_because, ended_at)
SELECT agency_id, id, 1, currency, 'monthly', current_date, current_date, current_date, true, 'test',
       'broken', 'test', now() FROM a
"""

MIDDLE = """
SELECT rank, account_id FROM account_score WHERE queued AND collector_id IS NOT DISTINCT FROM
       COALESCE(%(collector)s, collector_id) AND level = COALESCE(%(level)s, level)
 ORDER BY rank DESC, account_id OFFSET 150 LIMIT 1
"""


@dataclass
class Portfolio:
    """Accounts whose places tie often, in the agency acme, and a few in rival."""

    world: Any
    owner_url: str
    card: UUID
    collector: UUID
    other_collector: UUID
    rows: dict[UUID, tuple[int, UUID | None, bool]] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)

    async def place(self, **given: Any) -> UUID:
        """Place an account by what is given, the rest as it falls."""
        values = {
            "agency": self.world.agencies["acme"],
            "ref": uuid4().hex,
            "balance": Decimal(100),
            "total": 300,
            "queued": True,
            "collector": None,
            "card": self.card,
            "level": "CRITICAL",
            "income": None,
            "late": None,
            **given,
        }
        async with await psycopg.AsyncConnection.connect(self.owner_url) as connection:
            row = await (await connection.execute(PLACE, values)).fetchone()
        assert row is not None
        if values["agency"] == self.world.agencies["acme"]:
            self.rows[row[0]] = (row[1], values["collector"], values["queued"])
        self.levels[str(row[0])] = values["level"]
        return row[0]

    async def breaks_off(self, account_id: UUID) -> None:
        """Have an account's promise and plan be broken."""
        async with await psycopg.AsyncConnection.connect(self.owner_url) as connection:
            await connection.execute(BROKEN, {"account": account_id})

    def expected(self, *collectors: UUID | None) -> list[str]:
        """Ids of queued accounts of these collectors (all without any), in the order that was promised."""
        found = [
            (-rank, account_id)
            for account_id, (rank, collector, queued) in self.rows.items()
            if queued and (not collectors or collector in collectors)
        ]
        return [str(account_id) for _, account_id in sorted(found)]

    async def walk(
        self, who: str, link: str = "next", start: str | None = None, **query: Any
    ) -> list[list[dict[str, Any]]]:
        """The pages from the first (or ``start``) on, following links."""
        path = start or f"/worklist?{urlencode(query)}"
        pages = []
        while path:
            assert len(pages) <= len(self.rows), "the walk does not end"
            answer = await self.world.call(who, "GET", path)
            assert answer.status_code == 200, answer.text
            pages.append(answer.json())
            path = (pages[-1][link] or "").removeprefix("http://test/api/v1")
        return pages


def ids(pages: Sequence[Any]) -> list[str]:
    return [row["id"] for page in pages for row in page["results"]]


async def collector_of(world: Any, username: str) -> UUID:
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        user = await tx.users.by_username(username)
        standing = await tx.users.standing(user.id)
        assert standing.collector_id is not None
        found: UUID = standing.collector_id
        return found


@pytest.fixture(scope="module")
async def portfolio(world: Any, module_database: Any) -> Portfolio:
    async with world.database.platform() as tx:
        card = await tx.scorecards.keep(builtin_scorecards()["recovery-v1"])
        other = await tx.users.add(
            {
                "agency_id": world.agencies["acme"],
                "username": "acme.other",
                "full_name": "Other",
                "role": "collector",
                "password_hash": "!",
            }
        )
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        second = await tx.collectors.add({"user_id": other.id, "full_name": "Other"})
    made = Portfolio(
        world, module_database.owner_url, card, await collector_of(world, "acme.collector"), second.id
    )
    draw = random.Random(7)  # noqa: S311 (test data)
    for number in range(60):
        await made.place(
            level=("LOW", "HIGH", "CRITICAL")[number % 3],
            balance=Decimal(draw.randint(1, 4)) * 100,
            total=draw.choice((300, 300, 450)),
            queued=draw.random() < 0.8,
            collector=draw.choice((None, made.collector, made.other_collector)),
        )
    await made.place(agency=world.agencies["rival"])
    return made


@pytest.mark.parametrize("size", [1, 3, 7, 500])
async def test_walking_all_pages_gives_each_account_once_in_order(portfolio: Portfolio, size: int) -> None:
    pages = await portfolio.walk("acme.admin", page_size=size)

    expected = portfolio.expected()
    ranks = [portfolio.rows[UUID(one)][0] for one in expected]
    assert len(set(ranks)) < len(ranks) / 3, "ties are what this is about"
    assert ids(pages) == expected
    assert pages[0]["previous"] is None
    assert pages[-1]["next"] is None


@pytest.mark.parametrize("size", [1, 3, 7])
async def test_walking_back_gives_the_same_pages(portfolio: Portfolio, size: int) -> None:
    pages = await portfolio.walk("acme.admin", page_size=size)
    last = pages[-1]["previous"].removeprefix("http://test/api/v1")

    back = await portfolio.walk("acme.admin", "previous", last)

    assert ids(list(reversed(back))) == ids(pages[:-1])


@pytest.mark.parametrize(
    "levels", [["LOW"], ["HIGH", "LOW"], ["MEDIUM"], ["LOW", "MEDIUM", "HIGH", "CRITICAL"]]
)
async def test_levels_are_walked_together_in_one_order(portfolio: Portfolio, levels: list[str]) -> None:
    query = urlencode({"risk_level": levels, "page_size": 3}, doseq=True)
    pages = await portfolio.walk("acme.admin", start=f"/worklist?{query}")

    expected = [one for one in portfolio.expected() if portfolio.levels[one] in levels]
    assert ids(pages) == expected
    assert bool(expected) is (levels != ["MEDIUM"])
    if pages[-1]["previous"]:
        back = await portfolio.walk(
            "acme.admin", "previous", pages[-1]["previous"].removeprefix("http://test/api/v1")
        )
        assert ids(list(reversed(back))) == ids(pages[:-1])


async def test_accounts_that_come_meanwhile_neither_repeat_nor_hide_others(portfolio: Portfolio) -> None:
    before = portfolio.expected()
    found: list[str] = []
    path = "/worklist?page_size=6"
    while path:
        page = (await portfolio.world.call("acme.admin", "GET", path)).json()
        found += ids([page])
        if len(found) < 30:
            await portfolio.place(balance=Decimal(300))
        path = (page["next"] or "").removeprefix("http://test/api/v1")

    assert len(found) == len(set(found))
    assert set(before) <= set(found)


async def test_whose_accounts(portfolio: Portfolio) -> None:
    async def listed(who: str, **query: Any) -> list[str]:
        headers = {"X-Agency": "acme"} if who == "platform" else {}
        answer = await portfolio.world.call(
            who, "GET", f"/worklist?page_size=500&{urlencode(query)}", **headers
        )
        assert answer.status_code == 200, answer.text
        return ids([answer.json()])

    own, other = portfolio.collector, portfolio.other_collector
    assert await listed("acme.collector") == portfolio.expected(own) != []
    assert await listed("acme.collector", collector=own) == portfolio.expected(own)
    assert await listed("acme.collector", collector=other) == []
    assert await listed("acme.collector", collector="none") == []
    assert await listed("rival.collector") == []
    for who in ("acme.admin", "acme.auditor", "platform"):
        assert await listed(who) == portfolio.expected()
        assert await listed(who, collector=other) == portfolio.expected(other)
        assert await listed(who, collector="none") == portfolio.expected(None)
        assert await listed(who, collector=uuid4()) == []
    assert len(await listed("rival.admin")) == 1
    assert await listed("rival.admin", collector=own) == []


async def test_a_row_is_the_account_as_lists_show_it_with_a_reason(portfolio: Portfolio) -> None:
    account = await portfolio.place(
        balance=Decimal("12400.05"), total=371, income=1000, late=4, collector=portfolio.collector
    )
    small = await portfolio.place(balance=Decimal("0.10"), total=3)
    near = await portfolio.place(balance=Decimal(2510), total=100, income=1000, late=1)
    poor = await portfolio.place(balance=Decimal(100), total=100, income=0, late=0)
    await portfolio.breaks_off(account)
    rows = {row["id"]: row for row in (await portfolio.walk("acme.admin", page_size=500))[0]["results"]}
    listed = (await portfolio.world.call("acme.admin", "GET", "/accounts?page_size=500")).json()["results"]

    assert len(rows) > 50
    for one in listed:
        if one["id"] in rows:
            assert {**one, "reason": rows[one["id"]]["reason"]} == rows[one["id"]]
    assert [rows[str(one)]["reason"] for one in (account, near, small, poor)] == [
        "CRITICAL · debt 12× income · 4 late payments · promise broken · plan broken · high priority",
        "CRITICAL · debt 2.5× income · 1 late payment",
        "CRITICAL",
        "CRITICAL · no income",
    ]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("collector=me", "collector"),
        ("page_size=501", "page_size"),
        ("cursor=!!!", "cursor"),
        ("cursor=eyJvcmRlciI6Im5ld2VzdCIsImtleSI6WzEsIjAiXSwiYmFja3dhcmQiOmZhbHNlfQ", "cursor"),
    ],
)
async def test_a_bad_query_is_named(portfolio: Portfolio, query: str, field: str) -> None:
    answer = await portfolio.world.call("acme.admin", "GET", f"/worklist?{query}")

    assert answer.status_code == 422, answer.text
    assert answer.json()["field"].startswith(field)


async def test_who_may_not(portfolio: Portfolio) -> None:
    assert (await portfolio.world.call(None, "GET", "/worklist")).status_code == 401
    assert (await portfolio.world.call("platform", "GET", "/worklist")).status_code == 400


@pytest.fixture(scope="module")
async def many(portfolio: Portfolio, module_database: Any) -> UUID:
    """An agency of so many accounts that the planner takes the way it takes for a million."""
    async with portfolio.world.database.platform() as tx:
        agency = await tx.agencies.add({"slug": "many", "name": "Many"})
    await fill(module_database.owner_url, agency.id, 20_000)
    found: UUID = agency.id
    return found


@pytest.mark.parametrize("place", ["first", "next", "previous"])
@pytest.mark.parametrize(
    ("whose", "index"),
    [
        ("all", "ix_account_score_worklist"),
        ("collector", "ix_account_score_collector"),
        ("nobody", "ix_account_score_worklist"),
        ("LOW", "ix_account_score_level"),
        ("CRITICAL", "ix_account_score_level"),
    ],
)
async def test_pages_are_read_from_an_index_under_row_level_security(
    many: UUID, module_database: Any, whose: str, index: str, place: str
) -> None:
    async with await psycopg.AsyncConnection.connect(module_database.app_url) as connection:
        await connection.execute("SELECT set_config('recoup.agency', %s, true)", [str(many)])
        [[collector]] = await (await connection.execute("SELECT id FROM collector LIMIT 1")).fetchall()
        wanted = {"all": Whose(), "collector": Whose(collector), "nobody": Whose(nobody=True)}.get(whose)
        level = None if wanted else RiskLevel(whose)
        wanted = wanted or Whose(narrowed=WorklistFilter(risk_levels=(RiskLevel(whose),)))
        among = {"collector": collector if whose == "collector" else None, "level": level}
        middle = await connection.execute(MIDDLE, among)
        key = await middle.fetchone()
        position = None if key is None or place == "first" else Position(key, place == "previous")
        statement, values = page_query(many, wanted, position, 51)
        rows = await (await connection.execute(b"EXPLAIN (COSTS OFF) " + statement, values)).fetchall()
        answer = await (await connection.execute(statement, values)).fetchall()
        assert len(rows_of(answer)) == 51
    plan = "\n".join(line for (line,) in rows)

    assert "Sort" not in plan, plan
    for table in ("account_score", "account", "debtor"):
        assert f"Seq Scan on {table}" not in plan, plan
    scans = re.findall(r"using (\w+) on account_score\b.*\n +Index Cond: (.*)", plan)
    assert plan.count("on account_score") == len(scans) == (1 if place == "first" else 2), plan
    assert all("agency_id = " in condition for _, condition in scans), plan
    used, condition = scans[-1]
    assert used == index, plan
    if whose == "collector":
        assert all("collector_id = " in condition for _, condition in scans), plan
    if place != "first":
        beyond, further = ("<", ">") if place == "previous" else (">", "<")
        assert f"rank {further}" in condition, plan
        # Ties may be read from any index by rank: they are a range of each.
        assert "rank = " in scans[0][1], plan
        assert f"account_id {beyond}" in scans[0][1], plan
