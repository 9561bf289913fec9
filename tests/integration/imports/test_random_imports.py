"""Any sequence of small imports leaves the database as a simple model in memory has it.

The activities run one after the other on the real database; files come from memory.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from temporalio.testing import ActivityEnvironment

from activities import portfolio_staging
from activities.imports import BucketRef, ImportActivities, ImportRef
from activities.messages import PortfolioFile
from activities.portfolio_staging import PortfolioStager
from db.session import Database
from domain.tenancy import Tenant

HOUSE = "House Credit"
COLUMNS = "external_ref,debtor_name,original_amount,debtor_ref,debtor_email,due_date,creditor_name\n"


@dataclass(frozen=True)
class Row:
    """A good row; None is an empty cell."""

    ref: str
    name: str
    amount: int
    debtor_ref: str | None
    email: str | None
    due: str | None
    creditor: str | None

    @property
    def text(self) -> str:
        cells = (self.ref, self.name, f"{self.amount}.00", self.debtor_ref, self.email, self.due)
        return ",".join(cell or "" for cell in (*cells, self.creditor)) + "\n"

    @property
    def account(self) -> tuple[str, str]:
        return self.creditor or HOUSE, self.ref

    @property
    def debtor(self) -> str:
        return f"ref:{self.debtor_ref}" if self.debtor_ref else f"acct:{self.account}"


@dataclass
class Model:
    """Debtors: name, email, version. Accounts: debtor, amount, due date, version."""

    debtors: dict[str, tuple[str, str | None, int]] = field(default_factory=dict)
    accounts: dict[tuple[str, str], tuple[str, int, str | None, int]] = field(default_factory=dict)
    creditors: set[str] = field(default_factory=lambda: {HOUSE})

    def take(self, rows: Sequence[Row]) -> tuple[int, int, int]:
        """Import a file; returns accounts created, accounts updated and warnings."""
        self.creditors |= {row.account[0] for row in rows}
        last_of_debtor = {row.debtor: row for row in rows}
        last_of_account = {row.account: row for row in rows}
        for key, row in last_of_debtor.items():
            name, email, version = self.debtors.get(key, (row.name, row.email, 0))
            new = (row.name, row.email or email)
            self.debtors[key] = (*new, version + (new != (name, email) or version == 0))
        created = updated = 0
        warnings = len(rows) - len(last_of_account)
        for account, row in last_of_account.items():
            if account not in self.accounts:
                self.accounts[account] = (row.debtor, row.amount, row.due, 1)
                created += 1
                continue
            debtor, amount, due, version = self.accounts[account]
            changed = row.due is not None and row.due != due
            self.accounts[account] = (debtor, amount, row.due or due, version + changed)
            updated += changed
            warnings += (row.amount != amount) + (row.debtor != debtor)
        return created, updated, warnings


row = st.builds(
    Row,
    ref=st.sampled_from(["A", "B", "C", "D", "E"]),
    name=st.sampled_from(["Ana", "Ben"]),
    amount=st.integers(1, 3),
    debtor_ref=st.sampled_from([None, "D1", "D2"]),
    email=st.sampled_from([None, "x@example.com", "y@example.com"]),
    due=st.sampled_from([None, "2026-01-01", "2026-02-02"]),
    creditor=st.sampled_from([None, "Northgate"]),
)
files = st.lists(st.lists(row, min_size=1, max_size=8), min_size=1, max_size=4)


class InMemory:
    """Source of files: their bytes by location."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    async def read(self, tenant: Tenant, job: Any) -> AsyncIterator[bytes]:
        yield self.files[job.location]


class Importer:
    """Runs an import's activities in order, for one agency."""

    def __init__(self, db: Database, agency_id: UUID) -> None:
        self.agency_id = agency_id
        self._source = InMemory()
        source: Any = self._source
        self._steps = ImportActivities(db, source, PortfolioStager(db, source))

    async def take(self, rows: Sequence[Row]) -> Any:
        content = (COLUMNS + "".join(row.text for row in rows)).encode()
        sha256 = hashlib.sha256(content).hexdigest()
        self._source.files[sha256] = content
        run = ActivityEnvironment().run
        opened = await run(
            self._steps.open,
            PortfolioFile(
                agency_id=self.agency_id,
                channel="upload",
                source_id=None,
                location=sha256,
                file_name="random.csv",
                sha256=sha256,
                size=len(content),
                requested_by="test",
            ),
        )
        if opened.status == "completed":
            return None
        ref = ImportRef(agency_id=self.agency_id, import_id=opened.import_id)
        staged = await run(self._steps.stage, ref)
        await run(self._steps.merge_creditors, ref)
        for stage in ("debtors", "accounts"):
            buckets = (
                BucketRef(
                    agency_id=self.agency_id,
                    import_id=opened.import_id,
                    stage=stage,  # type: ignore[arg-type]
                    bucket=bucket,
                    buckets=staged.buckets,
                )
                for bucket in range(staged.buckets)
            )
            await asyncio.gather(*(ActivityEnvironment().run(self._steps.merge_bucket, b) for b in buckets))
        return await run(self._steps.complete, ref)


async def agency(db: Database) -> UUID:
    async with db.platform() as tx:
        made = await tx.agencies.add({"slug": uuid4().hex, "name": "Random"})
    async with db.transaction(Tenant.system(made.id, "test")) as tx:
        await tx.creditors.add({"name": HOUSE, "is_default": True})
    return made.id


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=files)
async def test_any_sequence_of_imports_equals_the_model(
    db: Database, monkeypatch: pytest.MonkeyPatch, sent: list[list[Row]]
) -> None:
    monkeypatch.setattr(portfolio_staging, "ROWS_PER_BUCKET", 3)
    importer = Importer(db, await agency(db))
    model, known = Model(), set()
    for rows in [*sent, sent[0]]:
        summary = await importer.take(rows)
        content = "".join(row.text for row in rows)
        if content in known:
            assert summary is None, "the same bytes are the same import"
            continue
        known.add(content)
        assert (summary.accounts_created, summary.accounts_updated, summary.warnings) == model.take(rows)
    await compare(db, importer.agency_id, model)


async def compare(db: Database, agency_id: UUID, model: Model) -> None:
    async with db.transaction(Tenant.system(agency_id, "test")) as tx:
        assert [breach async for breach in tx.ledger.breaches()] == []
        link = await tx.session.connection()
        creditors = {
            c.number: c.name for c in await link.exec_driver_sql("SELECT number, name FROM creditor")
        }
        debtors = await link.exec_driver_sql("SELECT id, natural_key, full_name, email, version FROM debtor")
        keys, found = {}, {}
        for debtor in debtors:
            key = debtor.natural_key
            if key.startswith("acct:"):
                _, number, ref = key.split(":", 2)
                key = f"acct:{(creditors[int(number)], ref)}"
            keys[debtor.id] = key
            found[key] = (debtor.full_name, debtor.email, debtor.version)
        accounts = await link.exec_driver_sql(
            "SELECT a.*, c.name AS creditor, p.n, p.amount"
            " FROM account a JOIN creditor c ON c.id = a.creditor_id"
            " JOIN (SELECT account_id, count(*) AS n, sum(amount) AS amount FROM posting GROUP BY 1) p"
            " ON p.account_id = a.id"
        )
        placed = {}
        for a in accounts:
            assert (a.n, a.status) == (1, "new")
            assert a.balance == a.original_amount == a.amount
            due = str(a.due_date) if a.due_date else None
            placed[a.creditor, a.external_ref] = (keys[a.debtor_id], int(Decimal(a.amount)), due, a.version)
    assert set(creditors.values()) == model.creditors
    assert found == model.debtors
    assert placed == model.accounts
