"""Workflows that stand in for others."""

from temporalio import workflow

from activities.messages import PortfolioFile


@workflow.defn
class AtWork:
    """Runs until it is told to end."""

    def __init__(self) -> None:
        self._ended = False

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self._ended)

    @workflow.signal
    def end(self) -> None:
        self._ended = True


@workflow.defn(name="PortfolioImport")
class FakeImport:
    """Stands in for the import, which has tests of its own."""

    @workflow.run
    async def run(self, file: PortfolioFile) -> None:
        workflow.set_current_details(file.channel)
