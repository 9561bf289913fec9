"""The main job before your eyes: poll, import, score, admit, and a summary of what came of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from activities.imports import OVER
from api.composition import Services, build_services, open_database
from domain.tenancy import Tenant
from runtime import temporal
from sandbox.demo_files import drop_demo_files
from sandbox.first_day import FirstDay
from sandbox.seed import DEMO_AGENCIES, OPERATOR, seed
from sandbox.sftp_users import public_host_key
from sandbox.summary import print_summary
from services.access import Principal
from services.commands import CommandKey

if TYPE_CHECKING:
    from rich.console import Console
    from temporalio.client import Client

    from db.models import ImportJob
    from db.session import Database
    from runtime.settings import Settings
    from sandbox.stack import Stack

LOOK_EVERY_S = 0.25
SCORED_WITHIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Backstage:
    """What the show needs of the running stack."""

    database: "Database"
    client: "Client"
    services: Services


@asynccontextmanager
async def _backstage(settings: "Settings") -> AsyncIterator[Backstage]:
    client = await temporal.connect(settings)
    async with open_database(settings, "recoup-show") as database:
        services = build_services(settings, database, client)
        try:
            yield Backstage(database, client, services)
        finally:
            await services.close()


async def seed_running(settings: "Settings", console: "Console") -> None:
    """Seed a sandbox that is running already."""
    host_key = public_host_key(settings.home.absolute() / "keys" / "sftp_host_key")
    async with _backstage(settings) as stage:
        agencies = await seed(settings, stage.services, sftp_host_key=host_key)
    console.print(f"demo agencies: {', '.join(sorted(agencies))}")


class Show:
    """What happens after the start of ``recoup dev`` and ``recoup demo``."""

    def __init__(self, settings: "Settings", console: "Console", *, stays: bool) -> None:
        self._settings = settings
        self._console = console
        self._stays = stays

    async def run(self, stack: "Stack") -> None:
        """Seed, put the samples on SFTP, poll, follow every import to its admitted accounts, sum up."""
        async with _backstage(self._settings) as stage:
            agencies = await seed(self._settings, stage.services, sftp_host_key=stack.sftp_host_key)
            for agency in DEMO_AGENCIES:
                drop_demo_files(stack.sftp_root / agency.slug, agency.slug)
            self._console.print("looking into the inboxes over SFTP …")
            await asyncio.gather(*(self._poll(stage, agency_id) for agency_id in agencies.values()))
            await self._follow(stage, agencies)
            await self._first_day(stage, stack, agencies[DEMO_AGENCIES[0].slug])
            await print_summary(self._settings, stage.database, self._console, agencies, stays=self._stays)

    async def _first_day(self, stage: Backstage, stack: "Stack", agency_id: UUID) -> None:
        """Of the first agency; the others stay as the import left them."""
        self._console.print("giving accounts to collectors, comparing a partner's statement …")
        folder = stack.sftp_root / DEMO_AGENCIES[0].slug
        await FirstDay(stage.database, stage.services, agency_id, folder).have()

    async def _poll(self, stage: Backstage, agency_id: UUID) -> None:
        """One poll, to its end: every file that is whole has its import then."""
        principal = Principal.operator(OPERATOR, agency_id)
        answer = await stage.services.imports.poll(principal, CommandKey("show poll"))
        handle = stage.client.get_workflow_handle(answer.body["workflow_id"], run_id=answer.body["run_id"])
        await handle.result()

    async def _follow(self, stage: Backstage, agencies: dict[str, UUID]) -> None:
        with Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[phase]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        ) as progress:
            followers = [_Follower(stage, progress, slug, agencies[slug]) for slug in agencies]
            async with asyncio.timeout(SCORED_WITHIN.total_seconds()), asyncio.TaskGroup() as tasks:
                for follower in followers:
                    tasks.create_task(follower.to_the_end())


class _Follower:
    """Shows one agency's imports, their scoring and the admission, as the database tells."""

    def __init__(self, stage: Backstage, progress: Progress, slug: str, agency_id: UUID) -> None:
        self._stage = stage
        self._progress = progress
        self._slug = slug
        self._tenant = Tenant.system(agency_id, OPERATOR)
        self._tasks: dict[str, TaskID] = {}

    async def to_the_end(self) -> None:
        while not await self._look():
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> bool:
        """Bring the bars up to date; whether nothing is left to wait for."""
        async with self._stage.database.transaction(self._tenant) as tx:
            jobs = await tx.import_reports.page(None, 100)
            runs = [await tx.scoring_runs.of_import(job.id) for job in jobs if job.status == "completed"]
            worked = await tx.admission.worked()
            agency = await tx.agencies.get(self._tenant.agency_id)
            waiting = await tx.admission.candidates(1, after=None)
        for job in jobs:
            self._show_import(job)
        at_work = [job for job in jobs if job.status != "failed"]
        scored = all(run is not None and run.status in {"completed", "failed"} for run in runs)
        capacity = agency.lifecycle_capacity or 0
        self._bar("admitted", worked, capacity, "accounts being worked")
        admitted = not waiting or worked >= capacity
        return all(job.phase in OVER for job in at_work) and scored and admitted

    def _show_import(self, job: "ImportJob") -> None:
        steps = 2 * job.buckets
        if job.phase in {"waiting", "staging"}:
            self._bar(job.file_name, job.bytes_done, job.bytes_total, "bytes read")
        elif steps and job.buckets_done < steps:
            self._bar(job.file_name, job.buckets_done, steps, "buckets merged")
        else:
            self._bar(job.file_name, job.total_records, job.total_records, f"rows, {job.status}")

    def _bar(self, name: str, done: int, total: int, phase: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(f"{self._slug:>6}  {name}", phase="")
        self._progress.update(self._tasks[name], completed=done, total=total, phase=phase)
