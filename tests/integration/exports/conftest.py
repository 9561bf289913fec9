"""Two agencies with accounts in several pages of a list, and exports of them asked for over REST."""

import csv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row
from temporalio.client import Client

from activities.exports import ExportActivities, ExportRef
from benchmarks.placed import place
from db.models import ExportJob
from db.scorecard_files import builtin_scorecards
from domain.tenancy import Tenant
from gateways.storage import ObjectStorage, object_key
from sandbox.processes import until
from services.export_files import ExportFiles
from services.export_reader import ListReader
from tests.integration.api.commanding import working
from tests.integration.api.conftest import world
from workflows import queues

__all__ = ["world"]

ACCOUNTS = 5_100
"""More than one page of an export."""

NOBODY = "00000000-0000-7000-8000-000000000000"
NAMES = ("=1+1", "+49 30", "-5", "@home", "\tTab", "'=1", 'Zoë "Zo" Müller, Jr.', "Two\nLines")


@dataclass
class Desk:
    """What people do about exports, and what lies in the database and in storage of it."""

    world: Any
    client: Client
    superuser_url: str

    @property
    def agency_id(self) -> UUID:
        found: UUID = self.world.agencies["acme"]
        return found

    @property
    def storage(self) -> ObjectStorage:
        return ObjectStorage(self.world.settings.storage_url)

    @property
    def steps(self) -> ExportActivities:
        """The steps of an export, as a worker has them."""
        return self.steps_by(ListReader(self.world.database))

    def steps_by(self, lists: ListReader) -> ExportActivities:
        return ExportActivities(
            self.world.database, lists, ExportFiles(self.storage), keep_for=timedelta(days=7)
        )

    async def query(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a statement, past row-level security."""
        async with await psycopg.AsyncConnection.connect(self.superuser_url, row_factory=dict_row) as link:
            cursor = await link.execute(statement.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def account(self, reference: str) -> str:
        """The account of acme that was placed under a reference."""
        [row] = await self.query(
            "SELECT id FROM account WHERE agency_id = %s AND external_ref = %s", self.agency_id, reference
        )
        return str(row["id"])

    async def collector(self) -> str:
        """The collector of acme, who has every hundredth account."""
        [row] = await self.query("SELECT id FROM collector WHERE agency_id = %s", self.agency_id)
        return str(row["id"])

    async def call(self, who: str | None, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return await self.world.call(who, method, path, body, **headers)

    async def ask(self, name: str, who: str = "acme.admin", **filters: Any) -> dict[str, Any]:
        """Ask for an export; its view."""
        answer = await self.call(who, "POST", "/exports", {"list": name, "filters": filters})
        assert answer.status_code == 202, answer.text
        view: dict[str, Any] = answer.json()
        return view

    async def get(self, export: dict[str, Any], who: str = "acme.admin") -> dict[str, Any]:
        answer = await self.call(who, "GET", f"/exports/{export['id']}")
        assert answer.status_code == 200, answer.text
        view: dict[str, Any] = answer.json()
        return view

    async def ended(self, export: dict[str, Any], within_s: float = 30) -> dict[str, Any]:
        """An export once it has ended."""

        async def over() -> bool:
            return (await self.get(export))["status"] in {"completed", "failed"}

        await until(over, within_s=within_s, what="an export to end")
        return await self.get(export)

    async def link(self, export: dict[str, Any], who: str = "acme.admin") -> str:
        """The path of a link to the file, below the API's prefix."""
        answer = await self.call(who, "GET", f"/exports/{export['id']}/link")
        assert answer.status_code == 200, answer.text
        url = httpx.URL(answer.json()["url"])
        return url.raw_path.decode().removeprefix("/api/v1")

    async def file(self, export: dict[str, Any], who: str = "acme.admin") -> bytes:
        """The content of the file, fetched by a link, by nobody in particular."""
        answer = await self.call(None, "GET", await self.link(export, who))
        assert answer.status_code == 200, answer.text
        return bytes(answer.content)

    async def rows(self, name: str, who: str = "acme.admin", **filters: Any) -> list[dict[str, str]]:
        """The records of an export from beginning to end."""
        export = await self.ended(await self.ask(name, who, **filters))
        assert export["status"] == "completed", export["reason"]
        found = records(await self.file(export, who))
        assert export["rows"] == len(found)
        return found

    async def listed(self, path: str, who: str = "acme.admin") -> list[dict[str, Any]]:
        """All rows of a list, as one pages through it."""
        mark = "&" if "?" in path else "?"
        next_path: str | None = f"{path}{mark}page_size=500"
        found: list[dict[str, Any]] = []
        while next_path:
            answer = await self.call(who, "GET", next_path)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += page["results"]
            next_path = page["next"] and page["next"].removeprefix("http://test/api/v1")
        return found

    async def job(self, export: dict[str, Any]) -> ExportJob:
        async with self.world.database.transaction(Tenant.system(self.agency_id, "test")) as tx:
            found: ExportJob = await tx.exports.get(UUID(export["id"]))
            return found

    async def audited(self, export: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
        """Who did what to an export, oldest first: action, actor, what was said of it."""
        async with self.world.database.transaction(Tenant.system(self.agency_id, "test")) as tx:
            found = await tx.audit.of("export", export["id"])
            return [(one.action, one.actor, one.new) for one in found]

    def key(self, export: dict[str, Any], attempt: int) -> str:
        """Where an attempt's file lies."""
        return object_key(self.agency_id, "exports", UUID(export["id"]).hex, f"{attempt}.csv")

    def ref(self, export: dict[str, Any]) -> ExportRef:
        return ExportRef(agency_id=self.agency_id, export_id=UUID(export["id"]))

    async def give_up(self, export: dict[str, Any]) -> None:
        """End an export that no worker has taken up."""
        workflow_id = queues.export_workflow_id(UUID(export["id"]))
        await self.client.get_workflow_handle(workflow_id).terminate()
        async with self.world.database.transaction(Tenant.system(self.agency_id, "test")) as tx:
            await tx.exports.fail(UUID(export["id"]), "given up by the test", "test")

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        async with working(self.world, self.client):
            yield


def records(content: bytes) -> list[dict[str, str]]:
    """The records of a file by the names of its columns."""
    assert content.startswith(b"\xef\xbb\xbf")
    assert content.endswith(b"\r\n")
    return list(csv.DictReader(content.decode("utf-8-sig").splitlines(keepends=True)))


@pytest.fixture(scope="module")
async def desk(world: Any, temporal_client: Client, module_database: Any) -> Desk:
    made = Desk(world, temporal_client, module_database.superuser_url)
    for slug, accounts in (("acme", ACCOUNTS), ("rival", 20)):
        await place(made.query, world.agencies[slug], accounts)
    for n, name in enumerate(NAMES, start=1):
        await made.query(
            "UPDATE debtor SET full_name = %s WHERE agency_id = %s AND debtor_ref = %s",
            name,
            made.agency_id,
            str(n),
        )
    await made.query(
        "UPDATE account SET assigned_to = (SELECT id FROM collector WHERE agency_id = %s) "
        "WHERE agency_id = %s AND external_ref::int %% 100 = 0",
        made.agency_id,
        made.agency_id,
    )
    ids = [
        row["id"] for row in await made.query("SELECT id FROM account WHERE agency_id = %s", made.agency_id)
    ]
    async with world.database.transaction(Tenant.system(made.agency_id, "test")) as tx:
        await tx.rescore(builtin_scorecards(), ids)
    return made
