"""`recoup score`, as an operator runs it: a process, its output, its exit code and its interruption."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from temporalio.client import Client

from api.composition import open_database
from benchmarks.placed import place
from domain.tenancy import Tenant
from gateways.storage import ObjectStorage
from runtime.settings import Settings
from tests.command_line import CommandLine, Running
from workers.deployment import ensure_search_attributes, make_current
from workers.worker import serving

ACCOUNTS = 2500
_AGENCY = "INSERT INTO agency (slug, name) VALUES ('acme', 'Acme') RETURNING id"
_CREDITOR = "INSERT INTO creditor (agency_id, name, is_default) VALUES (%s, 'Creditor', true)"


@dataclass
class Shop:
    """An agency with accounts that nobody has scored, and who can work for it."""

    settings: Settings
    superuser_url: str
    client: Client
    command_line: CommandLine
    environment: dict[str, str]
    agency_id: UUID

    async def query(self, statement: str, *values: Any) -> list[Any]:
        """Rows of a statement, past row-level security."""
        async with await psycopg.AsyncConnection.connect(self.superuser_url) as link:
            cursor = await link.execute(statement.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def started(self, *words: str) -> Running:
        """`recoup score` with ``words``."""
        return await self.command_line.start("score", *words, **self.environment)

    async def score(self, *words: str, code: int = 0) -> tuple[str, str]:
        """Output and errors of a whole `recoup score`, which must end with ``code``."""
        ended, out, err = await self.command_line.run("score", *words, **self.environment)
        assert ended == code, err
        return out, err

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """A worker as `recoup worker` builds it."""
        storage = ObjectStorage(self.settings.storage_url)
        async with (
            open_database(self.settings, "recoup-worker") as database,
            serving(self.settings, database, self.client, storage),
        ):
            yield

    async def give_up(self, run_id: str) -> None:
        """End a run that no worker has taken up."""
        await self.client.get_workflow_handle(f"scoring/{run_id}").terminate()
        async with (
            open_database(self.settings, "recoup-test") as database,
            database.transaction(Tenant.system(self.agency_id, "test")) as tx,
        ):
            await tx.scoring_runs.fail(UUID(run_id), "given up by the test")


@pytest.fixture(scope="module")
async def shop(
    module_database: Any,
    temporal_client: Client,
    temporal_server: Any,
    command_line: CommandLine,
    tmp_path_factory: pytest.TempPathFactory,
) -> Shop:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(_env_file=None, database_url=module_database.app_url, home=home, lifecycle_capacity=0)
    await ensure_search_attributes(temporal_client)
    await make_current(temporal_client, settings.build_id)
    environment = {
        "RECOUP_DATABASE_URL": module_database.app_url,
        "RECOUP_TEMPORAL_ADDRESS": temporal_server.address,
        "RECOUP_TEMPORAL_NAMESPACE": temporal_client.namespace,
        "RECOUP_HOME": str(home),
    }
    made = Shop(
        settings, module_database.superuser_url, temporal_client, command_line, environment, UUID(int=0)
    )
    made.agency_id = (await made.query(_AGENCY))[0][0]
    await made.query(_CREDITOR, made.agency_id)
    await place(made.query, made.agency_id, ACCOUNTS)
    return made


async def test_a_dry_run_needs_no_worker_and_writes_nothing(shop: Shop) -> None:
    out, err = await shop.score("--agency", "acme", "--dry-run", "--batch-size", "1000", "--top-k", "3")
    as_json, _ = await shop.score("--agency", str(shop.agency_id), "--dry-run", "--top-k", "3", "--json")

    view = json.loads(as_json)
    assert (view["dry_run"], view["scored"], view["changed"], view["errors"]) == (True, ACCOUNTS, ACCOUNTS, 0)
    assert sum(view["levels"].values()) == ACCOUNTS
    assert len(view["top"]) == 3
    assert out.startswith("2,500 accounts scored by recovery-v1 version 1 in ")
    assert "2,500 would change, 0 errors" in out
    assert all(best["external_ref"] in out and best["priority_score"] in out for best in view["top"])
    assert "dry run: nothing was written" in out
    # A line at each tenth at most, and none of it on standard output.
    assert err.splitlines() == [
        "accounts: 0 of 2,500 (0 %)",
        "accounts: 1,000 of 2,500 (40 %)",
        "accounts: 2,000 of 2,500 (80 %)",
        "accounts: 2,500 of 2,500 (100 %)",
    ]
    [(written,)] = await shop.query("SELECT (SELECT count(*) FROM account_score) + count(*) FROM scoring_run")
    assert written == 0


async def test_a_run_is_followed_to_its_summary(shop: Shop) -> None:
    expected = json.loads((await shop.score("--agency", "acme", "--dry-run", "--json"))[0])

    async with shop.working():
        out, err = await shop.score("--agency", "acme", "--batch-size", "1000")
        as_json, _ = await shop.score("--agency", "acme", "--json", "--threshold", "0", "--top-k", "12")

    assert out.startswith("2,500 accounts scored by recovery-v1 version 1 in ")
    assert "2,500 changed, 0 errors" in out
    assert all(best["external_ref"] in out for best in expected["top"])
    assert "accounts: 2,500 of 2,500 (100 %)" in err
    view = json.loads(as_json)
    assert (view["status"], view["dry_run"], view["threshold"]) == ("completed", False, "0.00")
    assert (view["scored"], view["high_priority"]) == (ACCOUNTS, ACCOUNTS)
    assert view["changed"] == ACCOUNTS - expected["high_priority"]
    assert len(view["top"]) == 12
    assert view["top"][:10] == expected["top"]
    assert view["requested_by"].startswith("operator:")


async def test_a_run_that_waits_can_be_left_and_goes_on(shop: Shop) -> None:
    process = await shop.started("--agency", "acme")
    hint = (await asyncio.wait_for(process.stderr.readline(), 60)).decode()
    refused, why = await shop.score("--agency", "acme", code=1)
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 60)

    [(run_id,)] = await shop.query("SELECT id::text FROM scoring_run WHERE status = 'running'")
    await shop.give_up(run_id)
    assert "no worker has taken the run up yet" in hint
    assert "recoup worker" in hint
    assert (refused, why.count("\n")) == ("", 1)
    assert f"the scoring run {run_id} of this agency is going" in why
    assert process.returncode == 130
    assert f"the run goes on: GET /api/v1/scoring/runs/{run_id} or http" in err.decode()
    assert "Traceback" not in err.decode()


async def test_a_run_that_fails_says_why(shop: Shop) -> None:
    process = await shop.started("--agency", "acme", "--json")
    while not (found := await shop.query("SELECT id::text FROM scoring_run WHERE status = 'running'")):
        assert process.returncode is None
    await shop.give_up(found[0][0])
    out, err = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 1
    assert json.loads(out)["reason"] == "given up by the test"
    assert err.decode().splitlines()[-1] == "error: the run failed: given up by the test"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--agency", "atlantis", "--dry-run"), 1, "there is no agency “atlantis”"),
        (("--agency", "acme", "--batch-size", "999"), 2, "--batch-size: "),
        (("--agency", "acme", "--threshold", "-1", "--dry-run"), 2, "--threshold: "),
        (("--agency", "acme", "--threshold", "much", "--dry-run"), 2, "--threshold: "),
        (("--agency", "acme", "--top-k", "-1", "--dry-run"), 1, "--top-k: must be from 0 to 1000"),
    ],
)
async def test_what_cannot_be_done_is_one_line(
    shop: Shop, words: tuple[str, ...], code: int, said: str
) -> None:
    out, err = await shop.score(*words, code=code)

    assert out == ""
    assert len(err.splitlines()) == 1
    assert said in err
