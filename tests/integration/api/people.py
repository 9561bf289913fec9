"""Debtors and their accounts over REST, as tests make and read them."""

import asyncio
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

from sqlalchemy import text, update

from db.models import Account, AccountScore
from domain.scoring import DebtorFacts
from domain.scoring.facts import FACT_NAMES
from domain.tenancy import Tenant
from sandbox.processes import until

PERSON = {
    "full_name": "Ada Lovelace",
    "ssn_last4": "9173",
    "email": "ada@example.com",
    "phone": "(214) 555-0100",
    "city": "Dallas",
    "state": "TX",
    "monthly_income": "2000.00",
    "late_payments_count": 4,
    "employment_status": "unemployed",
    "contract_type": "temporary",
}


async def make(world: Any, who: str = "acme.admin", **changes: Any) -> dict[str, Any]:
    body = {"debtor_ref": f"D-{uuid4().hex}", **PERSON, **changes}
    answer = await world.call(who, "POST", "/debtors", body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def place(
    world: Any, debtor: dict[str, Any], amount: str = "1250.00", who: str = "acme.admin", **more: Any
) -> dict[str, Any]:
    """An account of the debtor; nothing that is known of them changes."""
    known = {"full_name": debtor["full_name"], "debtor_ref": debtor["debtor_ref"]}
    body = {"external_ref": f"R-{uuid4().hex}", "original_amount": amount, "debtor": known, **more}
    answer = await world.call(who, "POST", "/accounts", body)
    assert answer.status_code == 201, answer.text
    placed: dict[str, Any] = answer.json()
    return placed


async def read(world: Any, path: str, who: str = "acme.admin", **query: Any) -> dict[str, Any]:
    answer = await world.call(who, "GET", f"{path}?{urlencode(query, doseq=True)}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def ids(world: Any, path: str = "/debtors", who: str = "acme.admin", **query: Any) -> list[str]:
    return [row["id"] for row in (await read(world, path, who, **query))["results"]]


async def change(world: Any, debtor: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = await world.call("acme.admin", "PATCH", f"/debtors/{debtor['id']}", fields)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def set_account(world: Any, account: dict[str, Any], **values: Any) -> None:
    """What other commands will do to an account's row."""
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        row = update(Account).where(Account.id == UUID(account["id"]))
        # A balance does not change without a version and a score.
        version = {"version": Account.version + 1} if "balance" in values else {}
        await tx.session.execute(row.values(**values, **version))
        if version:
            score = update(AccountScore).where(AccountScore.account_id == UUID(account["id"]))
            await tx.session.execute(score.values(account_version=AccountScore.account_version + 1))


async def collector_of(world: Any) -> UUID:
    collectors = (await read(world, "/collectors"))["results"]
    return UUID(collectors[0]["id"])


async def audit(world: Any, debtor: dict[str, Any]) -> list[Any]:
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        return list(await tx.audit.of("debtor", debtor["id"]))


async def until_it_waits(world: Any, task: asyncio.Task[Any]) -> None:
    """Until the task is over, or waits for the lock of another transaction."""

    async def waits() -> bool:
        async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
            locks = await tx.session.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
            return task.done() or bool(locks.scalar_one())

    await until(waits, within_s=60, what="the change to wait")


async def assert_scores_are_fresh(world: Any, debtor: dict[str, Any]) -> None:
    """The stored scores are what the scorecard says of the facts as they are shown."""
    shown = await read(world, f"/debtors/{debtor['id']}")
    card = world.services.debtors._scorers["recovery-v1"]
    facts = DebtorFacts.model_validate({name: shown[name] for name in FACT_NAMES})
    explained = await read(world, f"/debtors/{debtor['id']}/score")
    for account in shown["accounts"]["results"]:
        fresh = card.score(facts, Decimal(account["current_balance"]))
        assert (account["risk_score"], account["risk_level"]) == (fresh.total, fresh.level)
        assert Decimal(account["priority_score"]) == fresh.priority_score
    assert [account["stored"]["current"] for account in explained["accounts"]] == [True] * len(
        explained["accounts"]
    )
