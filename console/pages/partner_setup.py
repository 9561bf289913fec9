"""Partners set up and changed: what they take, what differs tolerably, how they are told, their rules."""

import base64
import json
import secrets
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID, uuid4

from fastapi import Request
from fastapi.responses import Response

from api.deps import ServicesDep
from api.pagination import MAX_PAGE_SIZE
from console.changes import changes, filled_in, typed
from console.forms import FormCommand, checked
from console.notices import done
from console.rendering import words
from console.web import PagesDep, router, sees
from domain.errors import Malformed, NotFound
from domain.partners import SECRET_PREFIX
from domain.scoring import RiskLevel
from services.access import Right
from services.onboarding.partners import NewPartner, PartnerChange, PartnerView, RulesForm
from services.sessions import Visitor

if TYPE_CHECKING:
    from api.composition import Services

pages = router()
ManagesSettings = Annotated[Visitor, sees(Right.MANAGE_SETTINGS)]
PARTNERS = "/reconciliation/partners"
NEW = f"{PARTNERS}/new"
SECRET = "signing_secret"  # noqa: S105 - the name of a field
SECRET_BYTES = 32
TICKED = ("creditor_ids", "risk_levels")
"""Fields of which any number may be ticked; the form says by ``choosing`` that it has them."""

LEVELS = [(level.value, words(level.lower())) for level in reversed(RiskLevel)]


@pages.get(NEW)
async def new_partner(
    request: Request, visitor: ManagesSettings, services: ServicesDep, templates: PagesDep
) -> Response:
    """A form for a partner."""
    return templates.page(request, "partner_setup.html", **await _form(services, visitor, None))


@pages.post(NEW)
async def create_partner(
    request: Request, visitor: ManagesSettings, command: FormCommand, services: ServicesDep
) -> Response:
    """Make a partner; the secret that was made for it is kept only where deliveries are signed by it."""
    values = filled_in(await _typed(request, NewPartner))
    if values.get("delivery") != "https":
        values.pop(SECRET, None)
    answer = await services.partners.create(visitor.who, command, checked(NewPartner, values))
    name, folder = answer.body["name"], answer.body["folder"]
    return done(
        f"{PARTNERS}/{answer.body['id']}", f"{name} is set up; its statements are read from {folder}."
    )


@pages.get(f"{PARTNERS}/{{partner_id}}/edit")
async def edit_partner(
    request: Request, partner_id: UUID, visitor: ManagesSettings, services: ServicesDep, templates: PagesDep
) -> Response:
    """One partner, to be changed; of its secret, only whether it is there."""
    present = await services.partners.get(visitor.who, partner_id)
    return templates.page(request, "partner_setup.html", **await _form(services, visitor, present))


@pages.post(f"{PARTNERS}/{{partner_id}}/edit")
async def change_partner(
    request: Request, partner_id: UUID, visitor: ManagesSettings, command: FormCommand, services: ServicesDep
) -> Response:
    """Change a partner; a secret that comes empty stays as it is, unless it is to be removed."""
    present = await services.partners.get(visitor.who, partner_id)
    values = await _typed(request, PartnerChange)
    if (await request.form()).get("remove_secret"):
        values[SECRET] = None
    form = changes(PartnerChange, present, values, kept=(SECRET,))
    answer = await services.partners.change(visitor.who, command, partner_id, form)
    return done(f"{PARTNERS}/{partner_id}", f"{answer.body['name']} is saved.")


@pages.post(f"{PARTNERS}/{{partner_id}}/rules")
async def put_rules(
    request: Request, partner_id: UUID, visitor: ManagesSettings, command: FormCommand, services: ServicesDep
) -> Response:
    """Set the partner's rules; what is wrong in them is told with its line."""
    form = checked(RulesForm, filled_in(await typed(request, RulesForm)))
    answer = await services.partners.put_rules(visitor.who, command, partner_id, form)
    return done(f"{PARTNERS}/{partner_id}", f"Version {answer.body['version']} of the rules is in force.")


async def _form(services: "Services", visitor: Visitor, present: PartnerView | None) -> dict[str, Any]:
    creditors = await services.creditors.page(visitor.who, None, MAX_PAGE_SIZE)
    sources = await services.sources.page(visitor.who, None, MAX_PAGE_SIZE)
    named_creditors = {row.id: row.name for row in creditors}
    named_sources = {row.id: row.name for row in sources}
    if present:
        # What is chosen already is on the form however much there is: what is not ticked is taken away.
        for chosen in present.creditor_ids:
            if chosen not in named_creditors:
                named_creditors[chosen] = (await services.creditors.get(visitor.who, chosen)).name
        if present.source_id and present.source_id not in named_sources:
            source = await services.sources.get(visitor.who, present.source_id)
            named_sources[source.id] = source.name
    made = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    return {
        "partner": present,
        # What is not set yet has the values that the API would give it.
        "values": present or NewPartner(name="new"),
        "profile": json.dumps(present.statement_profile, indent=2, ensure_ascii=False) if present else "",
        "rules": await _rules(services, visitor, present),
        "creditors": [(str(creditor), name) for creditor, name in named_creditors.items()],
        "sources": [*named_sources.items()],
        "levels": LEVELS,
        "made_secret": f"{SECRET_PREFIX}{made}",
        "key": uuid4().hex,
    }


async def _rules(services: "Services", visitor: Visitor, present: PartnerView | None) -> str:
    if present is None:
        return ""
    try:
        return (await services.partners.rules(visitor.who, present.id, None)).rules
    except NotFound:
        return ""


async def _typed(request: Request, form: type[NewPartner] | type[PartnerChange]) -> dict[str, Any]:
    """What was typed, with all that was ticked, and the layout of statements as JSON."""
    values, given = await typed(request, form), await request.form()
    for name in TICKED:
        values.pop(name, None)
        if given.get("choosing"):
            values[name] = [value for value in given.getlist(name) if isinstance(value, str)]
    if "statement_profile" in values:
        values["statement_profile"] = _profile(values["statement_profile"])
    return values


def _profile(text: object) -> object:
    try:
        return json.loads(str(text) or "{}")
    except (ValueError, RecursionError) as error:
        why = error if isinstance(error, json.JSONDecodeError) else "nested too deep, or a number too long"
        raise Malformed(f"the layout of statements is no JSON: {why}", field="statement_profile") from None
