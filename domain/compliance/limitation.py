"""When a debt is too old to sue for (12 CFR 1006.26(b))."""

from datetime import MAXYEAR, date

from domain.compliance.places import state_code
from domain.compliance.ruleset import RuleSet


def limitation_on(
    rules: RuleSet, state: str | None, debt_type: str | None, since: date | None
) -> date | None:
    """The first day on which a debt is time-barred, for 12 CFR 1006.26(a).

    ``None`` where the state or ``since`` is not known, and where that day would come after the year 9999,
    which is never. ``state`` is a code or name; ``debt_type`` is a
    ``DebtType`` or an account type of a portfolio, and one that the rules do not know takes the shortest
    period of the state. ``since`` is the day from which the statute runs (the last payment, or the
    default). The anniversary itself already counts as barred.
    """
    code = state_code(state)
    years = rules.limitation_years(code, debt_type) if code else None
    return _years_later(since, years) if since and years else None


def _years_later(day: date, years: int) -> date | None:
    """The anniversary, 28 February for a 29th that a year lacks; ``None`` beyond the year 9999."""
    year = day.year + years
    if year > MAXYEAR:
        return None
    try:
        return day.replace(year=year)
    except ValueError:
        return date(year, 2, 28)
