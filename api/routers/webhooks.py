"""Where Stripe tells us what has become of payments. Believed by its signature; nobody logs in here."""

from typing import Annotated

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel

from api.deps import ServicesDep
from api.schemas.common import errors

router = APIRouter(prefix="/payments/webhook", tags=["webhooks"])

_ERRORS = errors(400, 413, 503)
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "object", "description": "an event of Stripe's"}}
        },
    }
}
Signature = Annotated[str | None, Header(alias="Stripe-Signature")]


class Received(BaseModel):
    """The event is stored, now or before."""

    received: bool = True


@router.post("/stripe/{agency}", responses=_ERRORS, openapi_extra=_BODY)
async def receive_for_agency(
    agency: str, request: Request, services: ServicesDep, stripe_signature: Signature = None
) -> Received:
    """An event of the Stripe account of one agency (its slug or id): stored once, then handled."""
    await services.webhooks.receive(agency, await request.body(), stripe_signature)
    return Received()


@router.post("/stripe", responses=_ERRORS, openapi_extra=_BODY)
async def receive(request: Request, services: ServicesDep, stripe_signature: Signature = None) -> Received:
    """An event of the Stripe account of any agency: whose it is, its signature says."""
    await services.webhooks.receive(None, await request.body(), stripe_signature)
    return Received()
