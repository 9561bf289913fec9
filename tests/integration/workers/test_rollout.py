"""Versions of the workers on a real server: seen, ramped, current, drained, and never left without any."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import Worker, WorkerDeploymentConfig

from domain.errors import Conflict, Unavailable
from workers import rollout
from workers.deployment import DEPLOYMENT

SOON = timedelta(seconds=20)
QUEUE = "rollout"


@workflow.defn(sandboxed=False, versioning_behavior=VersioningBehavior.PINNED)
class Waiting:
    """Waits until it is told to go on."""

    def __init__(self) -> None:
        self._told = False

    @workflow.run
    async def run(self) -> None:
        """End once told."""
        await workflow.wait_condition(lambda: self._told)

    @workflow.signal
    async def go_on(self) -> None:
        """End."""
        self._told = True


@asynccontextmanager
async def working(client: Client, *build_ids: str) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for build_id in build_ids:
            version = WorkerDeploymentVersion(deployment_name=DEPLOYMENT, build_id=build_id)
            config = WorkerDeploymentConfig(version=version, use_worker_versioning=True)
            worker = Worker(client, task_queue=QUEUE, workflows=[Waiting], deployment_config=config)
            await stack.enter_async_context(worker)
        yield


async def known(client: Client) -> dict[str, tuple[str, float]]:
    return {each.build_id: (each.status, each.share) for each in await rollout.versions(client)}


async def until_known(client: Client, wanted: dict[str, tuple[str, float]]) -> None:
    async with asyncio.timeout(60):
        while (found := await known(client)) != wanted:
            assert set(found) <= set(wanted), found
            await asyncio.sleep(0.2)


async def test_a_version_is_ramped_made_current_and_kept_until_it_is_drained(temporal_client: Client) -> None:
    client = temporal_client
    assert await known(client) == {}
    await rollout.require_served(client, [])
    with pytest.raises(Unavailable, match=r"1\.0"):
        await rollout.promote(client, "1.0", timedelta(seconds=1))
    async with working(client, "1.0", "2.0"):
        # The first of all is current at once, whatever share it was to have.
        await rollout.ramp(client, "1.0", 10, SOON)
        handle = await client.start_workflow(Waiting.run, id="pinned", task_queue=QUEUE)
        await handle.query("__stack_trace")
        await rollout.ramp(client, "2.0", 25, SOON)
        await until_known(client, {"1.0": ("current", 75.0), "2.0": ("ramping", 25.0)})
        await rollout.promote(client, "1.0", SOON)
        await until_known(client, {"1.0": ("current", 100.0), "2.0": ("draining", 0.0)})
        await rollout.ramp(client, "2.0", 25, SOON)
        await until_known(client, {"1.0": ("current", 75.0), "2.0": ("ramping", 25.0)})
        with pytest.raises(Conflict, match=r"1\.0 \(current\)"):
            await rollout.require_served(client, ["2.0"])
        await rollout.promote(client, "2.0", SOON)
        await until_known(client, {"1.0": ("draining", 0.0), "2.0": ("current", 100.0)})
        with pytest.raises(Conflict, match=r"1\.0 \(draining\)"):
            await rollout.require_served(client, ["2.0"])
        await rollout.require_served(client, ["2.0", "1.0"])
        await handle.signal(Waiting.go_on)
        await handle.result()
