"""Schedules' page, on a real Temporal server: next runs, history, started, paused and resumed by hand."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from temporalio.client import Client, ScheduleActionExecutionStartWorkflow

from sandbox.processes import until
from services.commands import CommandKey
from services.onboarding.partners import NewPartner
from tests.integration.console.browser import Page
from workflows.schedules import poll_schedule_id, schedule_ids, scoring_schedule_id


@pytest.fixture(scope="module")
async def agency(console: Any) -> UUID:
    agency_id: UUID = console.world.agencies["acme"]
    await console.world.services.schedules.ensure(agency_id)
    return agency_id


def slug(schedule_id: str) -> str:
    return schedule_id.replace("/", "-")


def card(page: Page, schedule_id: str) -> str:
    """What the page says of one schedule."""
    start = page.html.index(f'aria-labelledby="t-{slug(schedule_id)}"')
    return page.html[start : page.html.index("</section>", start)]


async def test_every_schedule_is_shown_with_what_it_does_and_when(console: Any, agency: UUID) -> None:
    page = await console.get("acme.auditor", "/schedules")

    assert all(f't-{slug(schedule_id)}"' in page.html for schedule_id in schedule_ids(agency))
    assert "Nightly scoring of all accounts" in page.text
    assert "Every day at 04:30 America/New_York" in page.text
    assert card(page, scoring_schedule_id(agency)).count("<time") == 3
    assert not [form for form in page.forms if form.action.startswith("/schedules/")]


async def test_a_partners_schedule_has_its_name(console: Any, agency: UUID) -> None:
    visitor = await console.world.services.sessions.visitor(
        (await console.browser("acme.admin")).client.cookies["recoup_session"]
    )
    form = NewPartner(name="northgate", reconcile_at="06:30")
    await console.world.services.partners.create(visitor.who, CommandKey("test"), form)

    page = await console.get("acme.admin", "/schedules")

    assert "Reconciliation with northgate" in page.text
    assert "Every day at 06:30" in page.text
    assert "northgate" not in (await console.get("rival.admin", "/schedules")).text


async def test_a_schedule_is_paused_with_a_reason_and_resumed(
    console: Any, agency: UUID, temporal_client: Client
) -> None:
    schedule_id = scoring_schedule_id(agency)
    handle = temporal_client.get_schedule_handle(schedule_id)

    async def paused() -> bool:
        return (await handle.describe()).schedule.state.paused

    async def going() -> bool:
        return not await paused()

    browser = await console.browser("acme.admin")
    form = (await browser.get("/schedules")).form(f"stop-form-{slug(schedule_id)}")
    stopped = [await browser.send(form, note="year-end audit") for _ in range(2)]
    await until(paused, within_s=60, what="the schedule to be paused")
    shown = card(await browser.get("/schedules"), schedule_id)
    resumed = await console.send("acme.admin", "/schedules", f"resume-{slug(schedule_id)}")
    await until(going, within_s=60, what="the schedule to be resumed")
    after = card(await browser.get("/schedules"), schedule_id)

    assert all("Paused: nightly scoring of all accounts" in page.text for page in stopped)
    for piece in ("Paused by acme.admin on", "year-end audit", "None while it is paused"):
        assert piece in shown
    assert "Resumed: nightly scoring of all accounts" in resumed.text
    assert "Paused by" not in after

    await handle.pause(note="moving house")

    async def shown_as_such() -> bool:
        shown = card(await browser.get("/schedules"), schedule_id)
        return "Paused in Temporal: “moving house”" in shown

    await until(shown_as_such, within_s=60, what="the pause to be shown as nobody's from here")
    await handle.unpause()


async def test_a_run_is_started_once_and_refused_while_one_is_going(
    console: Any, agency: UUID, temporal_client: Client
) -> None:
    schedule_id = poll_schedule_id(agency)
    browser = await console.browser("acme.admin")
    form = (await browser.get("/schedules")).form(f"trigger-{slug(schedule_id)}")
    other = (await browser.get("/schedules")).form(f"trigger-{slug(schedule_id)}")

    started = [await browser.send(form) for _ in range(2)]

    async def running() -> bool:
        return "still running" in card(await browser.get("/schedules"), schedule_id)

    await until(running, within_s=60, what="the run to be shown")
    second = await browser.send(other)

    assert all("Started: poll of the portfolio inboxes" in page.text for page in started)
    assert second.status == httpx.codes.CONFLICT
    assert "is going" in second.text
    assert second.answer.headers["HX-Retarget"] == f"#trigger-{slug(schedule_id)} .form-problem"
    assert "hx-get" in (await browser.block("/schedules", "results")).html
    description = await temporal_client.get_schedule_handle(schedule_id).describe()
    for run in description.info.running_actions:
        assert isinstance(run, ScheduleActionExecutionStartWorkflow)
        await temporal_client.get_workflow_handle(run.workflow_id).terminate()


async def test_who_may_see_and_change(console: Any, agency: UUID) -> None:
    schedule_id = poll_schedule_id(agency)
    form = (await console.get("acme.admin", "/schedules")).form(f"trigger-{slug(schedule_id)}")
    statuses = {}
    for who in ("acme.auditor", "acme.collector", "rival.admin"):
        browser = await console.browser(who)
        token = (await browser.get("/settings/password")).form("password").fields["_csrf"]
        statuses[who] = (
            (await browser.get("/schedules")).status,
            (await browser.send(form, _csrf=token)).status,
        )

    assert statuses == {"acme.auditor": (200, 403), "acme.collector": (403, 403), "rival.admin": (200, 404)}
