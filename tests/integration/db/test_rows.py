"""Rows that are read past SQLAlchemy are the session's own objects all the same."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from db.cipher import ColumnCipher, parse_keys
from db.models import Payment
from db.session import Database, Transaction
from domain.errors import NotFound
from domain.tenancy import Tenant
from runtime.settings import DEVELOPMENT_COLUMN_KEYS
from tests.integration.db.test_ledger import agency, place


@pytest.fixture
async def db(database: Any) -> AsyncIterator[Database]:
    made = Database(database.app_url, ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)))
    yield made
    await made.close()


async def asked_for(db: Database, tenant: Tenant) -> UUID:
    account_id = await place(db, tenant, uuid4().hex, "100.00")
    async with db.transaction(tenant) as tx:
        made = await tx.payments.add(
            account_id, origin="request", key=uuid4().hex, amount=Decimal(5), currency="USD", method="cash"
        )
        return made.id


async def status_in(tx: Transaction, payment_id: UUID) -> str:
    """What its row says, past every object."""
    found = await (await tx.session.connection()).exec_driver_sql(
        "SELECT status FROM payment WHERE id = %s", (payment_id,)
    )
    return str(found.scalar_one())


async def test_a_row_that_is_read_twice_is_one_object(db: Database) -> None:
    tenant = await agency(db)
    payment_id = await asked_for(db, tenant)
    async with db.transaction(tenant) as tx:
        first = await tx.payments.get(payment_id)
        assert await tx.payments.get(payment_id) is first
        assert await tx.session.get(Payment, payment_id) is first
        assert (first.amount, first.status, first.refunded_amount) == (Decimal("5.00"), "pending", 0)


async def test_a_lock_reads_anew_what_others_have_written(db: Database) -> None:
    tenant = await agency(db)
    payment_id = await asked_for(db, tenant)
    async with db.transaction(tenant) as tx:
        before = await tx.payments.get(payment_id)
        async with db.transaction(tenant) as other:
            await other.payments.change(await other.payments.lock(payment_id), failure_code="by another")
        assert (await tx.payments.get(payment_id)).failure_code is None
        assert await tx.payments.lock(payment_id) is before
        assert before.failure_code == "by another"


async def test_what_sqlalchemy_has_not_written_yet_is_written_first(db: Database) -> None:
    tenant = await agency(db)
    payment_id = await asked_for(db, tenant)
    async with db.transaction(tenant) as tx:
        payment = await tx.payments.lock(payment_id)
        payment.status = "processing"
        await tx.payments.change(payment, failure_code="slow")
        assert await status_in(tx, payment_id) == "processing"
        assert (payment.failure_code, payment.updated_at) == ("slow", tx.began_at)
        assert not tx.session.dirty


async def test_only_columns_are_written(db: Database) -> None:
    tenant = await agency(db)
    payment_id = await asked_for(db, tenant)
    async with db.transaction(tenant) as tx:
        payment = await tx.payments.lock(payment_id)
        with pytest.raises(LookupError, match="no such columns: status = 'failed', method"):
            await tx.payments.change(payment, **{"status = 'failed', method": "cash"})
        account = await tx.account_changes.lock(payment.account_id)
        with pytest.raises(LookupError, match="no such columns: balance = 0, held"):
            await tx.account_changes.change(account, **{"balance = 0, held": True})


async def test_rows_of_others_are_not_there(db: Database) -> None:
    payment_id = await asked_for(db, await agency(db))
    stranger = await agency(db)
    async with db.transaction(stranger) as tx:
        with pytest.raises(NotFound):
            await tx.payments.get(payment_id)
        with pytest.raises(NotFound):
            await tx.payments.account_of(payment_id)
    readings = db.readings(stranger).payments
    for read in (readings.get(payment_id), readings.look_at(payment_id)):
        with pytest.raises(NotFound):
            await read


async def test_the_first_intent_that_is_noted_counts(db: Database) -> None:
    tenant = await agency(db)
    payment_id = await asked_for(db, tenant)
    payments = db.readings(tenant).payments
    assert await payments.note_intent(payment_id, "pi_first") == "pi_first"
    assert await payments.note_intent(payment_id, "pi_second") == "pi_first"
    assert (await payments.get(payment_id)).processor_ref == "pi_first"
    payment, touched = await payments.look_at(payment_id)
    assert (payment.processor_ref, touched) == ("pi_first", False)
    async with db.transaction(tenant) as tx:
        await tx.refunds.add(await tx.payments.lock(payment_id), Decimal(1), origin="request")
    assert (await payments.look_at(payment_id))[1]
