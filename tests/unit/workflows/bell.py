"""A workflow that does nothing but wait for deadlines, and says when they rang."""

from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.deadlines import Deadline
from workflows.account_alarms import Alarms


@workflow.defn
class Bell:
    """Waits for what it was told last; ``rung`` are the deadlines with the time at which they came."""

    def __init__(self) -> None:
        self._rung: list[tuple[Deadline, datetime]] = []
        self._alarms = Alarms(self._ring)

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.update
    async def wait_for(self, deadlines: list[Deadline]) -> None:
        self._alarms.set(deadlines)

    @workflow.query
    def rung(self) -> list[tuple[Deadline, datetime]]:
        return self._rung

    async def _ring(self, deadline: Deadline) -> None:
        self._rung.append((deadline, workflow.now()))
