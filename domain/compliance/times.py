"""When and where a person may be contacted (12 CFR 1006.6(b)(1) and (b)(3))."""

from datetime import datetime
from zoneinfo import ZoneInfo

from domain.compliance.clocks import DAY, at_local
from domain.compliance.facts import ContactFacts, InconvenientTime, Place
from domain.compliance.ruleset import RuleSet
from domain.compliance.verdicts import AT_ONCE, Refusal, hold_in_force, state_rules, zones_at


def contact_hours(facts: ContactFacts, rules: RuleSet) -> Refusal | None:
    """Not before 8:00 a.m. nor after 9:00 p.m. local time: 12 CFR 1006.6(b)(1)(i).

    In every zone where the person may be. The rule says "before" and "after": 08:00:00 and 21:00:00 are
    allowed, 07:59:59 and 21:00:01 are not. An electronic message counts by when it is sent, a letter by
    nothing: it arrives by day.
    """
    if facts.channel not in AT_ONCE:
        return None
    own = state_rules(facts, rules).hours
    both = (rules.hours, own) if own else (rules.hours,)
    opening, closing = max(both, key=lambda h: h.opens), min(both, key=lambda h: h.closes)
    until, citation = facts.at, ""
    for zone in zones_at(facts, rules):
        local = facts.at.astimezone(zone)
        clock = local.time()
        if opening.opens <= clock <= closing.closes:
            continue
        early = clock < opening.opens
        opens = at_local(local.date() if early else local.date() + DAY, opening.opens, zone)
        if opens > until:
            until, citation = opens, (opening if early else closing).citation
    if until == facts.at:
        return None
    where = "in every zone where they may be" if facts.zones else "which is not known: so in all these zones"
    return Refusal(
        citation,
        f"People are contacted between {opening.opens:%H:%M} and {closing.closes:%H:%M} of their local time, "
        f"{where}: {', '.join(zone.key for zone in zones_at(facts, rules))}.",
        until,
    )


def inconvenient_time(facts: ContactFacts, rules: RuleSet) -> Refusal | None:
    """Not at a time that the person named as inconvenient: 12 CFR 1006.6(b)(1)(i)."""
    if facts.channel not in AT_ONCE:
        return None
    ends = [
        end
        for window in facts.inconvenient
        for zone in zones_at(facts, rules)
        if (end := _end_of(window, facts.at, zone))
    ]
    if not ends:
        return None
    return Refusal("12 CFR 1006.6(b)(1)(i)", "The person told us that this time is inconvenient.", max(ends))


def inconvenient_place(facts: ContactFacts, rules: RuleSet) -> Refusal | None:
    """Not at a place that the person named as inconvenient: 12 CFR 1006.6(b)(1)(ii).

    Nor at one that the set or the person's state closes.
    """
    if facts.place is Place.UNKNOWN:
        return None
    if facts.place in facts.inconvenient_places:
        return Refusal("12 CFR 1006.6(b)(1)(ii)", "The person told us that this place is inconvenient.")
    for closed in (*rules.closed_places, *state_rules(facts, rules).closed_places):
        if facts.place is closed.place:
            return Refusal(closed.citation, f"Nobody is contacted at {facts.place.value} under these rules.")
    return None


def workplace(facts: ContactFacts, rules: RuleSet) -> Refusal | None:
    """Not at the place of employment when the employer is known to prohibit it: 12 CFR 1006.6(b)(3)."""
    if facts.place is not Place.WORK or (found := hold_in_force(facts, rules, "workplace")) is None:
        return None
    return Refusal(
        "12 CFR 1006.6(b)(3)",
        "The employer does not allow such contacts; reach the person elsewhere.",
        found[1],
    )


def _end_of(window: InconvenientTime, at: datetime, zone: ZoneInfo) -> datetime | None:
    """When ``window`` ends in ``zone``, if ``at`` lies in it."""
    today = at.astimezone(zone).date()
    over_midnight = window.end <= window.start
    for day in (today - DAY, today):
        if window.days and day.weekday() not in window.days:
            continue
        start = at_local(day, window.start, zone)
        end = at_local(day + DAY if over_midnight else day, window.end, zone)
        if start <= at < end:
            return end
    return None
