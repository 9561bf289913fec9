"""A worker for the bare workflows, set up as the product's worker is (``workers.worker``)."""

from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import PollerBehaviorAutoscaling, Worker, WorkerDeploymentConfig

from benchmarks.bare import QUEUE, Bare, BareEntity, BareSteps, nothing
from runtime import loops, temporal
from runtime.settings import load_settings
from workers.deployment import DEPLOYMENT, make_current
from workers.interceptors import DomainErrorInterceptor
from workers.sandbox import workflow_runner
from workers.worker import GRACE, LIMITS, until_signalled
from workflows import queues


async def main() -> None:
    """Serve until SIGTERM."""
    settings = load_settings()
    client = await temporal.connect(settings)
    await make_current(client, settings.build_id)
    limits = LIMITS[queues.LIFECYCLE]
    async with Worker(
        client,
        task_queue=QUEUE,
        activities=[nothing],
        workflows=[Bare, BareEntity, BareSteps],
        workflow_runner=workflow_runner(),
        interceptors=[DomainErrorInterceptor()],
        max_concurrent_activities=limits.activities,
        max_cached_workflows=limits.cached_workflows,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=GRACE,
        deployment_config=WorkerDeploymentConfig(
            version=WorkerDeploymentVersion(deployment_name=DEPLOYMENT, build_id=settings.build_id),
            use_worker_versioning=True,
            default_versioning_behavior=VersioningBehavior.PINNED,
        ),
    ):
        await until_signalled()


if __name__ == "__main__":
    loops.run(main())
