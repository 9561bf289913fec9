"""Rolling a version of the workers out: its share of new work, and which earlier ones still have work.

Pinned workflows end on the version that they began on, so an earlier version is needed until it is drained.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio.api.enums.v1 import WorkerDeploymentVersionStatus as Status
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentRampingVersionRequest,
)
from temporalio.service import RPCError, RPCStatusCode
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_exponential

from domain.errors import Conflict, Unavailable
from runtime.temporal import explained
from workers.deployment import DEPLOYMENT

if TYPE_CHECKING:
    from temporalio.client import Client

WITH_WORK = frozenset({"current", "ramping", "draining"})
_NOT_YET = frozenset({RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.UNAVAILABLE})
_PREFIX = "WORKER_DEPLOYMENT_VERSION_STATUS_"


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the workers. ``share``: percent of new work; ``status``: current, ramping, draining,
    drained, inactive (had none yet) or created."""

    build_id: str
    status: str
    share: float


async def versions(client: "Client") -> tuple[Version, ...]:
    """Every version that the server knows, the newest first; none before the first worker polled."""
    try:
        found = await client.workflow_service.describe_worker_deployment(
            DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=DEPLOYMENT)
        )
    except RPCError as error:
        told = explained(error)
        if error.status is RPCStatusCode.NOT_FOUND and told.retryable:
            return ()
        raise told from error
    info = found.worker_deployment_info
    routing = info.routing_config
    ramping, part = routing.ramping_deployment_version.build_id, routing.ramping_version_percentage
    shares = {routing.current_deployment_version.build_id: 100 - part, ramping: part}
    newest_first = sorted(
        info.version_summaries, key=lambda each: each.create_time.ToNanoseconds(), reverse=True
    )
    return tuple(
        Version(
            each.deployment_version.build_id,
            Status.Name(each.status).removeprefix(_PREFIX).lower(),
            shares.get(each.deployment_version.build_id, 0.0),
        )
        for each in newest_first
    )


async def require_served(client: "Client", served: Collection[str]) -> None:
    """Raise ``Conflict`` naming the versions with work left that are not among the build ids ``served``."""
    left = [
        each for each in await versions(client) if each.status in WITH_WORK and each.build_id not in served
    ]
    if left:
        named = ", ".join(f"{each.build_id} ({each.status})" for each in left)
        raise Conflict(
            f"these versions of the workers have work left that nobody would do any longer: {named}; "
            "keep them until they are drained (workers.draining in the chart)"
        )


async def ramp(client: "Client", build_id: str, percent: int, patience: timedelta) -> None:
    """Give a version ``percent`` (1 to 99) of new work, the current one keeps the rest.

    Where there is no current version yet, it becomes that. Waits ``patience`` for its workers to be seen on
    every queue, then raises ``Unavailable``.
    """
    if not any(each.status == "current" for each in await versions(client)):
        await promote(client, build_id, patience)
        return
    request = SetWorkerDeploymentRampingVersionRequest(
        namespace=client.namespace,
        deployment_name=DEPLOYMENT,
        build_id=build_id,
        percentage=percent,
        identity=client.identity,
    )
    await _once_seen(
        lambda: client.workflow_service.set_worker_deployment_ramping_version(request), build_id, patience
    )


async def promote(client: "Client", build_id: str, patience: timedelta) -> None:
    """Make a version the current one, for all new work: no other keeps a share. Waits ``patience`` for its
    workers, then raises ``Unavailable``.
    """
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=client.namespace,
        deployment_name=DEPLOYMENT,
        build_id=build_id,
        identity=client.identity,
    )
    await _once_seen(
        lambda: client.workflow_service.set_worker_deployment_current_version(request), build_id, patience
    )
    # The share of a version that is given up ends by no other's becoming current.
    if any(each.status == "ramping" for each in await versions(client)):
        nobody = SetWorkerDeploymentRampingVersionRequest(
            namespace=client.namespace, deployment_name=DEPLOYMENT, identity=client.identity
        )
        await client.workflow_service.set_worker_deployment_ramping_version(nobody)


async def _once_seen(call: Callable[[], Awaitable[object]], build_id: str, patience: timedelta) -> None:
    # The server refuses a version whose workers it has not seen, or not on all queues of the current one.
    attempts = AsyncRetrying(
        retry=retry_if_exception(lambda error: isinstance(error, RPCError) and error.status in _NOT_YET),
        stop=stop_after_delay(patience),
        wait=wait_exponential(multiplier=0.5, max=5),
        reraise=True,
    )
    try:
        async for attempt in attempts:
            with attempt:
                await call()
    except RPCError as error:
        raise Unavailable(
            f"the workers of version {build_id} are not seen by Temporal: {error.message}"
        ) from error
