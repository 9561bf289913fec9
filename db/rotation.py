"""Re-encrypt columns under the first key, batch by batch, so that old keys can be retired."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.rows import tuple_row

from db.cipher import place
from db.imports import REFUSAL_COLUMN
from db.partners import SIGNING_SECRET_COLUMN
from db.sources import PASSWORD_COLUMN, PRIVATE_KEY_COLUMN
from db.staging import SSN_COLUMN
from db.store import Store
from db.stripe_credentials import SECRET_KEY_COLUMN, WEBHOOK_SECRET_COLUMN

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from db.cipher import ColumnCipher
    from domain.tenancy import Tenant


@dataclass(frozen=True, slots=True)
class EncryptedColumn:
    """A column of ciphertext: its table's key, and the place that its values are bound to."""

    table: str
    column: str
    key: tuple[str, ...]
    place: str


ENCRYPTED_COLUMNS = (
    EncryptedColumn("sftp_source", "password_encrypted", ("id",), PASSWORD_COLUMN),
    EncryptedColumn("sftp_source", "private_key_encrypted", ("id",), PRIVATE_KEY_COLUMN),
    EncryptedColumn("stripe_credentials", "secret_key_encrypted", ("agency_id",), SECRET_KEY_COLUMN),
    EncryptedColumn("stripe_credentials", "webhook_secret_encrypted", ("agency_id",), WEBHOOK_SECRET_COLUMN),
    EncryptedColumn("partner", "signing_secret_encrypted", ("id",), SIGNING_SECRET_COLUMN),
    EncryptedColumn("debtor", "ssn_last4_encrypted", ("id",), SSN_COLUMN),
    EncryptedColumn("import_refusal", "text_encrypted", ("import_id", "line"), REFUSAL_COLUMN),
)
"""Every encrypted column that outlives an import; staging is emptied when its import ends."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one batch did: rows looked at, rows encrypted anew, and the key of the last row."""

    seen: int
    rotated: int
    last: tuple[Any, ...] | None


class RotationStore(Store):
    """The encrypted columns of one agency."""

    def __init__(self, session: "AsyncSession", tenant: "Tenant", cipher: "ColumnCipher") -> None:
        super().__init__(session, tenant)
        self._cipher = cipher

    async def count(self, column: EncryptedColumn) -> int:
        """How many values the column has."""
        query = sql.SQL("SELECT count(*) FROM {table} WHERE agency_id = %s AND {column} IS NOT NULL").format(
            table=sql.Identifier(column.table), column=sql.Identifier(column.column)
        )
        driver = await self._driver()
        cursor = await driver.cursor(row_factory=tuple_row).execute(query, (self._agency_id,))
        row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def rotate(self, column: EncryptedColumn, after: Sequence[Any] | None, limit: int) -> Batch:
        """Encrypt anew what is not under the first key among the next ``limit`` values after a key.

        Only rows that are changed are locked, until the transaction ends; a value that somebody else has
        changed since it was read stays theirs. ``ColumnUnreadable`` when one does not open.
        """
        bound = place(column.place, self._agency_id)
        rows = await self._next(column, after, limit)
        stale = [row for row in rows if self._cipher.needs_rotation(bytes(row[0]))]
        renewed = [
            (self._cipher.encrypt(self._cipher.decrypt(bytes(blob), bound), bound), *key, blob)
            for blob, *key in stale
        ]
        rotated = 0
        if renewed:
            driver = await self._driver()
            cursor = driver.cursor()
            await cursor.executemany(_update(column), renewed)
            rotated = cursor.rowcount
        return Batch(len(rows), rotated, tuple(rows[-1][1:]) if rows else None)

    async def _next(
        self, column: EncryptedColumn, after: Sequence[Any] | None, limit: int
    ) -> list[tuple[Any, ...]]:
        key = sql.SQL(", ").join(map(sql.Identifier, column.key))
        beyond = (
            sql.SQL("")
            if after is None
            else sql.SQL("AND ({key}) > ({values})").format(
                key=key, values=sql.SQL(", ").join(sql.Placeholder() * len(after))
            )
        )
        query = sql.SQL(
            "SELECT {column}, {key} FROM {table} WHERE agency_id = %s AND {column} IS NOT NULL {beyond}"
            " ORDER BY {key} LIMIT %s"
        ).format(
            column=sql.Identifier(column.column), key=key, table=sql.Identifier(column.table), beyond=beyond
        )
        driver = await self._driver()
        cursor = await driver.cursor(row_factory=tuple_row).execute(
            query, (self._agency_id, *(after or ()), limit)
        )
        return await cursor.fetchall()


def _update(column: EncryptedColumn) -> sql.Composed:
    return sql.SQL("UPDATE {table} SET {column} = %s WHERE {match} AND {column} = %s").format(
        table=sql.Identifier(column.table),
        column=sql.Identifier(column.column),
        match=sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in column.key),
    )
