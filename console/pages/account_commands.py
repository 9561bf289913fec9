"""What an account is told from its page; a conflict is shown with how the account is now and who did what."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Depends, Request
from fastapi.responses import Response

from api.deps import ServicesDep
from console.forms import FormCommand, checked, fields, filled
from console.notices import done
from console.rendering import sentence, words
from console.web import PagesDep, router, sees
from domain.errors import Conflict, DomainError, Malformed
from domain.holds import HoldKind
from services.access import Right
from services.account_command_forms import (
    AssignForm,
    DisputeAnswerForm,
    DisputeForm,
    HoldForm,
    NoteForm,
    OfferForm,
    PromiseForm,
    ReasonForm,
    TransitionForm,
)
from services.account_views import timeline_entry
from services.contact_views import ContactForm
from services.sessions import Visitor

if TYPE_CHECKING:
    from api.composition import Services
    from console.rendering import Pages

pages = router()
Works = Annotated[Visitor, sees(Right.WORK_ACCOUNTS)]
Manages = Annotated[Visitor, sees(Right.MANAGE_ACCOUNTS)]
Contacts = Annotated[Visitor, sees(Right.CONTACT_DEBTORS)]
LATEST = 3

OUTCOMES = {
    "conversation": {"connected": "true", "conversation": "true", "right_party": "true"},
    "other": {"connected": "true", "conversation": "true", "right_party": "false"},
    "none": {"connected": "true", "conversation": "false"},
    "unconnected": {"connected": "false", "conversation": "false"},
}
"""What came of a contact, as people say it, and what a contact's form has for it."""


async def on_account(request: Request, account_id: UUID, services: ServicesDep, templates: PagesDep) -> UUID:
    """The account that a command is about; a conflict on it is shown with the account as it is now."""

    async def beside(error: DomainError) -> str:
        visitor: Visitor | None = getattr(request.state, "visitor", None)
        if visitor is None or not isinstance(error, Conflict):
            return ""
        return await as_it_is_now(services, templates, visitor, account_id, error)

    request.state.beside_problem = beside
    return account_id


AccountId = Annotated[UUID, Depends(on_account)]


async def as_it_is_now(
    services: "Services", templates: "Pages", visitor: Visitor, account_id: UUID, problem: DomainError
) -> str:
    """How an account stands and what happened to it last, by whom; nothing where it is not to be seen."""
    try:
        account = await services.accounts.get(visitor.who, account_id)
        events = await services.accounts.timeline(visitor.who, account_id, None, LATEST)
    except DomainError:
        return ""
    shown = [timeline_entry(event) for event in events]
    return templates.fragment("_account_now.html", visitor, account=account, events=shown, problem=problem)


@pages.post("/accounts/{account_id}/contacts")
async def record_contact(
    request: Request, account_id: AccountId, visitor: Contacts, command: FormCommand, services: ServicesDep
) -> Response:
    """Log a contact, unless the law forbids it."""
    form = checked(ContactForm, _contact(fields(await request.form()), visitor))
    answer = await services.contacts.log(visitor.who, command, account_id, form)
    notes = map(sentence, answer.body["notes"])
    return _done(account_id, " ".join(["The contact is recorded.", *notes]))


def _contact(given: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
    """A contact's form, of what came of it in one choice and of a time by the agency's clock."""
    outcome = OUTCOMES.get(str(given.pop("outcome", "")))
    if outcome is None:
        raise Malformed("say what came of the contact")
    if "at" in given:
        try:
            local = datetime.fromisoformat(given["at"])
        except (TypeError, ValueError):
            raise Malformed("the time of a contact is a day and a time of day") from None
        given["at"] = local.replace(tzinfo=local.tzinfo or ZoneInfo(visitor.time_zone)).isoformat()
    return {**given, **outcome}


@pages.post("/accounts/{account_id}/notes")
async def note(
    request: Request, account_id: AccountId, visitor: Works, command: FormCommand, services: ServicesDep
) -> Response:
    """Put a note on the timeline."""
    form = await filled(request, NoteForm)
    await services.notes.add(visitor.who, command, account_id, form)
    return _done(account_id, "The note is on the account.")


@pages.post("/accounts/{account_id}/promises")
async def promise(
    request: Request, account_id: AccountId, visitor: Works, command: FormCommand, services: ServicesDep
) -> Response:
    """Record a promise to pay."""
    form = await filled(request, PromiseForm)
    await services.account_commands.promise(visitor.who, command, account_id, form)
    return _done(account_id, f"The promise is recorded; the account waits until {form.due_date:%-d %b %Y}.")


@pages.post("/accounts/{account_id}/holds")
async def hold(
    request: Request, account_id: AccountId, visitor: Works, command: FormCommand, services: ServicesDep
) -> Response:
    """Place a hold."""
    form = await filled(request, HoldForm)
    await services.account_commands.hold(visitor.who, command, account_id, form)
    return _done(account_id, f"The hold is in force: {words(form.kind).lower()}.")


@pages.post("/accounts/{account_id}/holds/{kind}/release")
async def release(
    account_id: AccountId, kind: HoldKind, visitor: Manages, command: FormCommand, services: ServicesDep
) -> Response:
    """Release what holds the account for a reason."""
    await services.account_commands.release(visitor.who, command, account_id, kind)
    return _done(account_id, f"The hold is released: {words(kind).lower()}.")


@pages.post("/accounts/{account_id}/disputes")
async def dispute(
    request: Request, account_id: AccountId, visitor: Works, command: FormCommand, services: ServicesDep
) -> Response:
    """Record a dispute."""
    form = await filled(request, DisputeForm)
    answer = await services.account_commands.dispute(visitor.who, command, account_id, form)
    stops = " Collection stops until it is answered." if answer.body["in_period"] else ""
    return _done(account_id, f"The dispute is recorded.{stops}")


@pages.post("/accounts/{account_id}/disputes/{dispute_id}/answer")
async def answer_dispute(
    request: Request,
    account_id: AccountId,
    dispute_id: UUID,
    visitor: Manages,
    command: FormCommand,
    services: ServicesDep,
) -> Response:
    """Answer a dispute."""
    form = await filled(request, DisputeAnswerForm)
    await services.account_commands.answer_dispute(visitor.who, command, account_id, dispute_id, form)
    return _done(account_id, f"The dispute is answered: {form.outcome}.")


@pages.post("/accounts/{account_id}/offers")
async def offer(
    request: Request, account_id: AccountId, visitor: Works, command: FormCommand, services: ServicesDep
) -> Response:
    """Offer a settlement."""
    form = await filled(request, OfferForm)
    await services.account_commands.offer(visitor.who, command, account_id, form)
    return _done(account_id, f"The offer is good until {form.expires_on:%-d %b %Y}.")


@pages.post("/accounts/{account_id}/offers/{offer_id}/accept")
async def accept_offer(
    account_id: AccountId, offer_id: UUID, visitor: Works, command: FormCommand, services: ServicesDep
) -> Response:
    """Note that the debtor accepts an offer."""
    await services.account_commands.accept_offer(visitor.who, command, account_id, offer_id)
    return _done(account_id, "The settlement is accepted; take its payment, or make a plan of it.")


@pages.post("/accounts/{account_id}/assign")
async def assign(
    request: Request, account_id: AccountId, visitor: Manages, command: FormCommand, services: ServicesDep
) -> Response:
    """Give the account to a collector."""
    form = await filled(request, AssignForm)
    answer = await services.account_commands.assign(visitor.who, command, account_id, form)
    return _done(account_id, f"The account is {answer.body['assigned_to_name']}'s now.")


@pages.post("/accounts/{account_id}/transition")
async def transition(
    request: Request, account_id: AccountId, visitor: Works, command: FormCommand, services: ServicesDep
) -> Response:
    """Move the account by hand."""
    form = await filled(request, TransitionForm)
    await services.account_commands.transition(visitor.who, command, account_id, form)
    return _done(account_id, f"The account is {words(form.new_status).lower()} now.")


@pages.post("/accounts/{account_id}/close")
async def close(
    request: Request, account_id: AccountId, visitor: Manages, command: FormCommand, services: ServicesDep
) -> Response:
    """Close the account for a reason."""
    form = await filled(request, ReasonForm)
    await services.account_commands.close(visitor.who, command, account_id, form)
    return _done(account_id, "The account is closed.")


@pages.post("/accounts/{account_id}/recall")
async def recall(
    request: Request, account_id: AccountId, visitor: Manages, command: FormCommand, services: ServicesDep
) -> Response:
    """Give the account back to its creditor."""
    form = await filled(request, ReasonForm)
    await services.account_commands.recall(visitor.who, command, account_id, form)
    return _done(account_id, "The account is given back to its creditor, and closed.")


def _done(account_id: UUID, text: str) -> Response:
    return done(f"/accounts/{account_id}", text)
