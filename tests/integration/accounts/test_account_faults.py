"""What goes wrong around an account's workflow: kills, floods, races. Nothing is lost or done twice."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from structlog.testing import capture_logs
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.errordetails.v1 import MultiOperationExecutionFailure
from temporalio.client import Client, Interceptor, OutboundInterceptor
from temporalio.service import RPCError, RPCStatusCode

from domain.accounts import AccountStatus, IllegalMove
from domain.errors import Conflict, KeyReused, NotFound, Unavailable
from domain.holds import HoldKind
from gateways.storage import ObjectStorage
from runtime.settings import Settings
from sandbox.processes import until
from sandbox.temporal import TemporalServer
from services.account_command_forms import AssignForm, HoldForm, TransitionForm
from tests.command_line import CommandLine
from tests.conftest import LONG_HISTORY
from tests.integration.accounts.conftest import BUILD
from tests.integration.accounts.desk import SCORERS, Desk
from tests.integration.accounts.door import Door
from workers.worker import serving
from workflows import queues
from workflows.accounts import AccountLifecycle

STANDING_WORKER = Path(__file__).with_name("standing_worker.py")
S = AccountStatus
TO_CONTACT = TransitionForm(new_status=S.IN_CONTACT)
FLOOD, AT_ONCE = 4_000, 250
RETRIED_WITHIN_S = 100
"""A database step is given 30 seconds before it is tried again elsewhere."""


@pytest.fixture
def environment(
    module_database: Any, temporal_server: TemporalServer, temporal_namespace: str, tmp_path: Path
) -> dict[str, str]:
    return {
        "RECOUP_DATABASE_URL": module_database.app_url,
        "RECOUP_TEMPORAL_ADDRESS": temporal_server.address,
        "RECOUP_TEMPORAL_NAMESPACE": temporal_namespace,
        "RECOUP_BUILD_ID": BUILD,
        "RECOUP_STORAGE_URL": f"file://{tmp_path}/storage",
        "RECOUP_HOME": str(tmp_path / "home"),
    }


@pytest.mark.timeout(180)
async def test_a_worker_killed_before_or_after_the_commit_leaves_one_event_and_one_answer(
    desk: Desk,
    namespace: Client,
    environment: dict[str, str],
    module_database: Any,
    command_line: CommandLine,
    tmp_path: Path,
) -> None:
    before, after = [await desk.place(status="assigned") for _ in range(2)]
    door = Door(desk, namespace, patience_s=RETRIED_WITHIN_S)
    hasty = Door(desk, namespace, patience_s=1)
    async with (
        await psycopg.AsyncConnection.connect(module_database.superuser_url) as lock,
        command_line.worker(tmp_path, environment, STANDING_WORKER) as victim,
    ):
        await lock.execute("SELECT FROM account WHERE id = %s FOR UPDATE", [before])
        first = [
            asyncio.create_task(door.tell("transition", account, key=account.hex, form=TO_CONTACT))
            for account in (before, after)
        ]

        async def stands() -> bool:
            waits = "SELECT pid FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
            return bool(await desk.query(waits, lock.info.backend_pid)) and bool(await desk.events(after))

        await until(stands, within_s=60, what="one command before its commit and one behind it")
        victim.kill()
        await victim.wait()
        await lock.rollback()

    # The key finds what was committed, though no worker is there to answer; the other waits for one.
    kept = await hasty.tell("transition", after, key=after.hex, form=TO_CONTACT)
    with pytest.raises(KeyReused):
        await hasty.tell("transition", after, key=after.hex, form=TransitionForm(new_status=S.CLOSED))
    with pytest.raises(Unavailable, match="same Idempotency-Key"):
        await hasty.tell("transition", before, key=before.hex, form=TO_CONTACT)
    assert await desk.events(before) == []

    settings = Settings(
        _env_file=None,
        database_url=module_database.app_url,
        build_id=BUILD,
        storage_url=f"file://{tmp_path}/storage",
    )
    storage = ObjectStorage(settings.storage_url)
    async with serving(settings, desk.db, namespace, storage, [queues.LIFECYCLE]):
        answers = await asyncio.gather(*first)
        again = await door.tell("transition", before, key=before.hex, form=TO_CONTACT)
    moved = [("status_changed", "assigned", "in_contact")]
    for account in (before, after):
        assert await desk.events(account) == moved
        assert [record["action"] for record in await desk.audit(account)] == ["account.moved"]
        assert (await desk.account(account))["version"] == 2
    assert answers == [again, kept]


@pytest.mark.timeout(180)
async def test_thousands_of_signals_and_the_commands_between_them(desk: Desk, client: Client) -> None:
    """A run takes a limited number of signals and updates, so another has begun before.

    The bursts have ends: while signals arrive faster than a workflow task is completed, no run can end.
    """
    door, account = Door(desk, client, patience_s=60), await desk.place(status="assigned")
    lifecycle = door.lifecycle(account)
    kinds = (HoldKind.OPT_OUT_SMS, HoldKind.OPT_OUT_EMAIL)
    runs: dict[str | None, int] = {}
    for burst in range(FLOOD // AT_ONCE):
        commands = asyncio.gather(*(toggle(door, account, kind, place=burst % 2 == 0) for kind in kinds))
        if burst:
            signal = lifecycle.signal
            await asyncio.gather(*(signal(AccountLifecycle.account_changed) for _ in range(AT_ONCE)))
        await commands
        description = await lifecycle.describe()
        runs[description.run_id] = description.history_length
    await beside(desk, account, "negotiating")
    await lifecycle.signal(AccountLifecycle.account_changed)

    async def seen() -> bool:
        description = await lifecycle.query(AccountLifecycle.describe)
        return bool(description.state == "negotiating")

    await until(seen, within_s=60, what="the last change to be seen")
    assert len(runs) >= 3
    assert max(runs.values()) < LONG_HISTORY + 1_000
    assert len(await desk.events(account)) == len(kinds) * FLOOD // AT_ONCE


async def toggle(door: Door, account: UUID, kind: HoldKind, *, place: bool) -> None:
    if place:
        await door.tell("hold", account, form=HoldForm(kind=kind, reason="said so"))
    else:
        await door.tell("release", account, kind)


async def beside(desk: Desk, account: UUID, status: str) -> None:
    """A set-based change, which does not go through the workflow."""
    await desk.query("UPDATE account SET status = %s, version = version + 1 WHERE id = %s", status, account)
    async with desk.db.transaction(desk.tenant) as tx:
        await tx.rescore(SCORERS, [account])


async def test_a_refusal_by_the_validator_writes_no_history(desk: Desk, client: Client) -> None:
    door, account = Door(desk, client), await desk.place(status="assigned")
    await door.tell("transition", account, form=TO_CONTACT)
    before = (await door.lifecycle(account).describe()).history_length
    for to in (S.SETTLED, S.NEW, S.PAYMENT_PLAN):
        with pytest.raises(IllegalMove) as refused:
            await door.tell("transition", account, form=TransitionForm(new_status=to))
        assert refused.value.details["legal_moves"] == ["negotiating", "disputed", "closed"]
    assert (await door.lifecycle(account).describe()).history_length == before


async def test_a_change_that_nobody_told_of_is_found_by_the_database(desk: Desk, client: Client) -> None:
    """The workflow takes the account for assigned; what it carries out is judged again under the lock."""
    door, account = Door(desk, client), await desk.place(status="assigned")
    await door.tell("hold", account, form=HoldForm(kind=HoldKind.WORKPLACE, reason="said so"))
    await beside(desk, account, "negotiating")
    with pytest.raises(IllegalMove) as refused:
        await door.tell("transition", account, form=TO_CONTACT)
    assert refused.value.details["status_now"] == "negotiating"
    # From then on it knows.
    await door.tell("transition", account, form=TransitionForm(new_status=S.PAYMENT_PLAN))


async def test_two_collectors_move_one_account_at_once(desk: Desk, client: Client) -> None:
    door, account = Door(desk, client), await desk.place(status="assigned")
    answers = await asyncio.gather(
        *(door.tell("transition", account, form=TO_CONTACT) for _ in range(2)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, IllegalMove | Conflict)]
    assert len(refused) == 1
    assert refused[0].status == 409
    assert await desk.events(account) == [("status_changed", "assigned", "in_contact")]


async def test_more_commands_at_once_than_a_workflow_takes_are_all_answered(
    desk: Desk, client: Client
) -> None:
    """Ten updates may be under way in one run; the others are sent again."""
    door, account = Door(desk, client), await desk.place(status="assigned")
    cole, dana = await desk.hire(), await desk.hire("Dana Debt")
    answers = await asyncio.gather(
        *(
            door.tell("assign", account, form=AssignForm(collector_id=(cole, dana)[number % 2]))
            for number in range(30)
        )
    )
    assert {answer.status for answer in answers} == {200}
    versions = [answer.body["version"] for answer in answers]
    assert len(await desk.events(account)) == max(versions) - 1


class Aborting(Interceptor):
    """The first command through a client meets a server that is not available: itself, or for an update."""

    def __init__(self, details: MultiOperationExecutionFailure | None) -> None:
        self.status = GrpcStatus(code=RPCStatusCode.UNAVAILABLE)
        self.met = 0
        if details is not None:
            self.status.details.add().Pack(details)

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        return _Aborted(next, self)


class _Aborted(OutboundInterceptor):
    def __init__(self, next: OutboundInterceptor, told: Aborting) -> None:  # noqa: A002
        super().__init__(next)
        self._told = told

    async def start_update_with_start_workflow(self, input: Any) -> Any:  # noqa: A002
        self._told.met += 1
        if self._told.met == 1:
            raise RPCError("aborted", RPCStatusCode.UNAVAILABLE, self._told.status.SerializeToString())
        return await super().start_update_with_start_workflow(input)


def through(client: Client, aborting: Aborting) -> Client:
    return Client(**{**client.config(), "interceptors": [aborting]})


async def test_an_update_that_the_server_aborts_is_sent_again(desk: Desk, client: Client) -> None:
    """As it does where a workflow's task was lost; it is there itself, and takes the next."""
    aborting, account = Aborting(MultiOperationExecutionFailure()), await desk.place(status="assigned")
    answer = await Door(desk, through(client, aborting)).tell("transition", account, form=TO_CONTACT)
    assert (answer.status, aborting.met) == (200, 2)


async def test_a_server_that_is_away_is_not_waited_for(desk: Desk, client: Client) -> None:
    aborting, account = Aborting(None), await desk.place(status="assigned")
    with pytest.raises(Unavailable, match="did not answer"):
        await Door(desk, through(client, aborting)).tell("transition", account, form=TO_CONTACT)
    assert aborting.met == 1


async def test_commands_that_close_and_come_too_late(desk: Desk, client: Client) -> None:
    """The workflow ends while others are on their way: each is answered, by this run or the next."""
    door, account = Door(desk, client), await desk.place(status="assigned")
    closing = TransitionForm(new_status=S.CLOSED)
    answers = await asyncio.gather(
        *(door.tell("transition", account, form=closing) for _ in range(12)), return_exceptions=True
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    assert sum(isinstance(answer, IllegalMove) for answer in answers) == 11
    assert len(await desk.events(account)) == 1

    async def released() -> bool:
        return (await desk.account(account))["released_at"] is not None

    await until(released, within_s=60, what="the account's place to be free")


async def test_a_refusal_is_one_quiet_line_in_the_worker_s_log(
    desk: Desk, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Refusals are everyday: a traceback for each would bury what is broken."""
    account = await desk.place()
    with caplog.at_level("INFO"), capture_logs() as told, pytest.raises(NotFound):
        await Door(desk, client).tell("release", account, HoldKind.CEASE)
    refused = [entry for entry in told if entry["event"] == "activity refused"]
    assert [(entry["log_level"], entry["error_type"]) for entry in refused] == [("info", "not-found")]
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
