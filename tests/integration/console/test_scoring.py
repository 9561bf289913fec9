"""Scoring's pages: runs that are started, followed and looked at, and the report of fairness."""

import re
from typing import Any
from uuid import UUID

import httpx
import pytest
from temporalio.client import Client

from domain.tenancy import Tenant
from tests.integration.api.people import make, place
from tests.integration.console.browser import Page
from tests.integration.console.streams import listen
from workflows import queues


def run_of(page: Page) -> UUID:
    found = re.fullmatch(r"/scoring/runs/([0-9a-f-]{36})", page.path)
    assert found, page.text
    return UUID(found[1])


async def scored(console: Any, run_id: UUID) -> None:
    """What the run's workflow does with an agency's accounts, but that one cannot be scored."""
    async with console.world.database.transaction(
        Tenant.system(console.world.agencies["acme"], "test")
    ) as tx:
        assert await tx.scoring_runs.begin(run_id)
        [best] = await tx.score_preview.best(1)
        await tx.scoring_runs.add_errors(run_id, [(best.account_id, "the balance is too large")])
        await tx.scoring_runs.finish(run_id)


@pytest.fixture(scope="module")
async def finished(console: Any, temporal_client: Client) -> UUID:
    """A run that an administrator has started, followed to its end."""
    await place(console.world, await make(console.world), amount="98765.00")
    browser = await console.browser("acme.admin")
    form = (await browser.get("/scoring")).form("start-run")
    pages = [await browser.send(form, threshold="1234.50") for _ in range(2)]
    run_id = run_of(pages[0])
    assert run_of(pages[1]) == run_id
    assert "All accounts are being scored" in pages[0].text
    assert f'data-stream="/scoring/runs/{run_id}/live"' in pages[0].html
    refused = await browser.send((await browser.get("/scoring")).form("start-run"))
    assert refused.status == httpx.codes.CONFLICT

    await scored(console, run_id)

    handle = temporal_client.get_workflow_handle(queues.scoring_workflow_id(run_id))
    await handle.terminate()
    return run_id


async def test_a_run_shows_levels_best_accounts_and_errors(console: Any, finished: UUID) -> None:
    page = await console.get("acme.auditor", f"/scoring/runs/{finished}")

    # A priority score is points times an amount: no money.
    assert "$" not in page.text
    for piece in ("Started by acme.admin", "1,234.50", "Accounts by risk", "the balance is too large"):
        assert piece in page.text
    assert [link for link in page.links if link.startswith("/accounts/")]
    assert "data-stream" not in page.html


async def test_a_run_is_followed_to_its_end(console: Any, finished: UUID) -> None:
    browser = await console.browser("acme.auditor")

    heard = await listen(console, browser, f"/scoring/runs/{finished}/live", lambda said: "Ended" in said)

    assert "event: ended" in heard
    assert 'hx-target="#outcome"' in heard
    assert "Could not be scored" in heard


async def test_the_list_shows_runs_by_status(console: Any, finished: UUID) -> None:
    everything = await console.get("acme.auditor", "/scoring")
    block = await (await console.browser("acme.auditor")).block("/scoring?status=completed", "outcome")
    failed = await console.get("acme.auditor", "/scoring?status=failed")

    assert f"/scoring/runs/{finished}" in everything.links
    assert f"/scoring/runs/{finished}" in block.links
    assert "<html" not in block.html
    assert "No run fits" in failed.text


async def test_a_threshold_that_is_no_amount_is_refused_beside_the_form(console: Any) -> None:
    page = await console.send("acme.admin", "/scoring", "start-run", threshold="a lot")

    assert page.status == httpx.codes.UNPROCESSABLE_ENTITY
    assert "Threshold" in page.text
    assert page.answer.headers["HX-Retarget"] == "#start-run .form-problem"


async def test_who_may_see_and_start(console: Any, finished: UUID) -> None:
    auditor = await console.browser("acme.auditor")
    assert not (await auditor.get("/scoring")).has_form("start-run")
    form = (await console.get("acme.admin", "/scoring")).form("start-run")
    form.fields["_csrf"] = (await auditor.get("/settings/password")).form("password").fields["_csrf"]
    assert (await auditor.send(form)).status == httpx.codes.FORBIDDEN
    paths = ("/scoring", f"/scoring/runs/{finished}", f"/scoring/runs/{finished}/live", "/scoring/fairness")
    statuses = {who: [(await console.get(who, path)).status for path in paths] for who in
                ("acme.admin", "acme.collector", "rival.admin")}  # fmt: skip
    assert statuses == {
        "acme.admin": [200, 200, 200, 200],
        "acme.collector": [403, 403, 403, 403],
        "rival.admin": [200, 404, 404, 200],
    }


async def test_fairness_is_a_table_of_groups(console: Any, finished: UUID) -> None:
    page = await console.get("acme.auditor", "/scoring/fairness")
    none = await console.get("rival.admin", "/scoring/fairness")

    for piece in ("recovery-v1, version 1", "recovery-v1-ecoa, version 1", "Unknown", "12 CFR 1002.5(d)"):
        assert piece in page.text
    assert "Nothing to compare" in none.text


async def test_an_agency_without_runs_is_told_when_there_will_be_some(console: Any) -> None:
    assert "Nothing was scored yet" in (await console.get("rival.admin", "/scoring")).text
