"""Statement files on a partner's server: found, staged once, refused with a reason, put away."""

import asyncio
import gzip
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.testing import ActivityEnvironment

from activities import statement_files
from activities.partner_run_messages import PartnerRunRef
from activities.portfolio_sources import PortfolioSources
from activities.statement_files import StatementActivities
from activities.statement_messages import PutAway, StagedStatement, StatementFile, StatementSighting
from activities.statement_staging import FileChanged, Source, StatementStager
from db.cipher import ColumnCipher, parse_keys
from db.keyset import Position
from db.models import PartnerReconciliationRun
from db.partner_statements import StatementStore
from db.session import Database
from domain.errors import Invalid, Unavailable
from domain.statement_profiles import StatementProfile
from domain.tenancy import Tenant
from gateways.sftp import SftpGateway
from gateways.storage import ObjectStorage
from runtime.settings import DEVELOPMENT_COLUMN_KEYS
from sandbox.processes import until

HEADER = "account_ref,balance,status,processed_at\n"
TODAY = datetime.now(UTC).replace(microsecond=0)


@dataclass
class Desk:
    """A partner, its folder, and the steps that a run takes with its files."""

    db: Database
    tenant: Tenant
    partner_id: UUID
    steps: StatementActivities
    sources: PortfolioSources
    folder: Path

    def send(self, content: str | bytes, name: str = "a.csv") -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def lying(self, folder: str = ".") -> list[str]:
        place = self.folder / folder
        return sorted(path.name for path in place.iterdir() if path.is_file()) if place.exists() else []

    def ref(self, *, dry_run: bool = False) -> PartnerRunRef:
        return PartnerRunRef(
            agency_id=self.tenant.agency_id, partner_id=self.partner_id, run_id=uuid4(), dry_run=dry_run
        )

    async def look(self, *, dry_run: bool = False) -> StatementSighting:
        return await ActivityEnvironment().run(self.steps.look, self.ref(dry_run=dry_run))

    async def stage(self, file: StatementFile) -> StagedStatement:
        return await ActivityEnvironment().run(self.steps.stage, file)

    async def staged(self, *, dry_run: bool = False) -> list[StagedStatement]:
        return [await self.stage(file) for file in (await self.look(dry_run=dry_run)).files]

    async def put_away(self) -> PutAway:
        return await ActivityEnvironment().run(self.steps.put_away, self.ref())

    async def close(self) -> None:
        """A run takes all that was staged."""
        async with self.db.transaction(self.tenant) as tx:
            run = PartnerReconciliationRun(
                agency_id=self.tenant.agency_id,
                partner_id=self.partner_id,
                origin="manual",
                requested_by="test",
                status="completed",
            )
            tx.session.add(run)
            await tx.session.flush()
            await tx.statements.close_for(run.id, "full")

    async def get(self, statement_id: UUID | None) -> Any:
        assert statement_id is not None
        async with self.db.transaction(self.tenant) as tx:
            return await tx.statements.get(statement_id)

    async def statements(self) -> list[Any]:
        async with self.db.transaction(self.tenant) as tx:
            return list(await tx.statements.page(self.partner_id, None, 50))

    async def numbers(self, statement_id: UUID | None) -> list[int]:
        """The numbers of the statement's lines."""
        assert statement_id is not None
        async with self.db.transaction(self.tenant) as tx:
            query = "SELECT line FROM statement_line WHERE statement_id = %(id)s ORDER BY line"
            driver = await tx.statements._driver()
            found = await driver.execute(query, {"id": statement_id})
            return [line for (line,) in await found.fetchall()]

    async def change(self, **values: Any) -> None:
        async with self.db.transaction(self.tenant) as tx:
            await tx.partners.change(self.partner_id, values, {})


@pytest.fixture
async def db(module_database: Any) -> AsyncIterator[Database]:
    made = Database(module_database.app_url, ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)))
    yield made
    await made.close()


@pytest.fixture
async def desk(db: Database, sftp_server: Any, tmp_path: Path) -> Desk:
    slug = f"a-{uuid4().hex[:8]}"
    async with db.platform() as platform:
        agency = await platform.agencies.add({"slug": slug, "name": slug})
    tenant = Tenant.system(agency.id, "test")
    async with db.transaction(tenant) as tx:
        source = await tx.sources.add(
            {
                "name": "partners",
                "host": sftp_server.host,
                "port": sftp_server.port,
                "username": sftp_server.user,
                "host_key": sftp_server.host_key,
                "inbox": "/inbox",
            },
            {"password": sftp_server.password},
        )
        partner = await tx.partners.add({"name": "northgate", "source_id": source.id})
    sources = PortfolioSources(db, SftpGateway(), ObjectStorage(f"file://{tmp_path}/storage"))
    steps = StatementActivities(db, sources, settle_s=0.5)
    return Desk(db, tenant, partner.id, steps, sources, sftp_server.root / "partners" / "northgate")


def rows(count: int, *, at: datetime = TODAY, prefix: str = "A") -> str:
    return HEADER + "".join(f"{prefix}-{n},{n}.00,UNPAID,{at.isoformat()}\n" for n in range(count))


async def test_only_whole_statements_in_the_partners_own_folder_are_seen(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.send(rows(1), "b.csv")
    desk.send(gzip.compress(rows(2).encode()), "A.CSV.GZ")
    desk.send("x", ".c.csv")
    desk.send("x", "notes.txt")
    (desk.folder / "to-partner").mkdir()
    (desk.folder / "to-partner" / "accounts.csv").write_text("x")
    (desk.folder / "link.csv").symlink_to("b.csv")
    seen = await desk.look()
    assert sorted(file.name for file in seen.files) == ["A.CSV.GZ", "b.csv"]
    assert [problem.split(":")[0] for problem in seen.problems] == ["link.csv"]
    assert seen.settle_s == 0.5
    assert not seen.whole, "what was refused may be a statement"
    (desk.folder / "link.csv").unlink()
    assert (await desk.look()).whole
    monkeypatch.setattr(statement_files, "MOST_FILES", 1)
    seen = await desk.look()
    assert [file.name for file in seen.files] == ["A.CSV.GZ"]
    assert seen.problems == ["1 of 2 files were taken; the next run takes the others"]
    assert not seen.whole


async def test_a_folder_that_is_not_there_is_a_problem_and_no_server_is_none(desk: Desk) -> None:
    desk.folder.rename(desk.folder.with_name("southgate"))
    seen = await desk.look()
    assert (seen.files, seen.problems) == (
        [],
        ["there is no folder /partners/northgate on the server; make it, or rename the partner"],
    )
    assert not seen.whole
    await desk.change(source_id=None)
    seen = await desk.look()
    assert (seen.problems, seen.whole) == ([], True)


async def test_a_file_becomes_a_statement_and_is_put_away_after_its_run(desk: Desk) -> None:
    desk.send(rows(3) + "A-9,,PAID,\n")
    [staged] = await desk.staged()
    assert (staged.state, staged.lines, staged.problems, staged.reason) == ("staged", 4, 1, None)
    statement = await desk.get(staged.statement_id)
    assert (statement.name, statement.newest_at) == ("a.csv", TODAY)
    assert (await desk.put_away()).moved == 0, "it stays until a run is done with it"
    await desk.close()
    assert await desk.put_away() == PutAway(moved=1, problems=[])
    assert (desk.lying(), desk.lying("processed")) == ([], [f"{staged.statement_id}-a.csv"])
    assert (await desk.put_away()).moved == 0
    async with desk.db.transaction(desk.tenant) as tx:
        problems = await tx.statements.problems(statement.id, Position((2,)), 5)
    assert [(row.line, row.account_ref, row.problem) for row in problems] == [
        (
            5,
            "A-9",
            "balance is empty; every line needs it; processed_at is empty; every line needs it",
        )
    ]


async def test_a_dry_run_leaves_the_file_and_the_next_run_reads_nothing_again(desk: Desk) -> None:
    desk.send(rows(3))
    desk.send(rows(3), "copy.csv")
    [first, copy] = await desk.staged(dry_run=True)
    assert (first.state, copy.state, copy.statement_id) == ("staged", "known", first.statement_id)
    assert desk.lying() == ["a.csv", "copy.csv"]
    assert await desk.staged() == [first, copy]
    assert desk.lying() == ["a.csv"]
    assert [name[:6] for name in desk.lying("processed")] == ["again-"]
    assert len(await desk.statements()) == 1


async def test_the_same_statement_again_changes_nothing(desk: Desk) -> None:
    """Also under the same name, and before the first one was moved away."""
    path = desk.send(rows(3))
    [first] = await desk.staged()
    await desk.close()
    [again] = await desk.staged()
    assert (again.state, again.statement_id) == ("known", first.statement_id)
    assert desk.lying() == ["a.csv"], "it is the very file: its run puts it away"
    await desk.put_away()
    desk.send(rows(3))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    [later] = await desk.staged()
    assert (later.state, later.statement_id) == ("known", first.statement_id)
    assert desk.lying() == []
    assert len(desk.lying("processed")) == 2
    assert len(await desk.statements()) == 1


async def test_the_same_bytes_of_another_time_are_news_where_the_time_of_the_file_counts(
    desk: Desk,
) -> None:
    monday, day = int(TODAY.timestamp()) - 3 * 86_400, 86_400

    async def sent(name: str, balance: str, at: int) -> StagedStatement:
        os.utime(desk.send(f"account_ref,balance,status\nA-1,{balance},UNPAID\n", name), (at, at))
        [staged] = await desk.staged()
        await desk.close()
        await desk.put_away()
        return staged

    first = await sent("mon.csv", "100.00", monday)
    await sent("tue.csv", "60.00", monday + day)
    third = await sent("wed.csv", "100.00", monday + 2 * day)
    assert (third.state, third.lines) == ("staged", 1)
    assert third.statement_id != first.statement_id
    said = (await desk.get(third.statement_id)).newest_at
    assert said == datetime.fromtimestamp(monday + 2 * day, UTC)
    for name, at in (("copy.csv", monday + 2 * day), ("late.csv", monday + day)):
        again = await sent(name, "100.00", at)
        assert (again.state, again.statement_id) == ("known", third.statement_id)
    assert len(await desk.statements()) == 3
    assert desk.lying() == []


async def test_a_truncated_file_is_refused_kept_and_may_come_again_whole(desk: Desk) -> None:
    desk.send(rows(5)[:-8])
    [refused] = await desk.staged()
    assert refused.state == "refused"
    assert refused.reason is not None
    assert refused.reason.startswith("Line 6 ends in the middle (processed_at")
    assert await desk.numbers(refused.statement_id) == [6], "the line that could not be read is shown"
    assert await desk.staged() == [refused], "looked at again before it was moved, it is the same refusal"
    assert (await desk.put_away()).moved == 1
    assert (desk.lying(), desk.lying("rejected")) == ([], [f"{refused.statement_id}-a.csv"])

    desk.send(rows(5))
    [whole] = await desk.staged()
    assert (whole.state, whole.lines) == ("staged", 5)
    desk.send(gzip.compress(rows(50).encode())[:-20], "b.csv.gz")
    [packed] = [one for one in await desk.staged() if one.statement_id != whole.statement_id]
    assert packed.reason == "The .gz file ends before its end; it was cut off. Send it again."


async def test_a_refused_file_is_read_anew_when_its_layout_is_mended(desk: Desk) -> None:
    desk.send(rows(2).replace("account_ref", "Konto"))
    [refused] = await desk.staged()
    assert refused.state == "refused"
    await desk.change(statement_profile={"columns": {"Konto": "account_ref"}})
    [staged] = await desk.staged()
    assert (staged.state, staged.lines) == ("staged", 2)
    assert (await desk.put_away()).moved == 0, "what lies there is a statement now"
    await desk.change(statement_profile={"columns": {"Konto": "nothing"}})
    with pytest.raises(Invalid, match="the statement profile of northgate cannot be used"):
        await desk.staged()


async def test_a_statement_of_another_period_is_refused_but_one_old_line_is_not(desk: Desk) -> None:
    old = TODAY - timedelta(days=46)
    desk.send(rows(3, at=old))
    [refused] = await desk.staged()
    assert refused.state == "refused"
    assert f"is of {old:%Y-%m-%d}; this partner's statements are used for 45 days" in str(refused.reason)
    await desk.put_away()
    desk.send(rows(2, at=old) + f"A-9,1.00,PAID,{TODAY.isoformat()}\n", "mixed.csv")
    assert [one.state for one in await desk.staged()] == ["staged"]


async def test_a_worker_killed_while_it_refuses_another_period_leaves_nothing_to_compare(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any) -> None:
        raise asyncio.CancelledError

    desk.send(rows(3, at=TODAY - timedelta(days=46)))
    with monkeypatch.context() as worker:
        worker.setattr(StatementStore, "refuse", killed)
        with pytest.raises(asyncio.CancelledError):
            await desk.staged()
    assert [one.state for one in await desk.statements()] == ["open"]
    assert [one.state for one in await desk.staged()] == ["refused"]


async def test_payments_are_taken_however_late_their_statement_comes(desk: Desk) -> None:
    await desk.change(statement_profile={"kind": "payments"})
    desk.send("payment_ref,amount,paid_on,payer\nP-1,10.00,2024-01-31,Ana\n")
    [staged] = await desk.staged()
    assert (staged.state, staged.lines, staged.problems) == ("staged", 1, 0)
    assert (await desk.get(staged.statement_id)).newest_at == datetime(2024, 1, 31, tzinfo=UTC)


async def test_a_file_that_is_not_what_was_seen_is_left_for_the_next_run(desk: Desk) -> None:
    path = desk.send(rows(2))
    gone = desk.send(rows(3), "gone.csv")
    files = (await desk.look()).files
    with path.open("a") as fh:
        fh.write("A-8,1.00,PAID,2026-11-20\n")
    gone.unlink()
    another = desk.send(rows(4), "same-size.csv")
    files += (await desk.look()).files[-1:]
    os.utime(another, (1_700_000_000, 1_700_000_000))
    assert [(await desk.stage(file)).state for file in files] == ["changed", "changed", "changed"]
    assert await desk.statements() == []


async def test_bytes_that_change_while_they_are_read_become_no_statement(desk: Desk) -> None:
    path = desk.send(rows(2))
    async with desk.db.transaction(desk.tenant) as tx:
        opened = await tx.statements.open_file(
            desk.partner_id, name="a", location="/a", sha256="00", size=1, mtime=1, profile="1"
        )
        source_id = (await tx.partners.get(desk.partner_id)).source_id
    source = Source("/partners/northgate/a.csv", "00", int(path.stat().st_mtime), False, StatementProfile())
    async with await desk.sources.connect(desk.tenant, source_id) as session:
        with pytest.raises(FileChanged):
            await StatementStager(desk.db).stage(desk.tenant, opened.statement.id, source, session)
    assert (await desk.get(opened.statement.id)).state == "open"


async def test_staging_that_was_stopped_goes_on_with_each_line_once(desk: Desk) -> None:
    count = 160_000
    desk.send(rows(count))
    [file] = (await desk.look()).files
    first = asyncio.create_task(desk.stage(file))

    async def some() -> bool:
        return any(statement.lines for statement in await desk.statements())

    await until(some, within_s=30, what="the first chunk to be committed")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    [half] = await desk.statements()
    assert (half.state, 0 < half.lines < count) == ("open", True)
    # What it had read may lie elsewhere by now: the content is what counts.
    (desk.folder / "a.csv").rename(desk.folder / "b.csv")
    [staged] = await desk.staged()
    assert (staged.statement_id, staged.state, staged.lines) == (half.id, "staged", count)
    assert await desk.numbers(half.id) == list(range(2, count + 2))
    assert (await desk.get(half.id)).name == "b.csv"


async def test_two_that_stage_the_same_file_at_once_leave_one_statement(desk: Desk) -> None:
    """A worker that was thought dead is still at it: the later one goes on, the earlier one is stopped."""
    desk.send(rows(120_000))
    [file] = (await desk.look()).files
    outcomes = await asyncio.gather(desk.stage(file), desk.stage(file), return_exceptions=True)
    assert all(isinstance(one, StagedStatement | Unavailable) for one in outcomes), outcomes
    done = await desk.stage(file)
    assert (done.state, done.lines) == ("staged", 120_000)
    assert len(await desk.numbers(done.statement_id)) == 120_000


async def test_a_file_that_cannot_be_moved_is_told_and_counts_no_second_time(desk: Desk) -> None:
    desk.send(rows(2))
    [staged] = await desk.staged()
    await desk.close()
    (desk.folder / "processed").mkdir()
    (desk.folder / "processed" / f"{staged.statement_id}-a.csv").write_text("another")
    away = await desk.put_away()
    assert away.moved == 0
    assert "another file has this name" in away.problems[0]
    assert [one.state for one in await desk.staged()] == ["known"]
    assert len(await desk.statements()) == 1
