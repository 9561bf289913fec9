"""Task queues and workflow ids, so that every starter spells them alike.

Ids read like paths and carry no personal data.
"""

import hashlib
from uuid import UUID

LIFECYCLE = "lifecycle"
"""Workflows and short database steps."""

MONEY = "money"
"""Calls to payment providers, under their own rate limit."""

BULK = "bulk"
"""Files, scoring and reconciliation."""

ALL = (LIFECYCLE, MONEY, BULK)


PARTITION_WORKFLOW_ID = "partition-maintenance"
"""``PartitionMaintenance`` of the installation; a schedule appends a timestamp."""


def account_workflow_id(account_id: UUID) -> str:
    """``AccountLifecycle`` of one account."""
    return f"account/{account_id}"


def poll_workflow_id(agency_id: UUID) -> str:
    """``PortfolioPoll`` of one agency, asked for by hand; a schedule appends a timestamp."""
    return f"poll/{agency_id}"


def import_workflow_id(agency_id: UUID, sha256: str) -> str:
    """``PortfolioImport`` of one file content: the same bytes are the same import."""
    return f"import/{agency_id}/{sha256}"


def scoring_workflow_id(run_or_import_id: UUID) -> str:
    """``PortfolioScoring`` of one run over all accounts, or of those that one import touched."""
    return f"scoring/{run_or_import_id}"


def nightly_scoring_workflow_id(agency_id: UUID) -> str:
    """``PortfolioScoring`` as an agency's schedule starts it; Temporal appends the time."""
    return f"scoring/nightly/{agency_id}"


def assignment_workflow_id(agency_id: UUID) -> str:
    """``AutoAssignment`` of one agency; there is never a second one at work."""
    return f"assignment/{agency_id}"


def daily_assignment_workflow_id(agency_id: UUID) -> str:
    """``AutoAssignment`` as an agency's schedule starts it; Temporal appends the time."""
    return f"assignment/daily/{agency_id}"


def admission_workflow_id(agency_id: UUID) -> str:
    """``Admission`` of one agency; there is never a second one at work."""
    return f"admission/{agency_id}"


def notice_workflow_id(agency_id: UUID) -> str:
    """``NoticeDelivery`` of one agency; a schedule appends a timestamp."""
    return f"notices/{agency_id}"


def figures_workflow_id(agency_id: UUID) -> str:
    """``FiguresRefresh`` of one agency, asked for; a schedule appends a timestamp."""
    return f"figures/{agency_id}"


def payment_workflow_id(agency_id: UUID, origin: str, key: str) -> str:
    """``PaymentProcess`` of the payment that was asked for with a key; each ``origin`` has its own keys."""
    named = key if origin == "request" else f"{origin}\0{key}"
    return f"payment/{agency_id}/{hashlib.sha256(named.encode()).hexdigest()}"


def refund_workflow_id(refund_id: UUID) -> str:
    """``RefundProcess`` of one refund."""
    return f"refund/{refund_id}"


def inbox_workflow_id(event_id: UUID) -> str:
    """``InboxEvent`` of one stored event; tried again under the same id."""
    return f"inbox/{event_id}"


def plan_workflow_id(plan_id: UUID) -> str:
    """``PaymentPlan`` of one plan."""
    return f"plan/{plan_id}"


def payment_sweep_workflow_id(agency_id: UUID) -> str:
    """``PaymentSweep`` of one agency; a schedule appends a timestamp."""
    return f"payment-sweep/{agency_id}"


def reconciliation_workflow_id(run_id: UUID) -> str:
    """``PaymentReconciliation`` of one run that was asked for."""
    return f"payment-reconciliation/{run_id}"


def hourly_reconciliation_workflow_id(agency_id: UUID) -> str:
    """``PaymentReconciliation`` as an agency's schedule starts it; Temporal appends the time."""
    return f"payment-reconciliation/hourly/{agency_id}"


def partner_reconciliation_workflow_id(run_id: UUID) -> str:
    """``PartnerReconciliation`` of one run that was asked for."""
    return f"reconciliation/{run_id}"


def daily_partner_reconciliation_workflow_id(partner_id: UUID) -> str:
    """``PartnerReconciliation`` as a partner's schedule starts it; Temporal appends the time."""
    return f"reconciliation/daily/{partner_id}"


def break_workflow_id(break_id: UUID) -> str:
    """``BreakCase`` of one break of a reconciliation."""
    return f"break/{break_id}"


def partner_sync_workflow_id(sync_id: UUID) -> str:
    """``PartnerSync`` of one sending to a partner."""
    return f"partner-sync/{sync_id}"


def export_workflow_id(export_id: UUID) -> str:
    """``Export`` of one list that is written into a file."""
    return f"export/{export_id}"
