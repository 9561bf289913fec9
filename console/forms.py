"""Forms of pages, read into the same models that the API's bodies are."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, get_args

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from starlette.datastructures import FormData, UploadFile

from api.deps import ServicesDep, checked_key, conceal
from domain.errors import Malformed
from services.commands import CommandKey

KEY_FIELD = "_key"
CSRF_FIELD = "_csrf"
FORM_FIELD = "_form"
OWN_FIELDS = frozenset({KEY_FIELD, CSRF_FIELD, FORM_FIELD})
"""Fields of every form that are the console's, not the command's."""

FormT = TypeVar("FormT", bound=BaseModel)

_TICKS = {"true": True, "false": False, "on": True}
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


def fields(data: FormData) -> dict[str, Any]:
    """What was filled in, blanks left out; a field that came several times is a list."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(data.keys()):
        values = [value for value in data.getlist(name) if isinstance(value, str) and value.strip()]
        if values and name not in OWN_FIELDS:
            found[name] = values if len(values) > 1 else values[0]
    return found


async def filled(request: Request, form: type[FormT], given: Mapping[str, Any] | None = None) -> FormT:
    """The request's form as a ``form``; ``given`` replaces what was typed.

    Raises ``RequestValidationError`` as a body of the API does.
    """
    return checked(form, {**fields(await request.form()), **(given or {})})


def checked(form: type[FormT], values: Mapping[str, Any]) -> FormT:
    """Text by field as a ``form``. Raises ``RequestValidationError`` as a body of the API does."""
    said = {name: _said(value, form.model_fields.get(name)) for name, value in values.items()}
    try:
        return form.model_validate(said)
    except ValidationError as error:
        found = [{**item, "loc": ("body", *item["loc"])} for item in error.errors(include_url=False)]
        raise RequestValidationError(found) from None


def _said(value: Any, field: FieldInfo | None) -> Any:
    """Numbers and ticks as JSON says them: fields that take nothing else refuse them as text."""
    if field is None or not isinstance(value, str):
        return value
    if value in _TICKS and _may_be(bool, field.annotation):
        return _TICKS[value]
    return int(value) if _WHOLE.fullmatch(value.strip()) and _may_be(int, field.annotation) else value


def _may_be(kind: type, annotation: Any) -> bool:
    """Whether a type is ``kind``, whatever is allowed or demanded besides."""
    return annotation is kind or any(_may_be(kind, part) for part in get_args(annotation))


async def command_of_form(request: Request, services: ServicesDep) -> CommandKey:
    """What identifies a form's command: each form that is rendered has a key of its own, so that sent twice
    it is carried out once."""
    data = await request.form()
    key = data.get(KEY_FIELD)
    if not isinstance(key, str) or not key:
        raise Malformed("this form was not made by this page; load the page again")
    operation = f"console {request.method} {request.scope['route'].path_format}"
    texts = {name: value for name, value in data.items() if not isinstance(value, UploadFile)}
    body = conceal(
        {name: value for name, value in texts.items() if name not in OWN_FIELDS}, services.fingerprint_key
    )
    return CommandKey(
        operation, checked_key(key, KEY_FIELD), {"path": dict(request.path_params), "body": body}
    )


FormCommand = Annotated[CommandKey, Depends(command_of_form)]
