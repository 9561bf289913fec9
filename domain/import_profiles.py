"""How one creditor lays out its portfolio files, and the refusal of a whole file."""

from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Literal, Self

import phonenumbers
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from domain.errors import Invalid

DateFormat = Literal["%Y-%m-%d", "%Y%m%d", "%m/%d/%Y", "%m-%d-%Y", "%d/%m/%Y", "%d.%m.%Y"]
Delimiter = Literal[",", ";", "\t", "|"]

REQUIRED_FIELDS = ("external_ref", "debtor_name", "original_amount")
TEXT_LIMITS = MappingProxyType(
    {
        "external_ref": 100,
        "debtor_name": 200,
        "debtor_ref": 100,
        "creditor_name": 200,
        "account_type": 50,
        "address_line1": 200,
        "address_line2": 200,
        "city": 100,
        "state": 50,
        "postal_code": 20,
        "country": 60,
    }
)
"""Free text: the most characters each field may have after trimming."""

CODE_FIELDS = ("employment_status", "contract_type", "industry_sector", "family_situation")
CODE_LIMIT = 50
DATE_FIELDS = ("due_date", "charge_off_date", "last_payment_date", "itemization_date")
AMOUNT_FIELDS = ("original_amount", "monthly_income")
FIELDS = (
    *TEXT_LIMITS,
    *CODE_FIELDS,
    *DATE_FIELDS,
    *AMOUNT_FIELDS,
    "debtor_ssn_last4",
    "debtor_email",
    "debtor_phone",
    "late_payments_count",
    "record_type",
)
"""Every field of a row that a file can carry."""

WITHDRAWAL_FIELDS = ("external_ref", "creditor_name", "record_type")
"""What is read of a row that takes an account back; its other cells are passed over."""


class FileRefused(Invalid):
    """A portfolio file that is refused as a whole; the message names the place and the remedy."""

    type: ClassVar[str] = "portfolio-refused"
    title: ClassVar[str] = "Portfolio file refused"


class Completeness(StrEnum):
    """How a file in the inbox is known to be whole."""

    STABLE = "stable"  # size and time unchanged between two looks
    DONE_FILE = "done_file"  # "<file name>.done" lies beside it


class ControlRecord(BaseModel):
    """The optional last record of a file: marker, number of records, sum of the amounts.

    The count is of all records between header and control record, good or bad. The sum is of every
    ``original_amount`` that can be read as an amount, whatever else is wrong with its row. An empty
    sum is not checked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    marker: str = Field("TRAILER", min_length=1, max_length=50, pattern=r"^[A-Za-z0-9_#*.-]+$")


class ImportProfile(BaseModel):
    """A creditor's file layout. The defaults are the portfolio file of the public contract."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("default", min_length=1, max_length=100)
    delimiter: Delimiter = ","
    columns: dict[str, str] = Field(default={}, description="column of the file → field of the placement")
    date_format: DateFormat = "%Y-%m-%d"
    phone_region: str = Field("US", description="region of telephone numbers without a country code")
    default_creditor: str | None = Field(None, max_length=TEXT_LIMITS["creditor_name"])
    max_bad_share: Decimal = Field(
        Decimal("0.5"), ge=0, le=1, description="refuse the file when a larger share of its records is bad"
    )
    completeness: Completeness = Completeness.STABLE
    control: ControlRecord | None = None
    max_record_bytes: int = Field(
        65_536, ge=256, le=131_000, description="longest record; the csv module ends fields at 131,072"
    )

    @field_validator("columns")
    @classmethod
    def _known_fields(cls, columns: dict[str, str]) -> dict[str, str]:
        unknown = sorted(set(columns.values()) - set(FIELDS))
        if unknown:
            raise ValueError(f"unknown fields {', '.join(unknown)}; known are {', '.join(FIELDS)}")
        if len(set(columns.values())) < len(columns):
            raise ValueError("two columns are mapped to the same field")
        if len({column_key(name) for name in columns}) < len(columns):
            raise ValueError("a column is mapped twice (case and outer blanks do not count)")
        return columns

    @model_validator(mode="after")
    def _known_region(self) -> Self:
        if self.phone_region not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"unknown phone_region {self.phone_region!r}; give two letters such as US")
        return self

    def field_of(self, column: str) -> str | None:
        """The field that a column of a file fills; columns named like a field need no mapping."""
        key = column_key(column)
        mapped = {column_key(name): field for name, field in self.columns.items()}
        if key in mapped:
            return mapped[key]
        return key if key in FIELDS and key not in mapped.values() else None

    def name_of(self, field: str) -> str:
        """What the creditor calls a field: the mapped column, else the field's own name."""
        return next((column for column, mapped in self.columns.items() if mapped == field), field)


def column_key(name: str) -> str:
    """How column names are compared: without outer blanks, upper and lower case alike."""
    return name.strip().lower()
