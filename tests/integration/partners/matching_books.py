"""Books of an agency and statements of its partner, put into the database by hand, and matched."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import namedtuple_row

from db.cipher import ColumnCipher, parse_keys
from db.partner_rule_files import read_rules
from db.session import Database
from domain.tenancy import Tenant
from runtime.settings import DEVELOPMENT_COLUMN_KEYS

NOW = datetime.now(UTC).replace(microsecond=0)
TODAY = NOW.date()


class Books:
    """One agency with one partner; amounts are given as text."""

    def __init__(self, db: Database, link: psycopg.AsyncConnection[Any], tenant: Tenant) -> None:
        self.db, self.link, self.tenant = db, link, tenant
        self.creditors: dict[str, UUID] = {}
        self.partner_id = uuid4()

    async def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement past row-level security."""
        cursor = await self.link.execute(statement.encode(), values)
        return await cursor.fetchall() if cursor.description else []

    async def insert(self, table: str, **values: Any) -> UUID:
        """Insert a row of this agency; its id."""
        values = {"id": uuid4(), "agency_id": self.tenant.agency_id, **values}
        names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
        await self.sql(f"INSERT INTO {table} ({names}) VALUES ({marks})", *values.values())  # noqa: S608
        return values["id"]

    async def partner(self, rules: str | None = None, **values: Any) -> UUID:
        """Make the partner, with rules."""
        values = {"name": f"partner-{uuid4().hex[:8]}", **values}
        self.partner_id = await self.insert("partner", **values)
        if rules is not None:
            read_rules(rules)
            await self.insert(
                "partner_rules",
                partner_id=self.partner_id,
                version=1,
                body=rules,
                sha256="",
                created_by="test",
            )
        return self.partner_id

    async def account(
        self,
        ref: str,
        balance: str = "500.00",
        *,
        original: str | None = None,
        creditor: str = "Bank",
        **values: Any,
    ) -> UUID:
        """Place an account a month ago."""
        if creditor not in self.creditors:
            self.creditors[creditor] = await self.insert("creditor", name=creditor)
        name, debtor_ref = values.pop("name", "Ana Lima"), values.pop("debtor_ref", None)
        debtor = await self.insert(
            "debtor",
            natural_key=f"ref:{debtor_ref}" if debtor_ref else f"acct:{uuid4()}",
            debtor_ref=debtor_ref,
            full_name=name,
        )
        values = {"updated_at": NOW - timedelta(days=30), "debtor_id": debtor, **values}
        return await self.insert(
            "account",
            creditor_id=self.creditors[creditor],
            external_ref=ref,
            balance=balance,
            original_amount=original or max(Decimal(balance), Decimal(1)),
            **values,
        )

    async def post(self, account_id: UUID, amount: str, *, at: datetime = NOW, kind: str = "payment") -> UUID:
        """Take a payment off an account's balance (a negative one goes back on it)."""
        journal = await self.insert(
            "journal", kind=kind, key=uuid4().hex, description=kind, occurred_at=at, created_at=at
        )
        value = Decimal(amount)
        sides = ("cash", "receivable") if value > 0 else ("receivable", "cash")
        await self.sql(
            "INSERT INTO posting (agency_id, journal_id, account_id, debit, credit, amount, currency)"
            " VALUES (%s, %s, %s, %s, %s, %s, 'USD')",
            *(self.tenant.agency_id, journal, account_id, *sides, abs(value)),
        )
        await self.sql(
            "UPDATE account SET balance = balance - %s, version = version + 1, updated_at = %s WHERE id = %s",
            value,
            at,
            account_id,
        )
        return journal

    async def payment(
        self, account_id: UUID, amount: str, *, status: str = "succeeded", **values: Any
    ) -> UUID:
        """A payment, on the ledger if its status says so."""
        at = values.get("created_at", NOW)
        taken = status not in {"pending", "processing", "failed", "requires_action"}
        journal = await self.post(account_id, amount, at=at) if taken else None
        values = {"origin": "request", "idempotency_key": uuid4().hex, "method": "bank_transfer", **values}
        return await self.insert(
            "payment",
            account_id=account_id,
            amount=amount,
            currency=values.pop("currency", "USD"),
            status=status,
            journal_id=journal,
            requested_by="test",
            **values,
        )

    async def sent(self, *accounts: UUID, at: datetime = NOW - timedelta(days=20)) -> None:
        """Accounts that were sent to the partner."""
        for account in accounts:
            await self.sql(
                "INSERT INTO partner_account (partner_id, account_id, agency_id, sent_at)"
                " VALUES (%s, %s, %s, %s)",
                *(self.partner_id, account, self.tenant.agency_id, at),
            )

    async def statement(self, *lines: dict[str, Any], channel: str = "file") -> UUID:
        """Stage a statement; a line is a mapping of its columns."""
        state = "staged" if channel == "file" else "open"
        problems = sum(1 for line in lines if line.get("problem"))
        statement_id = await self.insert(
            "statement",
            partner_id=self.partner_id,
            channel=channel,
            state=state,
            lines=len(lines),
            problems=problems,
        )
        for number, line in enumerate(lines, start=2):
            values = {
                "statement_id": statement_id,
                "line": number,
                "agency_id": self.tenant.agency_id,
                **line,
            }
            names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
            await self.sql(
                f"INSERT INTO statement_line ({names}) VALUES ({marks})",  # noqa: S608
                *values.values(),
            )
        return statement_id

    async def open_run(self, scope: str = "full", *, dry_run: bool = False) -> UUID:
        """A run that is at work."""
        run_id = uuid4()
        async with self.db.transaction(self.tenant) as tx:
            await tx.partner_runs.open(
                run_id, self.partner_id, origin="manual", requested_by="test", scope=scope, dry_run=dry_run
            )
            await tx.partner_runs.begin(run_id)
        return run_id

    async def match(self, scope: str = "full", *, dry_run: bool = False) -> SimpleNamespace:
        """One run, from its beginning to its end; its figures, and its ``run_id``."""
        return await self.end(await self.open_run(scope, dry_run=dry_run))

    async def matched(self, run_id: UUID) -> dict[str, Any]:
        """What the matching step of a run answers."""
        async with self.db.transaction(self.tenant, snapshot=True) as tx:
            return await tx.partner_matching.match(run_id)

    async def end(self, run_id: UUID) -> SimpleNamespace:
        """Match a run that is at work, and end it."""
        figures = await self.matched(run_id)
        async with self.db.transaction(self.tenant) as tx:
            counted = {name: figures[name] for name in ("matched", "breaks", "resolved", "cured")}
            await tx.partner_runs.complete(run_id, report={}, **counted)
        return SimpleNamespace(run_id=run_id, **figures)

    async def breaks(self, where: str = "state <> 'resolved'") -> list[Any]:
        """The partner's breaks, by kind and reference."""
        return await self.sql(
            f"SELECT * FROM reconciliation_break WHERE partner_id = %s AND {where}"  # noqa: S608
            " ORDER BY kind, account_ref, subject",
            self.partner_id,
        )

    async def told(self) -> list[tuple[str, str, str]]:
        """Kind, reference and cause of each open break."""
        return [(b.kind, b.account_ref, b.probable_cause) for b in await self.breaks()]


def said(
    ref: str | None, balance: str | None = "500.00", status: str | None = "UNPAID", **more: Any
) -> dict[str, Any]:
    """A line about an account, written an hour ago."""
    return {
        "account_ref": ref,
        "balance": balance,
        "status": status,
        "processed_at": NOW - timedelta(hours=1),
        **more,
    }


def paid(ref: str | None, amount: str, on: date = TODAY, **more: Any) -> dict[str, Any]:
    """A line about money."""
    return {"payment_ref": ref, "amount": amount, "paid_on": on, **more}


def refs(breaks: Iterable[Any], kind: str) -> list[str]:
    """References of the breaks of a kind."""
    return [b.account_ref for b in breaks if b.kind == kind]


@asynccontextmanager
async def opened(database: Any) -> AsyncIterator[Books]:
    """Books of a new agency in a database."""
    db = Database(database.app_url, ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)), pool_size=3)
    async with db.platform() as tx:
        agency = await tx.agencies.add({"slug": uuid4().hex, "name": "Agency"})
    async with await psycopg.AsyncConnection.connect(
        database.superuser_url, autocommit=True, row_factory=namedtuple_row
    ) as link:
        yield Books(db, link, Tenant.system(agency.id, "test"))
    await db.close()


@asynccontextmanager
async def opened_in_utc(database: Any) -> AsyncIterator[Books]:
    """Books of an agency whose days begin when those of a statement do."""
    async with opened(database) as books:
        await books.sql("UPDATE agency SET time_zone = 'UTC' WHERE id = %s", books.tenant.agency_id)
        yield books


async def bank(books: Books, rules: str | None = None, **values: Any) -> None:
    """Make the partner of the books a bank, with ``rules`` (YAML)."""
    await books.partner(rules, kind="bank", **values)


async def sums(books: Books) -> list[tuple[str, str, Decimal | None, Decimal | None]]:
    """Kind, probable cause and both sides of every break."""
    found = [(b.kind, b.probable_cause, b.ours, b.theirs) for b in await books.breaks()]
    return sorted(found, key=str)
