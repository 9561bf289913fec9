"""Streams of the API: they last as long as the login of who listens."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.api.conftest import PASSWORD
from tests.integration.api.test_imports import change, events_of, opened, until


@pytest.fixture(autouse=True)
def often(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs and logins are looked at more often than people would wait for."""
    monkeypatch.setattr(world.services.imports.events, "_interval_s", 0.01)
    monkeypatch.setattr(world.services.authentication.watch, "_interval_s", 0.02)


@pytest.mark.parametrize("what", [{"active": False}, {"role": "agency_admin"}], ids=["deactivated", "moved"])
async def test_a_stream_ends_when_who_listens_is_changed_or_deactivated(
    world: Any, what: dict[str, Any]
) -> None:
    import_id = await opened(world, status="processing", phase="staging")
    name = f"acme.{uuid4().hex[:12]}"
    person = {"username": name, "full_name": "Any Body", "role": "auditor", "password": PASSWORD}
    made = await world.call("acme.admin", "POST", "/users", person)
    login = await world.call(None, "POST", "/auth/token", {"username": name, "password": PASSWORD})
    bearer = {"Authorization": f"Bearer {login.json()['access']}"}
    path = f"/imports/{import_id}/events"
    theirs = asyncio.create_task(world.call(None, "GET", path, **bearer))
    ours = asyncio.create_task(world.call("acme.admin", "GET", path))
    watch = world.services.authentication.watch
    await until(lambda: len(watch._watched) == 2)

    await world.call("acme.admin", "PATCH", f"/users/{made.json()['id']}", what)
    said = await asyncio.wait_for(theirs, 60)
    assert not ours.done()
    assert (await world.call(None, "GET", path, **bearer)).status_code == 401
    await change(world, import_id, status="completed", phase="merged")
    rest = await ours

    assert "completed" not in {event["event"] for event in events_of(said.text)}
    assert events_of(rest.text)[-1]["event"] == "completed"
    assert not watch._watched
