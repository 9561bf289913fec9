"""Forms of pages, read into the same models that the API's bodies are."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from api.deps import MAX_KEY_LENGTH, ServicesDep, conceal
from domain.errors import Malformed
from services.commands import CommandKey

KEY_FIELD = "_key"
CSRF_FIELD = "_csrf"
FORM_FIELD = "_form"
OWN_FIELDS = frozenset({KEY_FIELD, CSRF_FIELD, FORM_FIELD})
"""Fields of every form that are the console's, not the command's."""

FormT = TypeVar("FormT", bound=BaseModel)


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
    values = {**fields(await request.form()), **(given or {})}
    try:
        return form.model_validate_strings(values)
    except ValidationError as error:
        found = [{**item, "loc": ("body", *item["loc"])} for item in error.errors(include_url=False)]
        raise RequestValidationError(found) from None


async def command_of_form(request: Request, services: ServicesDep) -> CommandKey:
    """What identifies a form's command: each form that is rendered has a key of its own, so that sent twice
    it is carried out once."""
    data = await request.form()
    key = data.get(KEY_FIELD)
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_LENGTH:
        raise Malformed("this form was not made by this page; load the page again")
    operation = f"console {request.method} {request.scope['route'].path_format}"
    texts = {name: value for name, value in data.items() if not isinstance(value, UploadFile)}
    body = conceal(
        {name: value for name, value in texts.items() if name not in OWN_FIELDS}, services.fingerprint_key
    )
    return CommandKey(operation, key, {"path": dict(request.path_params), "body": body})


FormCommand = Annotated[CommandKey, Depends(command_of_form)]
