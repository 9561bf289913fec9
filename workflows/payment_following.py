"""What processes of payments and refunds have in common: they wait for the provider's word, and are asked for
the first word on what they are about.
"""

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from activities.payment_messages import PaymentView
from domain.errors import NotFound
from workflows.failures import DRAINING, cause_of

FIRST_LOOK = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=6)
"""How long the provider is not asked about what has not ended: from the first to the second, twice as long
each time. What it tells by itself is heard at once."""


class Following:
    """Waits for the provider's word on something: a signal, or the time to look."""

    def __init__(self) -> None:
        self._spoken = False
        self._pause = FIRST_LOOK
        self._passed: datetime | None = None

    def hear(self) -> None:
        self._spoken = True

    async def wait(self, until: datetime | None = None) -> None:
        """Until something was said or it is time to look; no longer than ``until``, when that comes.

        What could not be done then is tried again after the pauses of everything else.
        """
        pause = self._pause
        if until is not None and until != self._passed:
            pause = max(min(pause, until - workflow.now()), timedelta(seconds=1))
        try:
            await workflow.wait_condition(lambda: self._spoken, timeout=pause)
        except TimeoutError:
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        if until is not None and workflow.now() >= until:
            self._passed = until
        self._spoken = False

    def trouble(self, error: ActivityError) -> None:
        """A step failed in a way that trying at once does not mend: say so, and try after the pause.

        Raises where there is nothing to go on with: the row is not there, or the run is cancelled.
        """
        if is_cancelled_exception(error):
            raise error
        cause = cause_of(error)
        if cause.type == NotFound.type:
            raise ApplicationError(cause.message, type=NotFound.type) from None
        workflow.set_current_details(f"in trouble: {cause.type}; tried again after {self._pause}")


class FirstAnswer:
    """What is first known of a payment, for those who wait for it."""

    def __init__(self) -> None:
        self.view: PaymentView | None = None
        self._over = False

    async def wait(self) -> PaymentView:
        """The view as soon as there is one. Fails when the run ends without."""
        await workflow.wait_condition(lambda: self.view is not None or self._over)
        if self.view is None:
            raise ApplicationError("this run ends without an answer; send it again", type=DRAINING)
        return self.view

    async def leave(self) -> None:
        """Answer all who wait: the run ends."""
        self._over = True
        await workflow.wait_condition(workflow.all_handlers_finished)
