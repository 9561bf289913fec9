"""Why an account scored what it did, told later from what was stored then."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import update

from db.models import Account
from domain.tenancy import Tenant
from services.score_history import Seen, breaches
from tests.command_line import CommandLine

FACTS = {
    "monthly_income": "2000.00",
    "late_payments_count": 4,
    "employment_status": "UNEMPLOYED",
    "family_situation": "WIDOWED_WITH_DEPENDENTS",
}
POINTS = {
    "debt_ratio": 2,
    "payment_history": 7,
    "employment_status": 9,
    "contract_type": 5,
    "industry_sector": 5,
    "family_situation": 9,
}
TOTAL = 9 * 2 + 9 * 7 + 8 * 9 + 7 * 5 + 6 * 5 + 6 * 9


async def place(world: Any, debtor_ref: str, **facts: Any) -> dict[str, Any]:
    body = {
        "external_ref": uuid4().hex,
        "original_amount": "1250.00",
        "debtor": {"full_name": "Ada Lovelace", "debtor_ref": debtor_ref, **FACTS, **facts},
    }
    answer = await world.call("acme.admin", "POST", "/accounts", body, **{"Idempotency-Key": uuid4().hex})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.fixture
async def account(world: Any) -> dict[str, Any]:
    """An account that scored 272, and since its debtor found work scores less."""
    reference = uuid4().hex
    first = await place(world, reference)
    await place(world, reference, employment_status="EMPLOYED", late_payments_count=0)
    return first


async def scores(world: Any, account: dict[str, Any], query: str = "", who: str = "acme.admin") -> Any:
    answer = await world.call(who, "GET", f"/accounts/{account['id']}/scores{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_scores_are_listed_newest_first_with_what_they_were_made_from(
    world: Any, account: dict[str, Any]
) -> None:
    [now, then] = (await scores(world, account))["results"]

    assert then["total"] == TOTAL == 272
    assert then["points"] == POINTS
    assert then["inputs"] == {
        "balance": "1250.00",
        **FACTS,
        "contract_type": None,
        "industry_sector": None,
    }
    assert (then["scorecard"], then["scorecard_version"]) == ("recovery-v1", 1)
    assert Decimal(then["priority_score"]) == TOTAL * Decimal("1250.00")
    assert (then["level"], then["priority"], then["high_priority"]) == ("HIGH", 1, False)
    assert then["threshold"] == "500000.00"
    assert then["run_id"] is None
    assert now["total"] == TOTAL - 8 * (9 - 2) - 9 * (7 - 1)
    assert now["scored_at"] > then["scored_at"]
    first = await scores(world, account, "?page_size=1")
    second = await scores(world, account, first["next"].partition("/scores")[2])
    assert [first["results"], second["results"]] == [[now], [then]]
    assert second["next"] is None


async def test_the_score_of_a_moment_is_told_from_what_was_stored_then(
    world: Any, account: dict[str, Any]
) -> None:
    [now, then] = (await scores(world, account))["results"]
    between = datetime.fromisoformat(then["scored_at"])

    old = await scores(world, account, f"/at?at={quote(between.isoformat())}")
    today = await scores(world, account, f"/at?at={datetime.now(UTC).date()}")

    assert {name: old[name] for name in then} == then
    assert old["reproduced"] is True
    assert old["differences"] == []
    assert sum(factor["contribution"] for factor in old["factors"]) == TOTAL
    assert any("unemployed" in factor["sentence"] for factor in old["factors"])
    assert any("Total 272 of 450" in sentence for sentence in old["summary"])
    assert {name: today[name] for name in now} == now
    assert any("employed: 2 of 10" in factor["sentence"] for factor in today["factors"])


async def test_before_its_first_score_there_is_none(world: Any, account: dict[str, Any]) -> None:
    [*_, first] = (await scores(world, account))["results"]
    before = datetime.fromisoformat(first["scored_at"]) - timedelta(microseconds=1)

    answer = await world.call(
        "acme.admin", "GET", f"/accounts/{account['id']}/scores/at?at={quote(before.isoformat())}"
    )
    bad = await world.call("acme.admin", "GET", f"/accounts/{account['id']}/scores/at?at=march")
    none = await world.call("acme.admin", "GET", f"/accounts/{account['id']}/scores/at")

    assert answer.status_code == 404
    assert "no score yet" in answer.json()["detail"]
    assert [(a.status_code, a.json()["field"]) for a in (bad, none)] == [(422, "at"), (422, "at")]


async def found(world: Any) -> tuple[Seen, dict[UUID, tuple[str, ...]]]:
    seen = Seen()
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        return seen, {breach.account_id: breach.differs async for breach in breaches(tx, seen)}


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ("total = total + 1", ("total",)),
        ("rank = rank - 1", ("rank",)),
        ("points = '{2,7,9,5,5,8}'", ("points",)),
        ("level = 'LOW', priority = 0", ("level", "priority")),
        ("industry_sector = 'RETAIL'", ("total", "rank", "points", "inputs")),
        ("monthly_income = 1999.99", ("inputs",)),
        ("threshold = 1", ("priority", "high_priority")),
    ],
)
async def test_a_score_that_its_inputs_do_not_give_is_found(
    world: Any, module_database: Any, account: dict[str, Any], change: str, differs: tuple[str, ...]
) -> None:
    [_, then] = (await scores(world, account))["results"]
    sound, known = await found(world)
    assert UUID(account["id"]) not in known
    async with await psycopg.AsyncConnection.connect(module_database.owner_url) as connection:
        statement = f"UPDATE account_score_history SET {change} WHERE account_id = %s AND scored_at = %s"  # noqa: S608
        await connection.execute(statement.encode(), [account["id"], then["scored_at"]])

    told = await scores(world, account, f"/at?at={quote(then['scored_at'])}")
    seen, again = await found(world)

    assert told["reproduced"] is False
    assert tuple(told["differences"]) == differs
    assert again == {**known, UUID(account["id"]): differs}
    assert seen.derived == sound.derived > 1


async def test_who_sees_the_history(world: Any, account: dict[str, Any]) -> None:
    async def status(who: str, path: str = "") -> int:
        answer = await world.call(who, "GET", f"/accounts/{account['id']}/scores{path}")
        return int(answer.status_code)

    for path in ("", "/at?at=2999-01-01"):
        assert await status("acme.auditor", path) == 200
        assert await status("rival.admin", path) == 404
        assert await status("acme.collector", path) == 404
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        user = await tx.users.by_username("acme.collector")
        standing = await tx.users.standing(user.id)
        await tx.session.execute(
            update(Account).where(Account.id == UUID(account["id"])).values(assigned_to=standing.collector_id)
        )
    for path in ("", "/at?at=2999-01-01"):
        assert await status("acme.collector", path) == 200


async def test_the_audit_reads_a_long_history_a_few_rows_at_a_time(
    world: Any, account: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        await place(world, uuid4().hex)
    monkeypatch.setattr("db.score_history._AT_ONCE", 2)
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        held = [len(list(tx.session)) async for _ in tx.score_history.every()]

        assert len(held) == await tx.score_history.count() > 10
        assert max(held) <= 4


async def test_the_audit_names_what_does_not_follow_and_exits_1(
    world: Any, module_database: Any, account: dict[str, Any], command_line: CommandLine
) -> None:
    async def audit(*words: str) -> tuple[int, str, str]:
        settings = {"RECOUP_DATABASE_URL": module_database.app_url}
        return await command_line.run("audit", "scores", *words, **settings)

    _, known = await found(world)
    async with await psycopg.AsyncConnection.connect(module_database.owner_url) as connection:
        await connection.execute(
            "UPDATE account_score_history SET total = total + 1 WHERE account_id = %s", [account["id"]]
        )

    sound, said, _ = await audit("--agency", "rival")
    code, printed, _ = await audit("--json")
    nobody, _, error = await audit("--agency", "nobody")

    assert sound == 0
    assert "every score follows from its inputs and its scorecard: derived 0 scores" in said
    report = json.loads(printed)
    assert code == 1
    assert (report["agencies"], report["of_models"]) == (2, 0)
    assert report["differing"] == len(report["breaches"]) == len(known) + 2
    breach = next(one for one in report["breaches"] if one["account_id"] == account["id"])
    assert breach["differs"] == ["total"]
    assert (breach["agency"], breach["scorecard"]) == ("acme", "recovery-v1 version 1")
    assert nobody == 1
    assert "there is no agency “nobody”" in error
