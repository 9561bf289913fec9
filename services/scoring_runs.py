"""What a user may ask of scoring: start a run over all accounts, watch runs, see what they came to."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated
from uuid import UUID, uuid4, uuid5

from pydantic import Field
from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.scoring import BATCH_SIZE, ScoringRequest
from db.rescoring import scorer_of
from domain.money import MAX_AMOUNT, Money
from domain.tenancy import Tenant
from services.access import Principal, Right, require
from services.commands import CommandKey, carry_out
from services.fields import Form
from services.progress import Progress
from services.scoring_views import ScoringRunView, TopAccount, run_view, top_account
from services.web_ui import WebUi
from workflows import attributes, queues
from workflows.schedules import scoring_schedule_id
from workflows.scoring import PortfolioScoring

if TYPE_CHECKING:
    from db.commands import Answer
    from db.keyset import Position
    from db.models import Agency, ScoringError, ScoringRun
    from db.session import Database, Transaction
    from domain.scoring import Scorer

PATIENCE = timedelta(seconds=5)
"""How long Temporal may take to answer."""

MIN_BATCH, MAX_BATCH = 1_000, 100_000
_IDS = UUID("b0f1c9d4-52a1-5c77-9b0e-2f6f5f0c6f1e")

Threshold = Annotated[Money, Field(ge=0, le=MAX_AMOUNT)]


class NewScoringRun(Form):
    """A run to be asked for. ``batch_size``: accounts in one transaction; ``threshold``: what a priority
    score must exceed to be of high priority, in the agency's currency, for this run instead of the
    agency's own."""

    batch_size: Annotated[int, Field(ge=MIN_BATCH, le=MAX_BATCH)] = BATCH_SIZE
    threshold: Threshold | None = None


class ScoringRunService:
    """Scoring runs of the principal's agency. ``scorers`` are those that agencies can name."""

    def __init__(
        self, database: "Database", client: Client, web_ui: WebUi, scorers: "Mapping[str, Scorer]"
    ) -> None:
        self._database = database
        self._client = client
        self._web_ui = web_ui
        self._scorers = scorers
        self._names: dict[UUID, tuple[str, int]] = {}
        self.events = Progress(self._read)

    async def start(self, who: Principal, command: CommandKey, form: NewScoringRun) -> "Answer":
        """Start a run over all accounts (202).

        ``RunGoing`` (409, with the ``run_id``) while another run of the agency is going; ``Conflict``
        when the agency names a scorecard that is not known here. While Temporal is away ``RPCError``
        is raised and nothing is left behind.
        """
        require(who, Right.RUN_SCORING)
        agency_id = who.tenant.agency_id
        run_id = _run_id(agency_id, command)

        async def effect(tx: "Transaction") -> ScoringRunView:
            agency = await tx.agencies.get(agency_id)
            scorer = scorer_of(agency, self._scorers)
            run = await tx.scoring_runs.reserve(
                id=run_id,
                origin="manual",
                requested_by=who.username,
                scorecard_id=await tx.scorecards.keep(scorer),
                threshold=chosen_threshold(form.threshold, agency, scorer),
                batch_size=form.batch_size,
            )
            await tx.audit.record(
                "scoring.started", "scoring_run", run_id, new=form.model_dump(mode="json", exclude_none=True)
            )
            await self._start(agency_id, run_id, who.username, form)
            return (await self._views(tx, [run]))[0]

        return await carry_out(self._database, who.tenant, command, effect, status=202)

    async def score_all(self, agency_id: UUID, requested_by: str) -> None:
        """Have all accounts of an agency scored when it is their turn: what they are scored by has changed.

        Raises ``RPCError`` while Temporal is away.
        """
        await self._start(agency_id, uuid4(), requested_by, NewScoringRun())

    async def _start(self, agency_id: UUID, run_id: UUID, requested_by: str, form: NewScoringRun) -> None:
        """Start the workflow of a run before its row is committed.

        The workflow waits for the row; should the commit fail, it makes the row itself. So no row is
        left without a workflow, which would keep the agency's turn.
        """
        request = ScoringRequest(
            agency_id=agency_id,
            origin="manual",
            run_id=run_id,
            requested_by=requested_by,
            batch_size=form.batch_size,
            threshold=form.threshold,
        )
        try:
            await self._client.start_workflow(
                PortfolioScoring.run,
                request,
                id=queues.scoring_workflow_id(run_id),
                task_queue=queues.LIFECYCLE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                search_attributes=attributes.of_agency(agency_id),
                priority=Priority(fairness_key=str(agency_id)),
                static_summary="scoring of all accounts",
                rpc_timeout=PATIENCE,
            )
        except WorkflowAlreadyStartedError:
            return

    async def page(
        self, who: Principal, statuses: Sequence[str], position: "Position | None", limit: int
    ) -> list[ScoringRunView]:
        """At most ``limit`` runs next to ``position`` (created_at, id), nearest first."""
        require(who, Right.READ_SCORING)
        async with self._database.transaction(who.tenant) as tx:
            return await self._views(tx, await tx.scoring_runs.page(position, limit, statuses=statuses))

    async def get(self, who: Principal, run_id: UUID) -> ScoringRunView:
        """One run. ``NotFound`` when it is not there or not this agency's."""
        require(who, Right.READ_SCORING)
        return await self._read(who.tenant.agency_id, run_id)

    async def errors(
        self, who: Principal, run_id: UUID, position: "Position | None", limit: int
    ) -> "Sequence[ScoringError]":
        """Accounts that a run could not score, next to ``position`` (account id), nearest first."""
        require(who, Right.READ_SCORING)
        async with self._database.transaction(who.tenant) as tx:
            await tx.scoring_runs.get(run_id)
            return await tx.scoring_runs.errors(run_id, position, limit)

    async def best(self, who: Principal, count: int) -> list[TopAccount]:
        """The agency's best accounts to work as they are scored now, best first."""
        require(who, Right.READ_SCORING)
        async with self._database.transaction(who.tenant) as tx:
            return [top_account(asdict(best)) for best in await tx.score_preview.best(count)]

    def scorecards(self, who: Principal) -> "list[Scorer]":
        """What agencies can be scored by, by name."""
        require(who, Right.READ_SCORING)
        return [self._scorers[name] for name in sorted(self._scorers)]

    async def _read(self, agency_id: UUID, run_id: UUID) -> ScoringRunView:
        async with self._database.transaction(Tenant.system(agency_id, "scoring")) as tx:
            return (await self._views(tx, [await tx.scoring_runs.get(run_id)]))[0]

    async def _views(self, tx: "Transaction", runs: "Collection[ScoringRun]") -> list[ScoringRunView]:
        # A scorecard's row never changes, so its name is asked for once per process.
        if unknown := {run.scorecard_id for run in runs} - self._names.keys():
            self._names |= await tx.scorecards.names(unknown)
        return [run_view(run, self._names[run.scorecard_id], self._url(run)) for run in runs]

    def _url(self, run: "ScoringRun") -> str:
        """Where the run can be watched; Temporal chooses the workflow ids of scheduled runs."""
        if run.origin == "schedule":
            return self._web_ui.schedule(scoring_schedule_id(run.agency_id))
        return self._web_ui.workflow(queues.scoring_workflow_id(run.import_id or run.id))


def chosen_threshold(wanted: Decimal | None, agency: "Agency", scorer: "Scorer") -> Decimal:
    """What a run judges high priority by: as wanted, else the agency's threshold, else the scorer's."""
    return scorer.limit(agency.high_priority_threshold if wanted is None else wanted)


def _run_id(agency_id: UUID, command: CommandKey) -> UUID:
    """Decided by the key, so that a repetition after a lost answer finds the run that was started."""
    if command.key is None:
        return uuid4()
    return uuid5(_IDS, json.dumps([str(agency_id), command.key, command.body], sort_keys=True, default=str))
