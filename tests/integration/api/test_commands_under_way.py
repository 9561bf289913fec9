"""Commands that are not answered as they should be: no server, no worker, too many at once, an ending."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import pytest
from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    StartWorkflowUpdateWithStartInput,
    WorkflowUpdateHandle,
)
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from api.app import create_app
from api.composition import build_services
from sandbox.ports import free_port
from sandbox.processes import until
from sandbox.temporal import TemporalServer
from tests.applications import application
from tests.conftest import LONG_HISTORY
from tests.integration.api.commanding import account_of, events, key, notices, tell, working
from tests.integration.api.people import read
from workflows.accounts import AccountLifecycle
from workflows.queues import account_workflow_id

PATIENCE_S = 1.5
NEXT_WEEK = (datetime.now(ZoneInfo("America/New_York")).date() + timedelta(days=7)).isoformat()


def with_client(world: Any, client: Client, *, patience_s: float = PATIENCE_S) -> Any:
    """The same world through another client of Temporal, and with little patience or much."""
    settings = world.settings.model_copy(update={"command_patience_seconds": patience_s})
    services = build_services(settings, world.database, client)
    return replace(world, services=services, app=application(create_app, settings, services))


@pytest.fixture
async def impatient(world: Any, temporal_client: Client) -> Any:
    return with_client(world, temporal_client)


@pytest.fixture
async def cut_off(world: Any, tmp_path: Path) -> Any:
    """The same world whose Temporal server has gone."""
    server = TemporalServer(free_port(), log=tmp_path / "temporal.log")
    await server.start()
    leaving = await Client.connect(server.address, data_converter=pydantic_data_converter)
    await server.stop()
    return with_client(world, leaving)


def assert_try_again(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["type"] == "urn:recoup:problem:unavailable"
    assert "Idempotency-Key" in answer.json()["detail"]


async def test_without_a_worker_a_command_waits_and_its_repetition_finds_its_answer(
    impatient: Any, temporal_client: Client
) -> None:
    account = await account_of(impatient)
    once, body = key(), {"new_status": "assigned"}

    refused = await tell(impatient, account, "transition", body, **once)
    again = await tell(impatient, account, "transition", body, **once)
    other = await tell(impatient, account, "transition", {"new_status": "closed"})
    before = await read(impatient, f"/accounts/{account['id']}")

    assert_try_again(refused)
    assert_try_again(again)
    assert_try_again(other)
    assert (before["status"], before["version"]) == ("new", 1)

    async with working(impatient, temporal_client):

        async def moved() -> bool:
            return (await read(impatient, f"/accounts/{account['id']}"))["status"] != "new"

        await until(moved, within_s=30, what="the command to be carried out")
        found = await tell(impatient, account, "transition", body, **once)

    assert found.status_code == 200
    changes = await events(impatient, account, "status_changed")
    assert [event["new"] for event in changes if event["new"] == "assigned"] == ["assigned"]


async def test_without_temporal_commands_are_unavailable_and_reads_go_on(world: Any, cut_off: Any) -> None:
    account = await account_of(world, status="in_contact")

    refused = await tell(cut_off, account, "transition", {"new_status": "negotiating"}, **key())
    shown = await read(cut_off, f"/accounts/{account['id']}")
    promises = await read(cut_off, f"/accounts/{account['id']}/promises")
    worklist = await read(cut_off, "/worklist")

    assert_try_again(refused)
    assert (shown["status"], shown["version"]) == ("in_contact", 1)
    assert promises["results"] == []
    assert "results" in worklist


async def test_without_temporal_notes_are_written_and_told_later(world: Any, cut_off: Any) -> None:
    account = await account_of(world)

    noted = await tell(cut_off, account, "notes", {"text": "a call"})

    assert noted.status_code == 201
    assert account["id"] in await notices(world)


async def test_an_answer_is_found_without_temporal(world: Any, cut_off: Any, temporal_client: Client) -> None:
    account = await account_of(world)
    once, body = key(), {"new_status": "assigned"}
    async with working(world, temporal_client):
        first = await tell(world, account, "transition", body, **once)

    again = await tell(cut_off, account, "transition", body, **once)
    other = await tell(cut_off, account, "transition", {"new_status": "closed"}, **once)

    assert (first.status_code, again.status_code, again.json()) == (200, 200, first.json())
    assert other.status_code == 422


async def test_more_commands_at_once_than_temporal_takes_are_all_carried_out(
    world: Any, temporal_client: Client
) -> None:
    world = with_client(world, temporal_client, patience_s=60)
    account = await account_of(world, status="in_contact")
    async with working(world, temporal_client):
        answers = await asyncio.gather(
            *(
                tell(world, account, "promises", {"amount": str(n), "due_date": NEXT_WEEK}, **key())
                for n in range(1, 31)
            )
        )

    assert [answer.status_code for answer in answers] == [201] * 30
    promises = (await read(world, f"/accounts/{account['id']}/promises"))["results"]
    assert sorted(promise["status"] for promise in promises) == ["cancelled"] * 29 + ["open"]


async def test_commands_that_meet_the_end_of_a_lifecycle_are_answered(
    world: Any, temporal_client: Client
) -> None:
    async with working(world, temporal_client):
        for _ in range(3):
            account = await account_of(world, status="in_contact")
            answers = await asyncio.gather(
                *(tell(world, account, "close", {"reason": f"reason {n}"}, **key()) for n in range(8)),
                *(
                    tell(world, account, "holds", {"kind": f"opt_out_{medium}", "reason": "asked"}, **key())
                    for medium in ("call", "sms", "email", "letter")
                ),
            )
            codes = [answer.status_code for answer in answers]
            assert sorted(codes[:8]) == [200] + [409] * 7
            assert set(codes[8:]) <= {201, 409}
            lifecycle = temporal_client.get_workflow_handle(account_workflow_id(UUID(account["id"])))
            await lifecycle.result()
            assert len(await events(world, account, "status_changed")) == 1


class Stumbling(Interceptor):
    """Has the first commands on their way fail as a server may whose workflow has just ended or begun."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 -- Temporal's name
        return _Stumble(next, self.failures)


class _Stumble(OutboundInterceptor):
    def __init__(self, following: OutboundInterceptor, failures: list[Exception]) -> None:
        super().__init__(following)
        self._failures = failures

    async def start_update_with_start_workflow(
        self,
        input: StartWorkflowUpdateWithStartInput,  # noqa: A002 -- Temporal's name
    ) -> WorkflowUpdateHandle[Any]:
        if self._failures:
            raise self._failures.pop()
        return await super().start_update_with_start_workflow(input)


async def test_a_server_that_stumbles_lets_no_command_fail(world: Any, temporal_client: Client) -> None:
    account = await account_of(world)
    stumbling = Stumbling(
        RPCError("it closes", RPCStatusCode.INTERNAL, b""),
        RPCError("it closes", RPCStatusCode.FAILED_PRECONDITION, b""),
        WorkflowAlreadyStartedError("account", "AccountLifecycle"),
    )
    configuration = temporal_client.config()
    configuration["interceptors"] = [stumbling]
    async with working(world, temporal_client):
        told = with_client(world, Client(**configuration), patience_s=30)
        answer = await tell(told, account, "transition", {"new_status": "assigned"})

    assert answer.status_code == 200, answer.text
    assert stumbling.failures == []


async def test_a_lifecycle_that_continues_in_a_new_run_lets_no_command_fail(
    world: Any, temporal_client: Client
) -> None:
    """Past ``LONG_HISTORY`` events the server suggests a new run; commands go on meanwhile."""
    account = await account_of(world, status="in_contact")
    lifecycle = temporal_client.get_workflow_handle_for(
        AccountLifecycle.run, account_workflow_id(UUID(account["id"]))
    )
    async with working(world, temporal_client):
        await tell(world, account, "promises", {"amount": "1", "due_date": NEXT_WEEK})
        first = (await lifecycle.describe()).run_id
        answers = []

        async def signals() -> None:
            for _ in range(LONG_HISTORY // 100 + 1):
                await asyncio.gather(*(lifecycle.signal(AccountLifecycle.contact_logged) for _ in range(100)))

        async def commands() -> None:
            amount = 1
            while (await lifecycle.describe()).run_id == first:
                amount = amount % 1000 + 1
                body = {"amount": str(amount), "due_date": NEXT_WEEK}
                answers.append((await tell(world, account, "promises", body)).status_code)

        await asyncio.wait_for(asyncio.gather(signals(), commands(), commands()), timeout=90)

    assert set(answers) == {201}
    assert len(await read_all(world, account)) == len(answers) + 1


async def read_all(world: Any, account: dict[str, Any]) -> list[Any]:
    """All promises of an account."""
    rows, path = [], f"/accounts/{account['id']}/promises?page_size=500"
    while path:
        page = (await world.call("acme.admin", "GET", path)).json()
        rows += page["results"]
        path = (page["next"] or "").removeprefix("http://test/api/v1")
    return rows
