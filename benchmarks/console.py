"""The console: how long its pages take, what they transfer, and what pages that listen cost the API."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from activities.figures import ACTOR, refresh_figures
from benchmarks import console_browser, console_live, console_pages
from benchmarks.console_browser import BrowserFigures
from benchmarks.console_live import LiveFigures
from benchmarks.console_pages import Answers, PageFigures
from benchmarks.scored_accounts import fill
from benchmarks.served import agency, api_caller, browser_caller, opened, served
from benchmarks.worked_accounts import importing, index, work
from domain.tenancy import Tenant
from sandbox.postgres import APPLICATION, OWNER

if TYPE_CHECKING:
    from benchmarks.world import World


@dataclass(frozen=True, slots=True)
class ConsoleFigures:
    """Pages beside the API's JSON and ``empty``, a page without data; then in a browser, then listening."""

    accounts: int
    requests: int
    pages: Sequence[PageFigures]
    empty: Answers
    browser: BrowserFigures
    live: LiveFigures


async def measure(
    world: "World", accounts: int, requests: int, repeat: int, report: Callable[[str], None]
) -> ConsoleFigures:
    """Ask for each page ``requests`` times; visit some in ``repeat`` browsers; have 200 listen as often."""
    async with world.database() as name:
        url, owner = world.postgres.url(APPLICATION, name), world.postgres.url(OWNER, name)
        async with opened(world, url) as database:
            agency_id = await agency(database)
            report(f"placing {accounts:,} accounts with their scores")
            await fill(owner, agency_id, accounts)
            report("writing what searches look at, and the dashboard's figures")
            await index(owner, agency_id)
            async with served(world, url) as (api, port):
                caller = await asyncio.to_thread(api_caller, port)
                first = await asyncio.to_thread(console_pages.first_accounts, caller)
                caller.close()
                await work(owner, first)
                await refresh_figures(database, Tenant.system(agency_id, ACTOR))
                await world.checkpoint()
                report(f"asking for every page {requests:,} times, and for its data as JSON")
                pid = api.pid or 0
                pages, empty = await asyncio.to_thread(console_pages.compare, port, pid, requests)
                cookie = (await asyncio.to_thread(browser_caller, port)).headers["Cookie"]
                named = [
                    ("worklist", "/worklist"),
                    ("account", f"/accounts/{first[0]}"),
                    ("dashboard", "/dashboard"),
                ]
                browser = await console_browser.measure(port, cookie, named, repeat, report)
                async with importing(owner, agency_id) as import_id:
                    live = await console_live.measure(port, pid, cookie, import_id, requests, repeat, report)
    return ConsoleFigures(accounts, requests, pages, empty, browser, live)
