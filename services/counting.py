"""Counts of long lists, counted only as far as people want to know: “10,000+”."""

from typing import NamedTuple

COUNTED_TO = 10_000


class BoundedCount(NamedTuple):
    """How many there are; where there are ``more``, ``value`` is as far as was counted: at least so many."""

    value: int
    more: bool


def bounded(count: int, may_be_more: bool = False) -> BoundedCount:
    """``count``, which was counted to one more than ``COUNTED_TO`` at most, or not to the end."""
    return BoundedCount(min(count, COUNTED_TO), may_be_more or count > COUNTED_TO)
