"""Staging: rows of one import on their way to the tables, and the cursor that resumes it.

Staging tables are unlogged, made for one import and dropped after it. A crash of the server empties
them together with the cursor, so the file is then staged again from its start.
"""

import asyncio
import io
import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import polars as pl
from psycopg import sql
from sqlalchemy import text

from db.cipher import ColumnCipher, place
from db.store import Store
from domain.errors import Unavailable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from domain.tenancy import Tenant

SSN_COLUMN = "debtor.ssn_last4"

_COLUMNS = MappingProxyType(
    {
        "line": "line",
        "creditor_name": "creditor_name",
        "external_ref": "external_ref",
        "debtor_ref": "debtor_ref",
        "debtor_name": "full_name",
        "debtor_ssn_last4": "ssn_last4_encrypted",
        "debtor_email": "email",
        "debtor_phone": "phone",
        "address_line1": "address_line1",
        "address_line2": "address_line2",
        "city": "city",
        "state": "state",
        "postal_code": "postal_code",
        "country": "country",
        "monthly_income": "monthly_income",
        "late_payments_count": "late_payments_count",
        "employment_status": "employment_status",
        "contract_type": "contract_type",
        "industry_sector": "industry_sector",
        "family_situation": "family_situation",
        "original_amount": "original_amount",
        "account_type": "account_type",
        "due_date": "due_date",
        "charge_off_date": "charge_off_date",
        "last_payment_date": "last_payment_date",
        "itemization_date": "itemization_date",
        "record_type": "record_type",
    }
)
"""Columns of a judged chunk and the columns of staging that take them."""


def staging_table(import_id: UUID) -> sql.Identifier:
    """The staging table of one import."""
    return sql.Identifier("staging", f"placement_{import_id.hex}")


class StagingStore(Store):
    """The staging table and cursor of an import. The caller commits a chunk and its cursor together."""

    def __init__(self, session: "AsyncSession", tenant: "Tenant", cipher: ColumnCipher) -> None:
        super().__init__(session, tenant)
        self._cipher = cipher

    async def take_over(self, import_id: UUID) -> tuple[UUID, dict[str, Any] | None]:
        """Become the one that stages an import: whoever did so before can commit nothing more.

        Returns the holder that ``advance`` asks for, and where staging goes on; None means from the
        start, and the table is then empty.
        """
        holder = uuid4()
        values = {"id": import_id, "holder": str(holder)}
        found = await self._session.scalar(_TAKE_OVER, values)
        if found is None:
            driver = await self._driver()
            table = staging_table(import_id)
            await driver.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
            await driver.execute(
                sql.SQL("CREATE UNLOGGED TABLE {} (LIKE staging.placement INCLUDING ALL)").format(table)
            )
            await self._session.execute(_BEGIN, values)
        position = {name: value for name, value in (found or {}).items() if name != "holder"}
        return holder, position or None

    async def advance(self, import_id: UUID, holder: UUID, position: dict[str, Any]) -> None:
        """Set the cursor that is committed with the rows before it.

        ``Unavailable`` when the cursor is gone (a crash of the server took it, and the rows before
        with it, without the holder noticing) or somebody else stages the import by now: what this
        transaction has staged must not stand.
        """
        values = {"id": import_id, "holder": str(holder), "position": json.dumps(position)}
        if await self._session.scalar(_ADVANCE, values) is None:
            raise Unavailable("the staging of this file is no longer ours; it goes on from what is there")

    async def add(self, import_id: UUID, rows: pl.DataFrame, default_creditor: str) -> None:
        """Copy judged rows into staging; SSN digits are encrypted before they leave this process.

        ``rows`` has the columns of the portfolio file that the file carries, and ``line``.
        """
        if rows.is_empty():
            return
        payload, columns = await asyncio.to_thread(self._encode, rows, default_creditor)
        copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
            staging_table(import_id), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        driver = await self._driver()
        async with driver.cursor() as cursor, cursor.copy(copy) as sink:
            await sink.write(payload)

    def _encode(self, rows: pl.DataFrame, default_creditor: str) -> tuple[memoryview, list[str]]:
        named = [name for name in _COLUMNS if name in rows.columns]
        frame = rows.select(named)
        if "creditor_name" not in named:
            named.append("creditor_name")
            frame = frame.with_columns(creditor_name=pl.lit(default_creditor))
        else:
            frame = frame.with_columns(pl.col("creditor_name").fill_null(default_creditor))
        if "debtor_ssn_last4" in named:
            blobs = self._cipher.encrypt_many(
                frame["debtor_ssn_last4"].to_list(), place(SSN_COLUMN, self._agency_id)
            )
            column = pl.Series(
                [None if blob is None else "\\x" + blob.hex() for blob in blobs], dtype=pl.String
            )
            frame = frame.with_columns(debtor_ssn_last4=column)
        buffer = io.BytesIO()
        frame.write_csv(buffer, include_header=False)
        return buffer.getbuffer(), [_COLUMNS[name] for name in named]

    async def analyze(self, import_id: UUID) -> None:
        """Give the planner the size and spread of the staged rows."""
        driver = await self._driver()
        await driver.execute(sql.SQL("ANALYZE {}").format(staging_table(import_id)))

    async def is_whole(self, import_id: UUID) -> bool:
        """Whether staging ended and its rows are still there (a crash of the server empties both)."""
        found = await self._session.scalar(
            text("SELECT (position ->> 'finished')::boolean FROM staging.cursor WHERE import_id = :id"),
            {"id": import_id},
        )
        return bool(found)

    async def clear(self, import_id: UUID) -> None:
        """Drop the staging table and forget the cursor; safe to repeat."""
        driver = await self._driver()
        await driver.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(staging_table(import_id)))
        await self._session.execute(
            text("DELETE FROM staging.cursor WHERE import_id = :id"), {"id": import_id}
        )


_TAKE_OVER = text("""
    UPDATE staging.cursor SET position = position || jsonb_build_object('holder', CAST(:holder AS text))
     WHERE import_id = :id RETURNING position
""")
_BEGIN = text("""
    INSERT INTO staging.cursor (import_id, position)
    VALUES (:id, jsonb_build_object('holder', CAST(:holder AS text)))
""")
_ADVANCE = text("""
    UPDATE staging.cursor
       SET position = CAST(:position AS jsonb) || jsonb_build_object('holder', CAST(:holder AS text))
     WHERE import_id = :id AND position ->> 'holder' = :holder
    RETURNING import_id
""")
