"""The report of fairness against figures worked out by hand.

Every debtor has an income of 2000, four late payments (7 points), no work (9), and nothing else known (5
each). Without family that is 9 × 7 + 8 × 9 + 7 × 5 + 6 × 5 = 200, and the debt ratio: at 1250 and 2000 it
adds 9 × 2, at 4000 it adds 9 × 5. So ``recovery-v1`` gives 218 or 245 and six times the family points;
``recovery-v1-ecoa`` scales 218 and 245 from 390 to 450: 252 (251.54) and 283 (282.69), whoever it is.

                              recovery-v1                     recovery-v1-ecoa
    MARRIED_DUAL_INCOME (1)   224 MEDIUM; 2000:   448,000     252 MEDIUM; 2000:   504,000
                              251 MEDIUM; 4000: 1,004,000     283 HIGH;   4000: 1,132,000
    WIDOWED_… (9)             272 HIGH;   2000:   544,000     252 MEDIUM; 2000:   504,000
                                          1250:   340,000                 1250:   315,000
    unknown (5)               248 MEDIUM; 2000:   496,000     252 MEDIUM; 2000:   504,000
"""

import json
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.command_line import CommandLine

MARRIED, WIDOWED = "MARRIED_DUAL_INCOME", "WIDOWED_WITH_DEPENDENTS"
PORTFOLIO = (
    *[(MARRIED, "2000.00")] * 3,
    (MARRIED, "4000.00"),
    *[(WIDOWED, "2000.00")] * 2,
    (WIDOWED, "1250.00"),
    (None, "2000.00"),
    ("LIVING_APART", "2000.00"),
)
V1, ECOA = "recovery-v1", "recovery-v1-ecoa"


async def place(world: Any, family: str | None, amount: str) -> str:
    debtor = {
        "full_name": "Ada Lovelace",
        "monthly_income": "2000.00",
        "late_payments_count": 4,
        "employment_status": "UNEMPLOYED",
    }
    body = {"external_ref": uuid4().hex, "original_amount": amount, "debtor": debtor}
    answer = await world.call("acme.admin", "POST", "/accounts", body, **{"Idempotency-Key": uuid4().hex})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    async with await psycopg.AsyncConnection.connect(world.owner_url) as connection:
        statement = "UPDATE debtor SET family_situation = %s WHERE id = %s"
        await connection.execute(statement, [family, made["debtor"]["id"]])
    account_id: str = made["id"]
    return account_id


@pytest.fixture(scope="module")
async def placed(world: Any, module_database: Any) -> Any:
    world.owner_url = module_database.owner_url
    for family, amount in PORTFOLIO:
        await place(world, family, amount)
    paid = await place(world, WIDOWED, "9000.00")
    async with await psycopg.AsyncConnection.connect(world.owner_url) as connection:
        await connection.execute(
            "WITH scored AS (UPDATE account_score SET account_version = 2 WHERE account_id = %(id)s)"
            " UPDATE account SET balance = 0, version = 2 WHERE id = %(id)s",
            {"id": paid},
        )
    return world


def figures(mean: str, urgent: str, high: str, ratio: str | None = None, below: bool | None = None) -> Any:
    found: dict[str, Any] = {"mean_total": mean, "high_or_critical": urgent, "high_priority": high}
    return found if below is None else {**found, "ratio_to_highest": ratio, "below_four_fifths": below}


async def report(world: Any, who: str) -> Any:
    answer = await world.call(who, "GET", "/scoring/fairness")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_groups_are_compared_under_each_scorecard(placed: Any) -> None:
    groups = {one["family_situation"]: one for one in (await report(placed, "acme.admin"))["groups"]}

    assert (groups[MARRIED]["accounts"], groups[MARRIED]["by_scorecard"]) == (
        4,
        {
            V1: figures("230.75", "0.0000", "0.2500", "0.3750", below=True),
            ECOA: figures("259.75", "0.2500", "1.0000", "1.0000", below=False),
        },
    )
    assert (groups[WIDOWED]["accounts"], groups[WIDOWED]["by_scorecard"]) == (
        3,
        {
            V1: figures("272.00", "1.0000", "0.6667", "1.0000", below=False),
            ECOA: figures("252.00", "0.0000", "0.6667", "0.6667", below=True),
        },
    )
    assert (groups["UNKNOWN"]["accounts"], groups["UNKNOWN"]["by_scorecard"]) == (
        2,
        {
            V1: figures("248.00", "0.0000", "0.0000", "0.0000", below=True),
            ECOA: figures("252.00", "0.0000", "1.0000", "1.0000", below=False),
        },
    )
    assert len(groups) == 9
    nobody = groups["DIVORCED_WITH_DEPENDENTS"]
    assert nobody["accounts"] == 0
    assert set(nobody["by_scorecard"][V1].values()) == {None, False}


async def test_the_whole_portfolio_and_what_changes(placed: Any) -> None:
    found = await report(placed, "acme.auditor")

    assert (found["accounts"], found["threshold"], found["scorecards"]) == (9, "500000.00", [V1, ECOA])
    assert found["overall"] == {
        V1: figures("248.33", "0.3333", "0.3333"),
        ECOA: figures("255.44", "0.1111", "0.8889"),
    }
    assert (found["changed_level"], found["changed_priority"]) == (4, 9)
    none = dict.fromkeys(("LOW", "MEDIUM", "HIGH", "CRITICAL"), 0)
    assert found["migration"] == {
        "LOW": none,
        "MEDIUM": {**none, "MEDIUM": 5, "HIGH": 1},
        "HIGH": {**none, "MEDIUM": 3},
        "CRITICAL": none,
    }
    assert "12 CFR 1002.6(b)(8)" in found["basis"][0]
    assert "29 CFR 1607.4(D)" in found["basis"][1]


async def test_the_agencys_threshold_counts_and_nobody_elses_accounts(placed: Any) -> None:
    async with await psycopg.AsyncConnection.connect(placed.owner_url) as connection:
        await connection.execute("UPDATE agency SET high_priority_threshold = 504000 WHERE slug = 'acme'")
    try:
        found = await report(placed, "acme.admin")
    finally:
        async with await psycopg.AsyncConnection.connect(placed.owner_url) as connection:
            await connection.execute("UPDATE agency SET high_priority_threshold = NULL")
    empty = await report(placed, "rival.admin")

    # 504,000 itself is not above it: of the second scorecard's eight only 4000 × 283 is left.
    assert found["overall"][ECOA]["high_priority"] == "0.1111"
    assert (empty["accounts"], empty["changed_level"]) == (0, 0)
    assert set(empty["overall"][V1].values()) == {None}


async def test_who_may_see_it(placed: Any) -> None:
    picked = {"X-Agency": "acme"}
    statuses = {
        who: (await placed.call(who, "GET", "/scoring/fairness")).status_code
        for who in ("acme.collector", "platform", None)
    }
    assert statuses == {"acme.collector": 403, "platform": 400, None: 401}
    assert (await placed.call("platform", "GET", "/scoring/fairness", **picked)).status_code == 200


async def test_the_command_line_gives_the_same(
    placed: Any, module_database: Any, command_line: CommandLine
) -> None:
    async def run(*words: str) -> tuple[int, str, str]:
        settings = {"RECOUP_DATABASE_URL": module_database.app_url}
        return await command_line.run("fairness", *words, **settings)

    code, printed, _ = await run("--agency", "acme", "--json")
    shown_code, shown, _ = await run("--agency", "acme")
    nobody, _, errors = await run("--agency", "nobody")

    assert code == shown_code == 0
    assert json.loads(printed) == await report(placed, "acme.admin")
    assert "4 accounts change level, 9 change priority" in shown
    assert nobody == 1
    assert "there is no agency “nobody”" in errors
