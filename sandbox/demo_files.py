"""The portfolio files that the demo agencies find in their inbox at the first start."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sandbox.portfolio_tables import (
    AUTO,
    CARDS,
    LOANS,
    MEDICAL,
    RENT,
    TELECOM,
    UTILITY,
    Distribution,
    SampleCreditor,
)
from sandbox.portfolios import ByteSink, Written, write_portfolio


@dataclass(frozen=True, slots=True)
class DemoFile:
    """One sample; a name ending in ``.gz`` is compressed. ``bad_rows`` of the ``rows`` are refused."""

    name: str
    rows: int
    bad_rows: int
    seed: int
    distribution: Distribution
    prefix: str
    creditors: Sequence[SampleCreditor]

    def write(self, fh: BinaryIO) -> Written:
        """Write the sample: the same bytes every time, compressed or not."""
        if not self.name.endswith(".gz"):
            return self._write_rows(fh)
        with gzip.GzipFile(filename="", mode="wb", fileobj=fh, compresslevel=6, mtime=0) as packed:
            return self._write_rows(packed)

    def _write_rows(self, fh: ByteSink) -> Written:
        return write_portfolio(
            fh,
            rows=self.rows,
            seed=self.seed,
            distribution=self.distribution,
            bad_rows=self.bad_rows,
            prefix=self.prefix,
            creditors=self.creditors,
        )


_BALANCED, _HIGH, _LOW = Distribution.BALANCED, Distribution.HIGH_RISK, Distribution.LOW_RISK

DEMO_FILES: dict[str, tuple[DemoFile, ...]] = {
    "demo": (
        DemoFile("northlight_cards_2026-01.csv", 5_000, 39, 2026_01, _BALANCED, "NL", (CARDS, LOANS)),
        DemoFile("harborview_medical_2026-01.csv.gz", 3_000, 26, 2026_02, _HIGH, "HV", (MEDICAL,)),
        DemoFile("household_bills_2026-02.csv", 2_000, 13, 2026_03, _LOW, "HB", (UTILITY, TELECOM, RENT)),
    ),
    # The cards have the references of the other agency's: two creditors' accounts, never merged.
    "rival": (
        DemoFile("northlight_cards_2026-01.csv", 500, 13, 2026_04, _BALANCED, "NL", (CARDS, LOANS)),
        DemoFile("meridian_auto_2026-02.csv.gz", 300, 0, 2026_05, _HIGH, "MA", (AUTO,)),
    ),
}
"""The samples of each demo agency, by its SFTP user."""


def drop_demo_files(home: Path, agency: str) -> list[Path]:
    """Put the samples of ``agency`` into ``home/inbox`` and return those that were new.

    A sample that lies there, or that an import has moved to ``processed`` or ``rejected`` (as
    ``{import id}-{name}``), is left alone, so a second start drops nothing. Each appears whole:
    it is written under a hidden name first. An agency without samples gets none.
    """
    inbox = home / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    dropped = []
    for sample in DEMO_FILES.get(agency, ()):
        target = inbox / sample.name
        if target.exists() or _was_taken(inbox, sample.name):
            continue
        part = inbox / f".{sample.name}.part"
        with part.open("wb") as fh:
            sample.write(fh)
        part.replace(target)
        dropped.append(target)
    return dropped


def _was_taken(inbox: Path, name: str) -> bool:
    return any(any((inbox / folder).glob(f"*-{name}")) for folder in ("processed", "rejected"))
