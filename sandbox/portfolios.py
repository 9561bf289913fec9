"""Invented portfolio files: the same arguments make the same bytes, a million rows in seconds.

Randomness comes from one seeded ``random.Random``, read as blocks of whole numbers; everything
else is whole-number arithmetic, done by columns.
"""

import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any, Protocol
from unicodedata import normalize

import polars as pl

from sandbox.portfolio_tables import (
    CREDITORS,
    FAMILY_NAMES,
    GIVEN_NAMES,
    MAIL_DOMAINS,
    PLACES,
    SHARES,
    STREETS,
    SUFFIXES,
    UNITS,
    Distribution,
    RiskMix,
    SampleCreditor,
)

AS_OF = date(2026, 2, 1)
"""When invented portfolios are placed: fixed, for a file must not change from one day to the next."""

CHUNK_ROWS = 50_000
_SHARED_PERCENT = 12
_WITH_REF_PERCENT = 55
_CHARGE_OFF_DAYS = 180
_PREFIX = re.compile(r"[A-Z0-9][A-Z0-9-]{0,19}")


@dataclass(frozen=True, slots=True)
class Defect:
    """One way a creditor gets a row wrong: the column and what stands there instead."""

    column: str
    value: str | None


DEFECTS: Mapping[str, Defect] = {
    "reference missing": Defect("external_ref", None),
    "name missing": Defect("debtor_name", None),
    "name far too long": Defect("debtor_name", "Ever" * 2_500),
    "amount negative": Defect("original_amount", "-5"),
    "amount zero": Defect("original_amount", "0.00"),
    "amount in scientific notation": Defect("original_amount", "1e9"),
    "amount not a number": Defect("original_amount", "NaN"),
    "amount with thousands separator": Defect("original_amount", "1,234.50"),
    "amount with three decimals": Defect("original_amount", "310.255"),
    "day that is not in the calendar": Defect("due_date", "2025-02-30"),
    "date in another notation": Defect("due_date", "11/15/2025"),
    "three digits of an SSN": Defect("debtor_ssn_last4", "123"),
    "count in words": Defect("late_payments_count", "several"),
}
"""Rows that the default profile refuses, each for one reason."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a portfolio file holds: all rows, and of these the bad ones by the name of their defect."""

    rows: int
    bad: Mapping[str, int]


class ByteSink(Protocol):
    """Whatever takes bytes: a file, a compressor, an upload."""

    def write(self, data: bytes, /) -> object:
        """Take all of ``data``."""


def write_portfolio(
    fh: ByteSink,
    *,
    rows: int,
    seed: int,
    distribution: Distribution = Distribution.BALANCED,
    bad_rows: int = 0,
    prefix: str = "RCP",
    creditors: Sequence[SampleCreditor] = CREDITORS,
    as_of: date = AS_OF,
    columns: Sequence[str] | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> Written:
    """Write a portfolio file (CSV, UTF-8, header and ``rows`` records) in chunks, and say what it holds.

    References are ``{prefix}-0000001`` and so on; ``bad_rows`` of the rows, spread over the file,
    each have one of ``DEFECTS`` in turn. ``columns`` picks columns of the layout, all by default.
    ``on_rows`` is called with the rows written so far after each chunk. Raises ``ValueError`` for
    impossible counts or a prefix that is not up to 20 of ``A-Z``, ``0-9`` and ``-``.
    """
    if rows < 0 or not 0 <= bad_rows <= rows:
        raise ValueError(
            f"rows must be at least 0 and bad_rows between 0 and rows, not {rows} and {bad_rows}"
        )
    rng = Random(seed)  # noqa: S311 (invented data, not a secret)
    defects = _place_defects(rng, rows, bad_rows)
    start = 0
    for good in _frames(rng, rows, distribution, prefix, creditors, as_of):
        end = start + good.height
        frame = _spoil(good, {line - start: d for line, d in defects.items() if start <= line < end})
        if columns is not None:
            frame = frame.select(columns)
        fh.write(frame.write_csv(include_header=start == 0, line_terminator="\n").encode())
        start = end
        if on_rows:
            on_rows(end)
    found = list(defects.values())
    return Written(rows, {name: found.count(name) for name in DEFECTS if name in found})


def portfolio_frames(
    *, rows: int, seed: int, distribution: Distribution, prefix: str
) -> Iterator[pl.DataFrame]:
    """The rows that ``write_portfolio`` writes without bad ones: its columns, all text, block by block.

    Accounts of one debtor stand one after the other in the same block. ``ValueError`` for a bad prefix.
    """
    rng = Random(seed)  # noqa: S311 (invented data, not a secret)
    return _frames(rng, rows, distribution, prefix, CREDITORS, AS_OF)


def _frames(
    rng: Random,
    rows: int,
    distribution: Distribution,
    prefix: str,
    creditors: Sequence[SampleCreditor],
    as_of: date,
) -> Iterator[pl.DataFrame]:
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"prefix must be up to 20 of A-Z, 0-9 and -, not {prefix!r}")
    return (
        _Chunk(rng, start, min(CHUNK_ROWS, rows - start), prefix, as_of, SHARES[distribution]).frame(
            creditors
        )
        for start in range(0, max(rows, 1), CHUNK_ROWS)
    )


def _place_defects(rng: Random, rows: int, bad_rows: int) -> dict[int, str]:
    """Row number (from 0) → name of its defect."""
    names = list(DEFECTS)
    return {row: names[i % len(names)] for i, row in enumerate(sorted(rng.sample(range(rows), bad_rows)))}


def _spoil(frame: pl.DataFrame, defects: Mapping[int, str]) -> pl.DataFrame:
    if not defects:
        return frame
    chosen = [DEFECTS[name] for name in defects.values()]
    for column in {defect.column for defect in chosen}:
        cells = frame[column].to_list()
        for row, defect in zip(defects, chosen, strict=True):
            if defect.column == column:
                cells[row] = defect.value
        frame = frame.with_columns(pl.Series(column, cells, dtype=pl.String))
    return frame


class _Chunk:
    """One block of rows; ``start`` is the number of its first row, from 0."""

    def __init__(
        self, rng: Random, start: int, size: int, prefix: str, as_of: date, shares: Mapping[RiskMix, int]
    ) -> None:
        self._rng = rng
        self._size = size
        self._prefix = prefix
        self._as_of = as_of
        self._row = pl.int_range(start, start + size, dtype=pl.Int64, eager=True)
        self._debtor = self._share_debtors()
        self._mixes = list(shares)
        self._class = pl.Series(_spread(dict(enumerate(shares.values()))))[
            self._draw() % sum(shares.values())
        ]

    def frame(self, creditors: Sequence[SampleCreditor]) -> pl.DataFrame:
        """The columns of the portfolio file, all text."""
        debtor = self._person().hstack(self._risk())[self._debtor]
        account = self._account(creditors)
        return pl.DataFrame([account["external_ref"], *debtor, *account.drop("external_ref")])

    def _draw(self) -> pl.Series:
        """Whole numbers from 0 to 2**32 - 1, one a row."""
        return pl.Series(array("I", self._rng.randbytes(4 * self._size)), dtype=pl.Int64)

    def _percent(self, percent: int) -> pl.Series:
        """True for about ``percent`` of the rows."""
        return self._draw() % 100 < percent

    def _value(self, weights: Mapping[Any, int]) -> pl.Series:
        """Keys of ``weights``, as often as they say."""
        return self._one_of(_spread(weights))

    def _of_class(self, weights: Callable[[RiskMix], Mapping[Any, int]]) -> pl.Series:
        """Keys of the weights of each row's own class of debtors."""
        spreads = [_spread(weights(mix)) for mix in self._mixes]
        lengths = pl.Series([len(spread) for spread in spreads], dtype=pl.Int64)
        starts = lengths.cum_sum() - lengths
        values = pl.Series([value for spread in spreads for value in spread])
        return values[starts[self._class] + self._draw() % lengths[self._class]]

    def _one_of(self, values: Sequence[Any]) -> pl.Series:
        return pl.Series(values)[self._draw() % len(values)]

    def _share_debtors(self) -> pl.Series:
        """The position of each row's debtor: its own, or that of the row before it that it shares."""
        own = ~self._percent(_SHARED_PERCENT)
        position = pl.int_range(0, self._size, dtype=pl.Int64, eager=True)
        return pl.select(pl.when(own | (position == 0)).then(position).forward_fill()).to_series()

    def _person(self) -> pl.DataFrame:
        given, family = self._draw() % len(GIVEN_NAMES), self._draw() % len(FAMILY_NAMES)
        place = pl.DataFrame(PLACES, schema=["city", "state", "zip", "area"], orient="row")[
            self._draw() % len(PLACES)
        ]
        drawn = pl.DataFrame(
            {
                "given": pl.Series(GIVEN_NAMES)[given],
                "family": pl.Series(FAMILY_NAMES)[family],
                "mail_given": pl.Series([_mail_part(n) for n in GIVEN_NAMES])[given],
                "mail_family": pl.Series([_mail_part(n) for n in FAMILY_NAMES])[family],
                "suffix": self._value(SUFFIXES),
                "domain": self._value(MAIL_DOMAINS),
                "street": self._one_of(STREETS),
                "unit": self._value(UNITS),
                "number": self._draw(),
                "digits": self._draw(),
                "row": self._row,
                "has_ref": self._percent(_WITH_REF_PERCENT),
                "has_ssn": self._percent(80),
                "has_email": self._percent(85),
                "has_phone": self._percent(90),
            }
        ).hstack(place)
        c = pl.col
        house, unit = c("number") % 9_800 + 100, c("number") // 10_000 % 60 + 1
        line, zone = _padded(c("digits") // 10_000 % 100, 2), _padded(c("digits") // 1_000_000 % 100, 2)
        mail = pl.format("{}.{}{}@{}", "mail_given", "mail_family", c("number") % 89 + 10, "domain")
        return drawn.select(
            debtor_ref=pl.when("has_ref").then(pl.format(f"{self._prefix}-D{{}}", _padded(c("row") + 1, 7))),
            debtor_name=pl.format("{} {}{}", "given", "family", "suffix"),
            debtor_ssn_last4=pl.when("has_ssn").then(_padded(c("digits") % 10_000, 4)),
            debtor_email=pl.when("has_email").then(mail),
            debtor_phone=pl.when("has_phone").then(pl.format("+1{}55501{}", "area", line)),
            address_line1=pl.format("{} {}", house, "street"),
            address_line2=pl.format("{} {}", "unit", unit),
            city=c("city"),
            state=c("state"),
            postal_code=pl.format("{}{}", "zip", zone),
            country=pl.lit("US"),
        )

    def _risk(self) -> pl.DataFrame:
        band = self._of_class(lambda mix: mix.incomes)
        low, high = band.list.get(0), band.list.get(1)
        income = low + self._draw() % (high - low)
        return pl.DataFrame(
            {
                "monthly_income": pl.select(pl.format("{}.00", income)).to_series(),
                "late_payments_count": self._of_class(lambda mix: mix.late_payments).cast(pl.String),
                "employment_status": self._of_class(lambda mix: mix.employment_status),
                "contract_type": self._of_class(lambda mix: mix.contract_type),
                "industry_sector": self._of_class(lambda mix: mix.industry_sector),
                "family_situation": self._of_class(lambda mix: mix.family_situation),
            }
        )

    def _account(self, creditors: Sequence[SampleCreditor]) -> pl.DataFrame:
        table = pl.DataFrame(
            [(c.name, c.account_type, c.low, c.high) for c in creditors],
            schema=["creditor_name", "account_type", "low", "high"],
            orient="row",
        )
        chosen = table[self._draw() % len(creditors)]
        first, second = self._draw() // 2**16, self._draw() // 2**16
        # The product of two even spreads makes many small debts and few large ones.
        percent = pl.Series([mix.amount_percent for mix in self._mixes])[self._class[self._debtor]]
        span = (chosen["high"] - chosen["low"]) * percent
        cents = chosen["low"] * 100 + span * first * second // 2**32
        days_due, days_paid = 45 + self._draw() % 800, 20 + self._draw() % 45
        drawn = chosen.with_columns(
            row=self._row, cents=cents, days_due=days_due, days_paid=days_paid, paid=self._percent(70)
        )
        c, placed = pl.col, pl.lit(self._as_of)
        due = placed - pl.duration(days="days_due")
        charged = pl.when(c("days_due") > _CHARGE_OFF_DAYS).then(due + pl.duration(days=_CHARGE_OFF_DAYS))
        last_paid = pl.when("paid").then(due - pl.duration(days="days_paid"))
        return drawn.select(
            external_ref=pl.format(f"{self._prefix}-{{}}", _padded(c("row") + 1, 7)),
            original_amount=pl.format("{}.{}", c("cents") // 100, _padded(c("cents") % 100, 2)),
            due_date=due.dt.to_string("%Y-%m-%d"),
            creditor_name=c("creditor_name"),
            account_type=c("account_type"),
            charge_off_date=charged.dt.to_string("%Y-%m-%d"),
            last_payment_date=last_paid.dt.to_string("%Y-%m-%d"),
            itemization_date=pl.coalesce(charged, last_paid, due).dt.to_string("%Y-%m-%d"),
        )


def _spread(weights: Mapping[Any, int]) -> list[Any]:
    """Each key as many times as its weight says."""
    return [value for value, weight in weights.items() for _ in range(weight)]


def _padded(number: pl.Expr, digits: int) -> pl.Expr:
    return number.cast(pl.String).str.zfill(digits)


def _mail_part(name: str) -> str:
    """A name as it stands in an email address: ASCII letters in lower case."""
    return re.sub(r"[^a-z]", "", normalize("NFKD", name).encode("ascii", "ignore").decode().lower())
