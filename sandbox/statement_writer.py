"""Statements as a partner would write them: the lines of a frame in the layout of its profile."""

import gzip
import io
from decimal import Decimal

import polars as pl

from domain.statement_profiles import StatementProfile

_AMOUNTS = frozenset({"balance", "amount"})


def encode(lines: pl.DataFrame, profile: StatementProfile, *, packed: bool = False) -> bytes:
    """The bytes of a statement file; the reader of statements reads the same lines again.

    ``lines`` has columns named as the profile's fields: amounts as decimals, ``processed_at`` as UTC
    datetimes, ``paid_on`` as dates.
    """
    written = lines.select(
        _written(name, lines, profile).alias(profile.name_of(name)) for name in lines.columns
    )
    text = written.write_csv(separator=profile.delimiter, quote_style="necessary")
    if profile.trailer is not None:
        text += f"{profile.trailer.marker}{profile.delimiter}{len(lines)}\n"
    data = text.encode(profile.encoding)
    return _packed(data) if packed else data


def _packed(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=6, mtime=0) as packer:
        packer.write(data)
    return buffer.getvalue()


def _written(name: str, lines: pl.DataFrame, profile: StatementProfile) -> pl.Expr:
    column = pl.col(name)
    if name in _AMOUNTS:
        return _amounts(column, profile)
    if name == "processed_at":
        return column.dt.strftime(f"{profile.date_format}T%H:%M:%S%.6fZ")
    if name == "paid_on":
        return column.dt.strftime(profile.date_format)
    if name == "status":
        words = {meaning: word for word, meaning in profile.statuses.items()}
        return column.replace(words) if words else column
    return column


def _amounts(column: pl.Expr, profile: StatementProfile) -> pl.Expr:
    if profile.reversed_signs:
        column = -column
    plain = (profile.decimal_mark, profile.thousands, profile.negative) == (".", "", "minus")
    if plain:
        return column.cast(pl.String)
    return column.map_elements(lambda amount: written_amount(amount, profile), return_dtype=pl.String)


def written_amount(amount: Decimal, profile: StatementProfile) -> str:
    """``amount`` as the profile writes it."""
    digits = f"{abs(amount):,.2f}".replace(",", "\0").replace(".", profile.decimal_mark)
    digits = digits.replace("\0", profile.thousands)
    if amount >= 0:
        return digits
    forms = {"minus": f"-{digits}", "trailing_minus": f"{digits}-", "parentheses": f"({digits})"}
    return forms.get(profile.negative, f"{digits}CR")
