"""What a transaction does with the database's own errors."""

import asyncio
from random import Random
from uuid import uuid4

import pytest
from psycopg import pq
from sqlalchemy import text

from db.cipher import ColumnCipher, parse_keys
from db.session import Database, DatabaseRefused
from db.store import driver_of
from domain.errors import Unavailable
from domain.tenancy import Tenant
from runtime.loops import run
from runtime.settings import DEVELOPMENT_COLUMN_KEYS
from tests.conftest import TemporaryDatabase

ROUNDS = 80
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


async def test_transactions_that_are_cut_off_leave_no_connection_in_the_middle_of_something(
    database: TemporaryDatabase,
) -> None:
    # On the loop of processes that serve, in whose turns it shows at once.
    await asyncio.to_thread(run, cut_off_in_a_crowd(database.app_url))


async def cut_off_in_a_crowd(url: str) -> None:
    """Some work goes on, some is cut off wherever it stands, on few connections."""
    db, over = Database(url, CIPHER, pool_size=4), asyncio.Event()
    dice = Random(7)  # noqa: S311 - no secret

    async def work() -> None:
        async with db.transaction(Tenant.system(uuid4(), "test")) as tx:
            driver = await driver_of(tx.session)
            assert driver.pgconn.pipeline_status == pq.PipelineStatus.OFF, "still in somebody else's pipeline"
            assert (await tx.session.scalars(text("SELECT 7"))).one() == 7

    async def keep_working() -> None:
        while not over.is_set():
            await work()

    others = asyncio.gather(*(keep_working() for _ in range(6)))
    for _ in range(ROUNDS):
        cut_off = [asyncio.create_task(work()) for _ in range(4)]
        await asyncio.wait([others], timeout=dice.random() * 0.02)
        for task in cut_off:
            task.cancel()
        await asyncio.gather(*cut_off, return_exceptions=True)
    over.set()
    await others
    await db.close()
