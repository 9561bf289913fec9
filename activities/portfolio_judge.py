"""The rules of ``domain/placements.py`` over whole columns: what judges good rows by the million.

Every expression is built from the constants of that module. Rows that fail are handed back
unjudged in detail; the domain explains them one by one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_
from types import MappingProxyType

import polars as pl

from domain.csv_text import NEUTRALISED_PATTERN
from domain.import_profiles import (
    AMOUNT_FIELDS,
    CODE_FIELDS,
    CODE_LIMIT,
    DATE_FIELDS,
    REQUIRED_FIELDS,
    TEXT_LIMITS,
    WITHDRAWAL_FIELDS,
    ImportProfile,
)
from domain.money import CENT, MAX_AMOUNT
from domain.placements import (
    AMOUNT_PATTERN,
    BREAKS_PATTERN,
    CONTROL_PATTERN,
    COUNT_PATTERN,
    DATE_PATTERNS,
    E164_PATTERN,
    EMAIL_LIMIT,
    EMAIL_PATTERN,
    EMAIL_WARNING,
    FIRST_DATE,
    LAST_DATE,
    NANP_PATTERN,
    NANP_REGIONS,
    PHONE_FILLERS_PATTERN,
    PHONE_WARNING,
    PLACEMENT_TYPE,
    SSN_PATTERN,
    WHITESPACE,
    PlacementRow,
    RecordType,
    RowProblem,
    Severity,
    normalise_phone,
    shown,
    type_pattern,
)

AMOUNT_TYPE = pl.Decimal(14, 2)


def _type_of(field: str) -> pl.DataType:
    if field in AMOUNT_FIELDS:
        return AMOUNT_TYPE
    if field in DATE_FIELDS:
        return pl.Date()
    return pl.Int32() if field == "late_payments_count" else pl.String()


PLACEMENT_SCHEMA: Mapping[str, pl.DataType] = MappingProxyType(
    {"line": pl.Int64(), **{field: _type_of(field) for field in PlacementRow.model_fields}}
)
"""Columns and types of good rows: ``line`` and every field of ``PlacementRow``, in its order."""


_Columns = tuple[pl.Expr, pl.Expr | None]  # the typed value, and whether it is right


@dataclass(frozen=True, slots=True)
class Verdict:
    """Judged cells. ``good`` has ``PLACEMENT_SCHEMA``, ``bad`` the raw cells that were given."""

    good: pl.DataFrame
    bad: pl.DataFrame
    warnings: list[RowProblem]


def judge(
    cells: pl.DataFrame,
    profile: ImportProfile,
    *,
    names: Mapping[str, str],
    plain: bool = False,
    marked: bool = True,
) -> Verdict:
    """Judge raw cells: ``line`` and one text column per field that the file has.

    ``names`` are the file's names of the fields, for the warnings. ``plain`` promises printable
    ASCII in every cell; ``marked`` admits that some cell may carry the mark of a neutralised formula.
    """

    def judged(some: pl.DataFrame) -> Verdict:
        return _judge(some, profile, names=names, plain=plain, marked=marked)

    if "record_type" not in cells.columns:
        return judged(cells)
    withdrawn = _withdrawn(cells, plain=plain, marked=marked)
    if not withdrawn.any():
        return judged(cells)
    placed = judged(cells.filter(~withdrawn))
    taken = judged(cells.filter(withdrawn).select("line", *_read_of_withdrawals(cells)))
    lines = pl.concat([placed.bad["line"], taken.bad["line"]])
    return Verdict(
        good=pl.concat([placed.good, taken.good]).sort("line"),
        bad=cells.filter(pl.col("line").is_in(lines.implode())),
        warnings=placed.warnings,
    )


def _read_of_withdrawals(cells: pl.DataFrame) -> list[str]:
    return [field for field in WITHDRAWAL_FIELDS if field in cells.columns]


def _withdrawn(cells: pl.DataFrame, *, plain: bool, marked: bool) -> pl.Series:
    """Which rows take an account back."""
    kinds, _ = _cleaned(cells.select("line", "record_type"), ["record_type"], plain=plain, marked=marked)
    return kinds["record_type"].str.contains(_whole(_WITHDRAWALS))


def _judge(
    cells: pl.DataFrame, profile: ImportProfile, *, names: Mapping[str, str], plain: bool, marked: bool
) -> Verdict:
    fields = [name for name in cells.columns if name != "line"]
    clean, unclean = _cleaned(cells, fields, plain=plain, marked=marked)
    rules = {field: _RULES.get(field, _free_text)(field, profile, plain) for field in fields}
    tests = [test for _, test in rules.values() if test is not None] + unclean
    judged = clean.select(
        "line",
        *(value.alias(field) for field, (value, _) in rules.items()),
        reduce(and_, tests, pl.lit(True)).alias("_good"),
    )
    bad = cells.clear()
    if not judged["_good"].all():
        good = judged["_good"]
        bad, cells, clean = cells.filter(~good), cells.filter(good), clean.filter(good)
        judged = judged.filter("_good")
    judged, warnings = _contacts(judged, clean, cells, profile, names)
    return Verdict(_complete(judged, profile), bad, warnings)


def _cleaned(
    cells: pl.DataFrame, fields: list[str], *, plain: bool, marked: bool
) -> tuple[pl.DataFrame, list[pl.Expr]]:
    """``clean_cell`` over all cells, and the tests that refuse control characters."""
    texts = {field: pl.col(field) for field in fields}
    if marked:
        texts = {field: text.str.replace(NEUTRALISED_PATTERN, "$1") for field, text in texts.items()}
    blanks = " " if plain else WHITESPACE
    trimmed = cells.select(
        "line", *(text.str.strip_chars(blanks).alias(field) for field, text in texts.items())
    )
    if plain:
        return trimmed, []
    found = trimmed.select(pl.col(fields).str.contains(CONTROL_PATTERN).any()).row(0, named=True)
    odd = [field for field in fields if found[field]]
    if not odd:
        return trimmed, []
    return (
        trimmed.with_columns(pl.col(odd).str.replace_all(BREAKS_PATTERN, " ")),
        [~pl.col(field).str.contains(CONTROL_PATTERN) for field in odd],
    )


def _given(text: pl.Expr) -> pl.Expr:
    return text.str.len_bytes() > 0


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"


def _free_text(field: str, _profile: ImportProfile, _plain: bool) -> _Columns:
    text = pl.col(field)
    fits = text.str.len_chars() <= TEXT_LIMITS[field]
    if field in REQUIRED_FIELDS:
        return text, _given(text) & fits
    return pl.when(_given(text)).then(text), fits


def _code(field: str, _profile: ImportProfile, plain: bool) -> _Columns:
    text = pl.col(field)
    upper = text.str.to_uppercase()
    code = upper if plain else pl.when(text.str.contains(r"^[\x00-\x7f]*$")).then(upper).otherwise(text)
    return pl.when(_given(text)).then(code), text.str.len_chars() <= CODE_LIMIT


def _original_amount(field: str, _profile: ImportProfile, _plain: bool) -> _Columns:
    text = pl.col(field)
    amount = text.cast(AMOUNT_TYPE, strict=False)
    return amount, text.str.contains(_whole(AMOUNT_PATTERN)) & amount.is_between(CENT, MAX_AMOUNT)


def _income(field: str, _profile: ImportProfile, _plain: bool) -> _Columns:
    text = pl.col(field)
    return (
        text.cast(AMOUNT_TYPE, strict=False),
        ~_given(text) | text.str.contains(_whole(f"-?{AMOUNT_PATTERN}")),
    )


def _count(field: str, _profile: ImportProfile, _plain: bool) -> _Columns:
    text = pl.col(field)
    return text.cast(pl.Int32, strict=False), ~_given(text) | text.str.contains(_whole(COUNT_PATTERN))


def _date(field: str, profile: ImportProfile, _plain: bool) -> _Columns:
    text = pl.col(field)
    day = text.str.to_date(profile.date_format, strict=False)
    shaped = text.str.contains(_whole(DATE_PATTERNS[profile.date_format]))
    return day, ~_given(text) | (shaped & day.is_between(FIRST_DATE, LAST_DATE).fill_null(value=False))


def _ssn(field: str, _profile: ImportProfile, _plain: bool) -> _Columns:
    text = pl.col(field)
    return pl.when(_given(text)).then(text), ~_given(text) | text.str.contains(_whole(SSN_PATTERN))


def _email(field: str, _profile: ImportProfile, _plain: bool) -> _Columns:
    text = pl.col(field)
    usable = (text.str.len_chars() <= EMAIL_LIMIT) & text.str.contains(_whole(EMAIL_PATTERN))
    return pl.when(usable).then(text), None


def _phone(field: str, _profile: ImportProfile, _plain: bool) -> _Columns:
    """Numbers in international form; what is left null is read by ``_contacts``."""
    text = pl.col(field)
    return pl.when(text.str.contains(_whole(E164_PATTERN))).then(text), None


_WITHDRAWALS = "|".join(map(type_pattern, RecordType))


def _record_type(field: str, _profile: ImportProfile, _plain: bool) -> _Columns:
    text = pl.col(field)
    kind: pl.Expr = pl.lit(None, dtype=pl.String)
    for name in RecordType:
        kind = pl.when(text.str.contains(_whole(type_pattern(name)))).then(pl.lit(name.value)).otherwise(kind)
    known = text.str.contains(_whole(f"{type_pattern(PLACEMENT_TYPE)}|{_WITHDRAWALS}"))
    return kind, ~_given(text) | known


_Rule = Callable[[str, ImportProfile, bool], _Columns]
_RULES: Mapping[str, _Rule] = MappingProxyType(
    {
        **dict.fromkeys(CODE_FIELDS, _code),
        **dict.fromkeys(DATE_FIELDS, _date),
        "original_amount": _original_amount,
        "monthly_income": _income,
        "late_payments_count": _count,
        "debtor_ssn_last4": _ssn,
        "debtor_email": _email,
        "debtor_phone": _phone,
        "record_type": _record_type,
    }
)


def _contacts(
    judged: pl.DataFrame,
    clean: pl.DataFrame,
    cells: pl.DataFrame,
    profile: ImportProfile,
    names: Mapping[str, str],
) -> tuple[pl.DataFrame, list[RowProblem]]:
    """Read the odd telephone numbers; warn of contact data that was given and is left out."""
    warnings: list[RowProblem] = []
    for field, reason in (("debtor_phone", PHONE_WARNING), ("debtor_email", EMAIL_WARNING)):
        if field not in judged.columns:
            continue
        unread = judged[field].is_null() & (clean[field].str.len_bytes() > 0)
        if field == "debtor_phone" and unread.any():
            read = _read_phones(clean[field].filter(unread), profile.phone_region)
            judged = judged.with_columns(judged[field].scatter(unread.arg_true(), read))
            unread &= judged[field].is_null()
        name = names.get(field, field)
        warnings.extend(
            RowProblem(line, name, shown(field, value), f"{name} {reason}", Severity.WARNING)
            for line, value in cells.filter(unread).select("line", field).iter_rows()
        )
    return judged, sorted(warnings, key=lambda warning: warning.line)


def _read_phones(texts: pl.Series, region: str) -> pl.Series:
    """``normalise_phone`` over clean cells; only shapes without a rule are looked at one by one."""
    frame = texts.to_frame("text").select(
        "text", pl.col("text").str.replace_all(PHONE_FILLERS_PATTERN, "").alias("compact")
    )
    compact = pl.col("compact")
    phone: pl.Expr = pl.when(compact.str.contains(_whole(E164_PATTERN))).then(compact)
    if region in NANP_REGIONS:
        national = compact.str.contains(_whole(NANP_PATTERN))
        phone = pl.coalesce(phone, pl.when(national).then(pl.lit("+1") + compact.str.tail(10)))
    frame = frame.with_columns(phone.alias("phone"))
    odd = frame["text"].filter(frame["phone"].is_null()).unique().to_list()
    if not odd:
        return frame["phone"]
    looked_up = frame["text"].replace_strict(
        odd, [normalise_phone(text, region) for text in odd], default=None, return_dtype=pl.String
    )
    return frame.select(pl.coalesce("phone", looked_up.alias("looked_up"))).to_series()


def _complete(judged: pl.DataFrame, profile: ImportProfile) -> pl.DataFrame:
    """The frame with every column of ``PLACEMENT_SCHEMA``: absent ones null, the default creditor set."""
    columns = [
        pl.col(name) if name in judged.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in PLACEMENT_SCHEMA.items()
    ]
    frame = judged.select(columns)
    if profile.default_creditor is not None:
        frame = frame.with_columns(pl.col("creditor_name").fill_null(profile.default_creditor))
    return frame
