"""Runs over all accounts and the floors between them, and what they come to."""

from dataclasses import dataclass
from statistics import median
from typing import Generic, Protocol, TypeVar


class Run(Protocol):
    """One run: seconds from the start of its workflow to completed, and its worker's peak."""

    @property
    def wall_s(self) -> float: ...

    @property
    def peak_bytes(self) -> int: ...


R = TypeVar("R", bound=Run)


@dataclass(frozen=True, slots=True)
class Turns(Generic[R]):
    """Runs that do everything for the first time, floors, and runs that find everything as it was."""

    accounts: int
    first: tuple[R, ...]
    floors: tuple[float, ...]
    again: tuple[R, ...]

    @property
    def wall_s(self) -> float:
        """Median time of a first run."""
        return median(run.wall_s for run in self.first)

    @property
    def floor_s(self) -> float:
        """Median time of the floor."""
        return median(self.floors)

    @property
    def ratio(self) -> float:
        """Run over floor, by medians."""
        return self.wall_s / self.floor_s

    @property
    def again_s(self) -> float:
        """Median time of a run that finds everything as it was."""
        return median(run.wall_s for run in self.again)

    @property
    def peak_bytes(self) -> int:
        """The most memory that the worker held in any run over all accounts."""
        return max(run.peak_bytes for run in (*self.first, *self.again))
