"""Scores of debtors over REST: explained in words, and never stale whatever changes meanwhile."""

import asyncio
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text

from db.rescoring import rescore
from domain.tenancy import Tenant
from tests.integration.api.people import (
    PERSON,
    assert_scores_are_fresh,
    change,
    make,
    place,
    read,
    until_it_waits,
)


async def to_other_facts_and_back(world: Any, debtor: dict[str, Any]) -> None:
    """What an import does: facts change, and their scoring is still to come."""
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "import")) as tx:
        await tx.session.execute(
            text("UPDATE debtor SET late_payments_count = 0, version = version + 1 WHERE id = :id"),
            {"id": debtor["id"]},
        )


async def test_scores_are_never_stale_when_changes_race_with_scoring(world: Any) -> None:
    made = await make(world)
    for amount in ("100.00", "5000.00", "90000.00"):
        await place(world, made, amount)

    async def scored() -> None:
        async with world.database.transaction(Tenant.system(world.agencies["acme"], "run")) as tx:
            await rescore(tx, world.services.debtors._scorers, await tx.accounts.of_debtor(UUID(made["id"])))

    for n in range(6):
        put = {"full_name": "Ada", "monthly_income": f"{10 ** (n % 3 + 1)}.00", "late_payments_count": n}
        answers = await asyncio.gather(
            scored(),
            world.call("acme.admin", "PUT", f"/debtors/{made['id']}", put),
            scored(),
            world.call("acme.admin", "PATCH", f"/debtors/{made['id']}", {"late_payments_count": n + 1}),
        )
        assert [answer.status_code for answer in answers if answer is not None] == [200, 200]
        await assert_scores_are_fresh(world, made)


async def test_a_score_under_way_does_not_outlive_a_change_back(world: Any) -> None:
    """The stored score is of the facts that the change brings back, until the other commits."""
    made = await make(world)
    placed = await place(world, made)
    await to_other_facts_and_back(world, made)
    patch = {"late_payments_count": PERSON["late_payments_count"]}

    async with world.database.transaction(Tenant.system(world.agencies["acme"], "run")) as tx:
        await rescore(tx, world.services.debtors._scorers, [UUID(placed["id"])])
        changing = asyncio.create_task(world.call("acme.admin", "PATCH", f"/debtors/{made['id']}", patch))
        await until_it_waits(world, changing)

    assert (await changing).status_code == 200
    await assert_scores_are_fresh(world, made)
    last = "SELECT total FROM account_score_history WHERE account_id = :id ORDER BY scored_at DESC, id DESC"
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        totals = (await tx.session.scalars(text(last), {"id": placed["id"]})).all()
    assert len(totals) == 3
    assert totals[0] == totals[2] == placed["risk_score"] != totals[1]


async def test_a_score_read_before_a_change_back_is_not_written_after_it(world: Any) -> None:
    """A run has read the other facts and comes to write them when the change has been made."""
    made = await make(world)
    placed = await place(world, made)
    await to_other_facts_and_back(world, made)
    await change(world, made, late_payments_count=PERSON["late_payments_count"])

    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        kept = await tx.session.execute(
            text("SELECT debtor_version FROM account_score WHERE account_id = :id"), {"id": placed["id"]}
        )
        assert kept.scalar_one() == 3


async def test_the_score_is_explained_in_words_and_nothing_is_written(
    world: Any, module_database: Any
) -> None:
    made = await make(world)
    small, large = await place(world, made, "100.00"), await place(world, made, "90000.00")
    counted = "SELECT (SELECT count(*) FROM account_score_history), (SELECT max(xmin::text) FROM debtor)"
    async with await psycopg.AsyncConnection.connect(module_database.owner_url) as link:
        before = await (await link.execute(counted)).fetchone()
        explained = await read(world, f"/debtors/{made['id']}/score", "acme.auditor")
        assert await (await link.execute(counted)).fetchone() == before

    assert explained["scorecard"].startswith("recovery-v1 version ")
    assert [account["account_id"] for account in explained["accounts"]] == [large["id"], small["id"]]
    first = explained["accounts"][0]
    assert len(first["factors"]) == 6
    assert "unemployed" in next(f["sentence"] for f in first["factors"] if f["factor"] == "employment_status")
    assert any("risk level" in sentence for sentence in first["summary"])
    assert first["stored"]["current"] is True
    assert (first["total"], first["level"]) == (large["risk_score"], large["risk_level"])
    assert explained["highest"]["account_id"] == large["id"]
    assert explained["highest"]["priority_score"] == first["priority_score"] == large["priority_score"]


@pytest.mark.parametrize("count", [0, 5])
async def test_a_stored_score_of_other_facts_is_told_apart(world: Any, count: int) -> None:
    """Even where the other facts come to the same total: 4 late payments or 5 do."""
    made = await make(world)
    placed = await place(world, made)
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        await tx.session.execute(
            text("UPDATE debtor SET late_payments_count = :n WHERE id = :id"), {"id": made["id"], "n": count}
        )

    [account] = (await read(world, f"/debtors/{made['id']}/score"))["accounts"]

    assert account["stored"]["current"] is False
    assert account["stored"]["total"] == placed["risk_score"]
    assert (account["total"] == placed["risk_score"]) is (count > 0)


async def test_the_score_is_explained_by_the_scorecard_that_the_agency_has_now(world: Any) -> None:
    made = await make(world)
    await place(world, made)
    agency = f"/agencies/{world.agencies['acme']}"
    try:
        changed = await world.call("platform", "PATCH", agency, {"scorecard": "recovery-v1-ecoa"})
        assert changed.status_code == 200, changed.text
        explained = await read(world, f"/debtors/{made['id']}/score")
    finally:
        await world.call("platform", "PATCH", agency, {"scorecard": "recovery-v1"})

    assert explained["scorecard"].startswith("recovery-v1-ecoa version ")
    [account] = explained["accounts"]
    assert "family_situation" not in {factor["factor"] for factor in account["factors"]}
    assert account["stored"]["current"] is False


async def test_the_account_tells_the_threshold_that_its_score_was_judged_by(world: Any) -> None:
    placed = await place(world, await make(world))
    agency = f"/agencies/{world.agencies['acme']}"
    try:
        changed = await world.call("platform", "PATCH", agency, {"high_priority_threshold": "0.00"})
        assert changed.status_code == 200, changed.text
        score = (await read(world, f"/accounts/{placed['id']}"))["score"]
    finally:
        await world.call("platform", "PATCH", agency, {"high_priority_threshold": None})

    assert score["high_priority"] is False
    assert f"not above the threshold of 500,000.00: priority {score['priority']} of 3" in score["summary"][-1]


async def test_many_accounts_are_cut_off_and_said_to_be(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.debtors.ACCOUNTS_EXPLAINED", 2)
    monkeypatch.setattr("services.debtors.ACCOUNTS_SHOWN", 2)
    made = await make(world)
    placed = [await place(world, made, f"{n}00.00") for n in range(1, 4)]

    explained = await read(world, f"/debtors/{made['id']}/score")
    shown = await read(world, f"/debtors/{made['id']}")

    wanted = [placed[2]["id"], placed[1]["id"]]
    assert (explained["count"], explained["truncated"]) == (3, True)
    assert [account["account_id"] for account in explained["accounts"]] == wanted
    assert (shown["accounts"]["count"], shown["accounts"]["truncated"]) == (3, True)
    assert shown["accounts"]["total_balance"] == "600.00"
    assert [account["id"] for account in shown["accounts"]["results"]] == wanted


async def test_a_priority_score_may_be_larger_than_any_amount(world: Any, module_database: Any) -> None:
    """A scorecard of one's own may weigh a large balance ten thousand times."""
    made = await make(world)
    placed = await place(world, made)
    huge = "9999999999999.96"
    async with await psycopg.AsyncConnection.connect(module_database.owner_url) as link:
        for table in ("account_score", "account_score_history"):
            changed = await link.execute(
                f"UPDATE {table} SET rank = 999999999999996 WHERE account_id = %s",  # noqa: S608
                [placed["id"]],
            )
            assert changed.rowcount == 1

    listed = (await read(world, "/accounts", debtor=made["id"], page_size=200))["results"]
    account = await read(world, f"/accounts/{placed['id']}")
    history = await read(world, f"/accounts/{placed['id']}/scores")
    debtor = await read(world, f"/debtors/{made['id']}")
    waiting = await read(world, "/worklist", page_size=1)

    assert huge in [row["priority_score"] for row in listed]
    assert account["priority_score"] == account["score"]["priority_score"] == huge
    assert [score["priority_score"] for score in history["results"]] == [huge]
    assert [row["priority_score"] for row in debtor["accounts"]["results"]] == [huge]
    assert waiting["results"][0]["priority_score"] == huge
