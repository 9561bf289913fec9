"""Whether one contact may happen: every rule in order, the first that refuses answers."""

from datetime import datetime
from types import MappingProxyType

from domain.compliance import calls, debts, people, times
from domain.compliance.decisions import Allowed, Decision, Denied
from domain.compliance.facts import ContactFacts, Direction
from domain.compliance.notes import notes_for
from domain.compliance.ruleset import RuleSet
from domain.compliance.verdicts import Refusal, Rule

ORDER: tuple[Rule, ...] = (
    people.account_closed,
    people.bankruptcy,
    people.deceased,
    people.attorney,
    people.cease,
    people.military_service,
    debts.open_dispute,
    debts.time_barred,
    people.opted_out,
    times.inconvenient_place,
    times.workplace,
    calls.call_after_conversation,
    calls.call_frequency,
    calls.contact_limits,
    times.inconvenient_time,
    times.contact_hours,
)
"""From what forbids most to what forbids least: whom and what at all, then how, where, how often, when."""

RULES = MappingProxyType({rule.__name__: rule for rule in ORDER})
"""The rules by the names that decisions give them."""

_STEPS = 500


def check_contact(facts: ContactFacts, rules: RuleSet) -> Decision:
    """Whether the contact may happen at ``facts.at`` under ``rules``; pure, the same for the same facts.

    An inbound contact is always allowed: the person called us. A denial's ``retry_at`` is the earliest
    moment, not before ``at`` nor ``now``, at which no rule refuses, if nothing else changes.
    """
    if facts.direction is Direction.INBOUND:
        return Allowed(rule_set=rules.label)
    for name, rule in RULES.items():
        if refusal := rule(facts, rules):
            return Denied(
                rule_set=rules.label,
                rule=name,
                citation=refusal.citation,
                retry_at=_earliest(facts, rules),
                explanation=refusal.explanation,
            )
    return Allowed(rule_set=rules.label, notes=notes_for(facts, rules))


def _earliest(facts: ContactFacts, rules: RuleSet) -> datetime | None:
    """The first moment that all rules allow: each refusal says how long it stands at least."""
    moved = facts.moved_to(max(facts.at, facts.now))
    for _ in range(_STEPS):
        refusals = _refusals(moved, rules)
        if not refusals:
            return moved.at
        if any(refusal.until is None for refusal in refusals):
            return None
        moved = moved.moved_to(max(refusal.until for refusal in refusals if refusal.until))
    return None


def _refusals(facts: ContactFacts, rules: RuleSet) -> list[Refusal]:
    return [refusal for rule in ORDER if (refusal := rule(facts, rules))]
