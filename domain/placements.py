"""What makes a row of a portfolio file a placement.

These are the rules in their readable form; they explain every refused row. Good rows by the
million are judged by the vectorised form in ``activities/portfolio_judge.py``, which is built
from the constants of this module and proven to judge alike.

What decides money, identity or score refuses the row when it is wrong. A telephone number or
email address that cannot be used is left out with a warning instead: the debt is still owed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any

import phonenumbers
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo
from pydantic_core import PydanticCustomError

from domain.csv_text import restore_formula
from domain.import_profiles import CODE_LIMIT, TEXT_LIMITS, ImportProfile
from domain.money import CENT, MAX_AMOUNT, Money, PositiveMoney

WHITESPACE = (
    " \t\n\r\x0b\x0c\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""What is trimmed from both ends of a cell."""

BREAKS_PATTERN = r"[\t\n\r]+"
"""Line breaks and tabs inside a cell; each run becomes one space."""

CONTROL_PATTERN = "[\x00-\x1f\x7f-\x9f]"
AMOUNT_PATTERN = r"0{0,20}[0-9]{1,9}(\.[0-9]{1,2})?"
COUNT_PATTERN = r"0{0,20}[0-9]{1,4}"
SSN_PATTERN = r"[0-9]{4}"
EMAIL_LIMIT = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
EMAIL_PATTERN = rf'[^@{WHITESPACE},;:<>()"]+@([^@{WHITESPACE},;:<>()".]+\.)+[^@{WHITESPACE},;:<>()".]{{2,}}'
E164_PATTERN = r"\+(1[2-9][0-9]{9}|[2-9][0-9]{7,13})"
PHONE_FILLERS_PATTERN = "[ \xa0()./-]"
NANP_PATTERN = r"1?[2-9][0-9]{9}"
NANP_REGIONS = frozenset(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1])

DATE_PATTERNS = MappingProxyType(
    {
        "%Y-%m-%d": r"(?P<y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})",
        "%Y%m%d": r"(?P<y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})",
        "%m/%d/%Y": r"(?P<m>[0-9]{1,2})/(?P<d>[0-9]{1,2})/(?P<y>[0-9]{4})",
        "%m-%d-%Y": r"(?P<m>[0-9]{1,2})-(?P<d>[0-9]{1,2})-(?P<y>[0-9]{4})",
        "%d/%m/%Y": r"(?P<d>[0-9]{1,2})/(?P<m>[0-9]{1,2})/(?P<y>[0-9]{4})",
        "%d.%m.%Y": r"(?P<d>[0-9]{1,2})\.(?P<m>[0-9]{1,2})\.(?P<y>[0-9]{4})",
    }
)
FIRST_DATE, LAST_DATE = date(1900, 1, 1), date(2100, 12, 31)

_EXAMPLE_DATE = date(2025, 11, 30)
_SHOWN_CHARS = 100
_SECRET = "debtor_ssn_last4"  # noqa: S105 (the name of a field)


class RecordType(StrEnum):
    """What a row is, beside a placement: an account that the creditor takes back, or is given back."""

    RECALL = "recall"
    PUTBACK = "putback"


PLACEMENT_TYPE = "placement"
"""What the record type of a placement may say; it may also be empty."""


def type_pattern(name: str) -> str:
    """A record type in any case; spelled out, so that every judge takes the same letters for alike."""
    return "".join(f"[{letter.upper()}{letter}]" for letter in name)


_BREAKS, _CONTROL, _AMOUNT = map(re.compile, (BREAKS_PATTERN, CONTROL_PATTERN, AMOUNT_PATTERN))
_COUNT, _SSN, _EMAIL = map(re.compile, (COUNT_PATTERN, SSN_PATTERN, EMAIL_PATTERN))
_E164, _FILLERS, _NANP = map(re.compile, (E164_PATTERN, PHONE_FILLERS_PATTERN, NANP_PATTERN))
_TYPES = {re.compile(type_pattern(kind)): kind for kind in RecordType}
_PLACEMENT = re.compile(f"(?:{type_pattern(PLACEMENT_TYPE)})?")
_DATES = {name: re.compile(pattern) for name, pattern in DATE_PATTERNS.items()}


class Severity(StrEnum):
    """An error refuses the row; a warning leaves out or questions one value of it."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class RowProblem:
    """What is wrong with one cell of a file, for a person.

    ``line`` is the record's first physical line (the header is line 1). ``column`` is the name in
    the file, empty where the whole record is meant. ``value`` is at most about 100 characters, its
    control characters escaped and social security digits hidden. ``error`` says what is expected.
    """

    line: int
    column: str
    value: str
    error: str
    severity: Severity = Severity.ERROR


def shown(field: str, value: str) -> str:
    """``value`` as it may be stored in a problem and shown to a person."""
    if field == _SECRET:
        return re.sub(r"\w", "•", value[:10])
    cut = value if len(value) <= _SHOWN_CHARS else f"{value[:_SHOWN_CHARS]}…"
    return cut if cut.isprintable() else _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", cut)


def clean_cell(text: str) -> str:
    """A cell as it is judged: formula mark removed, trimmed, breaks inside turned into spaces."""
    text = restore_formula(text).strip(WHITESPACE)
    return text if text.isprintable() else _BREAKS.sub(" ", text)


def normalise_phone(text: str, region: str) -> str | None:
    """A clean cell in E.164, or ``None`` when it is not a telephone number.

    Numbers in international form or of the North American plan are taken by shape; any other is
    read by ``phonenumbers`` as dialled in ``region``. An extension is dropped.
    """
    compact = _FILLERS.sub("", text)
    if _E164.fullmatch(compact):
        return compact
    if region in NANP_REGIONS and _NANP.fullmatch(compact):
        return f"+1{compact[-10:]}"
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _refuse(reason: str) -> PydanticCustomError:
    return PydanticCustomError("placement", "{reason}", {"reason": reason})


def _cell(value: str) -> str:
    text = clean_cell(value)
    if not text.isprintable() and (found := _CONTROL.search(text)):
        raise _refuse(f"contains the control character \\x{ord(found[0]):02x}; remove it")
    return text


def _text(limit: int, *, required: bool = False) -> BeforeValidator:
    def check(value: object) -> object:
        if not isinstance(value, str):
            return value
        text = _cell(value)
        if required and not text:
            raise _refuse("is empty; every row needs it")
        if len(text) > limit:
            raise _refuse(f"has {len(text):,} characters; at most {limit} are allowed")
        return text or None

    return BeforeValidator(check)


def _code(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = _cell(value)
    if len(text) > CODE_LIMIT:
        raise _refuse(f"has {len(text):,} characters; at most {CODE_LIMIT} are allowed")
    return (text.upper() if text.isascii() else text) or None


_NOT_A_NUMBER = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_SCIENTIFIC = re.compile(r"[+-]?[0-9.]+e[+-]?[0-9]+", re.IGNORECASE)
_CURRENCY = re.compile(r"[$€£¥]|\b(usd|eur|gbp|cad|mxn)\b", re.IGNORECASE)


def _amount_reason(text: str) -> str:
    """Why ``text`` is not an amount; the first that applies."""
    reasons = (
        (_NOT_A_NUMBER.fullmatch(text), "is not a number; write digits such as 1250.00"),
        (_SCIENTIFIC.fullmatch(text), "is in scientific notation; write all digits, such as 1250.00"),
        ("," in text, "has a comma; write 1234.50 without thousands separators, with a decimal point"),
        (_CURRENCY.search(text), "names a currency; write the digits only, such as 1250.00"),
        (re.fullmatch(r"[0-9]+\.[0-9]{3,}", text), "has more than two decimals; give whole cents"),
        (re.fullmatch(r"[0-9]+(\.[0-9]{1,2})?", text), f"has too many digits; the limit is {MAX_AMOUNT:,}"),
    )
    plain = "is not a plain amount; write digits with at most two decimals, such as 1250.00"
    return next((reason for applies, reason in reasons if applies), plain)


def parse_plain_amount(text: str) -> Decimal:
    """An unsigned clean cell as an exact amount with two decimals.

    Raises ``ValueError`` with a reason for people when it is not one, or above ``MAX_AMOUNT``.
    """
    if not _AMOUNT.fullmatch(text):
        raise ValueError(_amount_reason(text))
    return Decimal(text).quantize(CENT)


def _original_amount(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = _cell(value)
    if not text:
        raise _refuse("is empty; every row needs it")
    if text.startswith("-") and _AMOUNT.fullmatch(text[1:]):
        raise _refuse("is negative; a placed debt is above zero")
    try:
        amount = parse_plain_amount(text)
    except ValueError as error:
        raise _refuse(str(error)) from None
    if not amount:
        raise _refuse("is zero; a placed debt is above zero")
    return amount


def _income(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = _cell(value)
    if not text:
        return None
    try:
        amount = parse_plain_amount(text.removeprefix("-"))
    except ValueError as error:
        raise _refuse(str(error)) from None
    return amount if not text.startswith("-") or not amount else -amount


def _count(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = _cell(value)
    if text and not _COUNT.fullmatch(text):
        raise _refuse("is not a count; write a whole number from 0 to 9999")
    return int(text) if text else None


def _date(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    text = _cell(value)
    if not text:
        return None
    date_format = _reading(info).profile.date_format
    found = _DATES[date_format].fullmatch(text)
    if not found:
        example = _EXAMPLE_DATE.strftime(date_format)
        raise _refuse(f"is not a date in the form {example}")
    try:
        day = date(int(found["y"]), int(found["m"]), int(found["d"]))
    except ValueError:
        raise _refuse("is not a day of the calendar; check month and day") from None
    if not FIRST_DATE <= day <= LAST_DATE:
        raise _refuse(f"lies outside {FIRST_DATE.year} to {LAST_DATE.year}; check the year")
    return day


def _ssn(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = _cell(value)
    if text and not _SSN.fullmatch(text):
        raise _refuse("is not 4 digits; give the last four with their leading zeros (spreadsheets drop them)")
    return text or None


def _withdrawal(text: str) -> RecordType | None:
    return next((kind for pattern, kind in _TYPES.items() if pattern.fullmatch(text)), None)


def _placement_type(value: object) -> object:
    if isinstance(value, str) and not _PLACEMENT.fullmatch(_cell(value)):
        types = ", ".join((PLACEMENT_TYPE, *RecordType))
        raise _refuse(f"is none of {types}; leave it empty for a placement")
    return None


def _withdrawal_type(value: object) -> object:
    return _withdrawal(clean_cell(value)) if isinstance(value, str) else value


PHONE_WARNING = "is not a telephone number and was left out; write it like +12145551234"
EMAIL_WARNING = "is not an email address and was left out; write it like name@example.com"


def _email(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    text = _cell(value)
    if not text:
        return None
    if len(text) <= EMAIL_LIMIT and _EMAIL.fullmatch(text):
        return text
    _reading(info).warnings.append(("debtor_email", EMAIL_WARNING))
    return None


def _phone(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    text = _cell(value)
    if not text:
        return None
    reading = _reading(info)
    phone = normalise_phone(text, reading.profile.phone_region)
    if phone is None:
        reading.warnings.append(("debtor_phone", PHONE_WARNING))
    return phone


@dataclass(slots=True)
class _Reading:
    """What the validators need beside the cell, and the warnings they leave."""

    profile: ImportProfile
    warnings: list[tuple[str, str]]


def _reading(info: ValidationInfo) -> _Reading:
    return info.context if isinstance(info.context, _Reading) else _Reading(ImportProfile(), [])


def _free(field: str) -> BeforeValidator:
    return _text(TEXT_LIMITS[field])


class PlacementRow(BaseModel):
    """One valid row of a portfolio file, normalised: trimmed, empty cells ``None``, exact amounts.

    Amounts are in the account's currency. Built from cells by ``judge_row``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    external_ref: Annotated[str, _text(TEXT_LIMITS["external_ref"], required=True)]
    debtor_name: Annotated[str, _text(TEXT_LIMITS["debtor_name"], required=True)]
    original_amount: Annotated[PositiveMoney, BeforeValidator(_original_amount)]
    debtor_ref: Annotated[str | None, _free("debtor_ref")] = None
    debtor_ssn_last4: Annotated[str | None, BeforeValidator(_ssn)] = None
    debtor_email: Annotated[str | None, BeforeValidator(_email)] = None
    debtor_phone: Annotated[str | None, BeforeValidator(_phone)] = None
    due_date: Annotated[date | None, BeforeValidator(_date)] = None
    creditor_name: Annotated[str | None, _free("creditor_name")] = None
    account_type: Annotated[str | None, _free("account_type")] = None
    address_line1: Annotated[str | None, _free("address_line1")] = None
    address_line2: Annotated[str | None, _free("address_line2")] = None
    city: Annotated[str | None, _free("city")] = None
    state: Annotated[str | None, _free("state")] = None
    postal_code: Annotated[str | None, _free("postal_code")] = None
    country: Annotated[str | None, _free("country")] = None
    monthly_income: Annotated[Money | None, BeforeValidator(_income)] = None
    late_payments_count: Annotated[int | None, BeforeValidator(_count)] = None
    employment_status: Annotated[str | None, BeforeValidator(_code)] = None
    contract_type: Annotated[str | None, BeforeValidator(_code)] = None
    industry_sector: Annotated[str | None, BeforeValidator(_code)] = None
    family_situation: Annotated[str | None, BeforeValidator(_code)] = None
    charge_off_date: Annotated[date | None, BeforeValidator(_date)] = None
    last_payment_date: Annotated[date | None, BeforeValidator(_date)] = None
    itemization_date: Annotated[date | None, BeforeValidator(_date)] = None
    record_type: Annotated[None, BeforeValidator(_placement_type)] = None


class WithdrawalRow(BaseModel):
    """One row that takes an account back. What else it says is not read, so it cannot be wrong.

    Its fields are ``WITHDRAWAL_FIELDS``.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    external_ref: Annotated[str, _text(TEXT_LIMITS["external_ref"], required=True)]
    creditor_name: Annotated[str | None, _free("creditor_name")] = None
    record_type: Annotated[RecordType, BeforeValidator(_withdrawal_type)]


def judge_row(
    cells: Mapping[str, str], profile: ImportProfile, *, line: int, columns: Mapping[str, str] | None = None
) -> tuple[PlacementRow | WithdrawalRow | None, Sequence[RowProblem]]:
    """One record, judged: what it is (``None`` when refused) and what a person should know.

    ``cells`` are the raw cells by field; absent fields are missing columns. ``columns`` gives the
    file's name of a field where it differs. Of a refused row all errors are given, no warnings.
    """
    names = columns or {}
    reading = _Reading(profile, [])

    def problem(field: str, reason: str, severity: Severity) -> RowProblem:
        name = names.get(field, field)
        return RowProblem(line, name, shown(field, cells.get(field, "")), f"{name} {reason}", severity)

    try:
        kind = WithdrawalRow if _withdrawal(clean_cell(cells.get("record_type", ""))) else PlacementRow
        row = kind.model_validate(dict(cells), context=reading)
    except ValidationError as failure:
        errors = failure.errors(include_url=False)
        return None, [problem(*_located(error), Severity.ERROR) for error in errors]
    if row.creditor_name is None and profile.default_creditor is not None:
        row = row.model_copy(update={"creditor_name": profile.default_creditor})
    return row, [problem(field, reason, Severity.WARNING) for field, reason in reading.warnings]


def _located(error: Any) -> tuple[str, str]:
    if error["type"] == "missing":
        return str(error["loc"][0]), "is missing; every row needs it"
    return str(error["loc"][0]), str(error["msg"])
