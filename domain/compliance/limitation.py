"""When a debt is too old to sue for (12 CFR 1006.26(b))."""

from datetime import date

from domain.compliance.places import state_code
from domain.compliance.ruleset import RuleSet


def limitation_on(
    rules: RuleSet, state: str | None, debt_type: str | None, since: date | None
) -> date | None:
    """The first day on which a debt is time-barred, for 12 CFR 1006.26(a).

    ``None`` where the state or ``since`` is not known. ``state`` is a code or name; ``debt_type`` is a
    ``DebtType`` or an account type of a portfolio, and one that the rules do not know takes the shortest
    period of the state. ``since`` is the day from which the statute runs (the last payment, or the
    default). The anniversary itself already counts as barred.
    """
    code = state_code(state)
    years = rules.limitation_years(code, debt_type) if code else None
    return _years_later(since, years) if since and years else None


def _years_later(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 2, 28)
