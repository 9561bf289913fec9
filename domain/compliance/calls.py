"""How often a person may be contacted (12 CFR 1006.14(b)(2)–(3)), and stricter limits of sets and states.

Days are calendar days where the person is. Where several zones are possible each is counted by itself,
and the strictest counts. The windows reach both ways, so that an attempt which is entered late cannot
make too many of those around it.
"""

from datetime import date, datetime

from domain.compliance.clocks import DAY, start_of
from domain.compliance.facts import Attempt, Channel, ContactFacts, Direction, Purpose
from domain.compliance.ruleset import ContactLimit, RuleSet
from domain.compliance.verdicts import Refusal, state_rules, zones_at


def call_frequency(facts: ContactFacts, rules: RuleSet) -> Refusal | None:
    """Not more than seven calls within seven consecutive days about one debt: 12 CFR 1006.14(b)(2)(i)(A).

    Calls that the person consented to and calls that could not be connected do not count, and are permitted
    in excess of the limit (1006.14(b)(3)).
    """
    if facts.channel is not Channel.CALL or _is_excluded(facts, rules):
        return None
    calls = rules.calls
    counted = [attempt for attempt in _calls(facts) if attempt.debt]
    if until := _full_until(facts, rules, counted, calls.attempts, calls.days):
        return Refusal(
            _cite(calls.citation, "12 CFR 1006.14(b)(2)(i)", "(A)"),
            f"{calls.attempts} calls about this debt are allowed within {calls.days} consecutive days, "
            "and so many have been placed.",
            until,
        )
    return None


def call_after_conversation(facts: ContactFacts, rules: RuleSet) -> Refusal | None:
    """No call within seven consecutive days of a telephone conversation about the debt.

    12 CFR 1006.14(b)(2)(i)(B); the date of the conversation is the first of the days.
    Whoever placed the call: a conversation is one. Calls that are excluded from the limit above are from
    this one, too.
    """
    if facts.channel is not Channel.CALL or _is_excluded(facts, rules):
        return None
    calls, zones = rules.calls, zones_at(facts, rules)
    until = facts.at
    for attempt in facts.attempts:
        if (
            attempt.channel is Channel.CALL
            and attempt.conversation
            and attempt.debt
            and attempt.at <= facts.at
        ):
            for zone in zones:
                free = attempt.at.astimezone(zone).date() + calls.after_conversation_days * DAY
                until = max(until, start_of(free, (zone,)))
    if until > facts.at:
        return Refusal(
            _cite(calls.citation, "12 CFR 1006.14(b)(2)(i)", "(B)"),
            f"Nobody calls about this debt for {calls.after_conversation_days} consecutive days after a "
            "telephone conversation, the day of the conversation being the first.",
            until,
        )
    return None


def contact_limits(facts: ContactFacts, rules: RuleSet) -> Refusal | None:
    """The stricter limits of the set and of the person's state (12 CFR 1006.104: stricter state law stands).

    Contacts over the limit's media count together. As in federal law, consented and unconnected calls do
    not count.
    """
    if _is_excluded(facts, rules):
        return None
    refusals = [
        Refusal(limit.citation, _limit_in_words(limit), until)
        for limit in (*rules.limits, *state_rules(facts, rules).limits)
        if facts.channel in limit.channels
        and (until := _full_until(facts, rules, _under(limit, facts), limit.attempts, limit.days))
    ]
    return max(refusals, key=lambda refusal: refusal.until or facts.at, default=None)


def is_consented(facts: ContactFacts, rules: RuleSet) -> bool:
    """Whether the contact is one that the person consented to: 12 CFR 1006.14(b)(3)(i).

    The consent counts for seven consecutive days, its own date being the first, and a telephone
    conversation after it uses it up (comments to 14(b)(3)(i)). Without a consent that counts, ``consented``
    is a word: the contact is like any other.
    """
    given = facts.consent_at
    if facts.purpose is not Purpose.CONSENTED or given is None or given > facts.at:
        return False
    spoken = any(
        attempt.conversation
        and attempt.channel is Channel.CALL
        and attempt.debt
        and given < attempt.at <= facts.at
        for attempt in facts.attempts
    )
    days = rules.calls.consent_days
    return not spoken and all(
        facts.at.astimezone(zone).date() < given.astimezone(zone).date() + days * DAY
        for zone in zones_at(facts, rules)
    )


def counts_as_consented(facts: ContactFacts, rules: RuleSet) -> bool:
    """Whether such a contact, once made, is left out of the limits on those to come: placed with consent."""
    return facts.direction is Direction.OUTBOUND and is_consented(facts, rules)


def _is_excluded(facts: ContactFacts, rules: RuleSet) -> bool:
    """Whether the limits do not ask about this contact: consented to, or a call that was not connected."""
    unconnected = facts.channel is Channel.CALL and not facts.connected
    return unconnected or is_consented(facts, rules)


def _calls(facts: ContactFacts) -> list[Attempt]:
    return [a for a in facts.attempts if a.channel is Channel.CALL and _counts(a)]


def _counts(attempt: Attempt) -> bool:
    """Placed by the agency, not consented to, and connected where it was a call (1006.14(b)(3))."""
    if attempt.direction is Direction.INBOUND or attempt.consented:
        return False
    return attempt.connected or attempt.channel is not Channel.CALL


def _under(limit: ContactLimit, facts: ContactFacts) -> list[Attempt]:
    return [
        a
        for a in facts.attempts
        if a.channel in limit.channels and _counts(a) and (a.debt or limit.scope == "person")
    ]


def _full_until(
    facts: ContactFacts, rules: RuleSet, counted: list[Attempt], limit: int, days: int
) -> datetime | None:
    """When one more contact fits again, at the earliest (UTC); ``None`` if it fits at the contact's time."""
    until = facts.at
    for zone in zones_at(facts, rules):
        today = facts.at.astimezone(zone).date()
        free = _first_free(today, [a.at.astimezone(zone).date() for a in counted], limit, days)
        if free > today:
            until = max(until, start_of(free, (zone,)))
    return until if until > facts.at else None


def _first_free(today: date, dates: list[date], limit: int, days: int) -> date:
    """The first day from ``today`` on of which every window of ``days`` days has room for one more."""
    day = today
    while any(_inside(dates, start, days) >= limit for start in _windows(day, dates, days)):
        day += DAY
    return day


def _windows(day: date, dates: list[date], days: int) -> list[date]:
    """The first days of those windows around ``day`` that can be the fullest."""
    first = day - (days - 1) * DAY
    return [first, day, *{other for other in dates if first < other < day}]


def _inside(dates: list[date], start: date, days: int) -> int:
    return sum(start <= other < start + days * DAY for other in dates)


def _limit_in_words(limit: ContactLimit) -> str:
    media = ", ".join(limit.channels)
    about = "about this debt" if limit.scope == "debt" else "to this person, about whatever debt,"
    return (
        f"{limit.attempts} contacts ({media}) {about} are allowed within {limit.days} consecutive days, "
        "and so many have been made."
    )


def _cite(citation: str, general: str, part: str) -> str:
    return f"{citation}{part}" if citation == general else citation
