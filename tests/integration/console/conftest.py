"""The console over a real database, called in process, and a browser for everybody of two agencies."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from console.app import create_app
from tests.applications import application
from tests.integration.api.conftest import PASSWORD, host_key, world
from tests.integration.console.browser import Browser, Form, Page

__all__ = ["host_key", "world"]


@dataclass
class Console:
    """The console, and who looks at it ("platform", "acme.admin", "acme.collector", "rival.auditor", …).

    ``world`` has the same services behind the API: ``world.call`` and the helpers of the API's tests.
    """

    world: Any
    app: FastAPI
    stack: AsyncExitStack
    browsers: dict[str | None, Browser] = field(default_factory=dict)

    async def browser(self, who: str | None) -> Browser:
        """The browser of somebody, who is logged in; of nobody for None."""
        if who not in self.browsers:
            self.browsers[who] = await self.new_browser(who)
        return self.browsers[who]

    async def new_browser(self, who: str | None) -> Browser:
        """A further browser, with a session of its own."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://test", follow_redirects=True)
        await self.stack.enter_async_context(client)
        if who is not None:
            await log_in(client, who)
        if who == "platform":
            browser = Browser(client)
            page = await browser.get("/login")
            await browser.send(Form("", "/agency", {**_own(page), "agency": "acme"}))
        return Browser(client)

    async def get(self, who: str | None, path: str) -> Page:
        """A page as somebody sees it."""
        return await (await self.browser(who)).get(path)

    async def send(self, who: str | None, path: str, form_id: str, /, **values: Any) -> Page:
        """Open a page, fill in the form on it and send it; see ``Browser.send``."""
        browser = await self.browser(who)
        page = await browser.get(path)
        assert page.status == httpx.codes.OK, page.text
        return await browser.send(page.form(form_id), **values)


async def log_in(client: httpx.AsyncClient, who: str) -> None:
    """Log in by the form, as people do."""
    answer = await client.post(
        "/login", data={"username": who, "password": PASSWORD, "next": "/worklist"}, follow_redirects=False
    )
    assert answer.status_code == httpx.codes.SEE_OTHER, answer.text


def _own(page: Page) -> dict[str, str]:
    """The token that every form of the session has."""
    token = next(one.fields["_csrf"] for one in page.forms if "_csrf" in one.fields)
    return {"_csrf": token}


@pytest.fixture(scope="module")
async def console(world: Any) -> AsyncIterator[Console]:
    """The console that the tests of one module share."""
    async with AsyncExitStack() as stack:
        yield Console(world, application(create_app, world.settings, world.services), stack)
