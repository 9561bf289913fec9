"""A break that somebody works, or that is material: answered in time or escalated, until it is resolved."""

from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from activities.break_cases import BreakCaseActivities
from activities.break_messages import BreakRef, BreakStanding, UndeliveredWord
from domain.errors import NotFound
from workflows import policies, queues
from workflows.account_messages import Expected, LifecycleDescription
from workflows.failures import cause_of

PAUSE = timedelta(minutes=10)
"""After which a step that has failed is tried again."""

LEAST_WAIT = timedelta(seconds=1)
"""The clocks of Temporal and of who carries out a step may differ."""

DAY = timedelta(days=1)
"""How often a case that is escalated is looked at, should nobody tell it anything."""

LEFT = "left"
"""How a case ends of a break that is not resolved: nobody works it any more."""


@workflow.defn(versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class BreakCase:
    """Entity workflow of one break, from when somebody takes it until it is resolved.

    PostgreSQL holds the break; the state here is a cursor. People's commands change the row and signal
    ``changed``; a reconciliation with the partner signals ``answered``. A signal that is lost delays what it
    tells of until the next timer, and loses nothing.
    """

    @workflow.init
    def __init__(self, ref: BreakRef) -> None:
        self._ref = ref
        self._standing: BreakStanding | None = None
        self._changed = False

    @workflow.run
    async def run(self, ref: BreakRef) -> str:
        """Returns how the break was resolved, or ``LEFT``."""
        while True:
            standing = await self._attend()
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(ref)
            elif standing is None:
                await self._wait(PAUSE, "try again")
            elif standing.to_tell:
                await self._tell()
            elif standing.over:
                if not self._changed:
                    return standing.resolution or LEFT
            elif standing.look_at is None:
                await self._wait(DAY, "look again")
            else:
                await self._wait(max(standing.look_at - workflow.now(), LEAST_WAIT), "time to answer")

    @workflow.signal
    def changed(self) -> None:
        """Somebody has changed the break in the database; look at it again."""
        self._changed = True

    @workflow.signal
    def answered(self) -> None:
        """The partner's next statement is in: it says the same again, or the break is gone."""
        self._changed = True

    @workflow.query
    def describe(self) -> LifecycleDescription:
        """State and expectation, for people."""
        standing = self._standing
        if standing is None:
            return LifecycleDescription(state="loading")
        at = standing.look_at
        return LifecycleDescription(
            state=standing.state, next=[Expected(what="escalation", at=at)] if at else []
        )

    async def _attend(self) -> BreakStanding | None:
        """Have done what is due; where the break then stands, None when that did not succeed."""
        self._changed = False
        standing = await self._attempt(
            workflow.execute_activity_method(
                BreakCaseActivities.attend, self._ref, task_queue=queues.LIFECYCLE, **policies.DB_WRITE
            )
        )
        if isinstance(standing, BreakStanding):
            self._standing = standing
            workflow.set_current_details(_details(standing))
            return standing
        return None

    async def _tell(self) -> None:
        """Send word to the partner; after days of trying, note that it could not be sent."""
        try:
            await workflow.execute_activity_method(
                BreakCaseActivities.deliver, self._ref, task_queue=queues.BULK, **policies.PARTNER_WORD
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            undelivered = UndeliveredWord(
                agency_id=self._ref.agency_id, break_id=self._ref.break_id, reason=cause_of(error).message
            )
            noted = await self._attempt(
                workflow.execute_activity_method(
                    BreakCaseActivities.give_up,
                    undelivered,
                    task_queue=queues.LIFECYCLE,
                    **policies.DB_WRITE,
                )
            )
            if noted is None:
                await self._wait(PAUSE, "try again")

    async def _attempt(self, step: Awaitable[Any]) -> Any:
        """What a step answers. None where it fails: it is tried again, unless the break is not there, or the
        run is cancelled.
        """
        try:
            return await step
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            cause = cause_of(error)
            if cause.type == NotFound.type:
                raise ApplicationError("the break is not there", type=NotFound.type) from None
            workflow.set_current_details(f"in trouble: {cause.type}; tried again every {PAUSE}")
            return None

    async def _wait(self, at_most: timedelta, what: str) -> None:
        try:
            await workflow.wait_condition(lambda: self._changed, timeout=at_most, timeout_summary=what)
        except TimeoutError:
            return


def _details(standing: BreakStanding) -> str:
    """For the Web UI: where the break stands, and what happens by itself."""
    details: list[str] = [standing.state]
    if standing.resolution is not None:
        details.append(standing.resolution.replace("_", " "))
    if standing.stated_at is not None:
        details.append(f"stated again {_day(standing.stated_at)}")
    if standing.to_tell:
        details.append("word is being sent to the partner")
    elif standing.escalated:
        details.append("not answered in time: escalated")
    elif standing.look_at is not None:
        details.append(f"to be answered by {_day(standing.look_at)} UTC")
    return " · ".join(details)


def _day(at: Any) -> str:
    return f"{at.day} {at:%b %Y %H:%M}"
