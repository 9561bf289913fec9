"""Counts of long lists, counted only as far as people want to know: “10,000+”."""

from typing import NamedTuple

COUNTED_TO = 10_000


class BoundedCount(NamedTuple):
    """How many there are; where there are ``more``, ``value`` is as far as was counted."""

    value: int
    more: bool


def bounded(count: int) -> BoundedCount:
    """``count``, which was counted to one more than ``COUNTED_TO`` at most."""
    return BoundedCount(min(count, COUNTED_TO), count > COUNTED_TO)
