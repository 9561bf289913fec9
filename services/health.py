"""Readiness: each thing that serving and working needs, checked by itself and bounded in time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import ProgrammingError
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.service import RPCError

from domain.errors import Unavailable
from domain.tenancy import Tenant
from workflows import attributes, queues
from workflows.schedules import INSTALLATION, partner_schedule_id, schedule_ids

if TYPE_CHECKING:
    from temporalio.client import Client

    from db.session import Database

ACTOR = "health"
CHECK_TIMEOUT_S = 2.0
POLLER_FRESHNESS = timedelta(minutes=2)
"""A poll waits up to a minute, so that a worker alive may have been seen that long ago."""

MONTHS_NEEDED = 1
"""Without the next month's partitions nothing can be written once it begins. The alert comes sooner."""

_POLLED = (
    (queues.LIFECYCLE, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW),
    (queues.LIFECYCLE, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY),
    (queues.BULK, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY),
)
_log = structlog.stdlib.get_logger("health")


class Check(BaseModel):
    """One check: whether it passed, else what is missing and what brings it about."""

    model_config = ConfigDict(frozen=True)

    ok: bool
    missing: str | None = None


class Readiness(BaseModel):
    """All checks by name; ready when every one passed."""

    model_config = ConfigDict(frozen=True)

    ready: bool
    checks: dict[str, Check]


class HealthService:
    """Whether this installation can do its work now.

    ``revisions`` are the migrations that this build knows, of which it needs the last; ``demo_agency`` is
    the slug of an agency that must be there (development), None for none.
    """

    def __init__(
        self,
        database: "Database",
        temporal: "Client",
        *,
        revisions: Sequence[str],
        demo_agency: str | None = None,
        timeout_s: float = CHECK_TIMEOUT_S,
    ) -> None:
        self._database = database
        self._temporal = temporal
        self._revisions = revisions
        self._demo_agency = demo_agency
        self._timeout_s = timeout_s

    async def ready(self) -> Readiness:
        """Run all checks at once, each for at most ``timeout_s``."""
        checks: Mapping[str, Callable[[], Awaitable[str | None]]] = {
            "database": self._migrated,
            "partitions": self._partitions,
            "search_attributes": self._search_attributes,
            "schedules": self._schedules,
            "workers": self._workers,
            **({"demo": self._demo} if self._demo_agency else {}),
        }
        missing = await asyncio.gather(*(self._bounded(name, check) for name, check in checks.items()))
        results = {
            name: Check(ok=said is None, missing=said) for name, said in zip(checks, missing, strict=True)
        }
        return Readiness(ready=all(check.ok for check in results.values()), checks=results)

    async def _bounded(self, name: str, check: Callable[[], Awaitable[str | None]]) -> str | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await check()
        except TimeoutError:
            return f"no answer within {self._timeout_s:g} s"
        except ProgrammingError:
            return "the tables are not there; run `recoup migrate`"
        except (Unavailable, RPCError) as error:
            _log.warning("readiness check failed", check=name, error=type(error).__name__)
            return "does not answer"

    async def _migrated(self) -> str | None:
        async with self._database.platform() as tx:
            revision = await tx.revision()
        # One that is not known was made by a newer release, with whose schema this build works.
        if revision is None or revision in self._revisions[:-1]:
            return f"is at revision {revision}, this build needs {self._revisions[-1]}; run `recoup migrate`"
        return None

    async def _partitions(self) -> str | None:
        async with self._database.platform() as tx:
            ahead = await tx.months_ahead()
        if ahead < MONTHS_NEEDED:
            return f"partitions are there for {ahead} months after this one; run `recoup migrate`"
        return None

    async def _search_attributes(self) -> str | None:
        found = await self._temporal.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=self._temporal.namespace)
        )
        absent = [key.name for key in attributes.ALL if key.name not in found.custom_attributes]
        return f"missing {', '.join(absent)}; run `recoup schedules apply`" if absent else None

    async def _schedules(self) -> str | None:
        async with self._database.platform() as tx:
            agencies = await tx.agencies.active()
        present = {entry.id async for entry in await self._temporal.list_schedules()}
        lacking = sum([not present.issuperset(await self._wanted(agency.id)) for agency in agencies])
        if lacking:
            return f"{lacking} active agencies lack schedules; run `recoup schedules apply`"
        absent = sorted({schedule.id for schedule in INSTALLATION} - present)
        return f"missing {', '.join(absent)}; run `recoup schedules apply`" if absent else None

    async def _wanted(self, agency_id: UUID) -> set[str]:
        """The ids of the schedules that an active agency and its partners have."""
        async with self._database.transaction(Tenant.system(agency_id, ACTOR)) as tx:
            partners = await tx.partner_runs.scheduled()
        return {*schedule_ids(agency_id), *map(partner_schedule_id, partners)}

    async def _workers(self) -> str | None:
        unpolled = sorted({queue for queue, kind in _POLLED if not await self._polled(queue, kind)})
        return f"no worker polls {', '.join(unpolled)}; run `recoup worker`" if unpolled else None

    async def _polled(self, queue: str, kind: "TaskQueueType.ValueType") -> bool:
        described = await self._temporal.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=self._temporal.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
            )
        )
        oldest = datetime.now(UTC) - POLLER_FRESHNESS
        return any(poller.last_access_time.ToDatetime(UTC) > oldest for poller in described.pollers)

    async def _demo(self) -> str | None:
        async with self._database.platform() as tx:
            found = await tx.agencies.find(self._demo_agency or "")
        return None if found else "the demo data is not there yet; run `recoup seed`"
