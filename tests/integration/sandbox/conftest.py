"""An agency at the Stripe stand-in, and an endpoint of its own for webhooks."""

from collections.abc import AsyncIterator

import pytest

from sandbox.stripe.server import StripeServer
from tests.integration.sandbox.stripe_http import Caller
from tests.integration.sandbox.stripe_receiver import Receiver


@pytest.fixture
async def caller(stripe_server: StripeServer, stripe_key: str) -> AsyncIterator[Caller]:
    """A new agency at the stand-in that all tests of the run share."""
    made = Caller(stripe_server, stripe_key)
    yield made
    await made.client.aclose()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """An endpoint that keeps what it is sent."""
    made = Receiver()
    await made.start()
    yield made
    await made.stop()
