"""Records histories of account lifecycles that ``tests/replay`` replays: small, and invented people only.

``python -m pytest tests/integration/accounts/record_histories.py`` writes them anew; commit them after a
change of workflow code that is meant to break with running workflows, and never to silence a replay.
The story of eighteen months comes from the server that skips time, its account from memory; the others come
from a real server and database.
"""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from temporalio.client import Client, WorkflowHandle

from activities.account_messages import Transition
from domain.accounts import AccountStatus
from domain.holds import HoldKind
from sandbox.processes import until
from services.account_command_forms import HoldForm, TransitionForm
from services.lifecycle_start import lifecycle_input, start_options
from tests.integration.accounts.desk import Desk
from tests.integration.accounts.door import Door
from tests.integration.accounts.test_rest_story import Life, life, live
from tests.integration.api.conftest import world
from tests.integration.imports.record_histories import HISTORIES, without_machine
from tests.unit.workflows.conftest import serving
from tests.unit.workflows.test_account_story import (
    Story,
    dispute_and_offer,
    first_weeks,
    quiet_months,
    story,
    the_end,
)
from workflows.accounts import AccountLifecycle

__all__ = ["life", "serving", "story", "world"]

S = AccountStatus
DAY = timedelta(days=1)


async def test_record_the_story(story: Story) -> None:
    story.books.barred_on = story.day(300)
    await first_weeks(story)
    await dispute_and_offer(story)
    await quiet_months(story, signals=0)
    await the_end(story)
    await save(story.lifecycle, "account-lifecycle-story")


async def test_record_the_same_over_rest(life: Life) -> None:
    await live(life)
    await save(life.lifecycle, "account-lifecycle-rest")


async def test_record_one_that_is_worked_again(desk: Desk, client: Client) -> None:
    await desk.query("UPDATE agency SET lifecycle_capacity = 0 WHERE id = %s", desk.agency_id)
    account, door = await desk.place(), Door(desk, client)
    lifecycle = door.lifecycle(account)
    await move(door, account, S.ASSIGNED)
    refused = desk.order(Transition, account, new_status=S.SETTLED)
    await lifecycle.signal(AccountLifecycle.ask_transition, refused)
    await until(lambda: happened(desk, account, "refused"), within_s=60, what="the refusal")
    journal = await desk.post(account, "1000.00")
    await lifecycle.signal(AccountLifecycle.payment_posted)
    await lifecycle.result()
    await desk.reverse(account, journal)
    await reopen(door, account)
    await until(lambda: stands(lifecycle, "in_contact"), within_s=60, what="the account to be worked again")
    await door.tell("release", account, await held(door, account))
    await save(lifecycle, "account-lifecycle-reopened")


async def held(door: Door, account: UUID) -> HoldKind:
    """A hold that is in force until it is released."""
    form = HoldForm(kind=HoldKind.CEASE, reason="in writing", until=today() + 90 * DAY)
    await door.tell("hold", account, form=form)
    return form.kind


async def move(door: Door, account: UUID, to: AccountStatus) -> None:
    await door.tell("transition", account, form=TransitionForm(new_status=to))


async def reopen(door: Door, account: UUID) -> None:
    """As a reversed payment will: a signal that starts the workflow where it does not run."""
    ref = door.desk.ref(account)
    await door.client.start_workflow(
        AccountLifecycle.run,
        lifecycle_input(ref),
        start_signal="payment_reversed",
        **start_options(ref, 0, "closed"),
    )


async def happened(desk: Desk, account: UUID, kind: str) -> bool:
    return kind in [event[0] for event in await desk.events(account)]


async def stands(lifecycle: WorkflowHandle[Any, Any], status: str) -> bool:
    told = await lifecycle.query(AccountLifecycle.describe)
    return bool(told.state == status)


def today() -> date:
    return datetime.now(UTC).date()


async def save(lifecycle: WorkflowHandle[Any, Any], name: str) -> None:
    history = json.loads((await lifecycle.fetch_history()).to_json())
    # The server that skips time leaves it out; a replay needs it.
    history["events"][0]["workflowExecutionStartedEventAttributes"]["workflowId"] = lifecycle.id
    (HISTORIES / f"{name}.json").write_text(json.dumps(without_machine(history), indent=1) + "\n")
