"""Merging staged rows into debtors and accounts, one hash bucket and one transaction at a time.

A bucket is judged against what is there, then new rows are inserted and existing ones updated, both
in key order, so that two imports at work never wait for each other in a circle. Inserts are
optimistic: should another import place the same key first, the bucket is rolled back and merged
again, and then finds it.

What is there is looked up by key, row by row (``LATERAL … LIMIT 1``): just after the first merges
the planner has no statistics, takes the tables for nearly empty, and a join of its choice can be
quadratic.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db.accounts import SEARCH_DOCUMENT
from db.cipher import ColumnCipher, place
from db.staging import SSN_COLUMN
from db.store import Store
from domain.errors import Unavailable
from domain.ledger import LedgerAccount

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
            text(_CREDITORS.format(staged=_staged(import_id))), {"agency": self._agency_id}
        )
        return list(created)

    async def merge_debtors(self, import_id: UUID, *, index: int, count: int) -> Merged:
        """Insert the debtors of a bucket, update contact data and facts of those already known.

        A value that the file leaves out stays as it is. Of two rows about one debtor the last wins.
        """
        bucket = Bucket(index, count)
        if done := await self._merged(import_id, "debtors", bucket):
            return done
        values = {"agency": self._agency_id, **bucket.bounds}
        await self._run("SET LOCAL work_mem = '128MB'", {})
        await self._run(_STAGED_DEBTORS.format(staged=_staged(import_id)), values)
        await self._run("ANALYZE merge_debtor (debtor_id)", {})
        await self._keep_equal_ssn()
        inserted = await self._run(_INSERT_DEBTORS, values)
        updated = await self._run(_UPDATE_DEBTORS, values)
        return await self._done(import_id, "debtors", bucket, Merged(inserted, updated))

    async def merge_accounts(
        self, import_id: UUID, *, index: int, count: int, file_name: str, currency: str
    ) -> Merged:
        """Place the new accounts of a bucket, with ledger and timeline; refresh those already placed.

        Status, balance and payments of an account that is there are never touched. Reported as
        warnings: a reference that occurs again later in the file, an amount or a debtor that differs
        from the placed one.
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
            "receivable": LedgerAccount.RECEIVABLE,
            "placements": LedgerAccount.PLACEMENTS,
            **bucket.bounds,
        }
        await self._run("SET LOCAL work_mem = '128MB'", {})
        await self._run(_STAGED_ACCOUNTS.format(staged=_staged(import_id)), values)
        await self._run("ANALYZE merge_account (account_id, taken)", {})
        inserted = await self._run(_INSERT_ACCOUNTS, values)
        if inserted:
            for statement in (_INSERT_JOURNAL, _INSERT_POSTINGS, _INSERT_PLACED_EVENTS):
                await self._run(statement, values)
        updated = await self._run(_UPDATE_ACCOUNTS, values)
        warnings = 0
        for statement in (_WARN_SUPERSEDED, _WARN_AMOUNT, _WARN_DEBTOR):
            warnings += await self._run(statement, values)
        return await self._done(import_id, "accounts", bucket, Merged(inserted, updated, warnings))

    async def index_bucket(self, import_id: UUID, bucket: int) -> int:
        """Refresh the search documents of a merged bucket's accounts; safe to repeat."""
        return await self._run(_INDEX, {"agency": self._agency_id, "import": import_id, "bucket": bucket})

    async def _merged(self, import_id: UUID, stage: str, bucket: Bucket) -> Merged | None:
        row = (
            await self._session.execute(
                _FIND_BUCKET,
                {"agency": self._agency_id, "import": import_id, "stage": stage, "bucket": bucket.index},
            )
        ).one_or_none()
        return None if row is None else Merged(row.inserted, row.updated, row.warnings)

    async def _done(self, import_id: UUID, stage: str, bucket: Bucket, merged: Merged) -> Merged:
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
        ids = _ACCOUNT_IDS if stage == "accounts" else "NULL"
        await self._run(_MARK_BUCKET.format(account_ids=ids), values)
        await self._run(_COUNT_BUCKET, values)
        return merged

    async def _run(self, statement: str, values: Mapping[str, Any]) -> int:
        try:
            result = cast("CursorResult[Any]", await self._session.execute(text(statement), values))
        except IntegrityError as error:
            if isinstance(error.orig, psycopg.errors.UniqueViolation):
                raise Unavailable(
                    "another import is placing the same debtors or accounts; this part is merged again"
                ) from error
            raise
        return max(result.rowcount, 0)

    async def _keep_equal_ssn(self) -> None:
        """Ciphertexts of equal digits differ, so whether digits changed is seen in the clear, here only."""
        rows = (await self._session.execute(text(_SSN_PAIRS))).all()
        if not rows:
            return
        where = place(SSN_COLUMN, self._agency_id)
        equal = [
            row.debtor_id
            for row in rows
            if self._cipher.decrypt(bytes(row.staged), where) == self._cipher.decrypt(bytes(row.held), where)
        ]
        await self._run(_DROP_EQUAL_SSN, {"equal": equal})


def _staged(import_id: UUID) -> str:
    return f"staging.placement_{import_id.hex}"


_NATURAL_KEY = "COALESCE('ref:' || s.debtor_ref, 'acct:' || c.number || ':' || s.external_ref)"

_FACTS = (
    "email",
    "phone",
    "address_line1",
    "address_line2",
    "city",
    "state",
    "postal_code",
    "country",
    "monthly_income",
    "late_payments_count",
    "employment_status",
    "contract_type",
    "industry_sector",
    "family_situation",
    "ssn_last4_encrypted",
)
_FACT_LIST = ", ".join(_FACTS)
_DATES = ("account_type", "due_date", "charge_off_date", "last_payment_date", "itemization_date")
_DATE_LIST = ", ".join(_DATES)


def _changed(columns: tuple[str, ...], staged: str, held: str) -> str:
    return " OR ".join(
        f"({staged}.{name} IS NOT NULL AND {staged}.{name} IS DISTINCT FROM {held}.{name})"
        for name in columns
    )


def _kept(columns: tuple[str, ...], staged: str, held: str) -> str:
    return ", ".join(f"{name} = COALESCE({staged}.{name}, {held}.{name})" for name in columns)


_CREDITORS = """
    INSERT INTO creditor (agency_id, name)
    SELECT DISTINCT CAST(:agency AS uuid), s.creditor_name FROM {staged} s
     WHERE NOT EXISTS (
        SELECT FROM creditor c WHERE c.agency_id = :agency AND c.name = s.creditor_name)
     ORDER BY s.creditor_name
    ON CONFLICT (agency_id, name) DO NOTHING
    RETURNING name
"""

_STAGED_DEBTORS = (
    """
    CREATE TEMPORARY TABLE merge_debtor ON COMMIT DROP AS
    WITH keyed AS (
        SELECT DISTINCT ON (natural_key) * FROM (
            SELECT """
    + _NATURAL_KEY
    + """ AS natural_key, s.line, s.debtor_ref, s.full_name, """
    + ", ".join(f"s.{name}" for name in _FACTS)
    + """
              FROM {staged} s
              JOIN creditor c ON c.agency_id = :agency AND c.name = s.creditor_name
             WHERE s.debtor_bucket >= :lo AND s.debtor_bucket < :hi) rows
         ORDER BY natural_key, line DESC)
    SELECT k.*, d.id AS debtor_id, d.ssn_last4_encrypted AS held_ssn
      FROM keyed k
      LEFT JOIN LATERAL (
        SELECT * FROM debtor WHERE agency_id = :agency AND natural_key = k.natural_key LIMIT 1) d ON true
     ORDER BY k.natural_key
"""
)

_SSN_PAIRS = """
    SELECT debtor_id, ssn_last4_encrypted AS staged, held_ssn AS held FROM merge_debtor
     WHERE debtor_id IS NOT NULL AND ssn_last4_encrypted IS NOT NULL AND held_ssn IS NOT NULL
"""
_DROP_EQUAL_SSN = "UPDATE merge_debtor SET ssn_last4_encrypted = NULL WHERE debtor_id = ANY(:equal)"

_INSERT_DEBTORS = f"""
    INSERT INTO debtor (agency_id, natural_key, debtor_ref, full_name, {_FACT_LIST})
    SELECT :agency, natural_key, debtor_ref, full_name, {_FACT_LIST}
      FROM merge_debtor WHERE debtor_id IS NULL ORDER BY natural_key
"""

_UPDATE_DEBTORS = f"""
    WITH locked AS MATERIALIZED (
        SELECT m.* FROM merge_debtor m JOIN debtor d ON d.id = m.debtor_id
         WHERE m.full_name <> d.full_name OR {_changed(_FACTS, "m", "d")}
         ORDER BY m.natural_key FOR NO KEY UPDATE OF d)
    UPDATE debtor d
       SET full_name = m.full_name, {_kept(_FACTS, "m", "d")},
           version = d.version + 1, updated_at = now()
      FROM locked m WHERE d.id = m.debtor_id
"""

_STAGED_ACCOUNTS = (
    """
    CREATE TEMPORARY TABLE merge_account ON COMMIT DROP AS
    WITH keyed AS (
        SELECT s.line, c.id AS creditor_id, s.external_ref, s.original_amount, """
    + ", ".join(f"s.{name}" for name in _DATES)
    + ", "
    + _NATURAL_KEY
    + """ AS natural_key, first_value(s.line) OVER same AS last_line
          FROM {staged} s
          JOIN creditor c ON c.agency_id = :agency AND c.name = s.creditor_name
         WHERE s.bucket >= :lo AND s.bucket < :hi
        WINDOW same AS (PARTITION BY c.id, s.external_ref ORDER BY s.line DESC))
    SELECT uuidv7() AS new_id, k.*, k.line = k.last_line AS taken, d.id AS debtor_id, a.id AS account_id,
           a.original_amount AS placed_amount, a.debtor_id AS placed_debtor_id
      FROM keyed k
      CROSS JOIN LATERAL (
        SELECT id FROM debtor WHERE agency_id = :agency AND natural_key = k.natural_key LIMIT 1) d
      LEFT JOIN LATERAL (
        SELECT * FROM account WHERE agency_id = :agency AND creditor_id = k.creditor_id
                                AND external_ref = k.external_ref LIMIT 1) a ON true
     ORDER BY k.creditor_id, k.external_ref, k.line
"""
)

_IS_NEW = "account_id IS NULL AND taken"

_INSERT_ACCOUNTS = f"""
    INSERT INTO account (id, agency_id, creditor_id, debtor_id, external_ref, original_amount, balance,
                         currency, {_DATE_LIST})
    SELECT new_id, :agency, creditor_id, debtor_id, external_ref, original_amount, original_amount,
           :currency, {_DATE_LIST}
      FROM merge_account WHERE {_IS_NEW} ORDER BY creditor_id, external_ref
"""

_INSERT_JOURNAL = """
    INSERT INTO journal (agency_id, kind, key, description, occurred_at)
    VALUES (:agency, 'placement', :key, 'Placement of ' || CAST(:file AS text), now())
"""

_INSERT_POSTINGS = f"""
    INSERT INTO posting (agency_id, journal_id, account_id, debit, credit, amount, currency)
    SELECT :agency, j.id, m.new_id, :receivable, :placements, m.original_amount, :currency
      FROM merge_account m
      CROSS JOIN (SELECT id FROM journal
                   WHERE agency_id = :agency AND kind = 'placement' AND key = :key) j
     WHERE {_IS_NEW}
"""

_INSERT_PLACED_EVENTS = f"""
    INSERT INTO timeline_event (agency_id, account_id, kind, description, actor, new, details)
    SELECT :agency, new_id, 'import', 'Placed from ' || CAST(:file AS text), :actor, 'new',
           jsonb_build_object('import_id', CAST(:import AS uuid), 'line', line)
      FROM merge_account WHERE {_IS_NEW}
"""

_UPDATE_ACCOUNTS = f"""
    WITH locked AS MATERIALIZED (
        SELECT m.* FROM merge_account m JOIN account a ON a.id = m.account_id
         WHERE m.taken AND ({_changed(_DATES, "m", "a")})
         ORDER BY m.creditor_id, m.external_ref FOR NO KEY UPDATE OF a),
    refreshed AS (
        UPDATE account a
           SET {_kept(_DATES, "m", "a")}, version = a.version + 1, updated_at = now()
          FROM locked m WHERE a.id = m.account_id
        RETURNING a.id, m.line)
    INSERT INTO timeline_event (agency_id, account_id, kind, description, actor, details)
    SELECT :agency, id, 'import', 'Details refreshed from ' || CAST(:file AS text), :actor,
           jsonb_build_object('import_id', CAST(:import AS uuid), 'line', line)
      FROM refreshed
"""

_WARNING = """
    INSERT INTO import_error (agency_id, import_id, line, severity, "column", value, error)
    SELECT :agency, :import, m.line, 'warning', {column}, {value}, {error} FROM merge_account m WHERE {where}
"""
_WARN_SUPERSEDED = _WARNING.format(
    column="'external_ref'",
    value="m.external_ref",
    error="'occurs again in line ' || m.last_line || ', which was taken instead of this one'",
    where="NOT m.taken",
)
_WARN_AMOUNT = _WARNING.format(
    column="'original_amount'",
    value="m.original_amount::text",
    error="'differs from the placed amount ' || m.placed_amount || ', which stands'",
    where="m.taken AND m.placed_amount <> m.original_amount",
)
_WARN_DEBTOR = _WARNING.format(
    column="'debtor_ref'",
    value="''",
    error="'names another debtor than the one the account was placed with, who stays'",
    where="m.taken AND m.placed_debtor_id <> m.debtor_id",
)

_FIND_BUCKET = text("""
    SELECT inserted, updated, warnings FROM import_bucket
     WHERE agency_id = :agency AND import_id = :import AND stage = :stage AND bucket = :bucket
""")
_ACCOUNT_IDS = "(SELECT array_agg(COALESCE(account_id, new_id)) FROM merge_account WHERE taken)"
_MARK_BUCKET = """
    INSERT INTO import_bucket (agency_id, import_id, stage, bucket, inserted, updated, warnings, account_ids)
    VALUES (:agency, :import, :stage, :bucket, :inserted, :updated, :warnings, {account_ids})
"""
_COUNT_BUCKET = """
    UPDATE import_job SET buckets_done = buckets_done + 1, updated_at = clock_timestamp()
     WHERE agency_id = :agency AND id = :import
"""

_INDEX = f"""
    INSERT INTO account_search (account_id, agency_id, document)
    SELECT a.id, a.agency_id, {SEARCH_DOCUMENT}
      FROM import_bucket b
      CROSS JOIN LATERAL unnest(b.account_ids) AS named(account_id)
      CROSS JOIN LATERAL (
        SELECT * FROM account WHERE agency_id = :agency AND id = named.account_id LIMIT 1) a
      CROSS JOIN LATERAL (
        SELECT * FROM debtor WHERE agency_id = :agency AND id = a.debtor_id LIMIT 1) d
     WHERE b.agency_id = :agency AND b.import_id = :import AND b.stage = 'accounts' AND b.bucket = :bucket
    ON CONFLICT (account_id) DO UPDATE SET document = excluded.document
     WHERE account_search.document <> excluded.document
"""
