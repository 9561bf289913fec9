"""A lifecycle that lives through more events than one history holds."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkerDeploymentVersion
from temporalio.worker import Worker, WorkerDeploymentConfig
from tenacity import AsyncRetrying, retry_if_result, stop_after_delay, wait_fixed

from activities.account_messages import AccountSnapshot
from activities.messages import AccountRef
from domain.accounts import AccountStatus
from domain.deadlines import Deadline, DeadlineKind
from tests.conftest import LONG_HISTORY
from workers.deployment import DEPLOYMENT, ensure_search_attributes, make_current
from workers.sandbox import workflow_runner
from workflows import queues
from workflows.account_messages import LifecycleInput
from workflows.accounts import AccountLifecycle

SIGNALS = LONG_HISTORY + 100
"""The server suggests a new run before that."""


class Account:
    """Counts how often it was looked at; its follow-up moves with each look."""

    def __init__(self) -> None:
        self.due = datetime.now(UTC) + timedelta(days=30)

    @activity.defn(name="accounts.load")
    async def load(self, ref: AccountRef) -> AccountSnapshot:
        return AccountSnapshot(
            status=AccountStatus.NEW,
            version=1,
            is_open=True,
            follow_up_at=self.due,
            deadlines=(Deadline(kind=DeadlineKind.FOLLOW_UP, at=self.due),),
        )


async def test_it_continues_as_new_and_forgets_no_signal(temporal_client: Client) -> None:
    await ensure_search_attributes(temporal_client)
    await make_current(temporal_client, "test")
    account, account_id = Account(), uuid4()
    async with Worker(
        temporal_client,
        task_queue=queues.LIFECYCLE,
        workflows=[AccountLifecycle],
        activities=[account.load],
        workflow_runner=workflow_runner(),
        deployment_config=WorkerDeploymentConfig(
            version=WorkerDeploymentVersion(deployment_name=DEPLOYMENT, build_id="test"),
            use_worker_versioning=True,
        ),
    ):
        begun = await temporal_client.start_workflow(
            AccountLifecycle.run,
            LifecycleInput(agency_id=uuid4(), account_id=account_id),
            id=queues.account_workflow_id(account_id),
            task_queue=queues.LIFECYCLE,
        )
        lifecycle = temporal_client.get_workflow_handle(begun.id)
        for _ in range(SIGNALS // 100):
            await asyncio.gather(*(lifecycle.signal(AccountLifecycle.account_changed) for _ in range(100)))
        account.due += timedelta(days=7)
        await lifecycle.signal(AccountLifecycle.account_changed)

        async def seen() -> bool:
            description = await lifecycle.query(AccountLifecycle.describe)
            return [expected.at for expected in description.next] == [account.due]

        await AsyncRetrying(
            stop=stop_after_delay(20), wait=wait_fixed(0.05), retry=retry_if_result(lambda met: not met)
        )(seen)
        description = await lifecycle.describe()
        assert description.run_id != begun.first_execution_run_id
        assert description.history_length < SIGNALS
        await lifecycle.terminate()
