"""Imports over REST: reading them, following them, sending files, asking for a poll."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from domain.errors import NotFound, Unavailable
from domain.import_profiles import ControlRecord, ImportProfile
from domain.placements import RowProblem, Severity
from domain.tenancy import Tenant
from gateways.storage import ObjectStorage
from services.progress import Progress
from workflows import queues

HEADER = "external_ref,debtor_name,original_amount"
IMPORT_FIELDS = {
    "id", "file_name", "status", "total_records", "processed_ok", "processed_errors", "bytes_total",
    "bytes_done", "started_at", "completed_at", "reason", "rows_per_second", "eta_seconds", "warnings",
    "phase", "accounts_created", "accounts_updated", "unknown_columns",
}  # fmt: skip


def portfolio(*rows: str) -> bytes:
    """A portfolio file that no other test sends."""
    return "\n".join((HEADER, *rows, f"R-{uuid4().hex},Ada,10.00", "")).encode()


async def send(
    world: Any, content: bytes, *, who: str = "acme.admin", name: str = "march.csv", **more: Any
) -> httpx.Response:
    headers = {"Idempotency-Key": more.pop("key")} if "key" in more else {}
    async with world.client(who, **headers) as client:
        answer: httpx.Response = await client.post("/imports", files={"file": (name, content)}, **more)
    return answer


def storage(world: Any) -> ObjectStorage:
    return ObjectStorage(world.settings.storage_url)


async def opened(world: Any, agency: str = "acme", **values: Any) -> UUID:
    """An import's row, as an import at work would have it."""
    async with world.database.transaction(Tenant.system(world.agencies[agency], "test")) as tx:
        job, _ = await tx.imports.open(
            channel="sftp",
            source_id=None,
            location="/inbox/x.csv",
            file_name="x.csv",
            sha256=uuid4().hex,
            size=1000,
            profile=values.pop("profile", ImportProfile().model_dump(mode="json")),
            requested_by="test",
        )
        if values:
            await tx.imports.update(job.id, **values)
        import_id: UUID = job.id
        return import_id


async def change(world: Any, import_id: UUID, **values: Any) -> None:
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        await tx.imports.update(import_id, **values)


async def test_a_sent_file_is_stored_and_its_import_started(world: Any, temporal_client: Client) -> None:
    content = portfolio()

    answer = await send(world, content, name=r"C:\files\march.csv")

    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert job.keys() >= IMPORT_FIELDS
    assert (job["file_name"], job["channel"], job["status"]) == ("march.csv", "upload", "pending")
    assert job["bytes_total"] == len(content)
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        row = await tx.imports.get(UUID(job["id"]))
        assert row.requested_by == "acme.admin"
    assert b"".join([block async for block in storage(world).read(row.location)]) == content
    handle = temporal_client.get_workflow_handle(queues.import_workflow_id(row.agency_id, row.sha256))
    description = await handle.describe()
    assert description.status is WorkflowExecutionStatus.RUNNING
    assert description.workflow_type == "PortfolioImport"
    assert description.task_queue == queues.LIFECYCLE


def stored_files(world: Any) -> int:
    """How many files are kept in the object storage."""
    return sum(1 for path in world.settings.home.rglob("*") if path.is_file())


async def test_the_same_bytes_are_the_same_import(world: Any) -> None:
    content, before = portfolio(), stored_files(world)

    first, again = await send(world, content), await send(world, content, name="other-name.csv")
    elsewhere = await send(world, content, who="rival.admin")

    assert again.status_code == 202
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["file_name"] == "march.csv"
    assert elsewhere.json()["id"] != first.json()["id"]
    assert stored_files(world) == before + 2


async def test_bytes_that_failed_may_be_sent_again(world: Any, temporal_client: Client) -> None:
    content = portfolio()
    first = (await send(world, content)).json()
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        row = await tx.imports.get(UUID(first["id"]))
        await tx.imports.fail(row.id, "no header", "portfolio-refused")
    workflow_id = queues.import_workflow_id(row.agency_id, row.sha256)
    await temporal_client.get_workflow_handle(workflow_id).terminate()

    again = (await send(world, content)).json()

    assert again["id"] != first["id"]
    description = await temporal_client.get_workflow_handle(workflow_id).describe()
    assert description.status is WorkflowExecutionStatus.RUNNING


async def test_a_key_used_for_another_file_is_refused(world: Any) -> None:
    content, key = portfolio(), uuid4().hex

    first = await send(world, content, key=key)
    again = await send(world, content, key=key)
    other = await send(world, portfolio(), key=key)

    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 422)
    assert again.json() == first.json()
    assert other.json()["type"].endswith("idempotency-key-reused")


async def test_a_refused_upload_leaves_nothing_behind(world: Any) -> None:
    before = stored_files(world)
    content = portfolio()

    async def chunks() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="cut.csv"\r\n\r\n' + content

    async with world.client("acme.admin") as client:
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        cut = await client.post("/imports", content=chunks(), headers=kind)
        no_form = await client.post("/imports", content=content)
        no_boundary = await client.post(
            "/imports", content=content, headers={"Content-Type": "multipart/form-data"}
        )
    answers = {
        "cut": (cut.status_code, cut.json().get("field")),
        "no form": (no_form.status_code, None),
        "no boundary": (no_boundary.status_code, None),
    }
    for case, sent in {
        "name": await send(world, content, name="march.xlsx"),
        "hidden": await send(world, content, name=".csv"),
        "source": await send(world, content, data={"source_id": str(uuid4())}),
        "no uuid": await send(world, content, data={"source_id": "x"}),
        "field": await send(world, content, data={"profile": "x"}),
    }.items():
        answers[case] = (sent.status_code, sent.json().get("field"))

    assert answers == {
        "cut": (400, None),
        "no form": (400, None),
        "no boundary": (400, None),
        "name": (422, "file"),
        "hidden": (422, "file"),
        "source": (422, "source_id"),
        "no uuid": (422, "source_id"),
        "field": (422, "profile"),
    }
    assert stored_files(world) == before


class _LosesOneAnswer:
    """A database whose first commit is done, though its answer does not arrive."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._lost = False

    @asynccontextmanager
    async def transaction(self, tenant: Tenant) -> AsyncIterator[Any]:
        async with self._database.transaction(tenant) as tx:
            yield tx
        if not self._lost:
            self._lost = True
            raise Unavailable("the answer was lost")


async def test_a_file_is_kept_whose_import_was_made_though_nobody_heard_of_it(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.services.imports, "_database", _LosesOneAnswer(world.database))
    content, key, before = portfolio(), uuid4().hex, stored_files(world)
    assert (await send(world, content, key=key)).status_code == 503
    assert stored_files(world) == before + 1
    again = await send(world, content, key=key)
    assert again.status_code == 202
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        job = await tx.imports.get(UUID(again.json()["id"]))
    assert await storage(world).exists(job.location)
    assert stored_files(world) == before + 1


async def test_a_file_above_the_limit_is_refused(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.services.imports, "_upload_max_bytes", 100_000)

    answer = await send(world, b"x" * 100_001)

    assert answer.status_code == 422
    assert answer.json()["type"].endswith("file-too-large")


async def test_a_compressed_file_of_many_parts_arrives_whole(world: Any) -> None:
    content = gzip.compress(portfolio(*(f"{uuid4().hex},Ada {n},{n + 1}.00" for n in range(30_000))))
    assert len(content) > 500_000

    job = (await send(world, content, name="march.csv.gz")).json()

    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        row = await tx.imports.get(UUID(job["id"]))
    assert b"".join([block async for block in storage(world).read(row.location)]) == content


async def test_who_may_do_what(world: Any) -> None:
    import_id = await opened(world, header=["external_ref"])
    content = portfolio()
    statuses = {
        who: (
            (await world.call(who, "GET", "/imports")).status_code,
            (await world.call(who, "GET", f"/imports/{import_id}/errors")).status_code,
            (await world.call(who, "GET", f"/imports/{import_id}/errors?format=csv")).status_code,
            (await send(world, content, who=who)).status_code,
            (await world.call(who, "POST", "/imports/poll")).status_code,
        )
        for who in ("acme.admin", "acme.auditor", "acme.collector", "rival.admin")
    }

    assert statuses == {
        "acme.admin": (200, 200, 200, 202, 202),
        "acme.auditor": (200, 200, 403, 403, 403),
        "acme.collector": (403, 403, 403, 403, 403),
        "rival.admin": (200, 404, 404, 202, 202),
    }


async def test_another_agencys_import_is_not_there(world: Any) -> None:
    import_id = await opened(world)

    for path in ("", "/errors", "/errors?format=csv", "/events"):
        assert (await world.call("rival.admin", "GET", f"/imports/{import_id}{path}")).status_code == 404
    listed = (await world.call("rival.admin", "GET", "/imports?page_size=500")).json()["results"]
    assert str(import_id) not in {job["id"] for job in listed}


async def test_imports_are_listed_by_pages_and_status(world: Any) -> None:
    ids = [await opened(world, status="failed", reason="no header") for _ in range(3)]

    first = (await world.call("acme.admin", "GET", "/imports?status=failed&page_size=2")).json()
    second = (await world.call("acme.admin", "GET", first["next"].removeprefix("/api/v1"))).json()
    bad = await world.call("acme.admin", "GET", "/imports?status=lost")

    listed = [job["id"] for job in first["results"] + second["results"]]
    assert listed[:3] == [str(i) for i in reversed(ids)]
    assert {job["status"] for job in first["results"]} == {"failed"}
    assert bad.status_code == 422
    assert bad.json()["field"] == "status[0]"


async def test_progress_is_told_with_speed_and_time_left(world: Any) -> None:
    import_id = await opened(
        world,
        status="processing",
        phase="staging",
        started_at=datetime.now(UTC) - timedelta(seconds=30),
        total_records=6000,
        bytes_done=500,
        bytes_total=1000,
    )

    job = (await world.call("acme.admin", "GET", f"/imports/{import_id}")).json()

    assert 150 < job["rows_per_second"] <= 200
    assert job["eta_seconds"] > 30
    assert job["phase"] == "staging"


async def add_problems(world: Any, import_id: UUID) -> None:
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        await tx.imports.add_problems(
            import_id,
            [
                RowProblem(2, "original_amount", "-5", "original_amount is negative"),
                RowProblem(2, "due_date", "x", "due_date is not a date"),
                RowProblem(5, "debtor_phone", "abc", "left out", Severity.WARNING),
                RowProblem(9, "debtor_name", "", "debtor_name is empty"),
            ],
            [(2, 'R1,"Hill, Ada",-5'), (9, "R2,,=1+1")],
        )


async def test_problems_are_listed_from_the_first_line(world: Any) -> None:
    import_id = await opened(world)
    await add_problems(world, import_id)
    path = f"/imports/{import_id}/errors?page_size=3"

    first = (await world.call("acme.admin", "GET", path)).json()
    second = (await world.call("acme.admin", "GET", first["next"].removeprefix("/api/v1"))).json()
    back = (await world.call("acme.admin", "GET", second["previous"].removeprefix("/api/v1"))).json()
    errors = (await world.call("acme.admin", "GET", f"{path}&severity=error")).json()

    assert [problem["line"] for problem in first["results"] + second["results"]] == [2, 2, 5, 9]
    assert first["results"][0] == {
        "line": 2,
        "column": "original_amount",
        "value": "-5",
        "error": "original_amount is negative",
        "severity": "error",
    }
    assert back["results"] == first["results"]
    assert {problem["severity"] for problem in errors["results"]} == {"error"}


async def test_refused_rows_come_back_as_a_file_to_mend(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.imports.REFUSALS_AT_ONCE", 1)
    profile = ImportProfile(control=ControlRecord()).model_dump(mode="json")
    import_id = await opened(world, profile=profile, header=["ref", "name", "amount"])
    await add_problems(world, import_id)

    answer = await world.call("acme.admin", "GET", f"/imports/{import_id}/errors?format=csv")

    assert answer.headers["content-type"].startswith("text/csv")
    assert "x-to-mend.csv" in answer.headers["content-disposition"]
    assert answer.text == "ref,name,amount\r\nR1,\"Hill, Ada\",'-5\r\nR2,,'=1+1\r\nTRAILER,2,\r\n"


async def test_a_file_without_a_header_cannot_be_mended(world: Any) -> None:
    import_id = await opened(world)

    answer = await world.call("acme.admin", "GET", f"/imports/{import_id}/errors?format=csv")

    assert answer.status_code == 409


async def test_a_poll_is_asked_for_once(world: Any, temporal_client: Client) -> None:
    first = await world.call("acme.admin", "POST", "/imports/poll")
    again = await world.call("acme.admin", "POST", "/imports/poll")

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    workflow_id = first.json()["workflow_id"]
    assert workflow_id == queues.poll_workflow_id(world.agencies["acme"])
    description = await temporal_client.get_workflow_handle(workflow_id).describe()
    assert description.workflow_type == "PortfolioPoll"
    assert description.run_id == first.json()["run_id"]


def events_of(text: str) -> list[dict[str, str]]:
    """The fields of each server-sent event."""
    blocks = [block for block in text.replace("\r\n", "\n").split("\n\n") if "data:" in block]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


async def follow(world: Any, import_id: UUID, **headers: str) -> httpx.Response:
    answer: httpx.Response = await world.call("acme.admin", "GET", f"/imports/{import_id}/events", **headers)
    return answer


async def test_an_ended_import_tells_once_and_then_nothing(world: Any) -> None:
    import_id = await opened(world, status="completed", phase="merged", processed_ok=7)

    told = await follow(world, import_id)
    events = events_of(told.text)
    again = await follow(world, import_id, **{"Last-Event-ID": events[0]["id"]})
    forged = await follow(world, import_id, **{"Last-Event-ID": "x"})

    assert told.headers["content-type"].startswith("text/event-stream")
    assert [event["event"] for event in events] == ["completed"]
    assert '"processed_ok":7' in events[0]["data"]
    assert again.status_code == 204
    assert forged.status_code == 422


async def test_a_listener_hears_every_stage_and_the_end(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.services.imports.events, "_interval_s", 0.01)
    import_id = await opened(world, status="processing", phase="staging")
    listening = asyncio.create_task(follow(world, import_id))
    watches = world.services.imports.events._watches
    await until(lambda: any(watch.latest for watch in watches.values()))
    await change(world, import_id, phase="merging")
    await until(lambda: any(watch.latest.job.phase == "merging" for watch in watches.values()))
    await change(world, import_id, status="failed", reason="no header")

    events = events_of((await listening).text)

    assert [event["event"] for event in events] == ["progress", "progress", "failed"]
    ids = [int(event["id"]) for event in events]
    assert ids == sorted(set(ids))
    assert not watches


async def until(condition: Any, within_s: float = 60) -> None:
    """Wait for a condition, looking every hundredth of a second."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


async def test_all_listeners_of_an_import_share_one_poller(world: Any) -> None:
    import_id = await opened(world, status="processing")
    reads = 0

    async def read(agency_id: UUID, wanted: UUID) -> Any:
        nonlocal reads
        reads += 1
        async with world.database.transaction(Tenant.system(agency_id, "test")) as tx:
            return await tx.import_reports.get(wanted)

    events = Progress(read, interval_s=0.01)

    async def listen() -> list[int]:
        return [event.id async for event in events.follow(world.agencies["acme"], import_id)]

    listeners = [asyncio.create_task(listen()) for _ in range(20)]
    await until(lambda: reads > 3)
    assert len(events._watches) == 1
    assert len({id(watch.poller) for watch in events._watches.values()}) == 1
    await change(world, import_id, status="completed")
    heard = await asyncio.gather(*listeners)

    assert len(heard) == 20
    assert all(ids == heard[0] for ids in heard)
    assert len(heard[0]) == 2


async def test_a_listener_who_leaves_stops_the_poller(world: Any) -> None:
    import_id = await opened(world, status="processing")
    events = Progress(world.services.imports._read, interval_s=0.01)
    stream = events.follow(world.agencies["acme"], import_id)
    await anext(stream)
    poller = next(iter(events._watches.values())).poller

    await stream.aclose()

    await until(poller.done)
    assert poller.cancelled()
    assert not events._watches


async def test_a_poller_survives_an_absent_database_and_passes_other_failures_on(world: Any) -> None:
    import_id = await opened(world, status="completed")
    answers: list[Any] = [Unavailable("away"), Unavailable("away")]

    async def read(agency_id: UUID, wanted: UUID) -> Any:
        if answers:
            raise answers.pop()
        return await world.services.imports._read(agency_id, wanted)

    events = Progress(read, interval_s=0.01)
    heard = [event async for event in events.follow(world.agencies["acme"], import_id)]
    answers.append(NotFound("there is no such import"))
    with pytest.raises(NotFound):
        await anext(events.follow(world.agencies["acme"], import_id))

    assert [event.job.status for event in heard] == ["completed"]
