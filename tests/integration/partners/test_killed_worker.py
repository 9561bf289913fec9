"""A worker is killed with reconciliations in every phase; another finishes them as if nothing had happened.

One real worker process stands in three places at once, held there by the SFTP server and by locks of the
database, so that one ``kill -9`` and one heartbeat timeout prove them all.
"""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from temporalio.client import Client

from sandbox.ports import free_port
from sandbox.processes import until
from sandbox.sftp_users import SftpUser
from tests.command_line import CommandLine
from tests.integration.imports.faults import GatedSftp
from tests.integration.partners.office import Json, PartnerOffice, now, opened
from tests.integration.partners.test_sync_killed_worker import environment, forsake
from workers.deployment import make_current

__all__ = ["environment"]

PHASES = ("staging", "matching", "moving")
HELD_AT = 12 << 20
FINISH_S = 90
PADDING = "x" * 32_000
LINES = 520
"""Long enough for one committed chunk (8 MiB) and then some."""

RESULTS = {
    "breaks": """
        SELECT kind, subject, ours, theirs, difference, value, theirs_status, rule, probable_cause, state,
               line, version
          FROM reconciliation_break WHERE partner_id = :partner ORDER BY kind, subject""",
    "accounts": """
        SELECT account_id, reference, balance, status, processed_at, matched_by, line
          FROM partner_account WHERE partner_id = :partner ORDER BY account_id""",
    "statements": """
        SELECT name, state, lines, problems, put_away_at IS NOT NULL AS away
          FROM statement WHERE partner_id = :partner""",
    "lines": """
        SELECT l.line, l.account_ref, l.balance, l.problem
          FROM statement_line l JOIN statement s ON s.id = l.statement_id
         WHERE s.partner_id = :partner ORDER BY l.line""",
    "runs": """
        SELECT status, lines, problems, matched, breaks, resolved, cured, report - 'statements' AS report
          FROM partner_reconciliation WHERE partner_id = :partner""",
}


@pytest.fixture
async def offices(world: Any, temporal_client: Client, tmp_path: Path) -> Any:
    """The same agency at an SFTP account for each phase."""
    names = ("calm", *PHASES)
    users = [SftpUser(name, "demo") for name in names]
    door = GatedSftp(tmp_path / "sftp", users, host_key=tmp_path / "keys" / "host_key", port=free_port())
    await door.start()
    yield {name: await opened(world, temporal_client, door, user=name) for name in names}
    await door.stop()


@pytest.mark.timeout(240)
async def test_another_worker_finishes_what_a_killed_one_began(
    offices: dict[str, PartnerOffice],
    command_line: CommandLine,
    environment: dict[str, str],
    tmp_path: Path,
    module_database: Any,
) -> None:
    calm, door = offices["calm"], offices["calm"].door
    assert isinstance(door, GatedSftp)
    await make_current(calm.temporal, calm.world.settings.build_id)
    accounts = await calm.accounts(4)
    partners = {name: await office.partner() for name, office in offices.items()}
    text = statement_of(accounts)
    for name, office in offices.items():
        office.send(partners[name], text)
    held, move = door.hold_read("staging", HELD_AT, after_openings=1), door.hold_rename("moving")
    async with await psycopg.AsyncConnection.connect(module_database.superuser_url) as lock:
        async with command_line.worker(tmp_path, environment) as victim:
            await lock.execute(
                "INSERT INTO partner_account (partner_id, account_id, agency_id) VALUES (%s, %s, %s)",
                [partners["matching"]["id"], accounts[0]["id"], calm.agency_id],
            )
            started = {name: (await office.start(partners[name])).json() for name, office in offices.items()}
            await calm.ended(started["calm"], within_s=FINISH_S)
            await asyncio.gather(held.reached(), move.reached())
            await until(lambda: waits(lock), within_s=FINISH_S, what="the matching to wait")
            half = await calm.query(
                "SELECT lines FROM statement WHERE partner_id = :id", id=UUID(partners["staging"]["id"])
            )
            assert 0 < half[0].lines < LINES, "staging is half done"
            victim.kill()
            await victim.wait()
        await forsake(lock)
        await lock.rollback()
    held.open()
    move.open()
    async with command_line.worker(tmp_path, environment):
        for name, office in offices.items():
            await office.ended(started[name], within_s=FINISH_S)
    expected = await results(calm, partners["calm"])
    for phase in PHASES:
        assert await results(calm, partners[phase]) == expected, phase
        assert offices[phase].lying(partners[phase]) == []
        assert len(offices[phase].lying(partners[phase], "processed")) == 1
    assert [tuple(row)[:2] for row in expected["runs"]] == [("completed", LINES)]
    assert len(expected["lines"]) == LINES
    # Half of what is owed is a break, and so is every reference that nobody knows.
    assert len(expected["breaks"]) == 2 + LINES - len(accounts)


def statement_of(accounts: list[Json]) -> str:
    """Of two accounts as they are and two with half of what is owed, then of some that nobody knows."""
    at = now()
    known = [
        f"{account['external_ref']},{'100.00' if number % 2 else '50.00'},PARTIAL,{at},"
        for number, account in enumerate(accounts)
    ]
    others = [f"NOBODY-{n},1.00,UNPAID,{at},{PADDING}" for n in range(LINES - len(accounts))]
    return "\n".join(["account_ref,balance,status,processed_at,note", *known, *others, ""])


async def waits(lock: psycopg.AsyncConnection[Any]) -> bool:
    """Whether the worker waits for this connection."""
    found = "SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    return bool(await (await lock.execute(found.encode())).fetchall())


async def results(office: PartnerOffice, partner: Json) -> dict[str, Any]:
    """What a run leaves behind, without ids and times."""
    return {name: await office.query(text, partner=UUID(partner["id"])) for name, text in RESULTS.items()}
