"""Standard scenarios of files: on their way in, and out."""

from datetime import timedelta
from typing import Any

from activities.exports import ExportRef, ExportSummary
from activities.imports import ImportSummary, OpenedImport, StagedFile, StagingLost
from activities.messages import AgencyRef, PortfolioFile
from activities.polling import SeenFile, Sighting, SourceRef
from tests.replay.stage import Handle, Run, refusal, scenario
from workflows import queues
from workflows.exports import Export
from workflows.portfolio import PortfolioImport, PortfolioPoll


def file(run: Run, sha256: str = "00" * 32) -> PortfolioFile:
    made: PortfolioFile = run.ref(
        PortfolioFile,
        channel="sftp",
        source_id=run.id("source"),
        location="/inbox/a.csv",
        file_name="a.csv",
        sha256=sha256,
        size=10,
        requested_by="poll",
    )
    return made


@scenario(PortfolioPoll)
async def portfolio_poll(run: Run) -> Handle:
    """a whole file, one that still grows, one left lying and an import that is not scored"""
    seen = {"size": 10, "mtime": 1}
    run.answers = {
        "polling.sources": [[run.ref(SourceRef, source_id=run.id("source"), name="bank")]],
        "polling.look": [
            Sighting(
                complete=[SeenFile(path="/inbox/a.csv", name="a.csv", **seen)],
                growing=[SeenFile(path="/inbox/b.csv", name="b.csv", **seen)],
                refused=[],
                settle_s=3,
            )
        ],
        "polling.take": [[file(run)], [file(run, "11" * 32)]],
        "polling.record": [None],
        "polling.stalled": [[file(run, "22" * 32)]],
        "polling.unscored": [[run.id("import")]],
    }
    handle = await run.start(run.ref(AgencyRef), queues.poll_workflow_id(run.agency_id))
    await handle.result()
    return handle


@scenario(PortfolioPoll)
async def portfolio_poll_of_a_source_that_is_away(run: Run) -> Handle:
    """its failure is recorded"""
    run.answers = {
        "polling.sources": [[run.ref(SourceRef, source_id=run.id("source"), name="bank")]],
        "polling.look": [refusal("sftp-unreachable")],
        "polling.record": [None],
        "polling.stalled": [[]],
        "polling.unscored": [[]],
    }
    handle = await run.start(run.ref(AgencyRef), queues.poll_workflow_id(run.agency_id))
    await handle.result()
    return handle


def summary(run: Run, **more: Any) -> ImportSummary:
    counts = {"records": 3, "ok": 3, "errors": 0, "warnings": 0}
    return ImportSummary(
        import_id=run.id("import"),
        status="completed",
        accounts_created=3,
        accounts_updated=0,
        **counts,
        **more,
    )


async def take_in(run: Run) -> Handle:
    return await run.start(file(run), queues.import_workflow_id(run.agency_id, "00" * 32))


@scenario(PortfolioImport)
async def portfolio_import(run: Run) -> Handle:
    """staged, merged in two buckets, once more as staging was lost, completed, scored, indexed, put away"""
    run.answers = {
        "imports.open": [OpenedImport(import_id=run.id("import"), status="pending")],
        "imports.stage": [StagedFile(records=3, ok=3, errors=0, buckets=2)],
        "imports.merge_creditors": [refusal(StagingLost.type), 1],
        "imports.open_buckets": [[0, 1]],
        "imports.merge_bucket": [None],
        "imports.complete": [summary(run)],
        "imports.index_bucket": [3],
        "imports.put_away": [None],
    }
    handle = await take_in(run)
    await handle.result()
    return handle


@scenario(PortfolioImport)
async def portfolio_import_refused(run: Run) -> Handle:
    """a file that cannot be read as a portfolio"""
    run.answers = {
        "imports.open": [OpenedImport(import_id=run.id("import"), status="pending")],
        "imports.stage": [refusal("portfolio-header")],
        "imports.refuse": [None],
        "imports.put_away": [None],
    }
    return await run.ended(await take_in(run))


async def write(run: Run) -> Handle:
    start = run.ref(ExportRef, export_id=run.id("export"))
    return await run.start(start, queues.export_workflow_id(run.id("export")))


@scenario(Export)
async def export_kept(run: Run) -> Handle:
    """written, kept for a week, removed"""
    expires_at = run.now + timedelta(days=7)
    run.answers = {
        "exports.write": [ExportSummary(export_id=run.id("export"), rows=1, size=10, expires_at=expires_at)],
        "exports.remove": [None],
    }
    handle = await write(run)
    await handle.result()
    return handle


@scenario(Export)
async def export_refused(run: Run) -> Handle:
    """a list that cannot be written"""
    run.answers = {
        "exports.write": [refusal("not-found")],
        "exports.fail": [None],
        "exports.remove": [None],
    }
    return await run.ended(await write(run))
