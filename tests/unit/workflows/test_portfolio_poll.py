"""A poll: what is wrong with one file or one source keeps nothing else from coming in."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from activities.messages import AgencyRef, PortfolioFile
from activities.polling import PollOutcome, SeenFile, SeenFiles, Sighting, SourceRef
from tests.unit.workflows.dummies import AtWork, FakeImport
from workflows import queues
from workflows.portfolio import PollSummary, PortfolioPoll

AGENCY = UUID(int=1)
GOOD, BAD = UUID(int=2), UUID(int=3)
SETTLE = timedelta(seconds=30)


def file(name: str, source_id: UUID = GOOD) -> PortfolioFile:
    return PortfolioFile(
        agency_id=AGENCY,
        channel="sftp",
        source_id=source_id,
        location=f"/inbox/{name}",
        file_name=name,
        sha256=name,
        size=1,
        mtime=1,
        requested_by="test",
    )


class Inboxes:
    """A source with three files, two of them known, and one that nobody can log in to."""

    def __init__(self, clock: WorkflowEnvironment) -> None:
        self._clock = clock
        self.outcomes: dict[UUID, str | None] = {}
        self.times: list[Any] = []

    @activity.defn(name="polling.sources")
    async def sources(self, agency: AgencyRef) -> list[SourceRef]:
        return [
            SourceRef(agency_id=AGENCY, source_id=source_id, name=name)
            for source_id, name in ((GOOD, "good"), (BAD, "bad"))
        ]

    @activity.defn(name="polling.unscored")
    async def unscored(self, agency: AgencyRef) -> list[UUID]:
        return []

    @activity.defn(name="polling.stalled")
    async def stalled(self, agency: AgencyRef) -> list[PortfolioFile]:
        return []

    @activity.defn(name="polling.look")
    async def look(self, ref: SourceRef) -> Sighting:
        if ref.source_id == BAD:
            raise ApplicationError("login refused", type="sftp-authentication-failed", non_retryable=True)
        self.times.append(await self._clock.get_current_time())
        seen = [SeenFile(path=f"/inbox/{name}", name=name, size=1, mtime=1) for name in "abc"]
        return Sighting(complete=[], growing=seen, refused=["x.csv: a link"], settle_s=SETTLE.total_seconds())

    @activity.defn(name="polling.take")
    async def take(self, seen: SeenFiles) -> list[PortfolioFile]:
        self.times.append(await self._clock.get_current_time())
        return [file(one.name) for one in seen.files]

    @activity.defn(name="imports.put_away_again")
    async def put_away_again(self, known: PortfolioFile) -> bool:
        if known.file_name == "a":
            raise ApplicationError("a: no permission", type="sftp-permission-denied", non_retryable=True)
        return True

    @activity.defn(name="polling.record")
    async def record(self, outcome: PollOutcome) -> None:
        self.outcomes[outcome.source_id] = outcome.problem


async def test_one_bad_file_or_source_holds_up_no_other(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    inboxes = Inboxes(time_skipping)
    async with serving(inboxes, workflows=[PortfolioPoll, FakeImport, AtWork]):
        for name in "ab":
            await time_skipping.client.start_workflow(
                AtWork.run, id=queues.import_workflow_id(AGENCY, name), task_queue=queues.LIFECYCLE
            )
        summary = await time_skipping.client.execute_workflow(
            PortfolioPoll.run, AgencyRef(agency_id=AGENCY), id="poll", task_queue=queues.LIFECYCLE
        )
        new = time_skipping.client.get_workflow_handle(queues.import_workflow_id(AGENCY, "c"))
        await new.result()
    assert summary == PollSummary(
        started=1, known=1, problems=["good: x.csv: a link", "good: a: no permission", "bad: login refused"]
    )
    assert inboxes.outcomes == {GOOD: "x.csv: a link; a: no permission", BAD: "login refused"}
    looked, took = inboxes.times
    assert took - looked >= SETTLE
