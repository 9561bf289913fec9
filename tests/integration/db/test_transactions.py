"""What a transaction does with the database's own errors."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import text

from db.cipher import ColumnCipher, parse_keys
from db.session import Database, DatabaseRefused
from domain.errors import Unavailable
from domain.tenancy import Tenant
from runtime.settings import DEVELOPMENT_COLUMN_KEYS
from tests.conftest import TemporaryDatabase

CIPHER = ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS))


async def test_a_refusal_names_the_constraint_and_quotes_no_person(database: TemporaryDatabase) -> None:
    db = Database(database.app_url, CIPHER)
    agency = uuid4()
    with pytest.raises(DatabaseRefused) as caught:
        async with db.transaction(Tenant.system(agency, "test")) as tx:
            await tx.session.execute(
                text(
                    "INSERT INTO debtor (agency_id, natural_key, full_name, late_payments_count)"
                    " VALUES (:agency, 'acct:1:A', 'Ada Lovelace', -1)"
                ),
                {"agency": agency},
            )
    await db.close()
    assert caught.value.details == {"constraint": "ck_debtor_late_payments"}
    told: BaseException | None = caught.value
    while told is not None:
        assert "Ada" not in str(told)
        told = told.__cause__
    assert not caught.value.retryable


async def test_a_database_that_is_away_may_be_tried_again() -> None:
    db = Database("postgresql://recoup_app@127.0.0.1:1/recoup", CIPHER)
    with pytest.raises(Unavailable):
        async with db.platform() as tx:
            await tx.revision()
    await db.close()


async def test_the_connection_of_a_cancelled_transaction_serves_nobody_else(
    database: TemporaryDatabase,
) -> None:
    # Cut off at the wrong moment it stays in a pipeline, and whoever has it next is answered nothing.
    db = Database(database.app_url, CIPHER, pool_size=1)
    begun = asyncio.Event()
    served: list[int] = []

    async def work(*, for_long: bool = False) -> None:
        async with db.transaction(Tenant.system(uuid4(), "test")) as tx:
            served.append(await tx.session.scalar(text("SELECT pg_backend_pid()")) or 0)
            begun.set()
            if for_long:
                await asyncio.Event().wait()

    await work()
    begun.clear()
    cut_off = asyncio.create_task(work(for_long=True))
    await asyncio.wait_for(begun.wait(), 60)
    cut_off.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut_off
    await work()
    await db.close()
    first, second, third = served
    assert first == second != third
