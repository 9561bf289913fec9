"""Documents: every link leads somewhere, and from the README every runbook is three clicks away."""

import re
from pathlib import Path

import pytest

from tests.deploy.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[str]:
    """The links of a page to files of this repository."""
    found: list[str] = _LINK.findall(_FENCE.sub("", page.read_text()))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub names them, and its own marks."""
    text = _FENCE.sub("", page.read_text())
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    named = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return named | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


def test_every_runbook_is_three_clicks_from_the_readme() -> None:
    reached = {ROOT / "README.md"}
    for _ in range(3):
        pages = [page for page in reached if page.suffix == ".md" and page.is_file()]
        reached |= {
            (page.parent / link.partition("#")[0]).resolve() for page in pages for link in links(page)
        }
    assert set((ROOT / "docs" / "runbooks").glob("*.md")) <= reached
