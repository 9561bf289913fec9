"""Generated portfolios in the database: what is there, what stays as it was, what an interruption leaves."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import tuple_row

from api.composition import open_database
from db.cipher import ColumnCipher, parse_keys, place
from db.staging import SSN_COLUMN
from domain.errors import Conflict, Forbidden, NotFound, Unavailable
from domain.tenancy import Tenant
from runtime.settings import DEVELOPMENT_COLUMN_KEYS, Environment, Settings
from sandbox import bulk_tables, clearing, generator
from sandbox.generator import Generated, Portfolio, generate
from sandbox.portfolio_tables import Distribution

if TYPE_CHECKING:
    from uuid import UUID

BALANCED = Distribution.BALANCED

CATALOGUE = (
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated, conenforced
         FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2""",
    """SELECT tgrelid::regclass::text, count(*), bool_and(tgenabled = 'O') FROM pg_trigger
        GROUP BY 1 ORDER BY 1""",
    "SELECT relname, relpersistence FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
)
CONTENT = {
    "debtors": """
        SELECT d.natural_key, d.debtor_ref, d.full_name, d.email, d.phone, d.address_line1, d.address_line2,
               d.city, d.state, d.postal_code, d.country, d.monthly_income, d.late_payments_count,
               d.employment_status, d.contract_type, d.industry_sector, d.family_situation, d.version,
               d.ssn_last4_encrypted
          FROM debtor d WHERE d.agency_id = %s ORDER BY 1""",
    "accounts": """
        SELECT a.external_ref, c.name, d.natural_key, a.status, a.original_amount, a.balance, a.currency,
               a.account_type, a.due_date, a.charge_off_date, a.last_payment_date, a.itemization_date
          FROM account a JOIN creditor c ON c.id = a.creditor_id JOIN debtor d ON d.id = a.debtor_id
         WHERE a.agency_id = %s ORDER BY 1""",
    "postings": """
        SELECT a.external_ref, j.kind, j.key, p.debit, p.credit, p.amount, p.currency
          FROM posting p JOIN journal j ON j.id = p.journal_id JOIN account a ON a.id = p.account_id
         WHERE p.agency_id = %s ORDER BY 1""",
    "timeline": """
        SELECT a.external_ref, e.kind, e.description, e.actor, e.new, e.details
          FROM timeline_event e JOIN account a ON a.id = e.account_id WHERE e.agency_id = %s ORDER BY 1""",
    "search": "SELECT document FROM account_search WHERE agency_id = %s ORDER BY 1",
    "scores": """
        SELECT a.external_ref, s.rank, s.total, s.level, s.priority, s.queued, s.high_priority, s.points,
               encode(s.inputs_hash, 'hex'), s.account_version, s.debtor_version
          FROM account_score s JOIN account a ON a.id = s.account_id WHERE s.agency_id = %s ORDER BY 1""",
    "history": """
        SELECT a.external_ref, h.rank, h.total, h.level, h.threshold, h.balance, h.monthly_income, h.points
          FROM account_score_history h JOIN account a ON a.id = h.account_id
         WHERE h.agency_id = %s ORDER BY 1""",
    "notices": """
        SELECT a.external_ref, n.rank, n.level
          FROM high_priority_notice n JOIN account a ON a.id = n.account_id
         WHERE n.agency_id = %s ORDER BY 1""",
    "runs": """
        SELECT status, origin, requested_by, total, scored, changed, errors, levels, high_priority, chunks,
               chunks_done, jsonb_array_length(top) FROM scoring_run WHERE agency_id = %s""",
}


class Place:
    """A database with two agencies."""

    def __init__(self, database: Any) -> None:
        self.settings = Settings(
            _env_file=None,
            database_url=database.app_url,
            database_owner_url=database.owner_url,
            # Nobody listens there: what needs no Temporal must not ask for it.
            temporal_address="127.0.0.1:9",
        )
        self._url = database.superuser_url
        self.agencies: dict[str, UUID] = {}

    async def open(self) -> "Place":
        for slug in ("acme", "rival"):
            [(self.agencies[slug],)] = await self.query(
                "INSERT INTO agency (slug, name) VALUES (%s, %s) RETURNING id", slug, slug
            )
        return self

    async def query(self, statement: str, *values: Any) -> list[Any]:
        async with await psycopg.AsyncConnection.connect(self._url, row_factory=tuple_row) as link:
            cursor = await link.execute(statement.encode(), values or None)
            return await cursor.fetchall() if cursor.description else []

    async def catalogue(self) -> list[Any]:
        return [await self.query(statement) for statement in CATALOGUE]

    async def content(self, slug: str) -> dict[str, list[Any]]:
        """Everything of an agency less ids and times."""
        agency = self.agencies[slug]
        found = {name: await self.query(statement, agency) for name, statement in CONTENT.items()}
        cipher, where = ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)), place(SSN_COLUMN, agency)
        found["debtors"] = [
            (*facts, None if blob is None else cipher.decrypt(bytes(blob), where))
            for *facts, blob in found["debtors"]
        ]
        return found

    async def generate(
        self, count: int, *, seed: int = 42, agency: str = "acme", clear: bool = False, scores: bool = True
    ) -> Generated:
        return await generate(
            self.settings,
            Portfolio(count, BALANCED, seed),
            agency=agency,
            clear=clear,
            scores=scores,
            report=lambda *_: None,
            say=lambda _: None,
        )

    async def breaches(self, slug: str) -> list[Any]:
        async with (
            open_database(self.settings, "test") as database,
            database.transaction(Tenant.system(self.agencies[slug], "test")) as tx,
        ):
            return [breach async for breach in tx.ledger.breaches()]


@pytest.fixture
async def there(database: Any) -> Place:
    return await Place(database).open()


@pytest.fixture
def in_bulk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes few rows pass for many."""
    return lambda: monkeypatch.setattr(generator, "MANY", 1)


async def test_rows_in_bulk_are_the_rows_one_by_one_and_leave_the_schema_as_it_was(
    there: Place, in_bulk: Callable[[], None]
) -> None:
    before = await there.catalogue()
    made = await there.generate(1_000)
    one_by_one = await there.content("acme")
    await there.query("UPDATE creditor SET name = name || ' of Acme'")
    in_bulk()
    await there.generate(1_000, agency="rival")
    built = await there.content("rival")
    assert await there.catalogue() == before

    def plain(content: dict[str, list[Any]]) -> dict[str, str]:
        """A creditor's number and name are its own: compared without."""
        return {name: repr(rows) for name, rows in content.items() if name not in {"debtors", "accounts"}}

    assert plain(one_by_one) == plain(built)
    assert [row[1:] for row in one_by_one["debtors"] if row[1]] == [
        row[1:] for row in built["debtors"] if row[1]
    ]
    assert [row[0] for row in one_by_one["accounts"]] == [row[0] for row in built["accounts"]]
    assert (
        len(built["accounts"])
        == len(built["scores"])
        == len(built["history"])
        == len(built["search"])
        == 1_000
    )
    assert len(built["debtors"]) == made.debtors < 1_000
    assert made.high_priority == len(built["notices"]) > 0
    assert sum(made.levels.values()) == 1_000
    assert await there.breaches("acme") == await there.breaches("rival") == []


async def test_the_same_seed_makes_the_same_portfolio_and_clear_replaces_it(
    there: Place, in_bulk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator._Load, "end_workflows", _nothing)
    await there.generate(300)
    await there.generate(300, agency="rival", seed=5)
    first, rivals = await there.content("acme"), await there.content("rival")
    before = await there.catalogue()
    other = await there.generate(200, seed=43, clear=True)
    assert other.removed["account"] == 300
    assert await there.catalogue() == before
    assert {row[0][:7] for row in (await there.content("acme"))["accounts"]} == {"BAL-43-"}
    in_bulk()
    again = await there.generate(300, clear=True)
    assert again.removed["account"] == 200
    assert await there.content("acme") == first
    assert await there.content("rival") == rivals
    assert await there.catalogue() == before
    assert await there.query("SELECT count(*) FROM audit_record WHERE action = 'portfolio.cleared'") == [(2,)]


async def _nothing(_: object) -> Any:
    return generator.Counter()


async def test_more_of_another_seed_is_added_in_bulk_too(there: Place, in_bulk: Callable[[], None]) -> None:
    in_bulk()
    await there.generate(200)
    first = await there.content("acme")
    await there.generate(400, seed=43, scores=False)
    both = await there.content("acme")
    assert len(both["accounts"]) == 600
    assert both["scores"] == first["scores"]
    assert [row for row in both["accounts"] if row[0].startswith("BAL-42-")] == first["accounts"]
    assert await there.breaches("acme") == []


@pytest.mark.parametrize("stage", ["placing accounts", "scoring", "building indexes, proving foreign keys"])
async def test_whatever_stops_it_leaves_everything_as_it_was(
    there: Place, in_bulk: Callable[[], None], stage: str
) -> None:
    await there.generate(100, agency="rival")
    before, rivals = await there.catalogue(), await there.content("rival")
    in_bulk()

    def stop(now: str, *_: int) -> None:
        if now == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await generate(
            there.settings,
            Portfolio(500, BALANCED, 1),
            agency="acme",
            clear=False,
            scores=True,
            report=stop,
            say=lambda _: None,
        )
    assert await there.catalogue() == before
    assert await there.content("rival") == rivals
    assert (await there.content("acme"))["accounts"] == []


async def test_refusals(there: Place, in_bulk: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    await there.generate(50)
    with pytest.raises(Conflict, match=r"BAL-42-… are there already: take another --seed .* or --clear"):
        await there.generate(60)
    with pytest.raises(NotFound, match="there is no agency “nobody”"):
        await there.generate(60, agency="nobody")
    monkeypatch.setattr(bulk_tables, "LOCK_WITHIN_S", 0.1)
    in_bulk()
    async with await psycopg.AsyncConnection.connect(there.settings.database_url) as busy:
        await busy.execute("SELECT FROM account")
        with pytest.raises(Unavailable, match="others have been at work on the accounts"):
            await there.generate(60, seed=43)
    async with await psycopg.AsyncConnection.connect(there.settings.database_owner_url) as busy:
        await busy.execute("SELECT pg_advisory_xact_lock(hashtextextended('recoup generate', 0))")
        with pytest.raises(Conflict, match="another `recoup generate` is at work"):
            await there.generate(60, seed=43)
    there.settings = there.settings.model_copy(update={"env": Environment.PRODUCTION})
    with pytest.raises(Forbidden):
        await there.generate(60, seed=43)


async def test_every_table_of_an_agency_is_either_cleared_or_kept(there: Place) -> None:
    tables = await there.query("""
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
           AND a.attname = 'agency_id'
    """)
    assert {name for (name,) in tables} == {*clearing.CLEARED, *clearing.KEPT}
    assert not {*clearing.CLEARED} & {*clearing.KEPT}
