"""Field types that forms share: text as people may type it, without what would break a line or a table."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, ClassVar, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_LENGTH = 128
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LINE_BREAKS_AND_TABS = frozenset("\n\t")
_UNSEEN = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf"})
"""Categories of characters that leave no mark on paper; what Unicode assigns later may."""

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ZONES_OF_NOWHERE = frozenset({"localtime", "posixrules", "Factory"})
"""Files beside the time zones': what they say is each machine's own, or nothing."""


class Form(BaseModel):
    """Base of what callers send: unknown fields are errors, for a typing error must not go unnoticed.

    Errors do not quote the input, which may be a secret.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _text_that_can_be_stored(cls, values: object) -> object:
        """JSON can say NUL characters and lone surrogates, which neither UTF-8 nor PostgreSQL can hold."""
        error = PydanticCustomError("text", "must not contain NUL characters or lone surrogates")
        found = [InitErrorDetails(type=error, loc=place, input=None) for place in _unstorable(values, ())]
        if found:
            raise ValidationError.from_exception_data(cls.__name__, found, hide_input=True)
        return values

    def given(self, *except_for: str) -> dict[str, object]:
        """The fields that the caller sent, without those named."""
        return {name: getattr(self, name) for name in self.model_fields_set if name not in except_for}


class Nothing(Form):
    """The body of what takes none: it may be left out."""


class ChangeForm(Form):
    """A form of which callers send the fields to change; ``nullable`` names those that null empties."""

    nullable: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="after")
    def _no_null_where_a_value_is_needed(self) -> Self:
        error = PydanticCustomError("null", "must not be null; leave out what is not to change")
        found = [
            InitErrorDetails(type=error, loc=(name,), input=None)
            for name in sorted(self.model_fields_set - self.nullable)
            if getattr(self, name) is None
        ]
        if found:
            raise ValidationError.from_exception_data(type(self).__name__, found, hide_input=True)
        return self


class View(BaseModel):
    """Base of what callers get, read from a row's attributes."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


def _unstorable(value: object, place: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Where text stands that cannot be stored; of a key, where its object stands."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            yield place
    elif isinstance(value, Mapping):
        for name, item in value.items():
            if isinstance(name, str) and _UNSTORABLE.search(name):
                yield place
            else:
                yield from _unstorable(item, (*place, name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _unstorable(item, (*place, index))


def _iso_day(value: object) -> object:
    if isinstance(value, date) or (isinstance(value, str) and _DAY.fullmatch(value)):
        return value
    raise ValueError("must be a date such as 2026-03-31")


def _printable(value: str) -> str:
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in value):
        raise ValueError("must not contain line breaks or control characters")
    return value


def readable(value: str) -> str:
    """Text with line breaks that somebody can read: no control characters, not only what nobody sees."""
    for place, character in enumerate(value):
        if unicodedata.category(character) == "Cc" and character not in _LINE_BREAKS_AND_TABS:
            raise ValueError(
                "must not contain control characters other than line breaks and tabs;"
                f" character {place + 1} is one"
            )
    return visible(value)


def visible(value: str) -> str:
    """Text of which something can be seen, or none at all."""
    if value and not any(unicodedata.category(character) not in _UNSEEN for character in value):
        raise ValueError("must contain something that can be read, not only invisible characters")
    return value


def _time_zone(value: str) -> str:
    if value in _ZONES_OF_NOWHERE or not _is_zone(value):
        raise ValueError("must be an IANA time zone such as America/New_York")
    return value


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _password(value: SecretStr) -> SecretStr:
    if not MIN_PASSWORD_LENGTH <= len(value.get_secret_value()) <= MAX_PASSWORD_LENGTH:
        raise ValueError(f"must have {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters")
    return value


Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_printable),
]
"""One line of text, 1 to 200 characters."""

Slug = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", min_length=2, max_length=40)
]
"""A short name for URLs and folders: lower-case letters, digits and single hyphens."""

Username = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, pattern=r"(?i)^[a-z0-9][a-z0-9._@+-]{1,99}$"),
]
"""A login name, the same in upper and lower case."""

Email = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        max_length=254,
        pattern=r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+\.[^@\s\x00-\x1f\x7f]{2,}$",
    ),
]
Day = Annotated[date, BeforeValidator(_iso_day)]
"""A day as YYYY-MM-DD; numbers, which would be seconds since 1970, and instants are refused."""

TimeZone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_time_zone)]
NewPassword = Annotated[SecretStr, AfterValidator(_password)]
"""A password to be set: 8 to 128 characters (NIST SP 800-63B, 5.1.1.2), never shown again."""
