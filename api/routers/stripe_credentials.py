"""An agency's Stripe credentials. Secrets go in, never out."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.deps import Command, ManagesSettings, ReadsSettings, ServicesDep, respond
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from services.onboarding.stripe_credentials import StripeCredentialsForm, StripeCredentialsView

router = APIRouter(prefix="/stripe-credentials", tags=["onboarding"])


@router.get("", responses=READ_ERRORS)
async def get_credentials(who: ReadsSettings, services: ServicesDep) -> StripeCredentialsView:
    """Which Stripe account is the agency's, and where it sends webhooks; 404 before credentials are set."""
    return await services.stripe_credentials.get(who)


@router.put("", response_model=StripeCredentialsView, responses=WRITE_ERRORS)
async def put_credentials(
    body: StripeCredentialsForm, who: ManagesSettings, command: Command, services: ServicesDep
) -> JSONResponse:
    """Set the agency's Stripe credentials; the key is tried at once (503 while Stripe does not answer).

    Without a `webhook_secret` the webhook endpoint is registered at Stripe from here.
    """
    return respond(await services.stripe_credentials.put(who, command, body))
