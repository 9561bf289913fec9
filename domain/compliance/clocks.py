"""Moments and dates where a person may be: several zones at once, daylight saving included."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator

DAY = timedelta(days=1)


def _known(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write an IANA name such as America/Chicago") from None
    return name


ZoneName = Annotated[str, AfterValidator(_known)]
"""An IANA name that is known here."""


def zone_infos(names: Iterable[str]) -> tuple[ZoneInfo, ...]:
    """The zones of ``names``, each once."""
    return tuple(ZoneInfo(name) for name in dict.fromkeys(names))


def at_local(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """The first moment (UTC) at which clocks in ``zone`` show ``clock`` or later on ``day``.

    A time that daylight saving skips is the moment of the jump; of one that occurs twice, the first.
    """
    local = datetime.combine(day, clock, zone)
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    # Skipped: the two readings of the missing time lie around the jump, which is found by halving.
    before, after = local.replace(fold=1).astimezone(UTC), moment
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        before, after = (middle, after) if middle.astimezone(zone).utcoffset() == offset else (before, middle)
    return after.replace(microsecond=0)


def start_of(day: date, zones: Iterable[ZoneInfo]) -> datetime:
    """The first moment (UTC) at which it is ``day`` or later in every zone."""
    return max(at_local(day, time(), zone) for zone in zones)
