"""A payment plan: each instalment a timer and a payment, until all are paid or the plan is broken."""

from collections.abc import Awaitable
from datetime import timedelta

from temporalio import workflow
from temporalio.common import VersioningBehavior, WorkflowIDReusePolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

from activities.plan_messages import PaymentUnderWay, PlanRef, PlanStanding, RefusedMethod
from activities.plans import PlanActivities, PlanMethods
from domain.errors import NotFound
from workflows import attributes, policies, queues
from workflows.account_messages import Expected, LifecycleDescription
from workflows.failures import DRAINING, cause_of
from workflows.payment_messages import PaymentProcessInput
from workflows.payments import PaymentProcess
from workflows.plan_messages import PlanInput

PAUSE = timedelta(minutes=10)
"""After which a step that has failed is tried again."""

LOOK_AFTER_PAYMENT = timedelta(hours=6)
"""How long to wait for word of a payment whose process somebody else has started, before looking at it."""

TOLD_THAT_IT_IS_GONE = "who waits for a plan that is not there is told so"

LEAST_WAIT = timedelta(seconds=1)
"""The clocks of Temporal and of who carries out a step may differ."""


@workflow.defn(versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class PaymentPlan:
    """Entity workflow of one plan, from its making until it is completed, broken or cancelled.

    PostgreSQL holds the plan; the state here is a cursor. One step at a time is taken, by an activity that
    does what is due and answers what is next. Commands change the rows and signal ``changed``; a signal that
    is lost delays what it tells of until the next timer, and loses nothing.
    """

    @workflow.init
    def __init__(self, start: PlanInput) -> None:
        self._start = start
        self._ref = PlanRef(agency_id=start.agency_id, plan_id=start.plan_id)
        self._standing: PlanStanding | None = None
        self._changed = False
        self._leaving = False
        self._gone = False

    @workflow.run
    async def run(self, start: PlanInput) -> str:
        """Returns how the plan has ended."""
        while True:
            standing = await self._look()
            if workflow.info().is_continue_as_new_suggested():
                await self._continue_as_new()
            elif standing is None:
                await self._wait(PAUSE, "try again")
            elif standing.over:
                if await self._drained():
                    return standing.status
            elif standing.payment is not None:
                await self._collect(standing.payment)
            elif standing.needs_method:
                await self._keep_method()
            else:
                await self._wait_for_the_next(standing)

    @workflow.signal
    def changed(self) -> None:
        """The plan, or its account, was changed in the database; look at it again."""
        self._changed = True

    @workflow.update
    async def ready(self) -> PlanStanding:
        """Where the plan stands as soon as its payment method is kept, or refused. ``NotFound``."""
        await workflow.wait_condition(lambda: self._settled is not None or self._gone)
        if self._settled is None:
            raise _not_there()
        return self._settled

    @ready.validator
    def _validate_ready(self) -> None:
        if self._leaving:
            raise ApplicationError("this run of the plan is ending; send it again", type=DRAINING)

    @workflow.query
    def describe(self) -> LifecycleDescription:
        """State and expectation, for people."""
        standing = self._standing
        if standing is None:
            return LifecycleDescription(state="loading")
        at = standing.look_at
        return LifecycleDescription(
            state=standing.status, next=[Expected(what=_next(standing), at=at)] if at else []
        )

    @property
    def _settled(self) -> PlanStanding | None:
        return self._standing if self._standing and not self._standing.needs_method else None

    async def _look(self) -> PlanStanding | None:
        """Have done what is due; where the plan then stands, None when that did not succeed."""
        self._changed = False
        return await self._attempt(
            workflow.execute_activity_method(
                PlanActivities.advance, self._ref, task_queue=queues.LIFECYCLE, **policies.DB_WRITE
            )
        )

    async def _attempt(self, step: Awaitable[PlanStanding]) -> PlanStanding | None:
        """Know what a step answers. None where it fails: it is tried again, unless the plan is not there, or
        the run is cancelled.
        """
        try:
            return self._know(await step)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            cause = cause_of(error)
            if cause.type == NotFound.type:
                self._gone = workflow.patched(TOLD_THAT_IT_IS_GONE)
                await workflow.wait_condition(workflow.all_handlers_finished)
                raise _not_there() from None
            workflow.set_current_details(f"in trouble: {cause.type}; tried again every {PAUSE}")
            return None

    async def _collect(self, payment: PaymentUnderWay) -> None:
        """See a payment to its end, which the books write down. Who cancels this run does not cancel it."""
        try:
            await workflow.execute_child_workflow(
                PaymentProcess.run,
                PaymentProcessInput(
                    agency_id=self._ref.agency_id, payment_id=payment.payment_id, books_at_once=True
                ),
                id=queues.payment_workflow_id(self._ref.agency_id, "plan", payment.key),
                task_queue=queues.LIFECYCLE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                parent_close_policy=ParentClosePolicy.ABANDON,
                cancellation_type=ChildWorkflowCancellationType.ABANDON,
                search_attributes=attributes.of_agency(self._ref.agency_id),
                static_summary="payment",
            )
        except (WorkflowAlreadyStartedError, ChildWorkflowError) as error:
            if is_cancelled_exception(error) and workflow.cancellation_reason() is not None:
                raise
            # A sweep, or an earlier run, has started it; whoever writes down its end tells the plan.
            await self._wait(LOOK_AFTER_PAYMENT, "look after the payment")

    async def _keep_method(self) -> None:
        if await self._attempt(self._have_kept()) is None:
            await self._wait(PAUSE, "try again")

    async def _have_kept(self) -> PlanStanding:
        """Have the method kept at the provider, and write down what came of it."""
        kept = await workflow.execute_activity_method(
            PlanMethods.keep_method, self._ref, task_queue=queues.MONEY, **policies.STRIPE_CALL
        )
        if isinstance(kept, RefusedMethod):
            return await workflow.execute_activity_method(
                PlanActivities.refuse_method, kept, task_queue=queues.LIFECYCLE, **policies.DB_WRITE
            )
        return await workflow.execute_activity_method(
            PlanActivities.record_method, kept, task_queue=queues.LIFECYCLE, **policies.DB_WRITE
        )

    async def _wait_for_the_next(self, standing: PlanStanding) -> None:
        if standing.look_at is None:
            await workflow.wait_condition(lambda: self._changed)
        else:
            await self._wait(max(standing.look_at - workflow.now(), LEAST_WAIT), _next(standing))

    async def _wait(self, at_most: timedelta, what: str) -> None:
        try:
            await workflow.wait_condition(lambda: self._changed, timeout=at_most, timeout_summary=what)
        except TimeoutError:
            return

    async def _drained(self) -> bool:
        """Take no more updates and answer those at hand; False when the plan was changed meanwhile."""
        self._leaving = True
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._leaving = self._changed is False
        return self._leaving

    async def _continue_as_new(self) -> None:
        self._leaving = True
        if self._settled is not None:
            await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(self._start)

    def _know(self, standing: PlanStanding) -> PlanStanding:
        self._standing = standing
        workflow.set_current_details(" · ".join([standing.status, *_details(standing)]))
        return standing


def _not_there() -> ApplicationError:
    return ApplicationError("the plan is not there", type=NotFound.type)


def _next(standing: PlanStanding) -> str:
    return f"instalment {standing.number} of {standing.of}"


def _details(standing: PlanStanding) -> list[str]:
    """For the Web UI: the instalment that is next, and when something happens by itself."""
    details = []
    if standing.number is not None:
        details.append(_next(standing))
    if standing.due_on is not None:
        details.append(f"due {standing.due_on.day} {standing.due_on:%b %Y}")
    if standing.payment is not None:
        details.append("being paid")
    elif standing.look_at is not None:
        details.append(f"next look {standing.look_at.day} {standing.look_at:%b %Y %H:%M} UTC")
    return details
