"""An agency whose Stripe stand-in sends webhooks to an API that listens."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.client import Client

from sandbox.stripe.server import StripeServer
from tests.integration.api.conftest import host_key, world
from tests.integration.payments.till import at_work, opened
from tests.integration.webhooks.office import Office, open_office

__all__ = ["host_key", "world"]


@pytest.fixture(scope="module")
async def open_all_day(
    world: Any, temporal_client: Client, running_stripe: StripeServer
) -> AsyncIterator[Office]:
    """One office of a module, with a worker at it."""
    till = await opened(world, temporal_client, running_stripe)
    async with at_work(till), open_office(till) as office:
        yield office
    await till.close()


@pytest.fixture
def office(open_all_day: Office, stripe_server: StripeServer) -> Office:
    """The module's office, the stand-in without faults or delays of other tests."""
    assert open_all_day.stripe is stripe_server
    return open_all_day
