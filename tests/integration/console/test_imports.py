"""Imports' pages: files sent as a browser sends them, bars that move, what was wrong by line."""

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import httpx
import pytest
from temporalio.client import Client

from domain.tenancy import Tenant
from tests.integration.api.contacting import debt
from tests.integration.api.test_imports import add_problems, change, opened, portfolio, stored_files
from tests.integration.console.browser import Browser, Page
from tests.integration.console.streams import listen
from workflows import queues


def key_of(page: Page) -> dict[str, str]:
    """The headers that the form for files sends."""
    found = re.search(r"""id="upload".*?hx-headers='([^']+)'""", page.html)
    assert found, page.html
    headers: dict[str, str] = json.loads(found[1])
    return headers


async def send(
    browser: Browser, content: bytes, *, name: str = "march.csv", token: str | None = None, **more: Any
) -> Page:
    """Send a file as the form does, over HTMX."""
    page = await browser.get("/imports")
    csrf = page.form("poll").fields["_csrf"] if token is None else token
    headers = {"HX-Request": "true", "HX-Boosted": "true", "HX-Target": "body", "Accept": "text/html"}
    headers |= {**key_of(page), **more.pop("headers", {})}
    if csrf:
        headers["X-CSRF-Token"] = csrf
    return Page(
        await browser.client.post("/imports", files={"file": (name, content)}, headers=headers, **more)
    )


def import_of(page: Page) -> UUID:
    assert page.path.startswith("/imports/"), page.text
    return UUID(page.path.removeprefix("/imports/"))


async def test_a_file_that_is_sent_is_imported_like_one_from_an_inbox(
    console: Any, temporal_client: Client
) -> None:
    content = portfolio()

    page = await send(await console.browser("acme.admin"), content)

    assert "march.csv was received" in page.text
    assert "Sent by acme.admin" in page.text
    async with console.world.database.transaction(
        Tenant.system(console.world.agencies["acme"], "test")
    ) as tx:
        row = await tx.imports.get(import_of(page))
    handle = temporal_client.get_workflow_handle(queues.import_workflow_id(row.agency_id, row.sha256))
    assert (await handle.describe()).workflow_type == "PortfolioImport"
    assert f"{queues.import_workflow_id(row.agency_id, row.sha256).replace('/', '%2F')}" in page.html


async def test_a_file_sent_twice_is_one_import(console: Any) -> None:
    browser, content = await console.browser("acme.admin"), portfolio()
    headers = key_of(await browser.get("/imports"))

    pages = [await send(browser, content, headers=headers) for _ in range(2)]
    other = await send(browser, portfolio(), headers=headers)
    await change(console.world, import_of(pages[0]), status="completed")
    later = await send(browser, content, name="again.csv")

    assert import_of(pages[0]) == import_of(pages[1]) == import_of(later)
    assert "This file was sent before, as march.csv" in later.text
    assert other.status == httpx.codes.UNPROCESSABLE_ENTITY


async def test_what_is_no_portfolio_file_is_refused_beside_the_form(
    console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await console.browser("acme.admin")
    before = stored_files(console.world)

    wrong_name = await send(browser, b"x", name="march.xlsx")
    monkeypatch.setattr(console.world.services.imports, "_upload_max_bytes", 10)
    too_large = await send(browser, portfolio())

    for page, said in ((wrong_name, "named *.csv or *.csv.gz"), (too_large, "larger than")):
        assert page.status == httpx.codes.UNPROCESSABLE_ENTITY
        assert said in page.text
        assert page.answer.headers["HX-Retarget"] == "#upload .form-problem"
    assert stored_files(console.world) == before


async def test_a_body_above_the_limit_is_cut_off_and_a_larger_one_than_other_forms_is_not(
    console: Any,
) -> None:
    browser = await console.browser("acme.admin")
    limit = console.world.settings.upload_max_bytes

    padded = portfolio(*(f"{uuid4().hex},{'A' * 4000},1.00" for _ in range(300)))
    taken = await send(browser, padded)
    declared = await send(browser, portfolio(), headers={"Content-Length": str(limit * 2)})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    elsewhere = await browser.client.post("/imports/poll", content=padded, headers=form)

    assert len(padded) > 1 << 20
    assert import_of(taken)
    assert declared.status == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    assert "send less at once" in declared.text
    assert declared.answer.headers["HX-Retarget"] == "#upload .form-problem"
    assert elsewhere.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE


async def test_the_body_is_not_read_for_a_token(console: Any) -> None:
    browser = await console.browser("acme.admin")
    before = stored_files(console.world)

    missing = await send(browser, portfolio(), token="", data={"_csrf": "x"})
    wrong = await send(browser, portfolio(), token="x")

    assert (missing.status, wrong.status) == (httpx.codes.FORBIDDEN, httpx.codes.FORBIDDEN)
    assert stored_files(console.world) == before


async def test_who_may_see_and_send(console: Any) -> None:
    import_id = await opened(console.world, header=["external_ref"], processed_errors=1)
    await add_problems(console.world, import_id)
    admin = await console.get("acme.admin", "/imports")
    auditor = await console.get("acme.auditor", "/imports")

    assert admin.has_form("upload")
    assert admin.has_form("poll")
    assert not auditor.has_form("upload")
    assert not auditor.has_form("poll")
    statuses = {
        who: [
            (await console.get(who, f"/imports{path}")).status
            for path in ("", f"/{import_id}", f"/{import_id}/to-mend.csv", f"/{import_id}/lines/2")
        ]
        for who in ("platform", "acme.admin", "acme.auditor", "acme.collector", "rival.admin")
    }
    assert statuses == {
        "platform": [200, 200, 200, 200],
        "acme.admin": [200, 200, 200, 200],
        "acme.auditor": [200, 200, 403, 403],
        "acme.collector": [403, 403, 403, 403],
        "rival.admin": [200, 404, 404, 404],
    }
    for who in ("acme.auditor", "acme.collector"):
        browser = await console.browser(who)
        token = (await browser.get("/settings/password")).form("password").fields["_csrf"]
        answer = await browser.client.post(
            "/imports", files={"file": ("a.csv", portfolio())}, headers={"X-CSRF-Token": token}
        )
        assert answer.status_code == httpx.codes.FORBIDDEN


async def test_what_was_wrong_is_shown_by_line_with_what_stood_there(console: Any) -> None:
    import_id = await opened(
        console.world, status="completed", phase="done", header=["ref", "name", "amount"], processed_errors=2
    )
    await add_problems(console.world, import_id)

    page = await console.get("acme.admin", f"/imports/{import_id}")
    errors = await console.get("acme.admin", f"/imports/{import_id}?severity=error")
    whole = await console.get("acme.admin", f"/imports/{import_id}/lines/2")
    auditor = await console.get("acme.auditor", f"/imports/{import_id}")
    mend = await console.get("acme.admin", f"/imports/{import_id}/to-mend.csv")
    nothing = await console.get("acme.admin", f"/imports/{import_id}/lines/3")

    for piece in (
        "original_amount is negative",
        "-5",
        "Row refused",
        "Value left out",
        "Refused rows as CSV",
    ):
        assert piece in page.text
    assert "left out" not in errors.text.split("Result")[1].split("Row refused")[0]
    assert "debtor_phone" not in errors.text
    assert 'R1,"Hill, Ada",-5' in whole.text
    assert "Refused rows as CSV" not in auditor.text
    assert f"/imports/{import_id}/lines/2" not in auditor.links
    assert mend.text.startswith("ref,name,amount")
    assert mend.answer.headers["content-disposition"].startswith("attachment")
    assert nothing.status == httpx.codes.NOT_FOUND
    async with console.world.database.transaction(
        Tenant.system(console.world.agencies["acme"], "test")
    ) as tx:
        done = [record.action for record in await tx.audit.of("import", import_id)]
    assert done == ["import.refusal_shown", "import.refusals_downloaded"]


async def test_a_failed_import_says_why_and_what_to_do(console: Any) -> None:
    import_id = await opened(console.world, status="failed", phase="refused", reason="the file has no header")

    page = await console.get("acme.admin", f"/imports/{import_id}")

    assert "The file was not imported" in page.text
    assert "The file has no header" in page.text
    assert "data-stream" not in page.html


async def test_the_list_goes_by_pages_and_status(console: Any) -> None:
    for _ in range(3):
        await opened(console.world, "rival", status="failed", reason="no header")

    block = await (await console.browser("rival.admin")).block(
        "/imports?status=failed&page_size=2", "results"
    )
    following = next(link for link in block.links if "cursor=" in link)
    second = await console.get("rival.admin", following)
    none = await console.get("rival.admin", "/imports?status=completed")

    assert "<html" not in block.html
    assert len([link for link in block.links if re.fullmatch(r"/imports/[0-9a-f-]{36}", link)]) == 2
    assert any(re.fullmatch(r"/imports/[0-9a-f-]{36}", link) for link in second.links)
    assert "No import fits" in none.text


async def test_a_bar_moves_until_the_import_is_done(console: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.world.services.imports.events, "_interval_s", 0.01)
    browser = await console.browser("acme.admin")
    import_id = await opened(
        console.world, status="processing", phase="staging", bytes_total=1000, bytes_done=500
    )
    page = await browser.get(f"/imports/{import_id}")
    assert f'data-stream="/imports/{import_id}/live"' in page.html

    path = f"/imports/{import_id}/live"
    first = await listen(console, browser, path, lambda heard: "</progress>" in heard)
    await change(console.world, import_id, status="completed", phase="merged", processed_ok=7)
    rest = await listen(console, browser, path, lambda heard: "Ended" in heard)
    ended = re.search(r"^id: (\d+)", rest, re.MULTILINE)
    assert ended
    again = await listen(console, browser, path, lambda _: False, after=ended[1])

    assert "event: progress" in first
    assert 'value="8"' in first  # half of the file is read, which is 15 % of the work
    assert "event: ended" in rest
    assert 'hx-target="#problems"' in rest
    assert "Completed" in rest
    assert again == ""


async def test_all_who_look_on_are_shown_what_was_rendered_once(
    console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_id = await opened(console.world, status="processing", phase="staging", bytes_total=1000)
    browsers = [await console.browser(who) for who in ("acme.admin", "acme.auditor", "platform")]
    rendered: list[str] = []
    fragment = console.app.state.pages.fragment

    def counted(template: str, *arguments: Any, **values: Any) -> str:
        rendered.append(template)
        return str(fragment(template, *arguments, **values))

    monkeypatch.setattr(console.app.state.pages, "fragment", counted)
    path, heard = f"/imports/{import_id}/live", asyncio.Semaphore(0)

    def enough(text: str) -> bool:
        if "</progress>" in text:
            heard.release()
        return "event: ended" in text

    listening = [asyncio.create_task(listen(console, browser, path, enough)) for browser in browsers]
    async with asyncio.timeout(60):
        for _ in browsers:
            await heard.acquire()
    assert rendered == ["_import_progress.html"]
    await change(console.world, import_id, status="completed", phase="merged")
    assert all("Read and checked" in text for text in await asyncio.gather(*listening))


async def stream_of(browser: Browser) -> str:
    """Where the page of imports, made now, listens."""
    return (await browser.get("/imports")).html.partition('data-stream="')[2].partition('"')[0]


async def test_the_list_shows_what_is_under_way_and_is_asked_for_anew_when_that_changes(
    console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.world.services.imports.under_way, "_interval_s", 0.01)
    browser = await console.browser("rival.admin")
    going = await opened(console.world, "rival", status="processing", phase="merging")
    ours = await opened(console.world, status="processing")

    async def end() -> None:
        async with console.world.database.transaction(
            Tenant.system(console.world.agencies["rival"], "test")
        ) as tx:
            await tx.imports.update(going, status="completed")

    ending: list[asyncio.Task[None]] = []

    def enough(heard: str) -> bool:
        if str(going) in heard and not ending:
            assert 'hx-target="#results"' not in heard
            ending.append(asyncio.create_task(end()))
        return 'hx-target="#results"' in heard

    heard = await listen(console, browser, await stream_of(browser), enough)

    assert str(ours) not in heard
    assert "being merged into accounts" in heard
    assert not console.world.services.imports.under_way._watches


async def test_a_page_that_had_lost_its_stream_asks_for_the_list_anew(console: Any) -> None:
    browser = await console.browser("rival.admin")
    await opened(console.world, "rival", status="processing", phase="merging")
    stream = await stream_of(browser)
    first = await listen(console, browser, stream, lambda heard: "merged into" in heard)
    assert 'hx-target="#results"' not in first
    again = await listen(console, browser, stream, lambda heard: "merged into" in heard, after="1")
    assert 'hx-target="#results"' in again


async def test_a_page_hears_of_what_began_before_its_stream_was_opened(console: Any) -> None:
    browser = await console.browser("rival.admin")
    stream = await stream_of(browser)
    begun = await opened(console.world, "rival", status="processing", phase="merging")
    heard = await listen(console, browser, stream, lambda heard: str(begun) in heard)
    assert 'hx-target="#results"' in heard


async def test_inboxes_are_looked_into_once_however_often_the_form_is_sent(
    console: Any, temporal_client: Client
) -> None:
    browser = await console.browser("acme.admin")
    form = (await browser.get("/imports")).form("poll")

    pages = [await browser.send(form) for _ in range(2)]

    assert all("The SFTP inboxes are being looked into" in page.text for page in pages)
    async with console.world.database.transaction(
        Tenant.system(console.world.agencies["acme"], "test")
    ) as tx:
        records = await tx.audit.of("agency", console.world.agencies["acme"])
    assert len([record for record in records if record.action == "import.poll_requested"]) == 1
    workflow_id = queues.poll_workflow_id(console.world.agencies["acme"])
    assert (
        await temporal_client.get_workflow_handle(workflow_id).describe()
    ).workflow_type == "PortfolioPoll"


async def test_what_was_placed_while_an_import_ran_is_listed_behind_it(console: Any) -> None:
    before = await debt(console.world)
    import_id = await opened(console.world, status="processing", phase="merging", accounts_created=1)
    await change(console.world, import_id, started_at=datetime.now(UTC))
    during = await debt(console.world)
    ended = {"status": "completed", "phase": "merged", "completed_at": datetime.now(UTC)}
    await change(console.world, import_id, **ended)
    after = await debt(console.world)

    browser = await console.browser("acme.admin")
    page = await browser.get(f"/imports/{import_id}")
    listed = await browser.get(next(link for link in page.links if "created_after" in link))

    assert f"/accounts/{during['id']}" in listed.links
    assert not {f"/accounts/{one['id']}" for one in (before, after)} & {*listed.links}
    # Filters that are added keep to it.
    form = next(form for form in listed.forms if form.action == "/accounts")
    assert form.fields["created_after"] < form.fields["created_before"]
    narrowed = await browser.get(f"/accounts?{urlencode({**form.fields, 'status': 'new'})}")
    assert f"/accounts/{during['id']}" in narrowed.links
    assert f"/accounts/{after['id']}" not in narrowed.links
