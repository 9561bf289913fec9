"""Forms of settings: those with sections, and those that show what is there and send what is to change."""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, SecretStr, ValidationError

from services.fields import ChangeForm, Form

FormT = TypeVar("FormT", bound=Form)
ChangeT = TypeVar("ChangeT", bound=ChangeForm)


async def typed(request: Request, form: type[Form]) -> dict[str, Any]:
    """What was typed into the fields of ``form``, blanks too; ``profile.delimiter`` is one of a section."""
    values: dict[str, Any] = {}
    for name, value in (await request.form()).items():
        section, _, within = name.partition(".")
        if section not in form.model_fields or not isinstance(value, str):
            continue
        text = value.replace("\r\n", "\n").strip()
        if within:
            values.setdefault(section, {})[within] = text
        else:
            values[section] = text
    return values


def validated(form: type[FormT], values: Mapping[str, Any]) -> FormT:
    """``values`` as a ``form``. Raises ``RequestValidationError`` as a body of the API does."""
    try:
        return form.model_validate(values)
    except ValidationError as error:
        found = [{**item, "loc": ("body", *item["loc"])} for item in error.errors(include_url=False)]
        raise RequestValidationError(found) from None


def filled_in(values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` without the fields that were left blank."""
    return {name: value for name, value in values.items() if value is not None and value != ""}


def changes(
    form: type[ChangeT],
    present: BaseModel,
    values: Mapping[str, Any],
    *,
    kept: Collection[str] = (),
    numbers: Collection[str] = (),
) -> ChangeT:
    """What ``values`` change of ``present``.

    A field that was emptied is null where the form allows that, else refused; those ``kept`` stay as they are
    when they come empty. ``numbers`` are fields that take nothing but numbers.
    """
    wanted: dict[str, Any] = {}
    for name, value in values.items():
        if value == "" and name in kept:
            continue
        wanted[name] = None if value == "" and name in form.nullable else value
        if name in numbers and isinstance(value, str) and value.isdecimal():
            wanted[name] = int(value)
    read = validated(form, wanted).given()
    return validated(form, {name: wanted[name] for name in read if _differs(present, name, read[name])})


def _differs(present: BaseModel, name: str, value: object) -> bool:
    return isinstance(value, SecretStr) or not hasattr(present, name) or getattr(present, name) != value
