"""The law of debt collection as pure functions, and its numbers as data.

``check_contact`` answers whether one contact may happen; which rules there are, with their sources, is in
``docs/compliance.md``.
"""

from domain.compliance import disputes, limitation, retention, validation
from domain.compliance.check import ORDER, RULES, check_contact
from domain.compliance.decisions import Allowed, Decision, Denied
from domain.compliance.facts import (
    Attempt,
    Channel,
    ContactFacts,
    Direction,
    HoldFact,
    InconvenientTime,
    Place,
    Purpose,
    Recipient,
)
from domain.compliance.notes import names_opt_out
from domain.compliance.places import state_code, zones_of
from domain.compliance.ruleset import DebtType, RuleSet

__all__ = [
    "ORDER",
    "RULES",
    "Allowed",
    "Attempt",
    "Channel",
    "ContactFacts",
    "DebtType",
    "Decision",
    "Denied",
    "Direction",
    "HoldFact",
    "InconvenientTime",
    "Place",
    "Purpose",
    "Recipient",
    "RuleSet",
    "check_contact",
    "disputes",
    "limitation",
    "names_opt_out",
    "retention",
    "state_code",
    "validation",
    "zones_of",
]
