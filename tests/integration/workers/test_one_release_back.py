"""The release before and this one, side by side on one server and on this release's schema.

Each finishes what the other has begun, but for what is pinned: that stays with whom it began. Who did what is
read from the histories, which name the version that carried out each task.
"""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle

from sandbox.processes import until
from sandbox.stripe.server import StripeServer
from sandbox.temporal import TemporalServer
from tests.integration.api.conftest import world
from tests.integration.partners.office import PartnerOffice
from tests.integration.partners.queue_desk import SECOND, QueueDesk
from tests.integration.payments.till import Json, opened
from tests.integration.plans.plan_desk import PlanDesk
from tests.integration.workers.releases import REPOSITORY, WorkerProcess, previous_release
from workers import rollout
from workflows import queues

__all__ = ["world"]

BEFORE, NOW = "before", "now"
SEEN = timedelta(seconds=60)
WITHIN_S = 60
DEBIT = {"method": "bank_transfer", "payment_method": "pm_usBankAccount_processing"}


@pytest.fixture(scope="module")
def code_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return previous_release(tmp_path_factory.mktemp("release-before"))


@pytest.fixture(scope="module", autouse=True)
def keys(code_before: Path) -> Iterator[dict[str, str]]:
    """Secrets as production has them, of the application in this process too."""
    made = {
        "RECOUP_JWT_SECRET": os.urandom(32).hex(),
        "RECOUP_COLUMN_KEYS": f"k1:{base64.b64encode(os.urandom(32)).decode()}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in made.items():
            patch.setenv(name, value)
        yield made


@pytest.fixture(scope="module")
def settings(
    keys: dict[str, str],
    world: Any,
    temporal_server: TemporalServer,
    temporal_client: Client,
    running_stripe: StripeServer,
) -> dict[str, str]:
    return {
        **keys,
        "RECOUP_ENV": "production",
        # A release that can encrypt what Temporal keeps goes out decrypting only, beside one that cannot.
        "RECOUP_PAYLOAD_KEYS": f"p1:{base64.b64encode(os.urandom(32)).decode()}",
        "RECOUP_PAYLOAD_ENCRYPTION": "false",
        "RECOUP_DATABASE_URL": world.settings.database_url,
        "RECOUP_TEMPORAL_ADDRESS": temporal_server.address,
        "RECOUP_TEMPORAL_NAMESPACE": temporal_client.namespace,
        "RECOUP_STORAGE_URL": world.settings.storage_url,
        "RECOUP_PUBLIC_URL": "http://localhost",
        "RECOUP_STRIPE_URL": running_stripe.url,
        "RECOUP_STRIPE_RATE": "200",
        "RECOUP_LIFECYCLE_CAPACITY": "0",
        "RECOUP_LOG_LEVEL": "WARNING",
    }


@dataclass
class Office:
    """People of an agency, who begin and end things over REST; ``superuser_url``: their database."""

    plans: PlanDesk
    breaks: QueueDesk
    superuser_url: str

    async def tell(self, account: Json, status: str) -> None:
        path = f"/accounts/{account['id']}/transition"
        answer = await self.plans.post(path, {"new_status": status, "note": "as it is"})
        assert answer.status_code == 200, answer.text

    async def send(self) -> Json:
        """A portfolio file."""
        content = f"external_ref,debtor_name,original_amount\nR-{uuid4().hex},Ada,10.00\n".encode()
        async with self.plans.till.world.client("acme.admin") as client:
            answer = await client.post("/imports", files={"file": ("march.csv", content)})
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    async def taken_in(self, job: Json) -> str:
        """The workflow id of an import, once it is completed."""

        async def there() -> bool:
            return bool((await self.plans.get(f"/imports/{job['id']}"))["status"] == "completed")

        await until(there, within_s=WITHIN_S, what="the import to be completed")
        return await self.import_id(job)

    async def import_id(self, job: Json) -> str:
        agency_id = self.plans.till.agency_id
        rows = await self.plans.till.query("SELECT sha256 FROM import_job WHERE id = :id", id=UUID(job["id"]))
        return queues.import_workflow_id(agency_id, rows[0][0])

    @asynccontextmanager
    async def nobody_placed(self) -> AsyncIterator[None]:
        """Imports stop short of their first person for as long as the block runs."""
        async with await psycopg.AsyncConnection.connect(self.superuser_url) as link:
            await link.execute("LOCK TABLE debtor IN SHARE MODE")
            yield


@pytest.fixture(scope="module")
async def office(
    world: Any, module_database: Any, temporal_client: Client, running_stripe: StripeServer
) -> AsyncIterator[Office]:
    till = await opened(world, temporal_client, running_stripe)
    no_server: Any = None
    queue = await QueueDesk.opened(PartnerOffice(world, temporal_client, no_server, uuid4()))
    yield Office(PlanDesk(till), queue, module_database.superuser_url)
    await till.close()


async def worked_by(handle: WorkflowHandle[Any, Any]) -> list[str]:
    """The versions that carried out a workflow's tasks, in turn."""
    events = (await handle.fetch_history()).events
    done = [
        event.workflow_task_completed_event_attributes.deployment_version.build_id
        for event in events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    ]
    return list(dict.fromkeys(done))


async def at_step(handle: WorkflowHandle[Any, Any], step: str) -> None:
    async def there() -> bool:
        pending = (await handle.describe()).raw_description.pending_activities
        return any(one.activity_type.name == step for one in pending)

    await until(there, within_s=WITHIN_S, what=f"{handle.id} to be at {step}")


@pytest.fixture(scope="module")
async def releases(
    settings: dict[str, str], code_before: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, WorkerProcess]]:
    """A worker of the release before and one of this one; nobody has new work yet."""
    folder = tmp_path_factory.mktemp("workers")
    both = {
        build_id: WorkerProcess(code, build_id, settings, folder / f"{build_id}.log")
        for build_id, code in {BEFORE: code_before, NOW: REPOSITORY}.items()
    }
    try:
        await asyncio.gather(*(worker.start() for worker in both.values()))
        yield both
    finally:
        await asyncio.gather(*(worker.stop() for worker in both.values()))


@pytest.mark.parametrize(
    ("first", "second"),
    [pytest.param(BEFORE, NOW, id="upgraded"), pytest.param(NOW, BEFORE, id="rolled back")],
)
@pytest.mark.usefixtures("releases", "stripe_server")
async def test_each_finishes_what_the_other_began(
    office: Office, temporal_client: Client, first: str, second: str
) -> None:
    plans, till, breaks, client = office.plans, office.plans.till, office.breaks, temporal_client
    await rollout.promote(client, first, SEEN)

    account = await till.debt()
    await office.tell(account, "assigned")
    payment = (await till.pay(await till.debt(), **DEBIT)).json()
    await till.ends(payment, "processing")
    plan = await plans.made(await plans.debt())
    broken = await breaks.found()
    assert (await breaks.tell(broken, "assign", owner=SECOND)).status_code == 200
    await breaks.becomes(broken, "its case to begin", workflow_id=f"break/{broken['id']}")
    entities = [
        client.get_workflow_handle(queues.account_workflow_id(UUID(account["id"]))),
        till.process(payment),
        plans.workflow(plan),
        breaks.case(broken),
    ]
    async with office.nobody_placed():
        job = await office.send()
        pinned = client.get_workflow_handle(await office.import_id(job))
        await at_step(pinned, "imports.merge_bucket")
        await rollout.promote(client, second, SEEN)
    await office.taken_in(job)
    await pinned.result()
    assert await worked_by(pinned) == [first]
    assert [await worked_by(entity) for entity in entities] == [[first]] * len(entities)

    await office.tell(account, "in_contact")
    await office.tell(account, "closed")
    await till.caller.control(f"payment_intents/{payment['processor_ref']}/settle")
    await till.process(payment).signal("provider_spoke")
    assert (await till.ends(payment))["status"] == "succeeded"
    await plans.tell(plan, "cancel", {"reason": "asked for"})
    await breaks.agreed(broken, "explain")
    for entity in entities:
        await entity.result()
        assert await worked_by(entity) == [first, second], entity.id
    later = await office.taken_in(await office.send())
    assert await worked_by(client.get_workflow_handle(later)) == [second]
