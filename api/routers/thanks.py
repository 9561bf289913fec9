"""Where a debtor's browser comes back to from a page of Stripe's or of their bank."""

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from services.payment_starts import THANKS_PATH

router = APIRouter(include_in_schema=False)

_WORDS = "Thank you. You may close this page now.\n"
_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


@router.get(THANKS_PATH)
async def thank() -> PlainTextResponse:
    """The same for everybody, whatever the provider has added to the address; nobody logs in here.

    It does not say how the payment stands: a browser that comes back proves nothing.
    """
    return PlainTextResponse(_WORDS, headers=_HEADERS)
