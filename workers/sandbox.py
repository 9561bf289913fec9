"""The sandbox that workflows run in, entered for what they do and for nothing else."""

from typing import TYPE_CHECKING, Any

from temporalio.converter import StorageDriverStoreContext
from temporalio.worker import WorkflowInstance, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from temporalio.bridge.proto.workflow_activation import WorkflowActivation
    from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
    from temporalio.converter import SerializationContext
    from temporalio.worker import WorkflowInstanceDetails
    from temporalio.workflow import Info

PASSED_THROUGH = (
    "activities",
    "domain",
    "workflows.account_alarms",
    "workflows.account_messages",
    "workflows.admitting",
    "workflows.attributes",
    "workflows.failures",
    "workflows.payment_following",
    "workflows.payment_messages",
    "workflows.plan_messages",
    "workflows.policies",
    "workflows.queues",
)
"""Pure modules that workflows share with the worker; never the workflows' own modules."""


def workflow_runner() -> WorkflowRunner:
    """The sandbox that workflows run in: pure modules are shared, all else is loaded per workflow."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    return _SparingRunner(SandboxedWorkflowRunner(restrictions=restrictions))


class _SparingRunner(WorkflowRunner):
    """The SDK's sandbox, without its being asked for the context of every payload."""

    def __init__(self, sandbox: SandboxedWorkflowRunner) -> None:
        self._sandbox = sandbox

    def prepare_workflow(self, defn: Any) -> None:
        self._sandbox.prepare_workflow(defn)

    def create_instance(self, det: "WorkflowInstanceDetails") -> WorkflowInstance:
        return _SparingInstance(self._sandbox.create_instance(det))

    def set_worker_level_failure_exception_types(self, types: "Sequence[type[BaseException]]") -> None:
        self._sandbox.set_worker_level_failure_exception_types(types)


class _SparingInstance(WorkflowInstance):
    """A workflow in the sandbox.

    For each payload, three times over, the SDK asks the workflow what it belongs to, in case the data
    converter minds: a visit to the sandbox each time, which took a tenth of a payment's time in the worker.
    Ours (``runtime.temporal.DATA_CONVERTER``) treats all payloads alike and stores none elsewhere.
    """

    def __init__(self, sandboxed: WorkflowInstance) -> None:
        self._sandboxed = sandboxed

    def activate(self, act: "WorkflowActivation") -> "WorkflowActivationCompletion":
        return self._sandboxed.activate(act)

    def get_serialization_context(self, command_info: Any) -> "SerializationContext | None":
        return None

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:
        return StorageDriverStoreContext(target=None)

    def get_info(self) -> "Info":
        return self._sandboxed.get_info()

    def get_thread_id(self) -> int | None:
        return self._sandboxed.get_thread_id()
