"""What an allowed contact must carry, or what is due soon: duties that forbid nothing."""

import re

from domain.compliance import validation
from domain.compliance.facts import Channel, ContactFacts, Purpose
from domain.compliance.ruleset import RuleSet
from domain.compliance.verdicts import zones_at

_ELECTRONIC = frozenset({Channel.EMAIL, Channel.SMS})
_OPT_OUT = re.compile(
    r"\b(?:opt(?:ing)?[\s-]?out|unsubscribe|"
    r"(?:reply|text|send|answer)\b[^.\n]{0,40}?\b(?:stop|end|quit|cancel)\b|"
    r"stop\s+(?:receiving|getting|sending|these|all|further)\b)",
    re.IGNORECASE,
)


def notes_for(facts: ContactFacts, rules: RuleSet) -> tuple[str, ...]:
    """The notes of an allowed outbound contact, each with its citation."""
    found = (_opt_out(facts), _notice(facts, rules), _overshadowing(facts, rules), _old_debt(facts, rules))
    return tuple(note for note in found if note)


def names_opt_out(text: str) -> bool:
    """Whether a message says how to opt out of further ones, as 12 CFR 1006.6(e) demands of each.

    It looks for the words only (opt out, unsubscribe, reply STOP …); whether the way is simple and free is
    for a person to judge.
    """
    return _OPT_OUT.search(text) is not None


def _opt_out(facts: ContactFacts) -> str | None:
    if facts.channel not in _ELECTRONIC:
        return None
    return "Say clearly how to opt out of further messages to this address or number (12 CFR 1006.6(e))."


def _notice(facts: ContactFacts, rules: RuleSet) -> str | None:
    """12 CFR 1006.34(a)(1)(i): in the initial communication, or within five days of it."""
    if facts.validation_sent_on is not None or facts.purpose is Purpose.VALIDATION_NOTICE:
        return None
    if facts.first_communication_on is None:
        return (
            "No validation notice has been sent: include it, or send it within five days of the first "
            "communication (12 CFR 1006.34(a)(1)(i))."
        )
    due = validation.notice_due_on(facts.first_communication_on)
    late = min(facts.at.astimezone(zone).date() for zone in zones_at(facts, rules)) > due
    return f"The validation notice {'was' if late else 'is'} due on {due} (12 CFR 1006.34(a)(1)(i)(B))."


def _overshadowing(facts: ContactFacts, rules: RuleSet) -> str | None:
    if facts.validation_sent_on is None:
        return None
    end = validation.period_end(facts.validation_sent_on)
    if min(facts.at.astimezone(zone).date() for zone in zones_at(facts, rules)) > end:
        return None
    return (
        f"The validation period is open until {end}: overshadow no right to dispute (12 CFR 1006.38(b)(1))."
    )


def _old_debt(facts: ContactFacts, rules: RuleSet) -> str | None:
    if facts.limitation_on is None:
        return None
    if max(facts.at.astimezone(zone).date() for zone in zones_at(facts, rules)) < facts.limitation_on:
        return None
    return f"Time-barred since {facts.limitation_on}: neither sue nor threaten to (12 CFR 1006.26(b))."
