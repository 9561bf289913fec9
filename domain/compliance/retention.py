"""How long records are kept (12 CFR 1006.100)."""

from datetime import date, timedelta

from domain.errors import Invalid

YEARS = 3


def keep_until(last_activity_on: date, years: int = YEARS) -> date:
    """The last day on which a debt's records must still be there: three years after the last activity.

    12 CFR 1006.100(a). After a 29 February it is 1 March, so that no day is lost. An agency may keep them
    for more ``years``.
    """
    year = last_activity_on.year + years
    try:
        return last_activity_on.replace(year=year)
    except ValueError:
        return date(year, 3, 1)


def over_since(today: date, years: int = YEARS) -> date:
    """The newest day of a last activity whose records need not be there ``today``: ``keep_until``, backwards.

    ``Invalid`` for fewer years than the law wants.
    """
    if years < YEARS:
        raise Invalid(f"records are kept for at least {YEARS} years (12 CFR 1006.100), not {years}")
    yesterday = today - timedelta(days=1)
    try:
        return yesterday.replace(year=yesterday.year - years)
    except ValueError:
        return date(yesterday.year - years, 2, 28)
