"""Starting workflows from activities."""

from typing import TYPE_CHECKING

from temporalio.service import RPCError

from domain.errors import Unavailable
from services.lifecycle_start import lifecycle_input, start_options
from workflows.accounts import AccountLifecycle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from temporalio.client import Client

    from activities.messages import AccountRef


def lifecycle_starter(client: "Client") -> "Callable[[AccountRef, int, str], Awaitable[None]]":
    """Starts the lifecycle of an account with its priority (0–3) and status; no harm where it runs."""

    async def start(ref: "AccountRef", priority: int, status: str) -> None:
        try:
            await client.start_workflow(
                AccountLifecycle.run,
                lifecycle_input(ref),
                **start_options(ref, priority, status),
                request_eager_start=True,
            )
        except RPCError as error:
            raise Unavailable("Temporal did not take the start of a lifecycle; it is tried again") from error

    return start
