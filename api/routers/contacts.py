"""Contacts: asked of the law, logged, refused; what debtors said of being contacted."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.deps import Command, ContactsDebtors, ReadsAccounts, ReadsDebtors, ServicesDep, respond
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from api.schemas.contacts import CheckQueryDep
from services.contact_views import (
    ContactAnswer,
    ContactForm,
    ContactView,
    LoggedContact,
    PreferenceForm,
    PreferenceView,
)

router = APIRouter(tags=["contacts"])


@router.post(
    "/accounts/{account_id}/contacts", status_code=201, response_model=LoggedContact, responses=WRITE_ERRORS
)
async def log_contact(
    account_id: UUID, body: ContactForm, who: ContactsDebtors, command: Command, services: ServicesDep
) -> JSONResponse:
    """Log an attempt to reach the debtor, or theirs to reach us.

    An outbound one that the law forbids is 409 with `rule`, `citation`, `retry_at` and `explanation`, and
    is not logged; the same key may be sent again. What is inbound is never refused.
    """
    return respond(await services.contacts.log(who, command, account_id, body))


@router.get("/accounts/{account_id}/contacts", responses=READ_ERRORS)
async def list_contacts(
    account_id: UUID, who: ReadsAccounts, paging: Paging, services: ServicesDep
) -> Page[ContactView]:
    """Contacts of an account, newest first."""
    rows = await services.contacts.page(who, account_id, paging.position(datetime, UUID), paging.limit)
    return paging.page(rows, key=lambda row: (row.at, row.id), render=ContactView.model_validate)


@router.get("/accounts/{account_id}/contact-check", responses=READ_ERRORS)
async def check_contact(
    account_id: UUID, query: CheckQueryDep, who: ReadsAccounts, services: ServicesDep
) -> ContactAnswer:
    """Whether an outbound contact would be allowed, now or at another time; nothing is logged as an attempt.

    The decision is kept, as every decision is.
    """
    return await services.contacts.check(who, account_id, query.question)


@router.get("/debtors/{debtor_id}/contact-preferences", responses=READ_ERRORS)
async def get_preferences(debtor_id: UUID, who: ReadsDebtors, services: ServicesDep) -> PreferenceView:
    """When and where the debtor is not to be contacted, and which time zones count."""
    return await services.contacts.preferences(who, debtor_id)


@router.put("/debtors/{debtor_id}/contact-preferences", response_model=PreferenceView, responses=WRITE_ERRORS)
async def set_preferences(
    debtor_id: UUID, body: PreferenceForm, who: ContactsDebtors, command: Command, services: ServicesDep
) -> JSONResponse:
    """Replace all that the debtor said of being contacted: what is left out is forgotten."""
    return respond(await services.contacts.prefer(who, command, debtor_id, body))
