"""Invented portfolios of any size: into the database as an import would leave them, or as a file.

A development tool. It connects as the owner of the tables, and all it does to the database is one
transaction: interrupted, it has changed nothing.
"""

import asyncio
import gzip
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from uuid import UUID, uuid4

import polars as pl

from db.cipher import ColumnCipher, parse_keys
from db.scorecard_files import load_scorers
from db.session import Database, DatabaseRefused, Transaction
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.scoring import runnable
from domain.tenancy import Tenant
from runtime import temporal
from sandbox import bulk_tables, clearing
from sandbox.generated_rows import IDS_IN_A_MS, RowMaker, Span
from sandbox.generated_store import GeneratedStore
from sandbox.portfolio_tables import CREDITORS, Distribution
from sandbox.portfolios import ByteSink, portfolio_frames, write_portfolio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from db.models import Agency
    from runtime.settings import Settings

ACTOR = "recoup generate"
MAX_COUNT = 10_000_000
MAX_SEED = 999_999_999
MANY = 20_000
"""From how many rows on indexes are built anew, when they are also most of what will be there."""

_LOADED = ("debtor", "account", "posting", "account_search", "account_score", "high_priority_notice")
_LOCKED = (*clearing.CLEARED, "creditor")
_TAGS = {Distribution.BALANCED: "BAL", Distribution.HIGH_RISK: "HIGH", Distribution.LOW_RISK: "LOW"}

Report = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much (0: one step)."""


@dataclass(frozen=True, slots=True)
class Portfolio:
    """What is to be invented: the same values make the same accounts, to the last cent.

    References begin with the prefix, ``BAL-42`` for a balanced one of seed 42. ``Invalid`` for a ``count``
    that is not 1 to 10,000,000 or a ``seed`` that is not 0 to 999,999,999.
    """

    count: int
    distribution: Distribution
    seed: int

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_COUNT:
            raise Invalid(f"--count: must be from 1 to {MAX_COUNT:,}, not {self.count:,}")
        if not 0 <= self.seed <= MAX_SEED:
            raise Invalid(f"--seed: must be from 0 to {MAX_SEED:,}, not {self.seed:,}")

    @property
    def prefix(self) -> str:
        """What the references of its accounts begin with."""
        return f"{_TAGS[self.distribution]}-{self.seed}"

    def frames(self) -> Iterator[pl.DataFrame]:
        """Its rows, block by block."""
        return portfolio_frames(
            rows=self.count, seed=self.seed, distribution=self.distribution, prefix=self.prefix
        )

    def write(self, fh: ByteSink, report: Report) -> None:
        """Write it as a portfolio file: the same bytes every time."""
        write_portfolio(
            fh,
            rows=self.count,
            seed=self.seed,
            distribution=self.distribution,
            prefix=self.prefix,
            on_rows=lambda done: report("writing rows", done, self.count),
        )

    def write_packed(self, fh: BinaryIO, report: Report) -> None:
        """Write it as a compressed portfolio file: the same bytes every time, too."""
        with gzip.GzipFile(filename="", mode="wb", fileobj=fh, compresslevel=6, mtime=0) as packer:
            self.write(packer, report)


@dataclass(frozen=True, slots=True)
class Generated:
    """What was done: rows removed by table, workflows ended by type, accounts by risk level."""

    agency: str
    accounts: int
    debtors: int
    run_id: UUID | None = None
    errors: int = 0
    levels: Mapping[str, int] = field(default_factory=dict)
    high_priority: int = 0
    removed: Mapping[str, int] = field(default_factory=dict)
    workflows_ended: Mapping[str, int] = field(default_factory=dict)


async def generate(
    settings: "Settings",
    portfolio: Portfolio,
    *,
    agency: str,
    clear: bool,
    scores: bool,
    report: Report,
    say: Callable[[str], None],
) -> Generated:
    """Make the portfolio in the database, for the agency with this slug or id.

    ``clear`` first removes what the agency has. ``Forbidden`` in production, ``NotFound`` for an unknown
    agency, ``Conflict`` when the same portfolio is there, ``Unavailable`` when a server does not answer.
    """
    if settings.is_production:
        raise Forbidden("portfolios are invented for development only; RECOUP_ENV is production")
    async with _as_owner(settings) as database:
        async with database.platform() as platform:
            found = await platform.agencies.find(agency)
        if found is None:
            raise NotFound(f"there is no agency “{agency}”; `recoup seed` makes “demo”")
        load = _Load(settings, database, found, portfolio, report, say)
        ended = await load.end_workflows() if clear else Counter[str]()
        made = await load.run(clear=clear, scores=scores)
        if clear:
            # What was starting something just then has done so by now.
            ended += await load.end_workflows()
    return replace(made, workflows_ended=dict(ended))


@asynccontextmanager
async def _as_owner(settings: "Settings") -> "AsyncIterator[Database]":
    cipher = ColumnCipher(parse_keys(settings.column_keys.get_secret_value()))
    database = Database(settings.database_owner_url, cipher, pool_size=1, application_name="recoup-generate")
    try:
        yield database
    finally:
        await database.close()


class _Asides(NamedTuple):
    keys: Sequence[bulk_tables.Aside]
    indexes: Sequence[bulk_tables.Aside]


class _Load:
    """One portfolio on its way into the database."""

    def __init__(
        self,
        settings: "Settings",
        database: Database,
        agency: "Agency",
        portfolio: Portfolio,
        report: Report,
        say: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._database = database
        self._agency = agency
        self._portfolio = portfolio
        self._report = report
        self._say = say
        self._tenant = Tenant.system(agency.id, ACTOR)

    async def end_workflows(self) -> Counter[str]:
        """End what runs for the agency; how many workflows by type."""
        async with self._database.transaction(self._tenant) as tx:
            store = _store(tx)
            if not await store.has_data():
                return Counter()
            self._report("ending workflows", 0, 0)
            client = await temporal.connect(self._settings)
            ended = await clearing.end_workflows(
                client,
                self._agency.id,
                store.admitted(),
                lambda counts: self._report("ending workflows", sum(counts.values()), 0),
            )
            await clearing.forget_imports(client, self._agency.id, await store.imported())
            await store.forget_admissions()
        return Counter(ended)

    async def run(self, *, clear: bool, scores: bool) -> Generated:
        """The one transaction."""
        try:
            async with self._database.transaction(self._tenant) as tx:
                return await self._all(tx, clear=clear, scores=scores)
        except DatabaseRefused as refused:
            if str(refused.details.get("constraint")).startswith("uq_"):
                raise self._is_there() from None
            raise

    async def _all(self, tx: Transaction, *, clear: bool, scores: bool) -> Generated:
        store, asides, removed = _store(tx), _Asides((), ()), dict[str, int]()
        if not await store.alone():
            raise Conflict(
                "another `recoup generate` is at work in this database; try again when it has ended"
            )
        if not clear and await store.has(self._portfolio.prefix):
            raise self._is_there()
        mine, others = await store.sizes()
        moved, stays = self._portfolio.count + mine * clear, others + mine * (not clear)
        in_bulk = moved >= max(MANY, stays)
        if in_bulk or (clear and await store.has_data()):
            asides = await self._take_aside(store, in_bulk=in_bulk)
            removed = await self._make_room(store, clear=clear, in_bulk=in_bulk)
        if clear:
            await tx.audit.record("portfolio.cleared", "agency", self._agency.id, old=removed)
        spans, debtors = await self._copy(store, tx.cipher)
        scored = await self._score(tx, store, spans) if scores else None
        await self._bring_back(store, asides)
        made = Generated(
            self._agency.slug,
            self._portfolio.count,
            debtors,
            removed={table: rows for table, rows in removed.items() if rows},
        )
        if scored:
            run = await tx.scoring_runs.finish(scored)
            made = replace(
                made, run_id=run.id, errors=run.errors, levels=run.levels, high_priority=run.high_priority
            )
        self._report("statistics", 0, 0)
        await store.analyze()
        told = {"prefix": self._portfolio.prefix, "accounts": made.accounts, "debtors": made.debtors}
        await tx.audit.record("portfolio.generated", "agency", self._agency.id, new=told)
        return made

    async def _take_aside(self, store: GeneratedStore, *, in_bulk: bool) -> _Asides:
        self._say("accounts are locked until this has ended: the API and the workers wait for them")
        connection = await store.connection()
        await bulk_tables.lock(connection, _LOCKED)
        keys = await bulk_tables.foreign_keys(connection, (*clearing.CLEARED, *_LOADED))
        indexes = await bulk_tables.secondary_indexes(connection, _LOADED) if in_bulk else []
        await bulk_tables.take(connection, [*keys, *indexes])
        return _Asides(keys, indexes)

    async def _bring_back(self, store: GeneratedStore, asides: _Asides) -> None:
        things = [*asides.indexes, *asides.keys]
        await bulk_tables.bring_back(
            await store.connection(),
            things,
            lambda done: self._report("building indexes, proving foreign keys", done, len(things)),
        )

    async def _make_room(self, store: GeneratedStore, *, clear: bool, in_bulk: bool) -> dict[str, int]:
        """Remove what the agency has, if asked; how many rows by table."""
        self._report("removing what was there" if clear else "making room", 0, 0)
        connection, agency_id = await store.connection(), self._agency.id
        if clear:
            await clearing.drop_staging(connection, agency_id)
        if in_bulk:
            return await clearing.begin_afresh(connection, agency_id, clear=clear)
        return await clearing.delete_rows(connection, agency_id)

    async def _copy(self, store: GeneratedStore, cipher: ColumnCipher) -> tuple[list[Span], int]:
        """Copy debtors and accounts, and what follows from them; the next block is made meanwhile."""
        count, prefix = self._portfolio.count, self._portfolio.prefix
        rows = RowMaker(
            self._agency.id,
            await store.creditors([creditor.name for creditor in CREDITORS]),
            cipher,
            currency=self._agency.currency,
            from_ms=time.time_ns() // 1_000_000 - count // IDS_IN_A_MS - 1,
        )
        blocks = map(rows.block, self._portfolio.frames())
        spans, debtors, done = list[Span](), 0, 0
        coming = asyncio.create_task(asyncio.to_thread(next, blocks, None))
        while block := await coming:
            coming = asyncio.create_task(asyncio.to_thread(next, blocks, None))
            await store.copy(block)
            spans.append(block.span)
            debtors += block.debtors.count(b"\n")
            done += block.span.rows
            self._report("placing accounts", done, count)
        await store.prepare_plans()
        self._report("posting placements", 0, 0)
        await store.place(prefix, spans)
        self._report("search documents", 0, 0)
        await store.index(prefix, spans)
        return spans, debtors

    async def _score(self, tx: Transaction, store: GeneratedStore, spans: Sequence[Span]) -> UUID:
        """Score the accounts by the agency's scorecard; the run that has done so."""
        await store.scores_are_next()
        known = load_scorers(self._settings.scorecards)
        agency = await tx.agencies.get(self._agency.id)
        if agency.scorecard not in known:
            raise NotFound(
                f"the agency's scorecard {agency.scorecard} is not known here; --no-scores does without"
            )
        scorer, threshold = known[agency.scorecard], agency.high_priority_threshold
        run = await tx.scoring_runs.reserve(
            id=uuid4(),
            origin="manual",
            requested_by=ACTOR,
            scorecard_id=await tx.scorecards.keep(scorer),
            threshold=scorer.high_priority_above if threshold is None else threshold,
            batch_size=max(span.rows for span in spans),
        )
        await store.plan_scoring(run.id, spans)
        scorer, done = runnable(scorer, known), 0
        for number, span in enumerate(spans):
            _, chunk = await tx.scoring_runs.take(run.id, number)
            scored = await tx.scores.score_chunk(run, chunk, scorer, first=True)
            await tx.scoring_runs.add_errors(run.id, scored.failed)
            await tx.scoring_runs.mark(run.id, number, scored)
            done += span.rows
            self._report("scoring", done, self._portfolio.count)
        return run.id

    def _is_there(self) -> Conflict:
        return Conflict(
            f"accounts {self._portfolio.prefix}-… are there already: take another --seed to have more,"
            " or --clear to have these instead of all that the agency has"
        )


def _store(tx: Transaction) -> GeneratedStore:
    return GeneratedStore(tx.session, tx.tenant)
