"""The application, a worker and the Stripe stand-in, and plans there."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.client import Client

from sandbox.stripe.server import StripeServer
from tests.integration.payments.conftest import plain_world, world
from tests.integration.payments.till import at_work, opened
from tests.integration.plans.plan_desk import PlanDesk

__all__ = ["plain_world", "world"]


@pytest.fixture(scope="module")
async def opened_desk(
    world: Any, temporal_client: Client, running_stripe: StripeServer
) -> AsyncIterator[PlanDesk]:
    """One desk of a module, with a worker at it."""
    till = await opened(world, temporal_client, running_stripe)
    async with at_work(till):
        yield PlanDesk(till)
    await till.close()


@pytest.fixture
def desk(opened_desk: PlanDesk, stripe_server: StripeServer) -> PlanDesk:
    """The module's desk, the stand-in without faults or delays of other tests."""
    assert opened_desk.till.stripe is stripe_server
    return opened_desk
