"""What a partner's statement says, read from the raw cells over whole columns.

Each field has a value, a test and a reason for those that fail it. Reasons are only worked out for the lines
that need one.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import and_
from types import MappingProxyType

import polars as pl

from domain.csv_text import NEUTRALISED_PATTERN
from domain.money import CENT, MAX_AMOUNT
from domain.placements import (
    BREAKS_PATTERN,
    CONTROL_PATTERN,
    DATE_PATTERNS,
    FIRST_DATE,
    LAST_DATE,
    WHITESPACE,
)
from domain.statement_lines import PARTNER_STATUSES
from domain.statement_profiles import TEXT_LIMIT, StatementProfile

AMOUNT_TYPE = pl.Decimal(14, 2)
CLOCKS_DIFFER = timedelta(minutes=5)
"""How far a partner's clock may be ahead of ours."""

_SHOWN = 60
_SPACES = "[\u00a0\u202f]"
_TIME = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
_OFFSET = r"Z|[+-][0-9]{2}:?[0-9]{2}"
_EMPTY = "is empty; every line needs it"


@dataclass(frozen=True, slots=True)
class Reading:
    """How the cells of one file are read.

    ``names``: the file's name of each field it has. ``read_at``: nothing can have been processed later.
    ``stated_at``: when the lines of a file without ``processed_at`` were so.
    """

    profile: StatementProfile
    names: Mapping[str, str]
    read_at: datetime
    stated_at: datetime


@dataclass(frozen=True, slots=True)
class _Rule:
    """``value`` is meant where ``good`` is true; ``reason`` is a clause about the field where it is not."""

    value: pl.Expr
    good: pl.Expr
    reason: pl.Expr


def judge(cells: pl.DataFrame, reading: Reading) -> pl.DataFrame:
    """Lines from raw cells: ``line`` and one text column per field that the file has.

    The result has ``line``, those fields typed, and ``problem``: why a line could not be read, else null.
    What could be read of such a line is there too.
    """
    fields = [name for name in cells.columns if name != "line"]
    clean = cells.select("line", *(_clean(name).alias(name) for name in fields))
    rules = {field: _RULES[field](pl.col(field), field, reading) for field in fields}
    named = _names_account(fields)
    good = reduce(and_, (rule.good for rule in rules.values()), named.good)
    judged = clean.select("line", *(rule.value.alias(f) for f, rule in rules.items()), good.alias("_good"))
    if judged["_good"].all():
        return _stated(judged.drop("_good"), reading).with_columns(problem=pl.lit(None, dtype=pl.String))
    read = judged.filter("_good").drop("_good").with_columns(problem=pl.lit(None, dtype=pl.String))
    unread = clean.filter(~judged["_good"]).select(
        "line",
        *(pl.when(rule.good).then(rule.value).alias(field) for field, rule in rules.items()),
        problem=_problem(rules, named, reading),
    )
    return _stated(pl.concat([read, unread]).sort("line"), reading)


def _problem(rules: Mapping[str, _Rule], named: _Rule, reading: Reading) -> pl.Expr:
    """All that is wrong with a line, in one sentence."""
    clauses = [pl.when(~named.good).then(named.reason)] + [
        pl.when(~rule.good).then(pl.format("{} {}", pl.lit(reading.names[field]), rule.reason))
        for field, rule in rules.items()
    ]
    return pl.concat_str(clauses, separator="; ", ignore_nulls=True)


def _stated(lines: pl.DataFrame, reading: Reading) -> pl.DataFrame:
    """With what the profile and the file say once for all lines."""
    profile = reading.profile
    if profile.currency is not None:
        given = pl.col("currency").fill_null(profile.currency) if "currency" in lines.columns else None
        lines = lines.with_columns(currency=pl.lit(profile.currency) if given is None else given)
    if profile.kind == "accounts" and "processed_at" not in lines.columns:
        lines = lines.with_columns(processed_at=pl.lit(reading.stated_at, dtype=pl.Datetime("us", "UTC")))
    return lines


def _clean(field: str) -> pl.Expr:
    text = pl.col(field).str.replace(NEUTRALISED_PATTERN, "$1").str.strip_chars(WHITESPACE)
    return text.str.replace_all(BREAKS_PATTERN, " ")


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"


def _given(text: pl.Expr) -> pl.Expr:
    return text.str.len_bytes() > 0


def _said(text: pl.Expr, clause: str) -> pl.Expr:
    """The value as it may be shown, and what is wrong with it."""
    shown = text.str.replace_all(CONTROL_PATTERN, "\ufffd").str.slice(0, _SHOWN)
    return pl.when(_given(text)).then(pl.format("“{}” {}", shown, pl.lit(clause))).otherwise(pl.lit(_EMPTY))


def _names_account(fields: list[str]) -> _Rule:
    """A line about an account names it; one about a payment may leave that to its other fields."""
    names = [name for name in ("account_ref", "debtor_ref") if name in fields]
    anyway = pl.lit("amount" in fields)
    good = reduce(lambda one, other: one | other, (_given(pl.col(name)) for name in names), anyway)
    return _Rule(pl.lit(None), good, pl.lit(f"no account is named: {' and '.join(names)} empty"))


def _text(text: pl.Expr, _field: str, _reading: Reading) -> _Rule:
    good = (text.str.len_chars() <= TEXT_LIMIT) & ~text.str.contains(CONTROL_PATTERN)
    clause = f"has control characters or more than {TEXT_LIMIT} characters"
    return _Rule(pl.when(_given(text)).then(text), good, _said(text, clause))


def _amount(text: pl.Expr, _field: str, reading: Reading) -> _Rule:
    profile = reading.profile
    example = _example(profile)
    if profile.thousands == " ":
        text = text.str.replace_all(_SPACES, " ")
    shaped = text.str.contains(_whole(_amount_pattern(profile)))
    mark = re.escape(profile.decimal_mark)
    digits = text.str.replace_all(f"[^0-9{mark}]", "").str.replace(mark, ".")
    magnitude = digits.cast(AMOUNT_TYPE, strict=False)
    below = text.str.contains(r"^-|-$|^\(|(?i:CR)$")
    if profile.reversed_signs:
        below = ~below
    value = pl.when(below).then(-magnitude).otherwise(magnitude)
    # What is compared with it is subtracted and added up, in columns of the same width.
    beyond = shaped & (magnitude > MAX_AMOUNT)
    reason = (
        pl.when(beyond)
        .then(_said(text, f"is beyond {MAX_AMOUNT:,}, more than any account can have"))
        .otherwise(_said(text, f"is not an amount such as {example}"))
    )
    return _Rule(value.cast(AMOUNT_TYPE), shaped & ~beyond.fill_null(value=False), reason)


def _amount_pattern(profile: StatementProfile) -> str:
    whole = "[0-9]{1,12}"
    if profile.thousands:
        whole = f"(?:[0-9]{{1,3}}(?:{re.escape(profile.thousands)}[0-9]{{3}}){{1,3}}|{whole})"
    number = f"{whole}(?:{re.escape(profile.decimal_mark)}[0-9]{{1,2}})?"
    forms = {"minus": "", "trailing_minus": f"|{number}[+-]", "parentheses": rf"|\({number}\)"}
    return f"[+-]?{number}" + forms.get(profile.negative, f"|{number} ?(?i:CR|DR)")


def _example(profile: StatementProfile) -> str:
    return f"1{profile.thousands}250{profile.decimal_mark}{str(CENT)[2:]}"


def _status(text: pl.Expr, _field: str, reading: Reading) -> _Rule:
    words = reading.profile.status_words()
    value = text.str.to_uppercase().replace_strict(
        list(words), list(words.values()), default=None, return_dtype=pl.String
    )
    clause = f"is none of {', '.join(PARTNER_STATUSES)}; map the word in the statement profile"
    return _Rule(value, value.is_not_null(), _said(text, clause))


def _currency(text: pl.Expr, _field: str, _reading: Reading) -> _Rule:
    good = ~_given(text) | text.str.contains("^[A-Za-z]{3}$")
    value = pl.when(_given(text)).then(text.str.to_uppercase())
    return _Rule(value, good, _said(text, "is not a currency such as USD"))


def _day(text: pl.Expr, _field: str, reading: Reading) -> _Rule:
    form = reading.profile.date_format
    day = text.str.to_date(form, strict=False)
    shaped = text.str.contains(_whole(DATE_PATTERNS[form]))
    good = shaped & day.is_between(FIRST_DATE, LAST_DATE).fill_null(value=False)
    example = LAST_DATE.replace(year=2026).strftime(form)
    return _Rule(day, good, _said(text, f"is not a day such as {example}"))


def _instant(text: pl.Expr, _field: str, reading: Reading) -> _Rule:
    profile = reading.profile
    form = DATE_PATTERNS[profile.date_format]
    shaped = text.str.contains(_whole(f"{form}(?:[T ]{_TIME} ?(?:{_OFFSET})?)?"))
    day = text.str.extract("^([^T ]+)").str.to_date(profile.date_format, strict=False)
    clock = text.str.extract(f"[T ]({_TIME})").fill_null("00:00:00")
    clock = pl.when(clock.str.len_bytes() == len("00:00")).then(clock + ":00").otherwise(clock)
    local = day.dt.combine(clock.str.to_time("%H:%M:%S%.f", strict=False), time_unit="us")
    offset = text.str.extract(f"[T ]{_TIME} ?({_OFFSET})$")
    ahead = offset.str.replace("Z", "+0000").str.replace(":", "")
    minutes = ahead.str.slice(1, 2).cast(pl.Int32, strict=False) * 60 + ahead.str.slice(3, 2).cast(
        pl.Int32, strict=False
    )
    shift = pl.duration(minutes=pl.when(ahead.str.starts_with("-")).then(-minutes).otherwise(minutes))
    stated = (local - shift).dt.replace_time_zone("UTC")
    assumed = local.dt.replace_time_zone(profile.time_zone, ambiguous="earliest", non_existent="null")
    value = pl.when(offset.is_null()).then(assumed.dt.convert_time_zone("UTC")).otherwise(stated)
    known = shaped & value.is_not_null() & day.is_between(FIRST_DATE, LAST_DATE).fill_null(value=False)
    past = value <= pl.lit(reading.read_at + CLOCKS_DIFFER)
    reason = (
        pl.when(known)
        .then(_said(text, "lies in the future"))
        .otherwise(_said(text, "is not a time such as 2026-10-31T18:00:00Z"))
    )
    return _Rule(value, known & past, reason)


_RULES: Mapping[str, Callable[[pl.Expr, str, Reading], _Rule]] = MappingProxyType(
    {
        "account_ref": _text,
        "debtor_ref": _text,
        "payment_ref": _text,
        "payer": _text,
        "balance": _amount,
        "amount": _amount,
        "status": _status,
        "currency": _currency,
        "processed_at": _instant,
        "paid_on": _day,
    }
)
