"""The worklist's page: who sees what, filters, paging."""

from typing import Any

import pytest


@pytest.mark.parametrize("who", ["platform", "acme.admin", "acme.collector", "acme.auditor"])
async def test_everybody_of_an_agency_has_a_worklist(console: Any, who: str) -> None:
    page = await console.get(who, "/worklist")
    assert page.status == 200, page.text
    assert "Worklist" in page.text


async def test_nobody_is_led_to_the_login_and_back(console: Any) -> None:
    page = await console.get(None, "/worklist")
    assert page.path == "/login?next=%2Fworklist"


async def test_htmx_gets_the_list_alone(console: Any) -> None:
    browser = await console.browser("acme.admin")
    block = await browser.block("/worklist", "results")
    assert block.status == 200, block.text
    assert "<html" not in block.html
    assert 'id="results"' in block.html
