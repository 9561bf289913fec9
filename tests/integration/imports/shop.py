"""An agency at work as tests see it: send files, poll, wait, and look at everything that came of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row
from temporalio.client import Client
from tenacity import AsyncRetrying, retry_if_result, stop_after_delay, wait_fixed

from activities.messages import AgencyRef
from db.cipher import ColumnCipher, parse_keys, place
from db.session import Database
from db.staging import SSN_COLUMN
from domain.tenancy import Actor, Tenant
from gateways.storage import ObjectStorage
from runtime.settings import DEVELOPMENT_COLUMN_KEYS, Settings
from tests.integration.imports.faults import Faults, GatedSftp
from workflows import queues
from workflows.portfolio import PollSummary, PortfolioPoll

OVER = ("done", "refused", "unmoved")
"""Phases of imports that nobody works on any more."""

HEADER = "external_ref,debtor_name,original_amount\n"


def rows(count: int, *, prefix: str = "A", amount: str = "100.00") -> str:
    """``count`` good records below a header."""
    return HEADER + "".join(f"{prefix}-{n},Person {n},{amount}\n" for n in range(count))


@dataclass
class Shop:
    """An agency: its database, its inbox, and what to ask of both."""

    settings: Settings
    db: Database
    client: Client
    storage: ObjectStorage
    superuser_url: str
    faults: Faults
    door: GatedSftp
    name: str
    agency_id: UUID = field(default_factory=uuid4)
    source_id: UUID = field(default_factory=uuid4)

    @property
    def inbox(self) -> Path:
        """The folder behind ``/inbox``."""
        return self.door.root_of(self.name) / "inbox"

    @property
    def tenant(self) -> Tenant:
        return Tenant(self.agency_id, Actor("system", "test"))

    async def query(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a statement, past row-level security."""
        async with await psycopg.AsyncConnection.connect(self.superuser_url, row_factory=dict_row) as link:
            cursor = await link.execute(statement.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def mine(self, columns: str, table: str, order: str = "1") -> list[dict[str, Any]]:
        """This agency's rows of a table."""
        return await self.query(
            f"SELECT {columns} FROM {table} WHERE agency_id = %s ORDER BY {order}",  # noqa: S608
            self.agency_id,
        )

    async def one(self, statement: str, *values: Any) -> dict[str, Any]:
        """The only row of a statement."""
        [row] = await self.query(statement, *values)
        return row

    def send(self, content: str | bytes, name: str = "new.csv") -> Path:
        """Put a file into the inbox, whole."""
        data = content.encode() if isinstance(content, str) else content
        path = self.inbox / name
        path.write_bytes(data)
        return path

    def waiting(self) -> list[str]:
        """Names of the files in the inbox."""
        return sorted(path.name for path in self.inbox.iterdir() if not path.is_dir())

    def put_away(self, folder: str) -> list[str]:
        """Names of the files in ``processed`` or ``rejected``."""
        return sorted(path.name for path in (self.inbox / folder).iterdir())

    async def poll(self) -> PollSummary:
        """Look into the inbox now and wait for the poll, not for the imports it starts."""
        return await self.client.execute_workflow(
            PortfolioPoll.run,
            AgencyRef(agency_id=self.agency_id),
            id=f"poll/{uuid4()}",
            task_queue=queues.LIFECYCLE,
        )

    async def jobs(self) -> list[dict[str, Any]]:
        """The imports, oldest first."""
        return await self.mine("*", "import_job", "id")

    async def settled(
        self, count: int = 1, *, phases: Sequence[str] = OVER, within_s: float = 60
    ) -> list[dict[str, Any]]:
        """The imports, once there are ``count`` and the workflow of each has ended."""

        async def ready() -> bool:
            found = await self.jobs()
            return len(found) >= count and all(job["phase"] in phases for job in found)

        await eventually(ready, within_s)
        for job in await self.jobs():
            await self.ended(self.workflow_id(job))
        return await self.jobs()

    async def ended(self, workflow_id: str) -> None:
        """Wait until a workflow is at its end, however it ends."""
        handle = self.client.get_workflow_handle(workflow_id)

        async def closed() -> bool:
            return (await handle.describe()).close_time is not None

        await eventually(closed)

    def workflow_id(self, job: dict[str, Any]) -> str:
        return queues.import_workflow_id(self.agency_id, job["sha256"])

    async def import_file(self, content: str | bytes, name: str = "new.csv") -> dict[str, Any]:
        """Send a file through the door and wait until it is done with."""
        before = len(await self.jobs())
        self.send(content, name)
        await self.poll()
        return (await self.settled(before + 1))[-1]

    async def scored(self) -> None:
        """Wait until every completed import was scored, and as many accounts admitted as there is room."""

        async def ready() -> bool:
            [left] = await self.query(
                "SELECT count(*) FROM import_job j LEFT JOIN scoring_run r ON r.import_id = j.id"
                " WHERE j.agency_id = %s AND j.status = 'completed'"
                " AND r.status IS DISTINCT FROM 'completed'",
                self.agency_id,
            )
            [queued] = await self.query(
                "SELECT count(*) FILTER (WHERE a.admitted_at IS NOT NULL) AS admitted, count(*) AS queued"
                " FROM account_score s JOIN account a ON a.id = s.account_id"
                " WHERE s.agency_id = %s AND s.queued",
                self.agency_id,
            )
            wanted = min(queued["queued"], self.settings.lifecycle_capacity)
            return bool(left["count"] == 0 and queued["admitted"] >= wanted)

        await eventually(ready)

    async def problems(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        """What was reported about an import's rows, in order."""
        return await self.query(
            'SELECT line, severity, "column", value, error FROM import_error'
            " WHERE import_id = %s ORDER BY line, id",
            job["id"],
        )

    async def breaches(self) -> list[Any]:
        """What the proof of the ledger finds."""
        async with self.db.transaction(self.tenant) as tx:
            return [breach async for breach in tx.ledger.breaches()]

    async def tables(self) -> dict[str, list[Any]]:
        """Everything that imports made, without ids and times, so that two agencies can be compared."""
        found = {name: await self.query(text, self.agency_id) for name, text in _TABLES.items()}
        cipher = ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS))
        for debtor in found["debtors"]:
            blob = debtor.pop("ssn_last4_encrypted")
            where = place(SSN_COLUMN, self.agency_id)
            debtor["ssn"] = None if blob is None else cipher.decrypt(bytes(blob), where)
        return {name: [tuple(row.values()) for row in rows] for name, rows in found.items()}


_TABLES = {
    "creditors": "SELECT name FROM creditor WHERE agency_id = %s ORDER BY name",
    "debtors": """
        SELECT regexp_replace(natural_key, '^acct:[0-9]+:', 'acct:') AS key, full_name, email, phone, city,
               monthly_income, employment_status, version, ssn_last4_encrypted
          FROM debtor WHERE agency_id = %s ORDER BY 1, 2""",
    "accounts": """
        SELECT a.external_ref, c.name, regexp_replace(d.natural_key, '^acct:[0-9]+:', 'acct:') AS debtor,
               a.status, a.original_amount, a.balance, a.due_date, a.account_type, a.version
          FROM account a JOIN creditor c ON c.id = a.creditor_id JOIN debtor d ON d.id = a.debtor_id
         WHERE a.agency_id = %s ORDER BY 1, 2""",
    "postings": """
        SELECT a.external_ref, j.kind, p.debit, p.credit, p.amount, p.currency
          FROM posting p JOIN journal j ON j.id = p.journal_id LEFT JOIN account a ON a.id = p.account_id
         WHERE p.agency_id = %s ORDER BY 1, 5""",
    # Lifecycles note old debts in their own time, some accounts sooner than others.
    "timeline": """
        SELECT a.external_ref, e.kind, e.description, e.actor, e.details ->> 'line' AS line
          FROM timeline_event e JOIN account a ON a.id = e.account_id
         WHERE e.kind <> 'limitation' AND e.agency_id = %s ORDER BY 1, e.at, 2""",
    "scores": """
        SELECT a.external_ref, s.rank, s.level, s.priority, s.queued
          FROM account_score s JOIN account a ON a.id = s.account_id
         WHERE s.agency_id = %s ORDER BY 1""",
    "search": "SELECT document FROM account_search WHERE agency_id = %s ORDER BY 1",
    "admitted": """
        SELECT external_ref FROM account
         WHERE agency_id = %s AND admitted_at IS NOT NULL AND released_at IS NULL ORDER BY 1""",
    "imports": """
        SELECT status, phase, total_records, processed_ok, processed_errors, warnings, accounts_created,
               accounts_updated, bytes_total, bytes_done, buckets, buckets_done, header,
               unknown_columns, reason
          FROM import_job WHERE agency_id = %s ORDER BY file_name, id""",
    "problems": """
        SELECT j.file_name, e.line, e.severity, e."column", e.value, e.error
          FROM import_error e JOIN import_job j ON j.id = e.import_id
         WHERE e.agency_id = %s ORDER BY j.file_name, j.id, e.line, e.severity, e."column", e.error""",
    "refusals": "SELECT line FROM import_refusal WHERE agency_id = %s ORDER BY line",
    "runs": """
        SELECT status, total, scored, errors, levels::text, high_priority FROM scoring_run
         WHERE agency_id = %s ORDER BY created_at""",
    "audit": "SELECT action, entity FROM audit_record WHERE agency_id = %s ORDER BY action, entity",
}


async def eventually(check: Callable[[], Awaitable[bool]], within_s: float = 60) -> None:
    """Wait for a condition, looking often; fails loudly at the deadline."""

    async def met() -> bool:
        return await check()

    await AsyncRetrying(
        stop=stop_after_delay(within_s),
        wait=wait_fixed(0.05),
        retry=retry_if_result(lambda is_met: not is_met),
    )(met)
