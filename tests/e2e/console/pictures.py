"""The pictures of the README, taken anew by ``make screenshots``: no test, so that no other run has them."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.console.conftest import Console
from tests.e2e.console.lived_in import LivedIn

FOLDER = Path(__file__).parents[3] / "docs" / "pictures"
LARGEST = 160_000
"""Bytes of a picture: the repository keeps them for good."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


class Picture(NamedTuple):
    """``name`` is the file's, ``page`` one of ``LivedIn.paths``."""

    name: str
    page: str
    width: int = 1320
    height: int = 760
    dark: bool = False


PICTURES = (
    Picture("dashboard-dark", "dashboard", dark=True),
    Picture("worklist", "worklist"),
    Picture("account", "account"),
    Picture("breaks", "breaks"),
    Picture("account-narrow-dark", "account", 390, 760, dark=True),
)


@pytest.mark.parametrize("wanted", PICTURES, ids=lambda one: one.name)
async def test_a_picture_is_taken(console: Console, lived_in: LivedIn, wanted: Picture) -> None:
    size = {"width": wanted.width, "height": wanted.height, "dark": wanted.dark}
    async with console.visit("demo.manager", **size) as page:
        if wanted.page == "dashboard":
            await page.goto("/dashboard")
            await page.get_by_role("button", name="Refresh").click()
            await page.wait_for_load_state("networkidle")
        await page.goto(lived_in.paths[wanted.page])
        await page.wait_for_load_state("networkidle")
        taken = await page.screenshot(path=FOLDER / f"{wanted.name}.png")
    assert len(taken) <= LARGEST, f"{wanted.name}: {len(taken):,} bytes"
