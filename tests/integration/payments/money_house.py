"""An agency's house for money whose workers, door and nerves fail on demand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from temporalio.client import Client, OutboundInterceptor
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput
from temporalio.worker import Interceptor as WorkerInterceptor

from api.app import create_app
from api.composition import build_services
from sandbox.ports import LOOPBACK, free_port
from sandbox.stripe.server import StripeServer
from tests.applications import application
from tests.integration.payments.till import at_work, opened
from tests.integration.webhooks.office import Office, listening

STARTS = {"start_workflow", "signal_workflow", "start_update_with_start_workflow"}


@dataclass
class Nerves(ClientInterceptor, WorkerInterceptor):
    """What leads to Temporal and back. ``cut``: it is away for the API. ``losing``: of so many steps, the
    work is done and the answer is lost, as when their worker dies in that moment.
    """

    cut: bool = False
    losing: int = 0

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        return _Cut(next, self)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Losing(next, self)


class _Cut(OutboundInterceptor):
    def __init__(self, following: OutboundInterceptor, nerves: Nerves) -> None:
        super().__init__(following)
        self._nerves = nerves

    def _whole(self) -> None:
        if self._nerves.cut:
            raise RPCError("nobody answers", RPCStatusCode.UNAVAILABLE, b"")

    async def start_workflow(self, input: Any) -> Any:  # noqa: A002
        self._whole()
        return await super().start_workflow(input)

    async def signal_workflow(self, input: Any) -> None:  # noqa: A002
        self._whole()
        await super().signal_workflow(input)

    async def start_update_with_start_workflow(self, input: Any) -> Any:  # noqa: A002
        self._whole()
        return await super().start_update_with_start_workflow(input)


class _Losing(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, nerves: Nerves) -> None:
        super().__init__(following)
        self._nerves = nerves

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        done = await super().execute_activity(input)
        if self._nerves.losing > 0:
            self._nerves.losing -= 1
            raise ApplicationError("its worker died before it could say so", type="AnswerLost")
        return done


@dataclass
class House:
    """One office: the API that people use, the door at which webhooks arrive, the workers behind."""

    office: Office
    nerves: Nerves
    worker_client: Client
    door: AsyncExitStack = field(default_factory=AsyncExitStack)
    workers: AsyncExitStack = field(default_factory=AsyncExitStack)
    door_open: bool = False
    known: set[str] = field(default_factory=set)
    """Stripe's ids of every payment so far."""

    async def open_door(self) -> None:
        """A new process that webhooks reach, over the same database."""
        if self.door_open:
            return
        settings = self.office.world.settings
        services = build_services(settings, self.office.world.database, self.office.temporal)
        await self.door.enter_async_context(listening(services, settings, self.office.port))
        self.door_open = True

    async def shut_door(self) -> None:
        """The process ends; where Temporal is away, what it had in mind is lost with it."""
        self.door_open = False
        await self.door.aclose()

    async def hire(self) -> None:
        """A worker at every queue."""
        await self.workers.enter_async_context(at_work(replace(self.office, temporal=self.worker_client)))

    async def crash(self, after_s: float = 0.0) -> None:
        """The worker ends without grace, in the middle of its steps; another one begins."""
        await asyncio.sleep(after_s)
        await self.workers.aclose()
        await self.hire()

    async def mend(self) -> None:
        """Nothing fails any more; what was held back goes out."""
        self.nerves.cut, self.nerves.losing = False, 0
        self.office.stripe.faults.clear()
        await self.open_door()
        await self.office.caller.control("webhooks/release", order="created")
        await self.office.caller.control("behaviour", duplicates=0, jitter_s=0.0)


@asynccontextmanager
async def open_house(world: Any, address: str, namespace: str, stripe: StripeServer) -> AsyncIterator[House]:
    """A house that is open for business; callers wait for a payment for a second at most."""
    nerves, port = Nerves(), free_port()
    here, there = [
        await Client.connect(
            address, namespace=namespace, data_converter=pydantic_data_converter, interceptors=[one]
        )
        for one in (nerves, WorkerSide(nerves))
    ]
    till = await opened(world, here, stripe)
    settings = world.settings.model_copy(
        update={
            "stripe_url": stripe.url,
            "public_url": f"http://{LOOPBACK}:{port}",
            "inbox_settle_seconds": 0.05,
            "payment_patience_seconds": 1.0,
        }
    )
    services = build_services(settings, world.database, here)
    shown = replace(
        world, app=application(create_app, settings, services), services=services, settings=settings
    )
    named = {name: getattr(till, name) for name in ("temporal", "stripe", "key", "stripe_id", "caller")}
    house = House(Office(world=shown, gateway=till.gateway, port=port, **named), nerves, there)
    try:
        await house.open_door()
        await house.hire()
        answer = await house.office.register()
        assert answer.status_code == 200, answer.text
        yield house
    finally:
        await house.shut_door()
        await house.workers.aclose()
        await services.close()
        await till.close()


@dataclass
class WorkerSide(WorkerInterceptor, ClientInterceptor):
    """The nerves as a worker has them: its own calls go through, its answers may be lost."""

    nerves: Nerves

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Losing(next, self.nerves)
