"""Any replica serves any request: what one has given out, another takes, and what one ends is over in all."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from temporalio.client import Client

from api.composition import build_services, open_database
from console.app import create_app
from services.sessions import COOKIE
from tests.applications import application
from tests.integration.api.contacting import debt
from tests.integration.api.people import read
from tests.integration.console.browser import Browser

OK = httpx.codes.OK
WHO = "acme.collector"


@pytest.fixture
async def other(console: Any, temporal_client: Client) -> AsyncIterator[FastAPI]:
    """Another replica: services and connections of its own over the same database."""
    settings = console.world.settings
    async with open_database(settings, "replica") as database:
        services = build_services(settings, database, temporal_client)
        yield application(create_app, settings, services)
        await services.close()


async def test_a_page_of_one_is_worked_on_another(console: Any, other: FastAPI) -> None:
    account = await debt(console.world)
    path = f"/accounts/{account['id']}"
    here = await console.new_browser(WHO)
    transport = httpx.ASGITransport(other, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", follow_redirects=True
    ) as client:
        client.cookies.set(COOKIE, here.client.cookies[COOKIE])
        there = Browser(client)
        form = (await here.get(path)).form("note-form")
        for replica in (there, here):
            sent = await replica.send(form, text="Said once, sent to both.")
            assert (sent.status, sent.path) == (OK, path), sent.text
        events = (await read(console.world, f"{path}/timeline"))["results"]
        assert [event["kind"] for event in events].count("note") == 1
        first = await here.get("/worklist?page_size=1")
        assert (await there.get("/worklist?page_size=1")).text == first.text
        # Who logs out of one is out of both.
        logout = next(one for one in (await there.get(path)).forms if one.action == "/logout")
        assert (await there.send(logout)).path == "/login"
        assert (await here.get("/worklist")).path == "/login?next=%2Fworklist"
