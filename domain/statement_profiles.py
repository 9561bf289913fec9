"""How one partner lays out its statements."""

from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from domain.import_profiles import DateFormat, Delimiter, column_key
from domain.statement_lines import PARTNER_STATUSES

Kind = Literal["accounts", "payments"]
Encoding = Literal["utf-8", "utf-16", "windows-1252", "iso-8859-1"]
NegativeForm = Literal["minus", "trailing_minus", "parentheses", "cr"]

TEXT_LIMIT = 200
"""The most characters of a reference or a name."""

FIELDS = MappingProxyType(
    {
        "accounts": ("account_ref", "debtor_ref", "balance", "status", "currency", "processed_at"),
        "payments": ("payment_ref", "account_ref", "amount", "paid_on", "payer", "currency"),
    }
)
"""What a line of each kind can say."""

REQUIRED = MappingProxyType(
    {
        "accounts": (("account_ref", "debtor_ref"), ("balance",), ("status",)),
        "payments": (("amount",), ("paid_on",)),
    }
)
"""The columns that a file must have: of each group at least one."""

_ALIASES = MappingProxyType({"debtor_id": "debtor_ref"})
_STATUS_WORDS = 50


class Trailer(BaseModel):
    """The optional last record of a statement: a marker and the number of lines before it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    marker: str = Field("TRAILER", min_length=1, max_length=50, pattern=r"^[A-Za-z0-9_#*.-]+$")


class StatementProfile(BaseModel):
    """A partner's statement layout. The defaults are the plain layout of ``docs/partner-statements.md``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "accounts"
    delimiter: Delimiter = ","
    encoding: Encoding = "utf-8"
    columns: dict[str, str] = Field(default={}, description="column of the file → field of the line")
    date_format: DateFormat = Field(
        "%Y-%m-%d", description="of paid_on, and of the day that processed_at begins with"
    )
    time_zone: str = Field("UTC", description="of times that do not say theirs, such as America/New_York")
    decimal_mark: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = Field("", description="between groups of three digits")
    negative: NegativeForm = Field(
        "minus", description="how amounts below zero are written: -5, 5-, (5) or 5CR; -5 is read always"
    )
    reversed_signs: bool = Field(False, description="the partner writes what is owed as below zero")
    currency: str | None = Field(None, pattern=r"^[A-Z]{3}$", description="of lines that do not say theirs")
    statuses: dict[str, str] = Field(
        default={}, description=f"the partner's word → {', '.join(PARTNER_STATUSES)}"
    )
    trailer: Trailer | None = None
    max_problem_share: Decimal = Field(
        Decimal("0.5"), ge=0, le=1, description="refuse a file of which more cannot be read, if 1,000 or more"
    )
    max_record_bytes: int = Field(
        65_536, ge=256, le=131_000, description="longest record; the csv module ends fields at 131,072"
    )

    @property
    def control(self) -> Trailer | None:
        """The trailer, by the name that the reader of records asks for."""
        return self.trailer

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a line of this kind."""
        return FIELDS[self.kind]

    @field_validator("columns", mode="after")
    @classmethod
    def _each_once(cls, columns: dict[str, str]) -> dict[str, str]:
        named = {column: _ALIASES.get(field, field) for column, field in columns.items()}
        if len(set(named.values())) < len(named):
            raise ValueError("two columns are mapped to the same field")
        if len({column_key(name) for name in named}) < len(named):
            raise ValueError("a column is mapped twice (case and outer blanks do not count)")
        return named

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"unknown time zone {name!r}; give a name such as America/New_York") from None
        return name

    @field_validator("statuses")
    @classmethod
    def _known_statuses(cls, statuses: dict[str, str]) -> dict[str, str]:
        unknown = sorted(set(statuses.values()) - set(PARTNER_STATUSES))
        if unknown:
            raise ValueError(
                f"unknown statuses {', '.join(unknown)}; known are {', '.join(PARTNER_STATUSES)}"
            )
        if len(statuses) > _STATUS_WORDS:
            raise ValueError(f"{len(statuses)} words are mapped; at most {_STATUS_WORDS} are allowed")
        if len({status_key(word) for word in statuses}) < len(statuses):
            raise ValueError("a word is mapped twice (case and outer blanks do not count)")
        return statuses

    @model_validator(mode="after")
    def _consistent(self) -> "StatementProfile":
        unknown = sorted(set(self.columns.values()) - set(self.fields))
        if unknown:
            raise ValueError(
                f"a statement of {self.kind} has no fields {', '.join(unknown)}; known are"
                f" {', '.join(self.fields)}"
            )
        if self.thousands == self.decimal_mark:
            raise ValueError("the decimal mark and the mark between thousands are the same")
        return self

    def field_of(self, column: str) -> str | None:
        """The field that a column of a file fills; columns named like a field need no mapping."""
        key = column_key(column)
        mapped = {column_key(name): field for name, field in self.columns.items()}
        if key in mapped:
            return mapped[key]
        own = _ALIASES.get(key, key)
        return own if own in self.fields and own not in mapped.values() else None

    def name_of(self, field: str) -> str:
        """What the partner calls a field: the mapped column, else the field's own name."""
        return next((column for column, mapped in self.columns.items() if mapped == field), field)

    def status_words(self) -> dict[str, str]:
        """Every word that is understood, as ``status_key`` has it, and what it means."""
        own = {status_key(word): meaning for word, meaning in self.statuses.items()}
        return {status_key(name): name for name in PARTNER_STATUSES} | own


def status_key(word: str) -> str:
    """How words for a status are compared: without outer blanks, upper and lower case alike."""
    return word.strip().upper()


def profile_of(partner_kind: str, values: dict[str, Any]) -> StatementProfile:
    """The profile of a partner of kind ``agency`` or ``bank``: a bank states payments unless told otherwise.

    Raises ``pydantic.ValidationError``.
    """
    kind = "payments" if partner_kind == "bank" else "accounts"
    return StatementProfile.model_validate({"kind": kind, **values})
