"""Where accounts come from: creditors, and the SFTP servers on which their files lie."""

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID, uuid4

from fastapi import Request
from fastapi.responses import Response

from api.deps import ServicesDep
from api.pagination import MAX_PAGE_SIZE, Paging
from console.changes import changes, filled_in, typed
from console.forms import FormCommand, checked, filled
from console.lists import page_of
from console.notices import done
from console.web import PagesDep, router, sees
from domain.errors import Invalid, Malformed
from domain.import_profiles import FIELDS, ImportProfile
from services.access import Right
from services.onboarding.creditors import CreditorChange, CreditorView, NewCreditor
from services.onboarding.sources import SECRETS, NewSource, SourceChange, SourceView
from services.sessions import Visitor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.composition import Services

pages = router()
ReadsSettings = Annotated[Visitor, sees(Right.READ_SETTINGS)]
ManagesSettings = Annotated[Visitor, sees(Right.MANAGE_SETTINGS)]


@pages.get("/settings/creditors")
async def creditors(
    request: Request, visitor: ReadsSettings, paging: Paging, services: ServicesDep, templates: PagesDep
) -> Response:
    """Creditors of the agency, newest first."""
    rows = await services.creditors.page(visitor.who, paging.position(UUID), paging.limit)
    return templates.page(
        request,
        "settings_creditors.html",
        list=page_of(paging, rows, key=lambda row: (row.id,), render=CreditorView.model_validate),
        may_manage=visitor.who.may(Right.MANAGE_SETTINGS),
        key=uuid4().hex,
    )


@pages.post("/settings/creditors")
async def create_creditor(
    request: Request, visitor: ManagesSettings, command: FormCommand, services: ServicesDep
) -> Response:
    """Make a creditor; as the default it takes the place of the present one."""
    form = await filled(request, NewCreditor)
    await services.creditors.create(visitor.who, command, form)
    return done("/settings/creditors", f"{form.name} is added")


@pages.get("/settings/creditors/{creditor_id}")
async def creditor(
    request: Request, creditor_id: UUID, visitor: ManagesSettings, services: ServicesDep, templates: PagesDep
) -> Response:
    """One creditor, to be changed."""
    found = await services.creditors.get(visitor.who, creditor_id)
    return templates.page(request, "settings_creditor.html", creditor=found, key=uuid4().hex)


@pages.post("/settings/creditors/{creditor_id}")
async def change_creditor(
    request: Request,
    creditor_id: UUID,
    visitor: ManagesSettings,
    command: FormCommand,
    services: ServicesDep,
) -> Response:
    """Change a creditor; the agency always has exactly one default."""
    present = await services.creditors.get(visitor.who, creditor_id)
    form = changes(CreditorChange, present, await typed(request, CreditorChange))
    answer = await services.creditors.change(visitor.who, command, creditor_id, form)
    return done("/settings/creditors", f"{answer.body['name']} is saved")


@pages.get("/settings/sources")
async def sources(
    request: Request, visitor: ReadsSettings, paging: Paging, services: ServicesDep, templates: PagesDep
) -> Response:
    """SFTP servers that are looked into, newest first."""
    rows = await services.sources.page(visitor.who, paging.position(UUID), paging.limit)
    return templates.page(
        request,
        "settings_sources.html",
        list=page_of(paging, rows, key=lambda row: (row.id,), render=SourceView.of),
        may_manage=visitor.who.may(Right.MANAGE_SETTINGS),
    )


@pages.get("/settings/sources/new")
async def new_source(
    request: Request, visitor: ManagesSettings, services: ServicesDep, templates: PagesDep
) -> Response:
    """A form for an SFTP server."""
    values = await _source_form(services, visitor, None)
    return templates.page(request, "settings_source.html", **values)


@pages.post("/settings/sources/new")
async def create_source(
    request: Request, visitor: ManagesSettings, command: FormCommand, services: ServicesDep
) -> Response:
    """Make an SFTP source. Without the host key nobody could tell the server from another."""
    values = filled_in(await typed(request, NewSource))
    form = checked(NewSource, _with_profile(values, {}))
    await services.sources.create(visitor.who, command, form)
    return done("/settings/sources", f"{form.name} is looked into from the next poll on")


@pages.get("/settings/sources/{source_id}")
async def source(
    request: Request, source_id: UUID, visitor: ManagesSettings, services: ServicesDep, templates: PagesDep
) -> Response:
    """One SFTP source, to be changed; of its secrets, only whether they are there."""
    values = await _source_form(services, visitor, await services.sources.get(visitor.who, source_id))
    return templates.page(request, "settings_source.html", **values)


@pages.post("/settings/sources/{source_id}")
async def change_source(
    request: Request, source_id: UUID, visitor: ManagesSettings, command: FormCommand, services: ServicesDep
) -> Response:
    """Change an SFTP source; secrets that come empty stay as they are, unless they are to be removed."""
    present = await services.sources.get(visitor.who, source_id)
    values = _with_profile(await typed(request, SourceChange), present.profile)
    removed = [name for name in SECRETS if (await request.form()).get(f"remove_{name}")]
    form = changes(SourceChange, present, {**values, **dict.fromkeys(removed)}, kept=SECRETS)
    answer = await services.sources.change(visitor.who, command, source_id, form)
    return done("/settings/sources", f"{answer.body['name']} is saved")


async def _source_form(services: "Services", visitor: Visitor, present: SourceView | None) -> dict[str, Any]:
    found = await services.creditors.page(visitor.who, None, MAX_PAGE_SIZE)
    return {
        "source": present,
        "profile": ImportProfile.model_validate(present.profile if present else {}),
        "creditors": [(row.id, row.name) for row in found if row.active],
        "fields": FIELDS,
        "key": uuid4().hex,
    }


def _with_profile(values: dict[str, Any], present: "Mapping[str, Any]") -> dict[str, Any]:
    """``values`` with the file layout that was typed, over what the form does not show of the present one."""
    if "profile" not in values:
        return values
    if not isinstance(shown := values["profile"], dict):
        raise Malformed("the layout of files comes field by field", field="profile")
    shown = dict(shown)
    marker = shown.pop("marker", "")
    columns = _columns(shown.pop("columns", ""))
    plain = {name: value or None for name, value in shown.items()}
    control = {"marker": marker} if marker else None
    return {**values, "profile": {**present, **plain, "columns": columns, "control": control}}


def _columns(text: str) -> dict[str, str]:
    """Lines of “column = field”. ``Invalid`` names the line that is none."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        column, _, field = (part.strip() for part in line.rpartition("="))
        if not column or not field or column in found:
            raise Invalid(
                f"line {number} of the columns must read “column of the file = field”, each column once",
                field="profile",
            )
        found[column] = field
    return found
