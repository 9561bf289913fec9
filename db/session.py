"""Transactions: opened for one tenant, committed by their context manager, never by hand."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from db.account_changes import AccountChangeStore
from db.account_exports import AccountExportStore
from db.accounts import AccountStore
from db.adjustments import AdjustmentStore
from db.admission import AdmissionStore
from db.agencies import AgencyStore
from db.assignment import AssignmentStore
from db.assignment_runs import AssignmentRunStore
from db.audit import AuditStore
from db.breaks import BreakStore
from db.collectors import CollectorStore
from db.commands import CommandStore
from db.compliance_log import ComplianceLog
from db.contacts import ContactStore
from db.creditors import CreditorStore
from db.credits import CreditStore
from db.debtor_lists import DebtorListStore
from db.debtors import DebtorStore
from db.disputes import DisputeStore
from db.exports import ExportStore
from db.fairness import FairnessStore
from db.figures import FigureStore
from db.holds import HoldStore
from db.import_reports import ImportReportStore
from db.imports import ImportStore
from db.inbox import InboxStore
from db.ledger import LedgerStore
from db.lifecycles import LifecycleStore
from db.login_attempts import LoginAttemptStore
from db.notices import NoticeStore
from db.operating_figures import OperatingStore, months_ahead
from db.partitions import PartitionStore
from db.partner_matching import MatchStore
from db.partner_reports import PartnerReportStore
from db.partner_runs import PartnerRunStore
from db.partner_statements import StatementStore
from db.partner_syncs import PartnerSyncStore
from db.partners import PartnerStore
from db.payment_audit import PaymentAuditStore
from db.payment_reconciliations import ProcessorBreakStore, ReconciliationStore
from db.payments import PaymentStore
from db.placements import PlacementStore
from db.plans import PlanStore
from db.pool import check_before_use
from db.processor_items import ProcessorItemStore
from db.promises import OfferStore, PromiseStore
from db.readings import Readings
from db.refunds import ChargebackStore, RefundStore
from db.rescoring import rescore
from db.retention import RetentionStore
from db.rotation import RotationStore
from db.rule_sets import RuleSetStore
from db.score_history import ScoreHistoryStore
from db.score_preview import ScorePreviewStore
from db.scorecards import ScorecardStore
from db.scores import ScoreStore
from db.scoring_runs import ScoringRunStore
from db.sources import SourceStore
from db.staging import StagingStore
from db.stated_messages import StatedMessageStore
from db.store import BEGAN_AT, DRIVER, TransactionReads, driver_of
from db.stripe_credentials import StripeCredentialStore
from db.timeline import TimelineStore
from db.tokens import TokenStore
from db.urls import sqlalchemy_url
from db.users import UserStore
from db.webhook_secrets import WebhookSecrets
from db.worklist import WorklistStore
from domain.errors import DomainError, Unavailable

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from psycopg import AsyncCursor

    from db.cipher import ColumnCipher
    from domain.scoring import Scorer
    from domain.tenancy import Tenant


_PASSING_FAULTS = (
    OperationalError,
    InterfaceError,
    PoolTimeout,
    psycopg.OperationalError,
    psycopg.InterfaceError,
)
"""Faults of the connection or of concurrency: the transaction is gone, and may be tried again."""

_REFUSALS = (IntegrityError, DataError, psycopg.IntegrityError, psycopg.DataError)
"""The database refuses the values themselves; their texts quote whole rows, people included."""


_BEGIN = b"SELECT now() FROM set_config('recoup.agency', %s, true)"


class DatabaseRefused(DomainError):
    """A constraint that no rule above has foreseen; trying again is of no use. Names no values."""

    type = "database-refused"
    title = "Refused by the database"
    status = 500


class Transaction:
    """The stores of one tenant inside one transaction."""

    def __init__(self, session: AsyncSession, tenant: "Tenant", cipher: "ColumnCipher") -> None:
        self.session = session
        self.tenant = tenant
        self.cipher = cipher

    @property
    def began_at(self) -> "datetime":
        """When this transaction began, by the database's clock, as in all that it writes."""
        began_at: datetime = self.session.info[BEGAN_AT]
        return began_at

    account_changes = cached_property(lambda tx: AccountChangeStore(tx.session, tx.tenant))
    disputes = cached_property(lambda tx: DisputeStore(tx.session, tx.tenant))
    holds = cached_property(lambda tx: HoldStore(tx.session, tx.tenant))
    offers = cached_property(lambda tx: OfferStore(tx.session, tx.tenant))
    promises = cached_property(lambda tx: PromiseStore(tx.session, tx.tenant))
    account_exports = cached_property(lambda tx: AccountExportStore(tx.session, tx.tenant))
    accounts = cached_property(lambda tx: AccountStore(tx.session, tx.tenant))
    adjustments = cached_property(lambda tx: AdjustmentStore(tx.session, tx.tenant))
    admission = cached_property(lambda tx: AdmissionStore(tx.session, tx.tenant))
    agencies = cached_property(lambda tx: AgencyStore(tx.session))
    breaks = cached_property(lambda tx: BreakStore(tx.session, tx.tenant))
    assignment = cached_property(lambda tx: AssignmentStore(tx.session, tx.tenant))
    assignment_runs = cached_property(lambda tx: AssignmentRunStore(tx.session, tx.tenant))
    audit = cached_property(lambda tx: AuditStore(tx.session, tx.tenant))
    collectors = cached_property(lambda tx: CollectorStore(tx.session, tx.tenant))
    commands = cached_property(lambda tx: CommandStore(tx.session, tx.tenant))
    compliance_log = cached_property(lambda tx: ComplianceLog(tx.session, tx.tenant))
    contacts = cached_property(lambda tx: ContactStore(tx.session, tx.tenant))
    creditors = cached_property(lambda tx: CreditorStore(tx.session, tx.tenant))
    debtor_lists = cached_property(lambda tx: DebtorListStore(tx.session, tx.tenant))
    debtors = cached_property(lambda tx: DebtorStore(tx.session, tx.tenant, tx.cipher))
    exports = cached_property(lambda tx: ExportStore(tx.session, tx.tenant))
    fairness = cached_property(lambda tx: FairnessStore(tx.session, tx.tenant))
    figures = cached_property(lambda tx: FigureStore(tx.session, tx.tenant))
    import_reports = cached_property(lambda tx: ImportReportStore(tx.session, tx.tenant, tx.cipher))
    imports = cached_property(lambda tx: ImportStore(tx.session, tx.tenant, tx.cipher))
    inbox = cached_property(lambda tx: InboxStore(tx.session, tx.tenant))
    credits = cached_property(lambda tx: CreditStore(tx.session, tx.tenant))
    ledger = cached_property(lambda tx: LedgerStore(tx.session, tx.tenant))
    lifecycles = cached_property(lambda tx: LifecycleStore(tx.session, tx.tenant))
    login_attempts = cached_property(lambda tx: LoginAttemptStore(tx.session))
    notices = cached_property(lambda tx: NoticeStore(tx.session, tx.tenant))
    operating = cached_property(lambda tx: OperatingStore(tx.session, tx.tenant))
    processor_breaks = cached_property(lambda tx: ProcessorBreakStore(tx.session, tx.tenant))
    partner_matching = cached_property(lambda tx: MatchStore(tx.session, tx.tenant))
    partner_reports = cached_property(lambda tx: PartnerReportStore(tx.session, tx.tenant))
    partner_runs = cached_property(lambda tx: PartnerRunStore(tx.session, tx.tenant))
    statements = cached_property(lambda tx: StatementStore(tx.session, tx.tenant))
    stated_messages = cached_property(lambda tx: StatedMessageStore(tx.session, tx.tenant))
    partner_syncs = cached_property(lambda tx: PartnerSyncStore(tx.session, tx.tenant))
    partners = cached_property(lambda tx: PartnerStore(tx.session, tx.tenant, tx.cipher))
    payment_audit = cached_property(lambda tx: PaymentAuditStore(tx.session, tx.tenant))
    processor_items = cached_property(lambda tx: ProcessorItemStore(tx.session, tx.tenant))
    payment_reconciliations = cached_property(lambda tx: ReconciliationStore(tx.session, tx.tenant))
    chargebacks = cached_property(lambda tx: ChargebackStore(tx.session, tx.tenant))
    payments = cached_property(lambda tx: PaymentStore(tx.session, tx.tenant))
    refunds = cached_property(lambda tx: RefundStore(tx.session, tx.tenant))
    placements = cached_property(lambda tx: PlacementStore(tx.session, tx.tenant, tx.cipher))
    plans = cached_property(lambda tx: PlanStore(tx.session, tx.tenant))
    retention = cached_property(lambda tx: RetentionStore(tx.session, tx.tenant))
    rotation = cached_property(lambda tx: RotationStore(tx.session, tx.tenant, tx.cipher))
    rule_sets = cached_property(lambda tx: RuleSetStore(tx.session))
    score_preview = cached_property(lambda tx: ScorePreviewStore(tx.session, tx.tenant))
    scorecards = cached_property(lambda tx: ScorecardStore(tx.session))
    scores = cached_property(lambda tx: ScoreStore(tx.session, tx.tenant))
    score_history = cached_property(lambda tx: ScoreHistoryStore(tx.session, tx.tenant))
    scoring_runs = cached_property(lambda tx: ScoringRunStore(tx.session, tx.tenant))
    sources = cached_property(lambda tx: SourceStore(tx.session, tx.tenant, tx.cipher))
    staging = cached_property(lambda tx: StagingStore(tx.session, tx.tenant, tx.cipher))
    stripe_credentials = cached_property(lambda tx: StripeCredentialStore(tx.session, tx.tenant, tx.cipher))
    timeline = cached_property(lambda tx: TimelineStore(tx.session, tx.tenant))
    tokens = cached_property(lambda tx: TokenStore(tx.session))
    users = cached_property(lambda tx: UserStore(tx.session))
    worklist = cached_property(lambda tx: WorklistStore(TransactionReads(tx.session, tx.tenant)))

    async def rescore(self, scorers: "Mapping[str, Scorer]", account_ids: "Sequence[UUID]") -> None:
        """``db.rescoring.rescore`` in this transaction, for those who must not import ``db``."""
        await rescore(self, scorers, account_ids)


class PlatformTransaction:
    """The stores over tables that belong to no tenant: agencies, logins, tokens, scorecards."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def months_ahead(self) -> int:
        """For how many months after this one there are partitions of every table that has them."""
        return await months_ahead(self.session)

    async def revision(self) -> str | None:
        """The migration that the database is at."""
        revision: str | None = await self.session.scalar(text("SELECT version_num FROM alembic_version"))
        return revision

    agencies = cached_property(lambda tx: AgencyStore(tx.session))
    login_attempts = cached_property(lambda tx: LoginAttemptStore(tx.session))
    partitions = cached_property(lambda tx: PartitionStore(tx.session))
    rule_sets = cached_property(lambda tx: RuleSetStore(tx.session))
    scorecards = cached_property(lambda tx: ScorecardStore(tx.session))
    tokens = cached_property(lambda tx: TokenStore(tx.session))
    users = cached_property(lambda tx: UserStore(tx.session))


class Database:
    """The application's connections: a pool for transactions, and one as large for single reads.

    Their role cannot bypass row-level security.
    """

    def __init__(
        self,
        url: str,
        cipher: "ColumnCipher",
        *,
        pool_size: int = 10,
        application_name: str = "recoup",
        cursor_factory: "type[AsyncCursor[Any]] | None" = None,
    ) -> None:
        self._cipher = cipher
        options: dict[str, Any] = {
            "pool_size": pool_size,
            "max_overflow": 0,
            # The one used last knows what is asked most: its statements are prepared and planned.
            "pool_use_lifo": True,
            "hide_parameters": True,
            "connect_args": {
                "application_name": application_name,
                "connect_timeout": 10,
                "cursor_factory": cursor_factory,
            },
        }
        self._engine = create_async_engine(sqlalchemy_url(url), **options)
        # Readings have connections of their own, which need no preparation and leave nothing to undo:
        # both took a tenth of the time of a request for the worklist.
        self._reading_engine = create_async_engine(
            sqlalchemy_url(url), isolation_level="AUTOCOMMIT", pool_reset_on_return=None, **options
        )
        for engine in (self._engine, self._reading_engine):
            check_before_use(engine.sync_engine)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False, autoflush=False)

    @asynccontextmanager
    async def transaction(self, tenant: "Tenant", *, snapshot: bool = False) -> AsyncIterator[Transaction]:
        """One transaction that sees only the rows of ``tenant``'s agency.

        ``snapshot``: all its statements see the database as it was at its beginning; it is ``Unavailable``
        when a row that it changes was changed since (REPEATABLE READ).

        Commits when the block ends, rolls back when it raises. ``Unavailable`` when the database
        does not answer, or gave up on a lock or a deadlock: nothing was written, try again.
        ``DatabaseRefused`` when a constraint refuses what no store has foreseen.
        """
        async with self._begin() as session:
            if snapshot:
                await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            driver = await driver_of(session)
            async with driver.pipeline():
                begun = await driver.execute(_BEGIN, [str(tenant.agency_id)])
            [[session.info[BEGAN_AT]]] = await begun.fetchall()
            session.info[DRIVER] = driver
            yield Transaction(session, tenant, self._cipher)

    @asynccontextmanager
    async def platform(self) -> AsyncIterator[PlatformTransaction]:
        """One transaction over the tables that are exempt from row-level security."""
        async with self._begin() as session:
            yield PlatformTransaction(session)

    def readings(self, tenant: "Tenant") -> Readings:
        """Single reads of ``tenant``'s agency, each in one round trip; they raise as ``transaction``."""
        return Readings(self._reading_engine, tenant, _told_apart)

    @property
    def webhook_secrets(self) -> WebhookSecrets:
        """What all agencies' webhooks are signed with."""
        return WebhookSecrets(self._reading_engine, self._cipher, _told_apart)

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[AsyncSession]:
        with _told_apart():
            async with self._sessions.begin() as session:
                try:
                    yield session
                except asyncio.CancelledError:
                    # In what state the connection is nobody can say: a pipeline may not have ended, and
                    # whoever had it next would wait for answers in vain.
                    await session.invalidate()
                    raise

    async def close(self) -> None:
        """Close both pools."""
        await self._engine.dispose()
        await self._reading_engine.dispose()


@contextmanager
def _told_apart() -> Iterator[None]:
    """Faults of the driver as what they mean to callers."""
    try:
        yield
    except _PASSING_FAULTS as error:
        raise _away(error) from None
    except _REFUSALS as error:
        raise _refusal(error) from None


def _away(error: Exception) -> Unavailable:
    """Without its cause: PostgreSQL's words for an interrupted COPY quote the row it was at."""
    cause = getattr(error, "orig", None) or error
    state = cause.sqlstate if isinstance(cause, psycopg.Error) else None
    return Unavailable(
        "the database does not answer at the moment; nothing was written",
        fault=type(cause).__name__,
        sqlstate=state,
    )


def _refusal(error: Exception) -> DatabaseRefused:
    cause = getattr(error, "orig", None) or error
    constraint = cause.diag.constraint_name if isinstance(cause, psycopg.Error) else None
    return DatabaseRefused(
        f"the database refused a value ({type(cause).__name__}, {constraint or 'no constraint'});"
        " nothing was written",
        constraint=constraint,
    )
