"""Workflows on a clock that skips, their activities replaced by fakes of the same names."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from workers.sandbox import workflow_runner
from workers.worker import WORKFLOWS
from workflows import attributes, queues

Serving = Callable[..., Any]


@pytest.fixture
async def serving(time_skipping: WorkflowEnvironment) -> Serving:
    """Serves all queues with the product's workflows and the fakes given."""
    wanted = {key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in attributes.ALL}
    await time_skipping.client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace="default", search_attributes=wanted)
    )

    @asynccontextmanager
    async def serve(*fakes: object, workflows: Sequence[type] = WORKFLOWS) -> AsyncIterator[None]:
        activities = [method for fake in fakes for method in _activities(fake)]
        async with AsyncExitStack() as stack:
            for queue in queues.ALL:
                worker = Worker(
                    time_skipping.client,
                    task_queue=queue,
                    workflows=workflows if queue == queues.LIFECYCLE else [],
                    activities=activities,
                    workflow_runner=workflow_runner(),
                )
                await stack.enter_async_context(worker)
            yield

    return serve


def _activities(fake: object) -> list[Callable[..., Any]]:
    methods = [getattr(fake, name) for name in dir(fake) if not name.startswith("_")]
    return [method for method in methods if hasattr(method, "__temporal_activity_definition")]
