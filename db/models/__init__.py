"""Every table, so that importing this package fills the metadata."""

from db.models.accounts import Account, AccountSearch, Debtor, DebtorSearch, TimelineEvent
from db.models.agencies import Agency, AppUser, Collector, Creditor, RefreshToken, Scorecard, SftpSource
from db.models.assignment import AssignmentRun
from db.models.base import Base
from db.models.imports import ImportBucket, ImportJob, ImportProblem, ImportRefusal
from db.models.ledger import Journal, Posting
from db.models.lifecycles import (
    AccountMilestone,
    ComplianceChain,
    ComplianceDecision,
    ComplianceRuleSet,
    Contact,
    ContactPreference,
    Dispute,
    Hold,
    LifecycleNotice,
    Promise,
    SettlementOffer,
)
from db.models.operations import AuditRecord, Command
from db.models.scoring import (
    AccountScore,
    AccountScoreHistory,
    HighPriorityNotice,
    ScoringChunk,
    ScoringError,
    ScoringRun,
)

TENANT_TABLES = (
    "account",
    "account_milestone",
    "account_score",
    "account_score_history",
    "account_search",
    "assignment_run",
    "audit_record",
    "collector",
    "command",
    "compliance_chain",
    "compliance_decision",
    "contact",
    "contact_preference",
    "creditor",
    "debtor",
    "debtor_search",
    "dispute",
    "high_priority_notice",
    "hold",
    "import_bucket",
    "import_error",
    "import_job",
    "import_refusal",
    "journal",
    "lifecycle_notice",
    "posting",
    "promise",
    "scoring_chunk",
    "scoring_error",
    "scoring_run",
    "settlement_offer",
    "sftp_source",
    "timeline_event",
)
"""Tables with row-level security: one agency's rows are all that a transaction can see."""

EXEMPT_TABLES = ("agency", "app_user", "compliance_rule_set", "refresh_token", "scorecard")
"""Tables that are read before a tenant is known, or that belong to nobody. Staging is exempt too."""

__all__ = [
    "EXEMPT_TABLES",
    "TENANT_TABLES",
    "Account",
    "AccountMilestone",
    "AccountScore",
    "AccountScoreHistory",
    "AccountSearch",
    "Agency",
    "AppUser",
    "AssignmentRun",
    "AuditRecord",
    "Base",
    "Collector",
    "Command",
    "ComplianceChain",
    "ComplianceDecision",
    "ComplianceRuleSet",
    "Contact",
    "ContactPreference",
    "Creditor",
    "Debtor",
    "DebtorSearch",
    "Dispute",
    "HighPriorityNotice",
    "Hold",
    "ImportBucket",
    "ImportJob",
    "ImportProblem",
    "ImportRefusal",
    "Journal",
    "LifecycleNotice",
    "Posting",
    "Promise",
    "RefreshToken",
    "Scorecard",
    "ScoringChunk",
    "ScoringError",
    "ScoringRun",
    "SettlementOffer",
    "SftpSource",
    "TimelineEvent",
]
