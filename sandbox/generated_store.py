"""What a generated portfolio is written with: the statements of an import, over its own rows only."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier
from sqlalchemy import text

from db.accounts import SEARCH_DOCUMENT
from db.store import Store
from domain.ledger import LedgerAccount
from sandbox.generated_rows import ACCOUNT_COLUMNS, DEBTOR_COLUMNS, Block, KnownCreditor, Span

_PAGE = 1_000


class GeneratedStore(Store):
    """Writes rows as the owner of the tables, past row-level security, into one agency."""

    async def connection(self) -> AsyncConnection[Any]:
        """psycopg's own connection, inside this transaction."""
        return await self._driver()

    async def alone(self) -> bool:
        """Whether no other transaction of this kind is at work; it then stays so until this one ends."""
        return bool(await self._session.scalar(_ALONE))

    async def sizes(self) -> tuple[int, int]:
        """Accounts of this agency, and of all others."""
        row = (await self._session.execute(_SIZES, {"agency": self._agency_id})).one()
        return row.mine, row.others

    async def has(self, prefix: str) -> bool:
        """Whether the agency has an account whose reference begins with ``prefix``."""
        values = {"agency": self._agency_id, "prefix": f"{prefix}-"}
        return bool(await self._session.scalar(_HAS, values))

    async def admitted(self) -> AsyncIterator[UUID]:
        """The accounts that have a workflow now, page by page."""
        after = UUID(int=0)
        while True:
            values = {"agency": self._agency_id, "after": after, "limit": _PAGE}
            page = list(await self._session.scalars(_ADMITTED, values))
            for account_id in page:
                yield account_id
            if len(page) < _PAGE:
                return
            after = page[-1]

    async def creditors(self, names: Sequence[str]) -> Mapping[str, KnownCreditor]:
        """The creditors of these names, made where nobody knew them."""
        values = {"agency": self._agency_id, "names": sorted(names)}
        await self._session.execute(_ADD_CREDITORS, values)
        rows = await self._session.execute(_CREDITORS, values)
        return {row.name: KnownCreditor(row.id, row.number) for row in rows}

    async def copy(self, block: Block) -> None:
        """Copy a block's debtors and accounts."""
        await self._copy("debtor", DEBTOR_COLUMNS, block.debtors)
        await self._copy("account", ACCOUNT_COLUMNS, block.accounts)

    async def _copy(self, table: str, columns: Sequence[str], rows: bytes) -> None:
        names = SQL(", ").join(map(Identifier, columns))
        copy = SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(Identifier(table), names)
        driver = await self._driver()
        async with driver.cursor() as cursor, cursor.copy(copy) as sink:
            await sink.write(rows)

    async def prepare_plans(self) -> None:
        """Tell the planner of the rows, which no statistics know; a join row by row would be quadratic."""
        driver = await self._driver()
        await driver.execute("ANALYZE debtor (id, agency_id), account (id, agency_id, debtor_id)")
        await self._session.execute(_JOIN_WHOLE, {"nestloop": "off"})

    async def scores_are_next(self) -> None:
        """Let the planner look rows up one by one again, as the statements that score expect."""
        await self._session.execute(_JOIN_WHOLE, {"nestloop": "on"})

    async def place(self, prefix: str, spans: Sequence[Span]) -> None:
        """Post the placement of all accounts of ``spans`` and tell their timelines."""
        values = self._named(prefix, spans)
        journal = await self._session.scalar(_ADD_JOURNAL, values)
        await self._session.execute(_ADD_POSTINGS, {**values, "journal": journal})
        await self._session.execute(_ADD_EVENTS, values)

    async def index(self, prefix: str, spans: Sequence[Span]) -> None:
        """Write the search documents of all accounts of ``spans``."""
        await self._session.execute(_ADD_DOCUMENTS, self._named(prefix, spans))

    def _named(self, prefix: str, spans: Sequence[Span]) -> dict[str, Any]:
        return {
            "agency": self._agency_id,
            "actor": self._tenant.actor.name,
            "prefix": f"{prefix}-",
            "name": prefix,
            "first": spans[0].first_id,
            "last": spans[-1].last_id,
            "receivable": LedgerAccount.RECEIVABLE,
            "placements": LedgerAccount.PLACEMENTS,
        }

    async def has_data(self) -> bool:
        """Whether the agency has accounts or imports."""
        return bool(await self._session.scalar(_HAS_DATA, {"agency": self._agency_id}))

    async def imported(self) -> Sequence[str]:
        """The SHA-256 of each file that was imported."""
        return (await self._session.scalars(_IMPORTED, {"agency": self._agency_id})).all()

    async def forget_admissions(self) -> None:
        """Mark all accounts as ones without a workflow: whoever is interrupted now leaves none stuck."""
        await self._session.execute(_FORGET_ADMISSIONS, {"agency": self._agency_id})

    async def plan_scoring(self, run_id: UUID, spans: Sequence[Span]) -> None:
        """Make each span a chunk of the scoring run."""
        await self._session.execute(
            _ADD_CHUNKS,
            [
                {
                    "agency": self._agency_id,
                    "run": run_id,
                    "chunk": number,
                    "first": span.first_id,
                    "last": span.last_id,
                }
                for number, span in enumerate(spans)
            ],
        )
        values = {"agency": self._agency_id, "run": run_id, "chunks": len(spans)}
        await self._session.execute(_PLANNED, {**values, "total": sum(span.rows for span in spans)})

    async def analyze(self) -> None:
        """Tell the planner of everything that has come in, now rather than some day."""
        driver = await self._driver()
        await driver.execute("ANALYZE debtor, account, posting, account_search, account_score")


_ALONE = text("SELECT pg_try_advisory_xact_lock(hashtextextended('recoup generate', 0))")

_SIZES = text("""
    SELECT count(*) FILTER (WHERE agency_id = :agency) AS mine,
           count(*) FILTER (WHERE agency_id <> :agency) AS others FROM account
""")

_HAS = text(
    "SELECT EXISTS (SELECT FROM account WHERE agency_id = :agency AND starts_with(external_ref, :prefix))"
)

_HAS_DATA = text("""
    SELECT EXISTS (SELECT FROM account WHERE agency_id = :agency)
        OR EXISTS (SELECT FROM import_job WHERE agency_id = :agency)
""")

_IMPORTED = text("SELECT DISTINCT sha256 FROM import_job WHERE agency_id = :agency")

_FORGET_ADMISSIONS = text("""
    UPDATE account SET admitted_at = NULL
     WHERE agency_id = :agency AND admitted_at IS NOT NULL AND released_at IS NULL
""")

_ADMITTED = text("""
    SELECT id FROM account
     WHERE agency_id = :agency AND admitted_at IS NOT NULL AND released_at IS NULL AND id > :after
     ORDER BY id LIMIT :limit
""")

_ADD_CREDITORS = text("""
    INSERT INTO creditor (agency_id, name)
    SELECT CAST(:agency AS uuid), name FROM unnest(CAST(:names AS text[])) AS n(name)
    ON CONFLICT (agency_id, name) DO NOTHING
""")
_CREDITORS = text("SELECT id, number, name FROM creditor WHERE agency_id = :agency AND name = ANY(:names)")

_JOIN_WHOLE = text("""
    SELECT set_config('work_mem', '256MB', true), set_config('enable_nestloop', :nestloop, true)
""")

_ADD_JOURNAL = text("""
    INSERT INTO journal (agency_id, kind, key, description, occurred_at)
    VALUES (:agency, 'placement', 'generated/' || CAST(:name AS text),
            'Placement of the generated portfolio ' || CAST(:name AS text), now())
    RETURNING id
""")

_MINE = """account a
     WHERE a.agency_id = :agency AND a.id BETWEEN :first AND :last
       AND starts_with(a.external_ref, CAST(:prefix AS text))"""

_ADD_POSTINGS = text(f"""
    INSERT INTO posting (agency_id, journal_id, account_id, debit, credit, amount, currency)
    SELECT a.agency_id, :journal, a.id, :receivable, :placements, a.original_amount, a.currency FROM {_MINE}
     ORDER BY a.id
""")  # noqa: S608 (constants of this module; values are bound)

_ADD_EVENTS = text(f"""
    INSERT INTO timeline_event (agency_id, account_id, kind, description, actor, new, details)
    SELECT a.agency_id, a.id, 'import', 'Placed from the generated portfolio ' || CAST(:name AS text), :actor,
           a.status, jsonb_build_object(
               'line', CAST(substr(a.external_ref, length(CAST(:prefix AS text)) + 1) AS bigint) + 1)
      FROM {_MINE}
""")  # noqa: S608 (likewise)

_ADD_DOCUMENTS = text(f"""
    INSERT INTO account_search (account_id, agency_id, document)
    SELECT a.id, a.agency_id, {SEARCH_DOCUMENT}
      FROM (SELECT a.* FROM {_MINE}) a
      JOIN debtor d ON d.agency_id = a.agency_id AND d.id = a.debtor_id
""")  # noqa: S608 (likewise)

_ADD_CHUNKS = text("""
    INSERT INTO scoring_chunk (agency_id, run_id, chunk, first_id, last_id)
    VALUES (:agency, :run, :chunk, :first, :last)
""")
_PLANNED = text("""
    UPDATE scoring_run SET chunks = :chunks, total = :total, updated_at = clock_timestamp()
     WHERE agency_id = :agency AND id = :run
""")
