"""A partner that gets things wrong on purpose: statements of our own accounts, with the truth beside them.

The same data, seed and time make the same bytes. Nothing is written to the database.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from domain.errors import Conflict
from domain.partner_rules import Variants
from domain.statement_profiles import StatementProfile, profile_of
from sandbox.partner_population import PopulationStore
from sandbox.partner_shares import Shares, deal
from sandbox.payment_simulator import PaymentPopulation, PaymentSimulation
from sandbox.planted import Truth
from sandbox.statement_writer import encode

if TYPE_CHECKING:
    from db.models import Partner
    from db.session import Transaction

Report = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much (0: one step)."""

VARIANTS = Variants(
    strip_prefixes=("REF-",), ignore_case=True, ignore_punctuation=True, ignore_leading_zeros=True
)
"""The rules for references that find every variant which is written here."""

_US = 1_000_000
_HOUR = 3_600 * _US
_DAY = 24 * _HOUR
_FORMS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("prefix", lambda ref: f"REF-{ref}"),
    ("case", str.swapcase),
    ("punctuation", lambda ref: ref.replace("-", "/") if "-" in ref else f"{ref[:2]}.{ref[2:]}"),
    ("zeros", lambda ref: f"00{ref}"),
)


@dataclass(frozen=True, slots=True)
class Simulated:
    """A statement and the truth about it; ``content`` are the bytes of the file ``name``."""

    name: str
    content: bytes
    truth: Truth


async def simulate(
    tx: "Transaction",
    partner: "Partner",
    *,
    seed: int,
    shares: Shares,
    at: datetime | None = None,
    packed: bool = False,
    report: Report = lambda _stage, _done, _total: None,
) -> Simulated:
    """A statement of all accounts that the partner has, of the agency's where it has none.

    A bank states the payments of the last four months instead. ``at``: when it is written, now by default.
    ``Conflict`` when there is nothing to state.
    """
    profile = profile_of(partner.kind, partner.statement_profile)
    if profile.kind == "payments":
        return await _bank(
            tx, PaymentSimulation(partner, profile, shares, seed, at or tx.began_at), packed, report
        )
    report("reading accounts", 0, 0)
    accounts = await PopulationStore(tx.session, tx.tenant).accounts(partner.id, changes=shares.timing > 0)
    if accounts.is_empty():
        raise Conflict(f"there are no accounts that {partner.name} could state; load some first")
    report("planting breaks", 0, 0)
    simulation = _Simulation(partner, profile, shares, seed, at or tx.began_at)
    return await asyncio.to_thread(simulation.run, accounts, packed)


async def _bank(tx: "Transaction", simulation: PaymentSimulation, packed: bool, report: Report) -> Simulated:
    report("reading payments", 0, 0)
    payments = await PaymentPopulation(tx.session, tx.tenant).payments(*simulation.span)
    report("planting breaks", 0, 0)
    return Simulated(*await asyncio.to_thread(simulation.run, payments, packed))


class _Simulation:
    """The making of one statement. Amounts are in cents, times in microseconds since the epoch."""

    def __init__(
        self, partner: "Partner", profile: StatementProfile, shares: Shares, seed: int, at: datetime
    ) -> None:
        self._partner = partner
        self._profile = profile
        self._shares = shares
        self._seed = seed
        self._now = round(at.timestamp() * _US)
        self._stale = self._now - partner.stale_after_days * _DAY
        self._variants: dict[str, tuple[str, str]] = {}

    def run(self, accounts: pl.DataFrame, packed: bool) -> Simulated:
        dealt, notes = deal(self._able(accounts), self._shares, self._seed)
        if self._shares.splits:
            notes.append("splits: only statements of payments have these")
        told = self._told(dealt)
        lines = self._lines(told)
        frame = self._frame(lines)
        content = encode(frame, self._profile, packed=packed)
        name = f"{self._partner.name}-{self._seed}.csv" + (".gz" if packed else "")
        truth = Truth(
            partner=self._partner.name,
            kind=self._profile.kind,
            seed=self._seed,
            statement=name,
            sha256=hashlib.sha256(content).hexdigest(),
            lines=len(lines),
            population=len(accounts),
            generated_at=datetime.fromtimestamp(self._now / _US, UTC).isoformat(),
            shares=self._shares.as_json(),
            notes=notes,
        )
        truth.planted = list(self._planted(told, lines))
        truth.links = [
            {"line": row["line"], "subject": row["id"], "how": self._variants[row["id"]][1]}
            for row in lines.filter("hit_variants").select("line", "id").iter_rows(named=True)
        ]
        return Simulated(name, content, truth)

    def _able(self, accounts: pl.DataFrame) -> pl.DataFrame:
        """What can hit which accounts, and a number for each to vary with."""
        count = len(accounts)
        dice = pl.int_range(count, eager=True).shuffle(self._seed + 99).alias("dice")
        tolerance = pl.min_horizontal(
            pl.lit(int(self._partner.tolerance_absolute * 100)),
            pl.col("ours") * int(self._partner.tolerance_percent * 100) // 10_000,
        )
        accounts = accounts.with_columns(dice, tolerance=tolerance)
        early = pl.col("changed_at") - 1
        usable = pl.col("alone")
        return accounts.with_columns(
            may_missing=usable & pl.col("known") & pl.col("open"),
            may_duplicates=usable,
            may_currency=usable,
            may_balance=usable,
            may_status=usable,
            may_stale=usable & ~pl.col("stated"),
            may_timing=(
                usable
                & ~pl.col("stated")
                & (pl.col("change").abs() > pl.col("tolerance"))
                & (pl.col("ours") - pl.col("change") > 0)
                & (early > self._stale)
            ).fill_null(value=False),
            may_noise=usable & (pl.col("tolerance") > 0) & (pl.col("ours") > pl.col("tolerance")),
            may_variants=usable & self._writable(accounts),
        )

    def _writable(self, accounts: pl.DataFrame) -> pl.Series:
        """Which references can be written in another way and still be told from all others."""
        if not self._shares.variants:
            return pl.Series([False], dtype=pl.Boolean).new_from_index(0, len(accounts))
        refs = accounts["ref"].to_list()
        known = set(refs)
        keys = pl.Series([VARIANTS.key(ref) for ref in refs])
        alone = (keys.is_unique() & (keys != "")).to_list()
        rows = zip(refs, alone, accounts["id"].to_list(), accounts["dice"].to_list(), strict=True)
        for ref, single, account_id, dice in rows:
            if not single:
                continue
            for at in range(len(_FORMS)):
                how, form = _FORMS[(dice + at) % len(_FORMS)]
                written = form(ref)
                if written not in known and VARIANTS.key(written) == VARIANTS.key(ref):
                    self._variants[account_id] = (written, how)
                    break
        return accounts["id"].is_in(list(self._variants))

    def _told(self, dealt: pl.DataFrame) -> pl.DataFrame:
        """What the partner says of each account, ``at`` which time."""
        ours, dice, tolerance = pl.col("ours"), pl.col("dice"), pl.col("tolerance")
        off = _off()
        wrong = (
            pl.when((dice % 10 == 0) & (ours > 0))
            .then(-ours)
            .when((dice % 10 == 1) & (ours > 0))
            .then(0)
            .when((dice % 2 == 0) & (ours > off))
            .then(ours - off)
            .otherwise(ours + off)
        )
        theirs = (
            pl.when("hit_balance")
            .then(wrong)
            .when("hit_noise")
            .then(pl.when(dice % 2 == 0).then(ours + tolerance).otherwise(ours - tolerance))
            .when("hit_timing")
            .then(ours - pl.col("change"))
            .when("hit_stale")
            .then(ours + off)
            .otherwise(ours)
        )
        at = (
            pl.when("hit_stale")
            .then(self._stale - (1 + dice % 30) * _DAY)
            .when("hit_timing")
            .then(pl.col("changed_at") - 1)
            .otherwise(self._now)
        )
        begun = pl.when(ours < pl.col("original")).then(pl.lit("PARTIAL")).otherwise(pl.lit("UNPAID"))
        right = pl.when(pl.col("open") | pl.col("hit_timing")).then(begun).otherwise(pl.lit("PAID"))
        wrong_status = pl.when("open").then(pl.lit("PAID")).otherwise(pl.lit("UNPAID"))
        foreign = pl.when(pl.col("currency") == "EUR").then(pl.lit("USD")).otherwise(pl.lit("EUR"))
        return dealt.with_columns(
            theirs=theirs,
            theirs_status=pl.when("hit_status").then(wrong_status).otherwise(right),
            theirs_currency=pl.when("hit_currency").then(foreign).otherwise("currency"),
            at=at,
        )

    def _lines(self, told: pl.DataFrame) -> pl.DataFrame:
        """The statement's lines in their order, with their numbers; ``main`` are those that count."""
        main = told.filter("alone", ~pl.col("hit_missing")).with_columns(main=pl.lit(value=True))
        written = {account_id: form for account_id, (form, _) in self._variants.items()}
        if written:
            other = pl.col("id").replace_strict(written, default=None, return_dtype=pl.String)
            main = main.with_columns(ref=pl.when("hit_variants").then(other).otherwise("ref"))
        again = main.filter("hit_duplicates").with_columns(main=pl.lit(value=False))
        contradicts = pl.col("dice") % 2 == 0
        again = again.with_columns(
            theirs=pl.when(contradicts).then(pl.col("ours") + _off()).otherwise("theirs"),
            at=pl.when(contradicts).then(pl.col("at") - _HOUR).otherwise("at"),
        )
        lines = pl.concat([main, again, self._unknown(told)], how="diagonal")
        lines = lines.sample(fraction=1, shuffle=True, seed=self._seed)
        return lines.with_columns(line=pl.int_range(2, len(lines) + 2))

    def _unknown(self, told: pl.DataFrame) -> pl.DataFrame:
        known = set(told["ref"].to_list()) if self._shares.unknown else set()
        numbers = range(self._shares.count("unknown", len(told)))
        refs = [f"NOBODY-{self._seed}-{number}" for number in numbers]
        refs = [ref if ref not in known else f"{ref}-{len(known)}" for ref in refs]
        return pl.DataFrame(
            {
                "ref": refs,
                "theirs": [100 + number for number in numbers],
                "theirs_status": ["UNPAID"] * len(refs),
                "theirs_currency": ["USD"] * len(refs),
                "at": [self._now] * len(refs),
                "main": [True] * len(refs),
            },
            schema={name: told.schema.get(name, pl.Boolean()) for name in _SAID} | {"main": pl.Boolean()},
        )

    def _frame(self, lines: pl.DataFrame) -> pl.DataFrame:
        return lines.select(
            account_ref="ref",
            balance=_amount("theirs").cast(pl.Decimal(14, 2)),
            status="theirs_status",
            currency="theirs_currency",
            processed_at=pl.from_epoch("at", time_unit="us").dt.replace_time_zone("UTC"),
        )

    def _planted(self, told: pl.DataFrame, lines: pl.DataFrame) -> Iterator[dict[str, Any]]:
        """Every break that the statement must lead to, by kind."""
        main = lines.filter("main").with_columns(
            ours_text=_amount("ours"),
            theirs_text=_amount("theirs"),
            ours_status=pl.when("open").then(pl.lit("open")).otherwise(pl.lit("paid")),
        )
        for hit, (kind, ours, theirs) in _KINDS.items():
            for row in main.filter(hit).sort("line").iter_rows(named=True):
                yield _entry(kind, row, ours=row[ours], theirs=row[theirs])
        for row in main.filter(pl.col("id").is_null()).sort("line").iter_rows(named=True):
            yield _entry("missing_here", {**row, "id": row["ref"]}, ours=None, theirs=row["theirs_text"])
        unsaid = told.filter("known", "open", pl.col("hit_missing") | ~pl.col("alone"))
        for row in unsaid.with_columns(line=None, ours_text=_amount("ours")).iter_rows(named=True):
            yield _entry("missing_there", row, ours=row["ours_text"], theirs=None)


def _off() -> pl.Expr:
    """By how much a balance is wrong: always more than what is tolerated."""
    return pl.col("tolerance") + 1 + pl.col("dice") % pl.max_horizontal(pl.col("ours") // 2, 1)


def _amount(cents: str) -> pl.Expr:
    """Cents as an amount with two decimals, in text."""
    size = pl.col(cents).abs()
    sign = pl.when(pl.col(cents) < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    return pl.concat_str(sign, size // 100, pl.lit("."), (size % 100).cast(pl.String).str.zfill(2))


def _entry(kind: str, row: Mapping[str, Any], *, ours: str | None, theirs: str | None) -> dict[str, Any]:
    return {
        "kind": kind,
        "subject": row["id"],
        "account_ref": row["ref"],
        "line": row["line"],
        "ours": ours,
        "theirs": theirs,
    }


_SAID = ("ref", "theirs", "theirs_status", "theirs_currency", "at")
_KINDS = {
    "hit_balance": ("balance", "ours_text", "theirs_text"),
    "hit_status": ("status", "ours_status", "theirs_status"),
    "hit_duplicates": ("duplicate", "ours_text", "theirs_text"),
    "hit_stale": ("stale", "ours_text", "theirs_text"),
    "hit_currency": ("currency", "currency", "theirs_currency"),
    "hit_timing": ("timing", "ours_text", "theirs_text"),
}
