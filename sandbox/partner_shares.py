"""How much of what a simulated partner gets wrong, and which of our accounts it hits."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from decimal import ROUND_HALF_UP, Decimal

import polars as pl

from domain.errors import Invalid


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of the accounts, from 0 to 1, that a statement is made to be wrong about.

    ``missing``, ``duplicates``, ``stale``, ``currency``, ``timing`` and ``variants`` hit an account each;
    ``balance`` and ``status`` hit the others independently, so that some are wrong in both. ``noise`` are
    differences within the tolerance, which are no breaks. ``unknown`` are lines about accounts that nobody
    has, beside the others. ``variants`` are references written in another way. Of payments, ``splits`` are
    stated in two lines, ``variants`` without a reference, and each is hit by one thing.
    """

    balance: Decimal = Decimal("0.10")
    status: Decimal = Decimal("0.20")
    missing: Decimal = Decimal("0.02")
    duplicates: Decimal = Decimal("0.01")
    unknown: Decimal = Decimal(0)
    stale: Decimal = Decimal(0)
    currency: Decimal = Decimal(0)
    timing: Decimal = Decimal(0)
    variants: Decimal = Decimal(0)
    splits: Decimal = Decimal(0)
    noise: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        for name, share in asdict(self).items():
            if not (share.is_finite() and 0 <= share <= 1):
                raise Invalid(f"{name}: must be from 0 to 1, not {share}", field=name)
        if (whole := sum(getattr(self, name) for name in DISJOINT)) > 1:
            raise Invalid(
                f"the shares of {', '.join(DISJOINT)} add up to {whole}; together they are at most 1"
            )

    def count(self, name: str, of: int) -> int:
        """How many of ``of`` a share is, rounded half up."""
        share: Decimal = getattr(self, name)
        return int((share * of).quantize(Decimal(1), ROUND_HALF_UP))

    def as_json(self) -> dict[str, str]:
        """The shares that are above 0."""
        return {f.name: str(getattr(self, f.name)) for f in fields(self) if getattr(self, f.name)}


DISJOINT = ("missing", "duplicates", "stale", "currency", "timing", "variants")
"""What hits an account hits it alone."""

_INDEPENDENT = ("balance", "status", "noise")


def deal(accounts: pl.DataFrame, shares: Shares, seed: int) -> tuple[pl.DataFrame, list[str]]:
    """``accounts`` with a column ``hit_…`` for each thing that can hit them, and what could not be dealt.

    Columns ``may_…`` say which accounts a thing can hit, all where there is none. The same rows in the same
    order and the same seed give the same.
    """
    total = len(accounts)
    order = pl.int_range(total, eager=True).shuffle(seed)
    free = pl.Series([True], dtype=pl.Boolean).new_from_index(0, total)
    hit: dict[str, pl.Series] = {}
    notes = []
    for name, wanted in _wanted(shares, DISJOINT, total):
        chosen = _first(accounts, name, free, order, wanted)
        if (got := int(chosen.sum())) < wanted:
            notes.append(f"{name}: {got:,} instead of {wanted:,}: {_WHY[name]}")
        hit[name] = chosen
        free &= ~chosen
    for at, (name, wanted) in enumerate(_wanted(shares, _INDEPENDENT, total)):
        again = pl.int_range(total, eager=True).shuffle(seed + 1 + at)
        among = free & ~hit["balance"] if name == "noise" else free
        hit[name] = _first(accounts, name, among, again, wanted)
        if (got := int(hit[name].sum())) < wanted:
            notes.append(f"{name}: {got:,} instead of {wanted:,}: the others are wrong in another way")
    return accounts.with_columns(**{f"hit_{name}": chosen for name, chosen in hit.items()}), notes


def _wanted(shares: Shares, names: tuple[str, ...], total: int) -> Iterator[tuple[str, int]]:
    return ((name, shares.count(name, total)) for name in names)


def _first(accounts: pl.DataFrame, name: str, among: pl.Series, order: pl.Series, count: int) -> pl.Series:
    """The first ``count`` accounts in ``order`` that are ``among`` them and can be hit."""
    able = among & accounts[f"may_{name}"] if f"may_{name}" in accounts.columns else among
    frame = pl.DataFrame({"order": order, "able": able}).with_row_index("at")
    chosen = frame.filter("able").sort("order").head(count)["at"]
    return frame["at"].is_in(chosen.implode())


_WHY: Mapping[str, str] = {
    "missing": "only open accounts that were sent to the partner, or that it has named, can be missed",
    "duplicates": "the others are wrong in another way",
    "stale": "what the partner has stated before is never stated older",
    "currency": "the others are wrong in another way",
    "timing": "the others have no payment or reversal that the partner can be behind of",
    "variants": "the others would be written like another account",
}
