"""The composition root of the workers: clients are built here and handed to the activity classes."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import PollerBehaviorAutoscaling, Worker, WorkerDeploymentConfig

from activities.account_commands import AccountCommands
from activities.accounts import AccountActivities
from activities.admission import AdmissionActivities
from activities.assignment import AssignmentActivities
from activities.break_cases import BreakCaseActivities
from activities.exports import ExportActivities
from activities.figures import FigureActivities
from activities.imports import ImportActivities
from activities.inbox import InboxActivities
from activities.notices import NoticeActivities
from activities.partitions import PartitionActivities
from activities.partner_matching import PartnerMatchingActivities
from activities.partner_runs import PartnerRunActivities
from activities.partner_sync import PartnerSyncActivities
from activities.partner_ways import PartnerWays
from activities.payment_books import PaymentBooks
from activities.payment_reconciliation import ReconciliationActivities
from activities.payment_sweep import PaymentSweepActivities
from activities.payments import PaymentActivities
from activities.plans import PlanActivities, PlanMethods
from activities.polling import PollActivities
from activities.portfolio_sources import PortfolioSources
from activities.portfolio_staging import PortfolioStager
from activities.provider_follower import ProviderFollower
from activities.refunds import RefundActivities
from activities.scoring import ScoringActivities
from activities.statement_files import StatementActivities
from activities.stripe_accounts import StripeAccounts
from activities.stripe_lists import StripeLists
from activities.stripe_news import StripeNews
from activities.stripe_refunds import StripeRefunds
from activities.stripe_till import StripeTill
from activities.stripe_wallet import StripeWallet
from db.rule_files import load_rule_sets
from db.scorecard_files import load_scorers
from domain.errors import Invalid
from gateways.partner_https import PartnerHttps
from gateways.sftp import SftpGateway
from gateways.stripe import StripeGateway
from services.break_starts import BreakCaseStarter
from services.export_files import ExportFiles
from services.export_reader import ListReader
from services.inbox_starts import InboxStarter, ProcessWaker
from services.notices import Signaller
from services.payment_starts import THANKS_PATH, PaymentStarter
from services.workflow_presence import WorkflowPresence
from workers.deployment import DEPLOYMENT
from workers.interceptors import DomainErrorInterceptor
from workers.sandbox import workflow_runner
from workers.starters import lifecycle_starter
from workflows import queues
from workflows.accounts import AccountLifecycle
from workflows.admission import Admission
from workflows.assignment import AutoAssignment
from workflows.break_case import BreakCase
from workflows.exports import Export
from workflows.figures import FiguresRefresh
from workflows.inbox import InboxEvent
from workflows.notices import NoticeDelivery
from workflows.partitions import PartitionMaintenance
from workflows.partner_reconciliation import PartnerReconciliation
from workflows.partner_sync import PartnerSync
from workflows.payment_reconciliation import PaymentReconciliation, PaymentSweep
from workflows.payments import PaymentProcess
from workflows.plans import PaymentPlan
from workflows.portfolio import PortfolioImport, PortfolioPoll
from workflows.refunds import RefundProcess
from workflows.scoring import PortfolioScoring

if TYPE_CHECKING:
    from temporalio.client import Client

    from db.session import Database
    from gateways.storage import ObjectStorage
    from runtime.settings import Settings


GRACE = timedelta(seconds=10)
WORKFLOWS: Sequence[type] = (
    PortfolioPoll,
    PortfolioImport,
    PortfolioScoring,
    AutoAssignment,
    Admission,
    NoticeDelivery,
    AccountLifecycle,
    PaymentProcess,
    RefundProcess,
    PaymentPlan,
    InboxEvent,
    PaymentSweep,
    PartnerSync,
    PaymentReconciliation,
    BreakCase,
    PartnerReconciliation,
    FiguresRefresh,
    Export,
    PartitionMaintenance,
)


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much of one queue a worker does at once."""

    activities: int
    cached_workflows: int


LIMITS = {
    queues.LIFECYCLE: QueueLimits(activities=100, cached_workflows=2000),
    queues.MONEY: QueueLimits(activities=20, cached_workflows=200),
    queues.BULK: QueueLimits(activities=8, cached_workflows=10),
}


def activities_of(
    settings: "Settings",
    db: "Database",
    client: "Client",
    storage: "ObjectStorage",
    stripe: StripeAccounts,
) -> dict[str, list[Callable[..., Any]]]:
    """Every activity, by the queue that serves it."""
    sources = PortfolioSources(db, SftpGateway(), storage)
    imports = ImportActivities(db, sources, PortfolioStager(db, sources))
    polling = PollActivities(db, sources, settle_s=settings.poll_settle_seconds)
    scorecards = load_scorers(settings.scorecards)
    scoring = ScoringActivities(db, scorecards)
    signaller = Signaller(db, client)
    assignment = AssignmentActivities(db, scorecards, signaller.tell)
    rule_sets = load_rule_sets(settings.rules)
    accounts = AccountActivities(db, scorecards, rule_sets)
    commands = AccountCommands(db, scorecards, rule_sets)
    admission = AdmissionActivities(
        db, lifecycle_starter(client), capacity=settings.lifecycle_capacity, rate=settings.admission_rate
    )
    notices = NoticeActivities(db, scorecards, signaller.signal)
    books = PaymentBooks(db, scorecards, signaller.tell_soon)
    return_url = f"{settings.public_url.rstrip('/')}{THANKS_PATH}"
    payments = PaymentActivities(db, StripeTill(stripe, return_url=return_url))
    refunds = RefundActivities(db, StripeRefunds(stripe))
    plans = PlanActivities(db, scorecards, signaller.tell_soon)
    plan_methods = PlanMethods(db, StripeWallet(stripe))
    waker = ProcessWaker(client)
    follower = ProviderFollower(db, books, StripeNews(stripe), waker.wake)
    inbox = InboxActivities(db, follower)
    starter = PaymentStarter(client)
    case_starter, ways = BreakCaseStarter(client), PartnerWays(sources, PartnerHttps())
    cases = BreakCaseActivities(db, case_starter.start, case_starter.answer, ways)
    sweep = PaymentSweepActivities(
        db, starter.start, starter.start_refund, InboxStarter(client).start, cases.start_wanted, waker.wake
    )
    keep_for = timedelta(days=settings.export_keep_days)
    exports = ExportActivities(db, ListReader(db), ExportFiles(storage), keep_for=keep_for)
    reconciliation = ReconciliationActivities(db, follower, StripeLists(stripe))
    syncs = PartnerSyncActivities(db, ways)
    return {
        queues.LIFECYCLE: [
            *_methods(syncs),
            *_methods(accounts),
            *_methods(commands),
            *_methods(admission),
            *_methods(notices),
            *_methods(books),
            *_methods(plans),
            *_methods(inbox),
            *_methods(cases),
            *_methods(PartitionActivities(db, months=settings.partition_months)),
        ],
        queues.MONEY: [*_methods(payments), *_methods(refunds), *_methods(inbox), *_methods(plan_methods)],
        queues.BULK: [
            *_methods(imports),
            *_methods(polling),
            *_methods(scoring),
            *_methods(assignment),
            *_methods(sweep),
            *_methods(reconciliation),
            *_methods(cases),
            *_methods(syncs),
            *_methods(FigureActivities(db)),
            *_methods(PartnerRunActivities(db, WorkflowPresence(client).has_ended)),
            *_methods(exports),
            *_methods(PartnerMatchingActivities(db)),
            *_methods(StatementActivities(db, sources, settle_s=settings.poll_settle_seconds)),
        ],
    }


def _methods(capability: object) -> list[Callable[..., Any]]:
    methods = (getattr(capability, name) for name in dir(capability) if not name.startswith("_"))
    return [method for method in methods if hasattr(method, "__temporal_activity_definition")]


@asynccontextmanager
async def serving(
    settings: "Settings",
    db: "Database",
    client: "Client",
    storage: "ObjectStorage",
    wanted: Sequence[str] = queues.ALL,
) -> AsyncIterator[Sequence[Worker]]:
    """Serve task queues for as long as the block runs, then finish what is at hand. Yields the workers.

    Raises ``Invalid`` for a queue that does not exist.
    """
    unknown = sorted(set(wanted) - set(queues.ALL))
    if unknown:
        raise Invalid(f"unknown queues {', '.join(unknown)}; there are {', '.join(queues.ALL)}")
    async with AsyncExitStack() as stack:
        stripe = StripeGateway(base_url=settings.stripe_url)
        stack.push_async_callback(stripe.close)
        activities = activities_of(settings, db, client, storage, StripeAccounts(db, stripe))
        served = [queue for queue in wanted if activities[queue] or queue == queues.LIFECYCLE]
        if not served:
            raise Invalid(f"there is no work yet on the queues {', '.join(wanted)}")
        workers = [_worker(settings, client, queue, activities[queue]) for queue in served]
        for worker in workers:
            await stack.enter_async_context(worker)
        yield workers


def _worker(
    settings: "Settings", client: "Client", queue: str, activities: list[Callable[..., Any]]
) -> Worker:
    limits = LIMITS[queue]
    return Worker(
        client,
        task_queue=queue,
        activities=activities,
        workflows=WORKFLOWS if queue == queues.LIFECYCLE else [],
        workflow_runner=workflow_runner(),
        interceptors=[DomainErrorInterceptor()],
        max_concurrent_activities=limits.activities,
        max_task_queue_activities_per_second=settings.stripe_rate if queue == queues.MONEY else None,
        max_cached_workflows=limits.cached_workflows,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=GRACE,
        deployment_config=WorkerDeploymentConfig(
            version=WorkerDeploymentVersion(deployment_name=DEPLOYMENT, build_id=settings.build_id),
            use_worker_versioning=True,
            default_versioning_behavior=VersioningBehavior.PINNED,
        ),
    )


async def until_signalled() -> None:
    """Wait for SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    await stop.wait()
