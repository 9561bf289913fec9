"""What an account can be told: assigned, moved, promised, held, disputed, settled, given back."""

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from activities.account_answers import DisputeAnswer, HoldAnswer, OfferAnswer, PromiseAnswer
from api.deps import Command, ManagesAccounts, ReadsAccounts, ServicesDep, WorksAccounts, respond
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from domain.holds import HoldKind
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
from services.account_views import ChangedAccount, TimelineEntry
from services.fields import Nothing

router = APIRouter(prefix="/accounts/{account_id}", tags=["accounts"])


@router.post("/assign", response_model=ChangedAccount, responses=WRITE_ERRORS)
async def assign_account(
    account_id: UUID, body: AssignForm, who: ManagesAccounts, command: Command, services: ServicesDep
) -> JSONResponse:
    """Give an account to a collector, whatever their ``max_accounts``; a new one becomes assigned."""
    return respond(await services.account_commands.assign(who, command, account_id, body))


@router.post("/transition", response_model=ChangedAccount, responses=WRITE_ERRORS)
async def move_account(
    account_id: UUID, body: TransitionForm, who: WorksAccounts, command: Command, services: ServicesDep
) -> JSONResponse:
    """Move an account by hand. A move that is not legal is 409, with the ``legal_moves``."""
    return respond(await services.account_commands.transition(who, command, account_id, body))


@router.post("/notes", status_code=201, response_model=TimelineEntry, responses=WRITE_ERRORS)
async def add_note(
    account_id: UUID, body: NoteForm, who: WorksAccounts, command: Command, services: ServicesDep
) -> JSONResponse:
    """Put a note on an account's timeline, whatever state the account is in."""
    return respond(await services.notes.add(who, command, account_id, body))


@router.get("/holds", responses=READ_ERRORS)
async def list_holds(
    account_id: UUID, who: ReadsAccounts, paging: Paging, services: ServicesDep
) -> Page[HoldAnswer]:
    """What holds or held an account, newest first: holds that were placed on it, and those of the person on
    whichever of their accounts they were placed (`account_id`)."""
    rows = await services.account_commands.holds(who, account_id, paging.position(UUID), paging.limit)
    return paging.page(rows, key=lambda row: (row.id,), render=HoldAnswer.model_validate)


@router.post("/holds", status_code=201, response_model=HoldAnswer, responses=WRITE_ERRORS)
async def place_hold(
    account_id: UUID, body: HoldForm, who: WorksAccounts, command: Command, services: ServicesDep
) -> JSONResponse:
    """Put a hold in force: on the account, or on the person, whatever they owe on.

    409 with `hold_id` and `account_id` where one of this kind holds the account already.
    """
    return respond(await services.account_commands.hold(who, command, account_id, body))


@router.delete("/holds/{kind}", response_model=HoldAnswer, responses=WRITE_ERRORS)
async def release_hold(
    account_id: UUID, kind: HoldKind, who: ManagesAccounts, command: Command, services: ServicesDep
) -> JSONResponse:
    """End what holds this account for a reason: a hold of the debt that was placed on it, or all holds of
    this kind of the person, on whichever of their accounts they were placed.

    The answer is the hold that was placed on this account, else the oldest of the others.
    """
    return respond(await services.account_commands.release(who, command, account_id, kind))


@router.get("/disputes", responses=READ_ERRORS)
async def list_disputes(
    account_id: UUID, who: ReadsAccounts, paging: Paging, services: ServicesDep
) -> Page[DisputeAnswer]:
    """Disputes of an account, newest first."""
    rows = await services.account_commands.disputes(who, account_id, paging.position(UUID), paging.limit)
    return paging.page(rows, key=lambda row: (row.id,), render=DisputeAnswer.model_validate)


@router.post("/disputes", status_code=201, response_model=DisputeAnswer, responses=WRITE_ERRORS)
async def record_dispute(
    account_id: UUID, body: DisputeForm, who: WorksAccounts, command: Command, services: ServicesDep
) -> JSONResponse:
    """Record that the debtor disputes the debt: collection stops until it is answered.

    `duplicate_of` names an answered dispute that it only repeats: a notice of that is answer enough.
    """
    return respond(await services.account_commands.dispute(who, command, account_id, body))


@router.post("/disputes/{dispute_id}/answer", response_model=DisputeAnswer, responses=WRITE_ERRORS)
async def answer_dispute(
    account_id: UUID,
    dispute_id: UUID,
    body: DisputeAnswerForm,
    who: ManagesAccounts,
    command: Command,
    services: ServicesDep,
) -> JSONResponse:
    """Answer a dispute: collection goes on, or the account is closed because the debtor is right."""
    return respond(await services.account_commands.answer_dispute(who, command, account_id, dispute_id, body))


@router.get("/promises", responses=READ_ERRORS)
async def list_promises(
    account_id: UUID, who: ReadsAccounts, paging: Paging, services: ServicesDep
) -> Page[PromiseAnswer]:
    """Promises to pay, newest first."""
    rows = await services.account_commands.promises(who, account_id, paging.position(UUID), paging.limit)
    return paging.page(rows, key=lambda row: (row.id,), render=PromiseAnswer.model_validate)


@router.post("/promises", status_code=201, response_model=PromiseAnswer, responses=WRITE_ERRORS)
async def make_promise(
    account_id: UUID, body: PromiseForm, who: WorksAccounts, command: Command, services: ServicesDep
) -> JSONResponse:
    """Record a promise to pay; the one that was open before is cancelled by it."""
    return respond(await services.account_commands.promise(who, command, account_id, body))


@router.get("/offers", responses=READ_ERRORS)
async def list_offers(
    account_id: UUID, who: ReadsAccounts, paging: Paging, services: ServicesDep
) -> Page[OfferAnswer]:
    """Settlement offers, newest first."""
    rows = await services.account_commands.offers(who, account_id, paging.position(UUID), paging.limit)
    return paging.page(rows, key=lambda row: (row.id,), render=OfferAnswer.model_validate)


@router.post("/offers", status_code=201, response_model=OfferAnswer, responses=WRITE_ERRORS)
async def offer_settlement(
    account_id: UUID, body: OfferForm, who: WorksAccounts, command: Command, services: ServicesDep
) -> JSONResponse:
    """Offer to settle for an amount, or for percent of the balance; an open offer is replaced by it."""
    return respond(await services.account_commands.offer(who, command, account_id, body))


@router.post("/offers/{offer_id}/accept", response_model=OfferAnswer, responses=WRITE_ERRORS)
async def accept_offer(
    account_id: UUID,
    offer_id: UUID,
    who: WorksAccounts,
    command: Command,
    services: ServicesDep,
    body: Nothing | None = None,
) -> JSONResponse:
    """Note that the debtor accepts an offer that is still good."""
    return respond(await services.account_commands.accept_offer(who, command, account_id, offer_id))


@router.post("/recall", response_model=ChangedAccount, responses=WRITE_ERRORS)
async def recall_account(
    account_id: UUID, body: ReasonForm, who: ManagesAccounts, command: Command, services: ServicesDep
) -> JSONResponse:
    """Give an account back to its creditor: it is closed, and everything on it stops."""
    return respond(await services.account_commands.recall(who, command, account_id, body))


@router.post("/close", response_model=ChangedAccount, responses=WRITE_ERRORS)
async def close_account(
    account_id: UUID, body: ReasonForm, who: ManagesAccounts, command: Command, services: ServicesDep
) -> JSONResponse:
    """Close an account for a reason."""
    return respond(await services.account_commands.close(who, command, account_id, body))
