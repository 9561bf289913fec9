"""What a portfolio file adds up to, where its reading stands, and whether the whole is acceptable."""

import re
from decimal import Decimal

import polars as pl
from pydantic import BaseModel, ConfigDict

from activities.portfolio_judge import AMOUNT_TYPE
from domain.csv_text import NEUTRALISED_PATTERN
from domain.import_profiles import FileRefused, ImportProfile
from domain.placements import AMOUNT_PATTERN, WHITESPACE, clean_cell

_SIGNED_AMOUNT = f"-?(?:{AMOUNT_PATTERN})"
_CONTROL_AMOUNT = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,2})?")
_CONTROL_COUNT = re.compile(r"[0-9]{1,15}")


class Totals(BaseModel):
    """Counts from the beginning of the file. ``records`` are those below the header, good or bad."""

    model_config = ConfigDict(frozen=True)

    records: int = 0
    good: int = 0
    bad: int = 0
    blank: int = 0
    warnings: int = 0
    amount: Decimal = Decimal("0.00")
    """Sum of ``original_amount`` of the good rows."""
    stated_amount: Decimal = Decimal("0.00")
    """Sum of every readable ``original_amount``, good row or bad; kept for control totals only."""

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(**{name: getattr(self, name) + getattr(other, name) for name in Totals.model_fields})


class Control(BaseModel):
    """What the control record of a file says; ``amount`` is ``None`` where it gives none."""

    model_config = ConfigDict(frozen=True)

    line: int
    records: int
    amount: Decimal | None


class Cursor(BaseModel):
    """All that is needed to go on after a chunk. JSON-ready.

    ``byte_offset`` counts bytes of the (decompressed) file, ``next_line`` its physical lines from 1,
    ``header`` are the cells of the header record as they were read.
    """

    model_config = ConfigDict(frozen=True)

    byte_offset: int
    next_line: int
    header: tuple[str, ...]
    totals: Totals = Totals()
    control: Control | None = None


def read_control(line: int, fields: list[str]) -> Control:
    """The control record at ``line``: marker, count, amount. Raises ``FileRefused``."""
    count, amount = (clean_cell(cell) for cell in [*fields[1:3], "", ""][:2])
    if not _CONTROL_COUNT.fullmatch(count) or (amount and not _CONTROL_AMOUNT.fullmatch(amount)):
        raise FileRefused(
            f"The control record in line {line} cannot be read; it must give the number of records and"
            f" the sum of the amounts, such as {clean_cell(fields[0])},1000,250000.00.",
            line=line,
        )
    return Control(line=line, records=int(count), amount=Decimal(amount) if amount else None)


def total(amounts: pl.Series) -> Decimal:
    """The exact sum of amounts."""
    value = amounts.sum()
    return value if isinstance(value, Decimal) else Decimal("0.00")


def stated_amount(cells: pl.Series) -> Decimal:
    """The sum of the raw cells that can be read as amounts, negative ones included."""
    text = cells.str.replace(NEUTRALISED_PATTERN, "$1").str.strip_chars(WHITESPACE)
    return total(text.filter(text.str.contains(f"^{_SIGNED_AMOUNT}$")).cast(AMOUNT_TYPE))


HOPELESS = 100_000
"""From this many refused records on, a file is given up as soon as too large a share of it is bad."""


def check_so_far(profile: ImportProfile, totals: Totals) -> None:
    """Raise ``FileRefused`` when so much of a file is bad that reading on would only pile up errors."""
    if totals.bad >= HOPELESS and totals.bad > profile.max_bad_share * totals.records:
        raise FileRefused(
            f"{totals.bad:,} of the first {totals.records:,} records are refused; the file was read no"
            " further. Mend it by its list of errors and send it again.",
            bad=totals.bad,
            records=totals.records,
        )


def check_whole(profile: ImportProfile, totals: Totals, control: Control | None) -> None:
    """Raise ``FileRefused`` when a file that was read to its end cannot be taken as a whole."""
    if profile.control:
        _check_control(profile.control.marker, totals, control)
    if not totals.records and control is None:
        # An export that found nothing is far likelier broken than meant; a control record of 0
        # records is how a creditor says that it is meant.
        raise FileRefused("The file has a header and no records; check the export and send it again.")
    if totals.bad > profile.max_bad_share * totals.records:
        raise FileRefused(
            f"{totals.bad:,} of {totals.records:,} records are refused, more than the allowed share of"
            f" {profile.max_bad_share:%}. Mend the file by its list of errors and send it again.",
            bad=totals.bad,
            records=totals.records,
        )


def _check_control(marker: str, totals: Totals, control: Control | None) -> None:
    if control is None:
        raise FileRefused(
            f"The file lacks its control record ({marker},<records>,<amount>) as the last line;"
            " it may be cut off. Send it again."
        )
    if control.records != totals.records:
        raise FileRefused(
            f"The control record in line {control.line} says {control.records:,} records, the file has"
            f" {totals.records:,}. Send the whole file again.",
            line=control.line,
        )
    if control.amount is not None and control.amount != totals.stated_amount:
        raise FileRefused(
            f"The control record in line {control.line} says {control.amount:,.2f} in all, the readable"
            f" amounts add up to {totals.stated_amount:,.2f}. Mend the amounts and send it again.",
            line=control.line,
        )
