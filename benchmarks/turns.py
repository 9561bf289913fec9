"""Requests of two kinds in turn, so that what else the machine does meets both alike."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from time import perf_counter

AT_ONCE = 16
SLICES = 5

Work = Callable[[int], Awaitable[None]]
"""Does one piece of work to its end, for the one of this number (below ``AT_ONCE``)."""


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """How long ours and the floor's took, in seconds each, and how many were done a second."""

    ours: tuple[float, ...]
    floor: tuple[float, ...]
    ours_per_s: float
    floor_per_s: float

    @property
    def ratio_of_medians(self) -> float:
        """Ours over the floor."""
        return percentile(self.ours, 50) / percentile(self.floor, 50)

    @property
    def ratio_of_rates(self) -> float:
        """Ours over the floor."""
        return self.ours_per_s / self.floor_per_s


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that ``percent`` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


async def in_turn(ours: Work, floor: Work, count: int, *, callers: int) -> RoundTrips:
    """About ``count`` of each, slice by slice, by one caller or by ``AT_ONCE`` at once, one each at least."""
    slices = min(SLICES, max(1, count // callers))
    each = max(1, count // (slices * callers))
    found: dict[Work, list[float]] = {ours: [], floor: []}
    took: dict[Work, float] = {ours: 0, floor: 0}
    for _ in range(slices):
        for work, times in found.items():
            began = perf_counter()
            parts = await asyncio.gather(*(_repeated(work, numbers) for numbers in _numbers(callers, each)))
            took[work] += perf_counter() - began
            times.extend(chain.from_iterable(parts))
    return RoundTrips(
        ours=tuple(found[ours]),
        floor=tuple(found[floor]),
        ours_per_s=len(found[ours]) / took[ours],
        floor_per_s=len(found[floor]) / took[floor],
    )


async def warm_up(work: Work, times: int, *, count: int) -> None:
    """Some of it by ``AT_ONCE`` callers; no more than is measured afterwards, ``count``."""
    for _ in range(min(times, -(-count // AT_ONCE))):
        await asyncio.gather(*(work(number) for number in range(AT_ONCE)))


def _numbers(callers: int, each: int) -> list[list[int]]:
    """Whom each caller works for: all of them by turns, or one of its own."""
    if callers == 1:
        return [[turn % AT_ONCE for turn in range(each)]]
    return [[caller] * each for caller in range(callers)]


async def _repeated(work: Work, numbers: Sequence[int]) -> list[float]:
    return [await _timed(work, number) for number in numbers]


async def _timed(work: Work, number: int) -> float:
    began = perf_counter()
    await work(number)
    return perf_counter() - began
