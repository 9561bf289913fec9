"""What one rule says of a contact, and what rules share: where it is what time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from domain.compliance.clocks import DAY, start_of, zone_infos
from domain.compliance.facts import Channel, ContactFacts, HoldFact
from domain.compliance.places import state_code
from domain.compliance.ruleset import RuleSet, StateRules

POLICY = "Agency policy"
"""The citation of what no law demands."""

AT_ONCE = frozenset({Channel.CALL, Channel.EMAIL, Channel.SMS})
"""Media that reach the person at the very time; a letter does not."""

_NOTHING = StateRules()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rule's no. ``until``: it stands at least till then (UTC, after the contact); ``None`` for good."""

    citation: str
    explanation: str
    until: datetime | None = None


Rule = Callable[[ContactFacts, RuleSet], Refusal | None]
"""A pure function that refuses an outbound contact, or has nothing against it."""


def zones_at(facts: ContactFacts, rules: RuleSet) -> tuple[ZoneInfo, ...]:
    """The zones where the person may be; without any fact, those that the rules say to assume."""
    return zone_infos(facts.zones or rules.zones_when_unknown)


def state_rules(facts: ContactFacts, rules: RuleSet) -> StateRules:
    """What the person's state adds in this set; nothing where it is not known."""
    return rules.states.get(state_code(facts.state) or "", _NOTHING)


def hold_in_force(facts: ContactFacts, rules: RuleSet, kind: str) -> tuple[HoldFact, datetime | None] | None:
    """A hold of ``kind`` that counts at the contact, and when it ends (UTC; ``None`` for no end).

    A hold with a last day counts until that day is over in every zone where the person may be.
    """
    for hold in facts.holds:
        if hold.kind == kind and hold.since <= facts.at:
            end = None if hold.until is None else start_of(hold.until + DAY, zones_at(facts, rules))
            if end is None or end > facts.at:
                return hold, end
    return None
