"""Merging staged rows into debtors and accounts, one hash bucket and one transaction at a time.

A bucket is judged against what is there, then new rows are inserted in key order and existing ones updated
in the order of their ids, as by everybody, so that nobody waits for each other in a circle. Inserts are
optimistic: should another import place the same key first, the bucket is rolled back and merged
again, and then finds it.

Statements must not rely on statistics: while an agency's first million rows come in, the planner
takes it for one row, and a nested loop of its choice would be quadratic.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db import merge_sql, recall_sql
from db.accounts import PERSONAL_HOLDS
from db.cipher import ColumnCipher, place
from db.staging import SSN_COLUMN
from db.store import Store
from domain.accounts import PUTBACK, RECALLED, AccountStatus
from domain.errors import Unavailable
from domain.ledger import LedgerAccount
from domain.placements import RecordType

if TYPE_CHECKING:
    from sqlalchemy import CursorResult
    from sqlalchemy.ext.asyncio import AsyncSession

    from domain.tenancy import Tenant

HASH_BUCKETS = 1024
"""Rows are hashed finely at staging; a merge takes ranges of these, as many as suit its size."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Bucket ``index`` of ``count``: a range of the fine hash buckets."""

    index: int
    count: int

    @property
    def bounds(self) -> dict[str, int]:
        """``lo`` (included) and ``hi`` (excluded)."""
        return {
            "lo": self.index * HASH_BUCKETS // self.count,
            "hi": (self.index + 1) * HASH_BUCKETS // self.count,
        }


@dataclass(frozen=True, slots=True)
class Merged:
    """What merging a bucket did: rows inserted, rows updated, warnings reported."""

    inserted: int
    updated: int
    warnings: int = 0


class PlacementStore(Store):
    """Merges the staging table of an import. A merged bucket is never merged again."""

    def __init__(self, session: "AsyncSession", tenant: "Tenant", cipher: ColumnCipher) -> None:
        super().__init__(session, tenant)
        self._cipher = cipher

    async def merge_creditors(self, import_id: UUID) -> list[str]:
        """Create the creditors that the file names and nobody knew; returns their names."""
        created = await self._session.scalars(
            text(merge_sql.CREDITORS.format(staged=_staged(import_id))), {"agency": self._agency_id}
        )
        return list(created)

    async def merge_debtors(self, import_id: UUID, *, index: int, count: int) -> Merged:
        """Insert the debtors of a bucket, update contact data and facts of those already known, audited.

        A value that the file leaves out stays as it is. Of two rows about one debtor the last wins.
        """
        bucket = Bucket(index, count)
        if done := await self._merged(import_id, "debtors", bucket):
            return done
        values = {
            "agency": self._agency_id,
            "actor": self._tenant.actor.name,
            "count": count,
            **bucket.bounds,
        }
        rows = await self._compare(merge_sql.STAGED_DEBTORS, import_id, values)
        inserted = await self._run(merge_sql.INSERT_DEBTORS, values)
        updated = await self._update_debtors(values) if inserted < rows else 0
        others = merge_sql.OTHER_ACCOUNT_IDS.format(staged=_staged(import_id))
        ids = others if updated else merge_sql.NO_ACCOUNT_IDS
        return await self._done(import_id, "debtors", bucket, Merged(inserted, updated), ids)

    async def merge_accounts(
        self, import_id: UUID, *, index: int, count: int, file_name: str, currency: str
    ) -> Merged:
        """Place the new accounts of a bucket, with ledger and timeline; refresh those already placed.

        Status, balance and payments of an account that is there are never touched, unless the row takes
        the account back: then it is closed. Reported as warnings: a reference that occurs again later in
        the file, an amount or a debtor that differs from the placed one, nothing to take back.
        """
        bucket = Bucket(index, count)
        if done := await self._merged(import_id, "accounts", bucket):
            return done
        values = {
            "agency": self._agency_id,
            "import": import_id,
            "file": file_name,
            "actor": self._tenant.actor.name,
            "currency": currency,
            "key": f"{import_id}/{bucket.index}-{bucket.count}",
            "personal": PERSONAL_HOLDS,
            "receivable": LedgerAccount.RECEIVABLE,
            "placements": LedgerAccount.PLACEMENTS,
            "count": count,
            **bucket.bounds,
        }
        rows = await self._compare(merge_sql.STAGED_ACCOUNTS, import_id, values)
        inserted = await self._run(merge_sql.INSERT_ACCOUNTS, values)
        if inserted:
            for statement in (
                merge_sql.INSERT_JOURNAL,
                merge_sql.INSERT_POSTINGS,
                merge_sql.INSERT_PLACED_EVENTS,
            ):
                await self._run(statement, values)
        recalls, ids = await self._any_recalls(import_id, values), merge_sql.ACCOUNT_IDS
        if recalls:
            await self._lock_recalled(import_id, values)
        updated, warnings = await self._refresh_accounts(values) if inserted < rows else (0, 0)
        if recalls:
            closed, unheeded = await self._recall(values)
            updated, warnings, ids = updated + closed, warnings + unheeded, recall_sql.ACCOUNT_IDS
        return await self._done(import_id, "accounts", bucket, Merged(inserted, updated, warnings), ids)

    async def _any_recalls(self, import_id: UUID, values: Mapping[str, Any]) -> bool:
        found = text(recall_sql.ANY_RECALLS.format(staged=_staged(import_id)))
        return bool(await self._session.scalar(found, values))

    async def _lock_recalled(self, import_id: UUID, values: Mapping[str, Any]) -> None:
        """Find the accounts that rows of the bucket take back, and lock all that the bucket changes."""
        await self._compare(recall_sql.STAGED_RECALLS, import_id, values)
        await self._run("ANALYZE merge_recall (account_id, debtor_id, taken)", {})
        await self._run(recall_sql.LOCK_DEBTORS, values)
        await self._run(recall_sql.LOCK_ACCOUNTS, values)

    async def _recall(self, values: Mapping[str, Any]) -> tuple[int, int]:
        """Close the accounts that were locked to be taken back; how many, and how many warnings."""
        values = {
            **values,
            "closed": AccountStatus.CLOSED,
            "recall": RecordType.RECALL,
            "recalled": RECALLED,
            "putback": PUTBACK,
        }
        await self._run(recall_sql.SEE_CLOSED, values)
        closed = await self._run(recall_sql.CLOSE_ACCOUNTS, values)
        await self._run(recall_sql.UNQUEUE, values)
        return closed, sum([await self._run(warn, values) for warn in recall_sql.WARNINGS])

    async def _update_debtors(self, values: Mapping[str, Any]) -> int:
        await self._run("ANALYZE merge_debtor (debtor_id)", {})
        await self._keep_equal_ssn()
        return await self._run(merge_sql.UPDATE_DEBTORS, values)

    async def _refresh_accounts(self, values: Mapping[str, Any]) -> tuple[int, int]:
        """Update accounts that were there, warn of what is not taken; how many of both."""
        await self._run("ANALYZE merge_account (account_id, taken)", {})
        updated = await self._run(merge_sql.UPDATE_ACCOUNTS, values)
        warnings = 0
        for statement in (merge_sql.WARN_SUPERSEDED, merge_sql.WARN_AMOUNT, merge_sql.WARN_DEBTOR):
            warnings += await self._run(statement, values)
        return updated, warnings

    async def index_bucket(self, import_id: UUID, bucket: int) -> int:
        """Refresh the search documents of a merged bucket's accounts; safe to repeat."""
        return await self._run(
            merge_sql.INDEX, {"agency": self._agency_id, "import": import_id, "bucket": bucket}
        )

    async def refresh_statistics(self) -> None:
        """Tell the planner of many new rows now; of its own accord it may learn much later."""
        await self._run("SELECT analyze_accounts()", {})

    async def _compare(self, statement: str, import_id: UUID, values: Mapping[str, Any]) -> int:
        """Make the temporary table of a bucket, with what is there already; how many rows it has."""
        await self._run(merge_sql.MERGE_SETTINGS, {})
        await self._run(merge_sql.JOIN_WHOLE, {**values, "staged": _staged(import_id)})
        rows = await self._run(statement.format(staged=_staged(import_id)), values)
        await self._run("SET LOCAL enable_nestloop = on", {})
        return rows

    async def _merged(self, import_id: UUID, stage: str, bucket: Bucket) -> Merged | None:
        row = (
            await self._session.execute(
                text(merge_sql.FIND_BUCKET),
                {"agency": self._agency_id, "import": import_id, "stage": stage, "bucket": bucket.index},
            )
        ).one_or_none()
        return None if row is None else Merged(row.inserted, row.updated, row.warnings)

    async def _done(
        self, import_id: UUID, stage: str, bucket: Bucket, merged: Merged, account_ids: str
    ) -> Merged:
        """Mark the bucket and move the import's progress, in the transaction that merged it."""
        values = {
            "agency": self._agency_id,
            "import": import_id,
            "stage": stage,
            "bucket": bucket.index,
            "inserted": merged.inserted,
            "updated": merged.updated,
            "warnings": merged.warnings,
        }
        await self._run(merge_sql.MARK_BUCKET.format(account_ids=account_ids), values)
        await self._run(merge_sql.COUNT_BUCKET, values)
        return merged

    async def _run(self, statement: str, values: Mapping[str, Any]) -> int:
        try:
            result = cast("CursorResult[Any]", await self._session.execute(text(statement), values))
        except IntegrityError as error:
            if isinstance(error.orig, psycopg.errors.UniqueViolation):
                raise Unavailable(
                    "another import is placing the same debtors or accounts; this part is merged again"
                ) from None
            raise
        return max(result.rowcount, 0)

    async def _keep_equal_ssn(self) -> None:
        """Ciphertexts of equal digits differ, so whether digits changed is seen in the clear, here only."""
        rows = (await self._session.execute(text(merge_sql.SSN_PAIRS))).all()
        if not rows:
            return
        where = place(SSN_COLUMN, self._agency_id)
        equal = [
            row.debtor_id
            for row in rows
            if self._cipher.decrypt(bytes(row.staged), where) == self._cipher.decrypt(bytes(row.held), where)
        ]
        await self._run(merge_sql.DROP_EQUAL_SSN, {"equal": equal})


def _staged(import_id: UUID) -> str:
    return f"staging.placement_{import_id.hex}"
