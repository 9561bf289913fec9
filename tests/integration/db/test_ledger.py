"""The proof of the ledger: it finds a planted breach, and nothing on a sound ledger."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from db.cipher import ColumnCipher, parse_keys
from db.models import Account
from db.session import Database, DatabaseRefused
from domain.tenancy import Tenant
from runtime.settings import DEVELOPMENT_COLUMN_KEYS
from tests.command_line import CommandLine


@pytest.fixture
async def db(database: Any) -> AsyncIterator[Database]:
    made = Database(database.app_url, ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)))
    yield made
    await made.close()


async def agency(db: Database) -> Tenant:
    async with db.platform() as tx:
        made = await tx.agencies.add({"slug": uuid4().hex, "name": "Agency"})
    return Tenant.system(made.id, "test")


async def place(db: Database, tenant: Tenant, ref: str, amount: str) -> UUID:
    async with db.transaction(tenant) as tx:
        creditor = await tx.creditors.add({"name": f"Creditor {ref}"})
        debtor: UUID = (
            await (await tx.session.connection()).exec_driver_sql(
                "INSERT INTO debtor (agency_id, natural_key, full_name) VALUES (%s, %s, 'Ana') RETURNING id",
                (tenant.agency_id, f"ref:{ref}"),
            )
        ).scalar_one()
        account = Account(
            agency_id=tenant.agency_id,
            creditor_id=creditor.id,
            debtor_id=debtor,
            external_ref=ref,
            original_amount=Decimal(amount),
            balance=Decimal(amount),
        )
        tx.session.add(account)
        await tx.session.flush()
        await tx.ledger.place(account.id, Decimal(amount), "USD", key=ref, occurred_at=datetime.now(UTC))
        return account.id


async def breaches(db: Database, tenant: Tenant) -> list[tuple[UUID, Decimal, Decimal]]:
    async with db.transaction(tenant) as tx:
        return [(b.account_id, b.balance, b.posted) async for b in tx.ledger.breaches()]


async def test_a_planted_breach_is_found_and_ends_the_audit_with_1(
    db: Database, database: Any, command_line: CommandLine
) -> None:
    async def audit(*options: str) -> tuple[int, str]:
        settings = {"RECOUP_DATABASE_URL": database.app_url}
        code, out, _ = await command_line.run("audit", "ledger", *options, **settings)
        return code, out

    ours, theirs = await agency(db), await agency(db)
    account = await place(db, ours, "A-1", "100.00")
    await place(db, theirs, "A-1", "50.00")
    assert await breaches(db, ours) == await breaches(db, theirs) == []
    code, out = await audit()
    assert code == 0
    assert out == "every balance equals its postings: checked 2 accounts of 2 agencies\n"

    async with await psycopg.AsyncConnection.connect(database.superuser_url) as link:
        await link.execute("UPDATE account SET balance = 99.99, version = 2 WHERE id = %s", [account])

    assert await breaches(db, ours) == [(account, Decimal("99.99"), Decimal("100.00"))]
    assert await breaches(db, theirs) == []
    code, out = await audit("--json")
    assert code == 1
    report = json.loads(out)
    assert (report["accounts"], report["agencies"], report["differing"]) == (2, 2, 1)
    [found] = report["breaches"]
    assert (found["account_id"], found["balance"], found["posted"]) == (str(account), "99.99", "100.00")


async def test_an_account_without_postings_is_a_breach(db: Database, database: Any) -> None:
    tenant = await agency(db)
    account = await place(db, tenant, "A-1", "100.00")
    async with await psycopg.AsyncConnection.connect(database.superuser_url) as link:
        await link.execute("DELETE FROM posting")
    assert await breaches(db, tenant) == [(account, Decimal("100.00"), Decimal(0))]


async def test_one_key_is_posted_once(db: Database) -> None:
    tenant = await agency(db)
    account = await place(db, tenant, "A-1", "100.00")
    with pytest.raises(DatabaseRefused, match="uq_journal_agency_id_kind_key"):
        async with db.transaction(tenant) as tx:
            await tx.ledger.place(account, Decimal(1), "USD", key="A-1", occurred_at=datetime.now(UTC))
    assert await breaches(db, tenant) == []


async def test_no_posting_joins_an_account_of_another_agency(db: Database) -> None:
    ours, theirs = await agency(db), await agency(db)
    account = await place(db, theirs, "A-1", "100.00")
    with pytest.raises(DatabaseRefused, match="fk_posting_agency_id_account_id_account"):
        async with db.transaction(ours) as tx:
            await tx.ledger.place(account, Decimal(1), "USD", key="B", occurred_at=datetime.now(UTC))
