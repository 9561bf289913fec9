"""How long records are kept (12 CFR 1006.100)."""

from datetime import date

YEARS = 3


def keep_until(last_activity_on: date) -> date:
    """The last day on which a debt's records must still be there: three years after the last activity.

    12 CFR 1006.100(a). After a 29 February it is 1 March, so that no day is lost.
    """
    year = last_activity_on.year + YEARS
    try:
        return last_activity_on.replace(year=year)
    except ValueError:
        return date(year, 3, 1)
