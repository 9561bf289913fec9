"""Forms of settings: those with sections, and those that show what is there and send what is to change."""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, SecretStr

from console.forms import checked
from domain.errors import Malformed
from services.fields import ChangeForm, Form

ChangeT = TypeVar("ChangeT", bound=ChangeForm)


async def typed(request: Request, form: type[Form]) -> dict[str, Any]:
    """What was typed into the fields of ``form``, blanks too; ``profile.delimiter`` is one of a section.

    ``Malformed`` for a section that came as a field.
    """
    values: dict[str, Any] = {}
    for name, value in (await request.form()).items():
        section, _, within = name.partition(".")
        if section not in form.model_fields or not isinstance(value, str):
            continue
        text = value.replace("\r\n", "\n") if value.strip() else ""
        if not within:
            values[section] = text
        elif isinstance(of_section := values.setdefault(section, {}), dict):
            of_section[within] = text
        else:
            raise Malformed(f"{section} came both as a field and as a section of fields", field=section)
    return values


def filled_in(values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` without the fields that were left blank."""
    return {name: value for name, value in values.items() if value is not None and value != ""}


def changes(
    form: type[ChangeT],
    present: BaseModel,
    values: Mapping[str, Any],
    *,
    kept: Collection[str] = (),
) -> ChangeT:
    """What ``values`` change of ``present``.

    A field that was emptied is null where the form allows that, else refused; those ``kept`` stay as they are
    when they come empty. Raises ``RequestValidationError`` as a body of the API does.
    """
    wanted: dict[str, Any] = {}
    for name, value in values.items():
        if value == "" and name in kept:
            continue
        wanted[name] = None if value == "" and name in form.nullable else value
    read = checked(form, wanted).given()
    return checked(form, {name: wanted[name] for name in read if _differs(present, name, read[name])})


def _differs(present: BaseModel, name: str, value: object) -> bool:
    return isinstance(value, SecretStr) or not hasattr(present, name) or getattr(present, name) != value
