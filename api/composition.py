"""The services of the API, built from the settings once per process."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from activities.stripe_accounts import StripeAccounts
from db import migrate
from db.cipher import ColumnCipher, parse_keys
from db.rule_files import load_rule_sets
from db.scorecard_files import load_scorers
from db.session import Database
from gateways.storage import ObjectStorage
from gateways.stripe import StripeGateway
from runtime import temporal, tracing
from services import operating_figures
from services.account_commands import AccountCommandService
from services.account_overview import AccountOverviewService
from services.accounts import AccountService
from services.admission import AdmissionRequests
from services.analytics import AnalyticsService
from services.assignment import AssignmentService
from services.authentication import AuthenticationService
from services.break_starts import BreakCaseStarter
from services.breaks import BreakService
from services.compliance import ComplianceService, Judge
from services.contacts import ContactService
from services.credits import CreditService
from services.debtors import DebtorService
from services.export_files import DownloadTokens
from services.exports import ExportService
from services.fairness import FairnessService
from services.figure_requests import FigureRequests
from services.health import HealthService
from services.imports import ImportService
from services.inbox import InboxService
from services.inbox_dispatch import InboxDispatcher
from services.inbox_starts import InboxStarter, ProcessWaker
from services.lifecycle_commands import LifecycleCommander
from services.lifecycle_view import LifecycleReader
from services.login_limits import LoginGuard, LoginLimits
from services.names import NameService
from services.notes import NoteService
from services.notices import Signaller
from services.onboarding.agencies import AgencyService
from services.onboarding.collectors import CollectorService
from services.onboarding.creditors import CreditorService
from services.onboarding.partners import PartnerService
from services.onboarding.sources import SourceService
from services.onboarding.stripe_credentials import StripeCredentialsService
from services.onboarding.users import UserService
from services.partner_messages import PartnerMessageService
from services.partner_reconciliations import PartnerReconciliationService
from services.partner_reports import PartnerReportService
from services.partner_statements import PartnerStatementService
from services.partner_syncs import PartnerSyncService
from services.passwords import Passwords
from services.payment_reconciliations import PaymentReconciliationService
from services.payment_starts import PaymentStarter
from services.payments import PaymentService
from services.plan_starts import PlanStarter
from services.plans import PlanService
from services.reconciliation_figures import ReconciliationFigures, read_figures
from services.refunds import RefundService
from services.schedules import ScheduleService
from services.score_history import ScoreHistoryService
from services.scoring_runs import ScoringRunService
from services.sessions import SessionService
from services.tokens import AccessTokens
from services.web_ui import WebUi
from services.webhooks import WebhookService
from services.worklist import WorklistService

if TYPE_CHECKING:
    from temporalio.client import Client

    from runtime.settings import Settings

DEMO_AGENCY = "demo"
STRIPE_PATIENCE_S = 10
"""How long a request waits for Stripe; workers wait longer."""


@dataclass(frozen=True, slots=True)
class Services:
    """What routers call. ``fingerprint_key`` conceals secrets in idempotency records."""

    authentication: AuthenticationService
    sessions: SessionService
    agencies: AgencyService
    users: UserService
    collectors: CollectorService
    creditors: CreditorService
    names: NameService
    sources: SourceService
    partners: PartnerService
    partner_messages: PartnerMessageService
    partner_syncs: PartnerSyncService
    partner_statements: PartnerStatementService
    stripe_credentials: StripeCredentialsService
    schedules: ScheduleService
    accounts: AccountService
    account_overviews: AccountOverviewService
    account_commands: AccountCommandService
    notes: NoteService
    contacts: ContactService
    compliance: ComplianceService
    debtors: DebtorService
    payments: PaymentService
    plans: PlanService
    refunds: RefundService
    credits: CreditService
    worklist: WorklistService
    score_history: ScoreHistoryService
    imports: ImportService
    exports: ExportService
    scoring_runs: ScoringRunService
    assignments: AssignmentService
    fairness: FairnessService
    analytics: AnalyticsService
    health: HealthService
    stripe: StripeGateway
    stripe_accounts: StripeAccounts
    webhooks: WebhookService
    inbox: InboxService
    inbox_dispatcher: InboxDispatcher
    payment_reconciliations: PaymentReconciliationService
    partner_reconciliations: PartnerReconciliationService
    partner_reports: PartnerReportService
    reconciliation_figures: Callable[[], Awaitable[ReconciliationFigures]]
    operating: operating_figures.Reads
    breaks: BreakService
    fingerprint_key: bytes

    async def close(self) -> None:
        """Close the connections that the services have opened by themselves."""
        await self.inbox_dispatcher.close()
        await self.stripe.close()


def build_services(settings: "Settings", database: Database, client: "Client") -> Services:
    """The services over clients that are open already."""
    secret = settings.jwt_secret.get_secret_value()
    scorecards = load_scorers(settings.scorecards)
    judge = Judge(load_rule_sets(settings.rules))
    web_ui = WebUi(settings.temporal_ui_url, settings.temporal_namespace)
    schedules = ScheduleService(database, client, web_ui, poll_every=timedelta(minutes=settings.poll_minutes))
    scoring_runs = ScoringRunService(database, client, web_ui, scorecards)
    commander = LifecycleCommander(client, timedelta(seconds=settings.command_patience_seconds))
    signaller = Signaller(database, client)
    starter, payment_patience = PaymentStarter(client), timedelta(seconds=settings.payment_patience_seconds)
    passwords = Passwords()
    stripe = StripeGateway(base_url=settings.stripe_url, timeout_s=STRIPE_PATIENCE_S)
    stripe_accounts = StripeAccounts(database, stripe)
    start_event = InboxStarter(client).start
    dispatcher = InboxDispatcher(database, start_event, settle_s=settings.inbox_settle_seconds)
    webhooks = WebhookService(database, dispatcher.soon)
    partner_runs = PartnerReconciliationService(database, client, web_ui)
    health = HealthService(
        database,
        client,
        revisions=migrate.known(),
        demo_agency=None if settings.is_production else DEMO_AGENCY,
    )
    guard = login_guard(settings, database)
    authentication = authentication_of(settings, database, passwords, guard)
    return Services(
        authentication=authentication,
        sessions=sessions_of(settings, database, authentication),
        agencies=AgencyService(
            database, schedules.ensure, scoring_runs.score_all, tuple(scorecards), tuple(judge.rule_sets)
        ),
        users=UserService(database, passwords, guard),
        collectors=CollectorService(database),
        creditors=CreditorService(database),
        names=NameService(database),
        sources=SourceService(database),
        partner_messages=PartnerMessageService(database),
        partner_syncs=PartnerSyncService(database, client, web_ui),
        partner_statements=PartnerStatementService(database),
        partners=PartnerService(database, schedules.ensure, plain_http=not settings.is_production),
        stripe_credentials=StripeCredentialsService(
            database, stripe, settings.public_url, (stripe_accounts.forget, webhooks.forget)
        ),
        schedules=schedules,
        accounts=AccountService(
            database, LifecycleReader(client, web_ui), scorecards, AdmissionRequests(client).ask
        ),
        account_overviews=AccountOverviewService(database, judge),
        account_commands=AccountCommandService(database, commander, ProcessWaker(client).wake),
        notes=NoteService(database, signaller.tell),
        contacts=ContactService(database, judge, signaller.tell),
        compliance=ComplianceService(database, judge),
        debtors=DebtorService(database, scorecards),
        payments=PaymentService(database, starter, payment_patience),
        plans=PlanService(database, scorecards, PlanStarter(client), signaller.tell, payment_patience),
        refunds=RefundService(database, starter, payment_patience),
        credits=CreditService(database, scorecards, starter, signaller.tell, payment_patience),
        worklist=WorklistService(database),
        score_history=ScoreHistoryService(database),
        imports=ImportService(
            database,
            client,
            ObjectStorage(settings.storage_url),
            web_ui,
            upload_max_bytes=settings.upload_max_bytes,
        ),
        exports=ExportService(
            database,
            client,
            ObjectStorage(settings.storage_url),
            web_ui,
            DownloadTokens(secret),
            f"{settings.public_url.rstrip('/')}/api/v1",
        ),
        fairness=FairnessService(database, scorecards),
        analytics=AnalyticsService(database, FigureRequests(client).ask),
        scoring_runs=scoring_runs,
        assignments=AssignmentService(database, client, web_ui),
        health=health,
        stripe=stripe,
        stripe_accounts=stripe_accounts,
        webhooks=webhooks,
        inbox=InboxService(database, stripe_accounts, start_event),
        inbox_dispatcher=dispatcher,
        payment_reconciliations=PaymentReconciliationService(database, client, web_ui),
        partner_reconciliations=partner_runs,
        partner_reports=PartnerReportService(database, partner_runs),
        reconciliation_figures=partial(read_figures, database),
        operating=operating_figures.Reads(
            figures=partial(operating_figures.read_operating, database),
            ledger=partial(operating_figures.prove_ledger, database),
            schedules=partial(operating_figures.read_schedules, client),
            readiness=health.ready,
        ),
        breaks=BreakService(database, scorecards, BreakCaseStarter(client), signaller.tell, web_ui),
        fingerprint_key=hmac.new(secret.encode(), b"idempotency", hashlib.sha256).digest(),
    )


def authentication_of(
    settings: "Settings", database: Database, passwords: Passwords, guard: LoginGuard
) -> AuthenticationService:
    """Who may come in, by the settings' secret and lifetimes."""
    secret = settings.jwt_secret.get_secret_value()
    return AuthenticationService(
        database,
        passwords,
        guard,
        AccessTokens(secret, timedelta(minutes=settings.access_token_minutes)),
        timedelta(days=settings.refresh_token_days),
    )


def sessions_of(
    settings: "Settings", database: Database, authentication: AuthenticationService
) -> SessionService:
    """The console's sessions, by the same secret."""
    return SessionService(
        database,
        authentication,
        settings.jwt_secret.get_secret_value(),
        idle=timedelta(minutes=settings.session_idle_minutes),
        longest=timedelta(hours=settings.session_hours),
    )


def login_guard(settings: "Settings", database: Database) -> LoginGuard:
    """What counts failed logins."""
    limits = LoginLimits(
        tries=settings.login_tries,
        address_tries=settings.login_address_tries,
        window=timedelta(minutes=settings.login_window_minutes),
        locks=tuple(timedelta(minutes=each) for each in settings.login_lock_minutes),
    )
    return LoginGuard(database, settings.jwt_secret.get_secret_value(), limits)


@asynccontextmanager
async def open_database(settings: "Settings", application_name: str) -> AsyncIterator[Database]:
    """The application's connection pool, closed at the end."""
    cipher = ColumnCipher(parse_keys(settings.column_keys.get_secret_value()))
    database = Database(
        settings.database_url,
        cipher,
        pool_size=settings.database_pool_size,
        application_name=application_name,
        cursor_factory=tracing.cursor_factory(settings),
    )
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def open_services(settings: "Settings") -> AsyncIterator[Services]:
    """The services and everything under them, for as long as the application runs."""
    async with open_database(settings, "recoup-api") as database:
        client = await temporal.connect(settings)
        services = build_services(settings, database, client)
        try:
            yield services
        finally:
            await services.close()
