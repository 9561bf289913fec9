"""The application, a worker and the Stripe stand-in, as one; an agency with credentials."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.client import Client

from sandbox.stripe.server import StripeServer
from tests.integration.api.conftest import world as plain_world
from tests.integration.payments.till import Till, at_work, opened, waiting

__all__ = ["plain_world", "world"]

PATIENCE_S = 30.0
"""A payment is answered as soon as it is over, which takes a busy machine more than a moment."""


@pytest.fixture(scope="module")
async def world(plain_world: Any, temporal_client: Client) -> AsyncIterator[Any]:
    """An application whose callers wait for what becomes of a payment."""
    async with waiting(plain_world, temporal_client, PATIENCE_S) as made:
        yield made


@pytest.fixture(scope="module")
async def counter(world: Any, temporal_client: Client, running_stripe: StripeServer) -> AsyncIterator[Till]:
    """One till of a module, with a worker at it."""
    till = await opened(world, temporal_client, running_stripe)
    async with at_work(till):
        yield till
    await till.close()


@pytest.fixture
def till(counter: Till, stripe_server: StripeServer) -> Till:
    """The module's till, the stand-in without faults or delays of other tests."""
    assert counter.stripe is stripe_server
    return counter
