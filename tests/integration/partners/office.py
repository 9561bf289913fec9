"""An agency that works with partners, as its people see it: accounts, statements, reconciliations."""

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy import text
from temporalio.client import Client, WorkflowHandle

from domain.tenancy import Tenant
from gateways.storage import ObjectStorage
from sandbox.processes import until
from sandbox.sftp import SftpServer
from tests.integration.api.people import make, place
from workers.deployment import make_current
from workers.worker import serving
from workflows import queues

Json = dict[str, Any]
ENDED = ("completed", "failed")
LINE = ("account_ref", "balance", "status", "processed_at")
"""Columns of a statement whose profile says nothing else."""

COLUMNS = {name: name for name in LINE}


@dataclass
class PartnerOffice:
    """The partners of one agency; ``source_id`` is the SFTP server on which their folders are, under the
    account ``user``."""

    world: Any
    temporal: Client
    door: SftpServer
    source_id: UUID
    agency: str = "acme"
    user: str = "acme"

    @property
    def agency_id(self) -> UUID:
        found: UUID = self.world.agencies[self.agency]
        return found

    async def ask(self, who: str, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        answer: httpx.Response = await self.world.call(who, method, path, body, **headers)
        return answer

    async def done(self, method: str, path: str, body: Any = None, who: str = "acme.admin") -> Json:
        """What is answered to a request that must succeed."""
        answer = await self.ask(who, method, path, body)
        assert answer.is_success, f"{answer.status_code} {answer.text}"
        return dict(answer.json())

    async def partner(self, **changes: Any) -> Json:
        """A new partner with a folder of its own, whose statements have the columns ``LINE``."""
        name = changes.pop("name", f"p-{uuid4().hex[:12]}")
        body = {
            "name": name,
            "source_id": str(self.source_id),
            "statement_profile": {"columns": COLUMNS},
        } | changes
        self.folder(name).mkdir(parents=True, exist_ok=True)
        return await self.done("POST", "/partners", body)

    async def account(self, amount: str = "100.00", **more: Any) -> Json:
        """A new account of somebody new."""
        return dict(await place(self.world, await make(self.world), amount, **more))

    async def accounts(self, count: int, amount: str = "100.00") -> list[Json]:
        """So many accounts of one new person."""
        person = await make(self.world)
        return [dict(await place(self.world, person, amount)) for _ in range(count)]

    async def pays(self, account: Mapping[str, Any], amount: str) -> Json:
        """Money that came in by hand."""
        body = {
            "account_id": account["id"],
            "amount": amount,
            "currency": "USD",
            "method": "cash",
            "idempotency_key": uuid4().hex,
        }
        payment = await self.done("POST", "/payments", body)

        async def there() -> bool:
            return bool((await self.done("GET", f"/payments/{payment['id']}"))["status"] == "succeeded")

        await until(there, within_s=60, what="the payment to succeed")
        return payment

    async def shown(self, account: Mapping[str, Any]) -> Json:
        """The account as it is now."""
        return await self.done("GET", f"/accounts/{account['id']}")

    def folder(self, partner: str) -> Path:
        """The partner's folder behind ``/partners``."""
        return self.door.root_of(self.user) / "partners" / partner

    def send(
        self, partner: Mapping[str, Any], lines: Sequence[Sequence[Any]] | str, name: str = "statement.csv"
    ) -> Path:
        """Put a statement into the partner's folder, whole: rows of ``LINE``, or the text itself."""
        path = self.folder(partner["name"]) / name
        path.write_text(lines if isinstance(lines, str) else statement(lines))
        return path

    def lying(self, partner: Mapping[str, Any], folder: str = "") -> list[str]:
        """Names of the files in the partner's folder, or in one below it."""
        place = self.folder(partner["name"]) / folder
        return sorted(path.name for path in place.iterdir() if path.is_file()) if place.exists() else []

    async def say(self, partner: Mapping[str, Any], *messages: Json) -> list[Json]:
        """Messages of the partner over REST; what became of each."""
        answer = await self.ask("acme.admin", "POST", f"/partners/{partner['id']}/messages", list(messages))
        assert answer.status_code == 200, answer.text
        return list(answer.json()["results"])

    async def start(self, partner: Mapping[str, Any], **body: Any) -> httpx.Response:
        """Ask for a reconciliation."""
        return await self.ask("acme.admin", "POST", f"/partners/{partner['id']}/reconciliations", body)

    async def reconciled(self, partner: Mapping[str, Any], **body: Any) -> Json:
        """A reconciliation that was asked for, once it has ended."""
        answer = await self.start(partner, **body)
        assert answer.status_code == 202, answer.text
        return await self.ended(answer.json())

    async def ended(self, run: Mapping[str, Any], within_s: float = 40) -> Json:
        """A reconciliation once it and its workflow have ended."""

        async def over() -> bool:
            return (await self.done("GET", f"/reconciliations/{run['id']}"))["status"] in ENDED

        await until(over, within_s=within_s, what="the reconciliation to end")

        async def closed() -> bool:
            return (await self.process(run).describe()).close_time is not None

        await until(closed, within_s=within_s, what="its workflow to end")
        return await self.done("GET", f"/reconciliations/{run['id']}")

    def process(self, run: Mapping[str, Any]) -> WorkflowHandle[Any, Any]:
        """The workflow of a reconciliation."""
        return self.temporal.get_workflow_handle(queues.partner_reconciliation_workflow_id(UUID(run["id"])))

    async def breaks(self, run: Mapping[str, Any], who: str = "acme.auditor") -> list[Json]:
        """What a reconciliation has found, the newest first."""
        answer = await self.done("GET", f"/reconciliations/{run['id']}/breaks?page_size=500", who=who)
        return list(answer["results"])

    async def query(self, statement: str, **values: Any) -> list[Any]:
        async with self.world.database.transaction(Tenant.system(self.agency_id, "test")) as tx:
            found = await tx.session.execute(text(statement), values)
            return list(found.all()) if found.returns_rows else []


def statement(lines: Sequence[Sequence[Any]], columns: Sequence[str] = LINE) -> str:
    """A statement file: a header, and rows that lack a time are of now."""
    text_ = io.StringIO()
    writer = csv.writer(text_)
    writer.writerow(columns)
    for line in lines:
        padded = [*line, now()] if len(line) == len(columns) - 1 else list(line)
        writer.writerow(["" if cell is None else cell for cell in padded])
    return text_.getvalue()


def now() -> str:
    """This instant as partners write it."""
    return datetime.now(UTC).isoformat()


async def opened(
    world: Any, temporal: Client, door: SftpServer, agency: str = "acme", user: str | None = None
) -> PartnerOffice:
    """An office whose agency has an SFTP source at ``door``, under an account of its own name or another."""
    user = user or agency
    async with world.database.transaction(Tenant.system(world.agencies[agency], "test")) as tx:
        source = await tx.sources.add(
            {
                "name": f"partners of {user}",
                "host": "127.0.0.1",
                "port": door.port,
                "username": user,
                "host_key": door.host_key,
                "inbox": "/inbox",
            },
            {"password": "demo"},
        )
    return PartnerOffice(world, temporal, door, source.id, agency, user)


@asynccontextmanager
async def at_work(office: PartnerOffice, **changed: Any) -> AsyncIterator[None]:
    """A worker as `recoup worker` builds it, that admits no accounts."""
    settings = office.world.settings.model_copy(
        update={"lifecycle_capacity": 0, "poll_settle_seconds": 0.1, **changed}
    )
    await make_current(office.temporal, settings.build_id)
    storage = ObjectStorage(settings.storage_url)
    async with serving(settings, office.world.database, office.temporal, storage):
        yield
