"""Invented portfolio rows as PostgreSQL takes them: debtors and accounts with ids, as blocks for COPY."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING
from uuid import UUID

import polars as pl

from db.cipher import ColumnCipher, place
from db.staging import SSN_COLUMN

if TYPE_CHECKING:
    from collections.abc import Sequence

IDS_IN_A_MS = 4096
"""A UUID of version 7 has 12 bits beside its millisecond: used as a counter, so that ids are in order."""

_DEBTOR_FACTS = MappingProxyType(
    {
        "debtor_ref": "debtor_ref",
        "debtor_name": "full_name",
        "debtor_email": "email",
        "debtor_phone": "phone",
        **{
            name: name
            for name in (
                *("address_line1", "address_line2", "city", "state", "postal_code", "country"),
                *("monthly_income", "late_payments_count", "employment_status", "contract_type"),
                *("industry_sector", "family_situation"),
            )
        },
    }
)
_ACCOUNT_FACTS = (
    *("external_ref", "original_amount", "account_type", "due_date", "charge_off_date"),
    *("last_payment_date", "itemization_date"),
)

DEBTOR_COLUMNS = ("id", "agency_id", "natural_key", "ssn_last4_encrypted", *_DEBTOR_FACTS.values())
ACCOUNT_COLUMNS = (
    *("id", "agency_id", "creditor_id", "debtor_id", "currency", "balance"),
    *_ACCOUNT_FACTS,
)


@dataclass(frozen=True, slots=True)
class KnownCreditor:
    """A creditor as the database knows it: ``number`` is part of the natural key of a debtor without one."""

    id: UUID
    number: int


@dataclass(frozen=True, slots=True)
class Span:
    """``rows`` accounts, whose ids ascend from the first to the last."""

    rows: int
    first_id: UUID
    last_id: UUID


@dataclass(frozen=True, slots=True)
class Block:
    """The accounts of a span and their debtors: CSV without a header."""

    span: Span
    debtors: bytes
    accounts: bytes


class RowMaker:
    """Makes blocks of one agency out of the frames of a portfolio file, one after the other.

    ``from_ms`` is the time in the first id, in milliseconds since 1970; the others follow.
    """

    def __init__(
        self,
        agency_id: UUID,
        creditors: Mapping[str, KnownCreditor],
        cipher: ColumnCipher,
        *,
        currency: str,
        from_ms: int,
    ) -> None:
        self._agency_id = agency_id
        self._creditors = creditors
        self._cipher = cipher
        self._currency = currency
        self._from_ms = from_ms
        self._made = 0

    def block(self, frame: pl.DataFrame) -> Block:
        """The next rows, as an import of them would make them."""
        ids = self._ids(frame.height)
        known = self._creditors
        reference = pl.col("debtor_ref")
        # Only rows with a reference share a debtor, and those stand together.
        first = reference.is_null() | reference.ne_missing(reference.shift(1))
        rows = frame.with_columns(
            id=pl.Series(ids),
            agency_id=pl.lit(str(self._agency_id)),
            creditor_id=_looked_up("creditor_name", {name: str(one.id) for name, one in known.items()}),
            creditor_number=_looked_up(
                "creditor_name", {name: str(one.number) for name, one in known.items()}
            ),
            debtor_id=pl.when(first).then(pl.Series(self._ids(frame.height))).forward_fill(),
            balance=pl.col("original_amount"),
            currency=pl.lit(self._currency),
            is_first=first,
        )
        self._made += frame.height
        return Block(
            Span(frame.height, UUID(ids[0]), UUID(ids[-1])),
            self._debtors(rows.filter("is_first")),
            rows.select(ACCOUNT_COLUMNS).write_csv(include_header=False).encode(),
        )

    def _debtors(self, rows: pl.DataFrame) -> bytes:
        blobs = self._cipher.encrypt_many(
            rows["debtor_ssn_last4"].to_list(), place(SSN_COLUMN, self._agency_id)
        )
        own = pl.format("acct:{}:{}", "creditor_number", "external_ref")
        debtors = rows.select(
            "agency_id",
            id=pl.col("debtor_id"),
            natural_key=pl.coalesce(pl.format("ref:{}", "debtor_ref"), own),
            ssn_last4_encrypted=pl.Series(
                [None if blob is None else "\\x" + blob.hex() for blob in blobs], dtype=pl.String
            ),
            **{column: pl.col(name) for name, column in _DEBTOR_FACTS.items()},
        )
        return debtors.select(DEBTOR_COLUMNS).write_csv(include_header=False).encode()

    def _ids(self, count: int) -> "Sequence[str]":
        """Identifiers of version 7 in ascending order; no two are alike, for 60 of their bits are random."""
        noise = os.urandom(8 * count).hex()
        places = range(self._made, self._made + count)
        return [
            f"{self._from_ms + place // IDS_IN_A_MS:012x}7{place % IDS_IN_A_MS:03x}8{noise[at + 1 : at + 16]}"
            for place, at in zip(places, range(0, 16 * count, 16), strict=True)
        ]


def _looked_up(column: str, values: Mapping[str, str]) -> pl.Expr:
    return pl.col(column).replace_strict(values, return_dtype=pl.String)
