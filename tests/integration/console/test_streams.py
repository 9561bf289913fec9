"""Streams of pages: whose they are, how long they last, and what is left of them."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from console.live import _rendered
from domain.errors import Unavailable
from sandbox.processes import until
from tests.integration.api.conftest import PASSWORD
from tests.integration.api.test_imports import change, opened
from tests.integration.console.browser import Browser
from tests.integration.console.conftest import log_in
from tests.integration.console.streams import listen


@pytest.fixture(autouse=True)
def often(console: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs and sessions are looked at more often than people would wait for."""
    monkeypatch.setattr(console.world.services.imports.events, "_interval_s", 0.01)
    monkeypatch.setattr(console.world.services.sessions.watch, "_interval_s", 0.02)


async def somebody(console: Any) -> tuple[Browser, UUID]:
    """The browser of a user of their own, and their id."""
    name = f"acme.{uuid4().hex[:12]}"
    person = {"username": name, "full_name": "Any Body", "role": "auditor", "password": PASSWORD}
    made = await console.world.call("acme.admin", "POST", "/users", person)
    browser = await console.new_browser(None)
    await log_in(browser.client, name)
    return browser, UUID(made.json()["id"])


async def log_out(console: Any, browser: Browser, user_id: UUID) -> None:
    page = await browser.get("/worklist")
    # Another tab of theirs has the same cookie, which the streams were opened with.
    await browser.send(next(form for form in page.forms if form.action == "/logout"))


async def deactivate(console: Any, browser: Browser, user_id: UUID) -> None:
    await console.world.call("acme.admin", "PATCH", f"/users/{user_id}", {"active": False})


async def give_another_role(console: Any, browser: Browser, user_id: UUID) -> None:
    await console.world.call("acme.admin", "PATCH", f"/users/{user_id}", {"role": "agency_admin"})


@pytest.mark.parametrize("how", [log_out, deactivate, give_another_role], ids=lambda how: how.__name__)
async def test_streams_end_with_the_session_of_who_listens(console: Any, how: Any) -> None:
    import_id = await opened(console.world, status="processing", phase="staging", bytes_total=1000)
    watch, path = console.world.services.sessions.watch, f"/imports/{import_id}/live"
    browser, user_id = await somebody(console)
    other = await console.browser("acme.admin")
    heard = asyncio.Semaphore(0)

    def going_on(text: str) -> bool:
        if "</progress>" in text:
            heard.release()
        return False

    theirs = [asyncio.create_task(listen(console, browser, path, going_on)) for _ in range(3)]
    ours = asyncio.create_task(listen(console, other, path, going_on))
    async with asyncio.timeout(60):
        for _ in range(4):
            await heard.acquire()
    assert sorted(one.listeners for one in watch._watched.values()) == [1, 3]

    await how(console, browser, user_id)
    said = await asyncio.gather(*theirs)
    assert not ours.done()
    await change(console.world, import_id, status="completed", phase="merged")
    rest = await ours

    assert all("event: ended" not in text for text in said)
    assert "event: ended" in rest
    assert not watch._watched
    if how is not give_another_role:
        answer = await browser.client.get(path, headers={"Accept": "text/event-stream"})
        assert answer.status_code == httpx.codes.UNAUTHORIZED


async def test_a_database_that_is_away_ends_no_stream(console: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import_id = await opened(console.world, status="processing", phase="staging", bytes_total=1000)
    watch, asked = console.world.services.sessions.watch, asyncio.Event()

    async def away(_: Any) -> bool:
        asked.set()
        raise Unavailable("the database cannot be reached")

    monkeypatch.setattr(watch, "_holds", away)
    browser = await console.browser("acme.admin")
    listening = asyncio.create_task(
        listen(console, browser, f"/imports/{import_id}/live", lambda text: "event: ended" in text)
    )
    async with asyncio.timeout(60):
        await asked.wait()
    await change(console.world, import_id, status="completed", phase="merged")
    assert "event: ended" in await listening


async def test_what_nobody_looks_on_at_any_more_is_not_kept(console: Any) -> None:
    browser = await console.browser("acme.admin")
    events = console.world.services.imports.events
    for _ in range(3):
        import_id = await opened(console.world, status="processing", phase="staging", bytes_total=1000)
        await listen(console, browser, f"/imports/{import_id}/live", lambda text: "</progress>" in text)

    async def forgotten() -> bool:
        return not _rendered[events] and not events._watches

    await until(forgotten, within_s=60, what="what was rendered to be forgotten")
