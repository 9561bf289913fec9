"""When a debt is too old to sue for (12 CFR 1006.26(b))."""

from collections.abc import Mapping
from datetime import date

from domain.compliance.places import state_code
from domain.compliance.ruleset import DebtType, Period, RuleSet


def limitation_on(
    rules: RuleSet, state: str | None, debt_type: str | None, since: date | None
) -> date | None:
    """The first day on which a debt is time-barred; ``None`` where the state or ``since`` is not known.

    ``state`` is a code or name; ``debt_type`` is a ``DebtType`` or an account type of a portfolio, and one
    that the rules do not know takes the shortest period of the state. ``since`` is the day from which the
    statute runs (the last payment, or the default). The anniversary itself already counts as barred.
    """
    code = state_code(state)
    periods = rules.limitation.get(code) if code else None
    if not periods or since is None:
        return None
    return _years_later(since, _years(rules, periods, (debt_type or "").strip().lower()))


def _years(rules: RuleSet, periods: Mapping[DebtType, Period], debt_type: str) -> int:
    if debt_type in set(DebtType):
        return periods[DebtType(debt_type)].years
    if account_type := rules.account_types.get(debt_type):
        years = min(periods[kind].years for kind in account_type.debt_types)
        return min(years, account_type.at_most_years or years)
    return min(period.years for period in periods.values())


def _years_later(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 2, 28)
