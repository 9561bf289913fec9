"""What lies in an inbox, and what servers and creditors do to it while it is being imported."""

import os
from pathlib import Path

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import WorkflowIDReusePolicy

from activities.messages import AgencyRef, PortfolioFile
from gateways.storage import object_key
from tests.integration.imports.shop import Shop, eventually, rows
from workflows import queues
from workflows.portfolio import PortfolioImport, PortfolioPoll

BLOCK = 4 << 20
BIG = "external_ref,debtor_name,original_amount,filler\n" + "".join(
    f"B-{n},Person {n},{n + 1}.00,{'x' * 30_000}\n" for n in range(160)
)
"""Longer than a block of the SFTP reader."""


async def profile(shop: Shop, **values: object) -> None:
    async with shop.db.transaction(shop.tenant) as tx:
        await tx.sources.change(shop.source_id, {"profile": values}, {})


async def last_problem(shop: Shop) -> str | None:
    [source] = await shop.mine("last_problem", "sftp_source")
    problem: str | None = source["last_problem"]
    return problem


async def attempted(shop: Shop, name: str, attempt: int) -> None:
    async def seen() -> bool:
        return (name, attempt) in shop.faults.attempts

    await eventually(seen)


async def test_a_file_that_grows_between_two_looks_is_left_for_the_next_poll(shop: Shop) -> None:
    gate = shop.faults.before("polling.take")
    path = shop.send(rows(2))
    handle = await shop.client.start_workflow(
        PortfolioPoll.run, AgencyRef(agency_id=shop.agency_id), id="poll/growing", task_queue=queues.LIFECYCLE
    )
    await gate.reached()
    path.write_text(rows(3))
    gate.open()

    assert (await handle.result()).started == 0
    assert (await shop.poll()).started == 1
    [job] = await shop.settled()
    assert job["accounts_created"] == 3


@pytest.mark.parametrize("when", ["before it is read", "while it is read"])
async def test_a_file_that_grows_is_refused_and_taken_again_later(shop: Shop, when: str) -> None:
    stage = shop.faults.before("imports.stage")
    path = shop.send(BIG)
    await shop.poll()
    await stage.reached()
    if when == "before it is read":
        append(path)
        stage.open()
    else:
        second_block = shop.door.hold_read("acme", BLOCK)
        stage.open()
        await second_block.reached()
        append(path)
        second_block.open()

    [failed] = await shop.settled()
    assert (failed["status"], failed["accounts_created"]) == ("failed", 0)
    assert "changed while it was read" in failed["reason"]
    assert shop.waiting() == ["new.csv"]
    assert await shop.mine("id", "account") == []

    await shop.poll()
    _, taken = await shop.settled(2)
    assert (taken["status"], taken["accounts_created"]) == ("completed", 161)
    assert shop.waiting() == []


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write("B-late,Late,5.00,\n")


@pytest.mark.parametrize("phase", ["polling.look", "imports.stage", "imports.put_away"])
async def test_an_import_goes_on_when_the_sftp_server_comes_back(shop: Shop, phase: str) -> None:
    gate = shop.faults.before(phase)
    shop.send(BIG)
    handle = await shop.client.start_workflow(
        PortfolioPoll.run,
        AgencyRef(agency_id=shop.agency_id),
        id=f"poll/{phase}",
        task_queue=queues.LIFECYCLE,
    )
    await gate.reached()
    await shop.door.stop()
    gate.open()
    await attempted(shop, phase, 2)
    await shop.door.start()

    assert (await handle.result()).started == 1
    [job] = await shop.settled()
    assert (job["status"], job["reason"], job["accounts_created"]) == ("completed", None, 160)
    assert shop.waiting() == []


async def test_the_sftp_server_goes_in_the_middle_of_a_file(shop: Shop) -> None:
    stage = shop.faults.before("imports.stage")
    shop.send(BIG)
    await shop.poll()
    await stage.reached()
    second_block = shop.door.hold_read("acme", BLOCK)
    stage.open()
    await second_block.reached()
    await shop.door.stop()
    second_block.open()
    await attempted(shop, "imports.stage", 2)
    await shop.door.start()

    [job] = await shop.settled()
    assert (job["status"], job["accounts_created"]) == ("completed", 160)


async def test_a_wrong_host_key_is_refused_at_once_and_shown(shop: Shop) -> None:
    await shop.door.replace_host_key()
    shop.send(rows(2))

    summary = await shop.poll()

    assert (summary.started, summary.known) == (0, 0)
    [problem] = summary.problems
    assert problem.startswith("inbox: ")
    assert "host key is not the one on record" in problem
    assert await last_problem(shop) == problem.removeprefix("inbox: ")
    assert [attempt for name, attempt in shop.faults.attempts if name == "polling.look"] == [1]
    assert await shop.jobs() == []

    async with shop.db.transaction(shop.tenant) as tx:
        await tx.sources.change(shop.source_id, {"host_key": shop.door.host_key}, {})
    assert (await shop.poll()).problems == []
    assert await last_problem(shop) is None
    await shop.settled()


async def test_a_host_key_that_changes_during_an_import_fails_it_once(shop: Shop) -> None:
    stage = shop.faults.before("imports.stage")
    shop.send(rows(2))
    await shop.poll()
    await stage.reached()
    await shop.door.replace_host_key()
    stage.open()

    [job] = await shop.settled()

    assert (job["status"], job["reason_type"]) == ("failed", "sftp-host-key-mismatch")
    assert {attempt for _, attempt in shop.faults.attempts} == {1}
    assert shop.waiting() == ["new.csv"]

    async with shop.db.transaction(shop.tenant) as tx:
        await tx.sources.change(shop.source_id, {"host_key": shop.door.host_key}, {})
    assert (await shop.poll()).started == 1, "nothing was wrong with the file itself"
    assert (await shop.settled(2))[-1]["status"] == "completed"


async def test_a_link_out_of_the_inbox_is_refused_and_reported(shop: Shop, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text(rows(1, prefix="SECRET"))
    (shop.inbox / "link.csv").symlink_to(secret)
    shop.send(rows(1))

    summary = await shop.poll()

    assert summary.started == 1
    [problem] = summary.problems
    assert "link.csv" in problem
    assert "symbolic link" in problem
    assert await last_problem(shop) == problem.removeprefix("inbox: ")
    await shop.settled()
    assert [a["external_ref"] for a in await shop.mine("external_ref", "account")] == ["A-0"]
    assert shop.waiting() == ["link.csv"]


async def test_two_files_of_the_same_name_are_two_imports(shop: Shop) -> None:
    first = await shop.import_file(rows(2))
    second = await shop.import_file(rows(2, prefix="B"))
    assert shop.put_away("processed") == sorted(f"{job['id']}-new.csv" for job in (first, second))
    assert len(await shop.mine("id", "account")) == 4


async def test_a_file_put_in_place_of_one_being_merged_is_not_lost(shop: Shop) -> None:
    """Even one of exactly the same size, which only its time tells apart."""
    gate = shop.faults.before("imports.merge_bucket")
    path = shop.send(rows(3, prefix="A"))
    await shop.poll()
    await gate.reached()
    later = path.stat().st_mtime + 5
    shop.send(rows(3, prefix="B"))
    os.utime(path, (later, later))
    gate.open()

    [first] = await shop.settled()
    assert first["status"] == "completed"
    assert "replaced by another file" in first["reason"]
    assert shop.waiting() == ["new.csv"]

    assert (await shop.poll()).started == 1
    await shop.settled(2)
    refs = {a["external_ref"] for a in await shop.mine("external_ref", "account")}
    assert refs == {f"{prefix}-{n}" for prefix in "AB" for n in range(3)}
    assert shop.waiting() == []


async def test_a_failed_move_is_tried_again_and_never_imports_twice(shop: Shop) -> None:
    processed = shop.inbox / "processed"
    processed.rmdir()
    processed.write_text("in the way")
    shop.send(rows(2))
    await shop.poll()
    await attempted(shop, "imports.put_away", 2)

    meanwhile = await shop.poll()
    assert (meanwhile.started, meanwhile.known) == (0, 1)
    processed.unlink()

    [job] = await shop.settled()
    assert (job["status"], job["reason"]) == ("completed", None)
    assert shop.put_away("processed") == [f"{job['id']}-new.csv"]
    assert len(await shop.mine("id", "posting")) == 2


async def test_known_files_are_put_away_and_hold_up_nobody(shop: Shop) -> None:
    """The same bytes with the same name and time, sent over and over, before a new file."""
    first = await shop.import_file(rows(2))
    for n in range(2):
        path = shop.send(rows(2), "a-known.csv")
        os.utime(path, (1_700_000_000, 1_700_000_000))
        shop.send(rows(1, prefix=f"N{n}"), "b-new.csv")
        summary = await shop.poll()
        assert (summary.started, summary.known, summary.problems) == (1, 1, [])
        await shop.settled(2 + n)
    assert shop.waiting() == []
    known = [name for name in shop.put_away("processed") if "-again-" in name]
    assert len(known) == 2
    assert all(name.startswith(str(first["id"])) for name in known)
    assert len(await shop.mine("id", "account")) == 4


async def test_a_failed_content_may_be_sent_again(shop: Shop) -> None:
    bad = "external_ref,debtor_name,original_amount\nA-1,Ana,0\n"
    first = await shop.import_file(bad)
    second = await shop.import_file(bad)
    assert [first["status"], second["status"]] == ["failed", "failed"]
    assert first["id"] != second["id"]
    assert len(shop.put_away("rejected")) == 2
    mended = await shop.import_file(bad.replace(",0\n", ",10.00\n"))
    assert (mended["status"], mended["accounts_created"]) == ("completed", 1)


async def test_done_files_say_when_a_file_is_whole_and_go_with_it(shop: Shop) -> None:
    await profile(shop, completeness="done_file")
    shop.send(rows(2))
    assert (await shop.poll()).started == 0

    shop.send("", "new.csv.done")
    assert (await shop.poll()).started == 1
    [job] = await shop.settled()
    assert shop.put_away("processed") == [f"{job['id']}-new.csv", f"{job['id']}-new.csv.done"]

    shop.send(rows(2))
    shop.send("", "new.csv.done")
    assert (await shop.poll()).known == 1
    assert shop.waiting() == [], "a .done left behind would vouch for the next file"


async def test_a_content_known_for_longer_than_temporal_remembers_is_not_imported_again(shop: Shop) -> None:
    """The tables decide once the server has forgotten the workflow; here: another id."""
    job = await shop.import_file(rows(2))
    await shop.scored()
    before = await shop.tables()
    path = shop.send(rows(2))
    await shop.client.execute_workflow(
        PortfolioImport.run,
        PortfolioFile(
            agency_id=shop.agency_id,
            channel="sftp",
            source_id=shop.source_id,
            location="/inbox/new.csv",
            file_name="new.csv",
            sha256=job["sha256"],
            size=job["bytes_total"],
            mtime=int(path.stat().st_mtime),
            requested_by="test",
        ),
        id="import/forgotten",
        task_queue=queues.LIFECYCLE,
    )
    await shop.scored()
    await shop.ended(queues.scoring_workflow_id(job["id"]))
    assert await shop.tables() == before


@pytest.mark.parametrize(("content", "status"), [(rows(2), "completed"), ("nonsense\n", "failed")])
async def test_an_upload_goes_the_same_way_and_is_deleted(shop: Shop, content: str, status: str) -> None:
    async def pieces():  # type: ignore[no-untyped-def]
        yield content.encode()

    key = object_key(shop.agency_id, "uploads", "one")
    stored = await shop.storage.put_stream(key, pieces(), max_bytes=10_000)
    handle = await shop.client.start_workflow(
        PortfolioImport.run,
        PortfolioFile(
            agency_id=shop.agency_id,
            channel="upload",
            source_id=None,
            location=key,
            file_name="one.csv",
            sha256=stored.sha256,
            size=stored.size,
            requested_by="demo.admin",
        ),
        id=queues.import_workflow_id(shop.agency_id, stored.sha256),
        task_queue=queues.LIFECYCLE,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
    )
    [job] = await shop.settled()
    assert (job["status"], job["channel"], job["requested_by"]) == (status, "upload", "demo.admin")
    assert not await shop.storage.exists(key)
    ended = (await handle.describe()).status
    assert (
        ended
        == {
            "completed": WorkflowExecutionStatus.COMPLETED,
            "failed": WorkflowExecutionStatus.FAILED,
        }[status]
    )

    if status == "completed":
        shop.send(content, "same.csv")
        assert (await shop.poll()).known == 1
        assert shop.waiting() == []
