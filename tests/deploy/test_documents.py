"""Documents: their site is built and read offline, and from the README every runbook is three clicks away.

That links, anchors and the navigation lead somewhere is the builder's to say: it is strict.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page, sync_playwright

from tests.deploy.tools import ROOT, missing, run

RUNBOOKS = ROOT / "docs" / "runbooks"
ALERTS = [
    rule["alert"]
    for rules in sorted((ROOT / "monitoring" / "rules").glob("*.yml"))
    for group in yaml.safe_load(rules.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LOADED = re.compile(r"<(?:script|img|link|iframe)\b[^>]*?\b(?:src|href)=\"((?:https?:)?//[^\"]*)\"")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as ``make docs`` builds it."""
    builder = ROOT / ".venv-docs" / "bin" / "sphinx-build"
    if not builder.exists():
        missing(f"{builder} is not there; run `make check-deploy`")
    folder = tmp_path_factory.mktemp("site")
    source = ["-c", ROOT / "docs/sphinx", "-d", tmp_path_factory.mktemp("doctrees"), ROOT]
    run(builder, "-q", "-W", "--keep-going", *source, folder)
    run(ROOT / ".venv/bin/python", "docs/sphinx/reference.py", folder / "reference")
    return folder


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of a browser without a network; this module's only, as Playwright bears no other loop."""
    path = os.environ.get("RECOUP_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        missing("there is no Chromium; name one in RECOUP_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(offline=True)
        yield context.new_page()
        browser.close()


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(ALERTS)
    assert {
        page.name: _LOADED.findall(page.read_text()) for page in pages if _LOADED.search(page.read_text())
    } == {}


def test_every_diagram_is_drawn_without_network(site: Path, page: Page) -> None:
    drawn = {
        path: path.read_text().count('<pre class="mermaid">')
        for path in sorted(site.rglob("*.html"))
        if '<pre class="mermaid">' in path.read_text()
    }
    assert sum(drawn.values()) >= 10
    for path, diagrams in drawn.items():
        complaints: list[str] = []
        page.on("pageerror", lambda error, said=complaints: said.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_function(f"document.querySelectorAll('pre.mermaid > svg').length == {diagrams}")
        assert page.locator("pre.mermaid .error-icon").count() == 0, path
        assert complaints == [], path


def test_the_reference_is_read_without_network(site: Path, page: Page) -> None:
    page.goto((site / "reference" / "index.html").as_uri())
    page.locator(".opblock").first.wait_for()
    assert page.locator(".opblock").count() > 100
    assert "reference/index.html" in (site / "docs" / "api.html").read_text()


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_its_runbook(alert: str) -> None:
    text = (RUNBOOKS / f"{alert}.md").read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["What it means", "Impact", "Look", "Mend"]
    assert f"`{alert}`" in text
    assert f"[{alert}]({alert}.md)" in (RUNBOOKS / "README.md").read_text()


def test_every_runbook_is_three_clicks_from_the_readme() -> None:
    reached = {ROOT / "README.md"}
    for _ in range(3):
        pages = [page for page in reached if page.suffix == ".md" and page.is_file()]
        reached |= {
            (page.parent / link.partition("#")[0]).resolve()
            for page in pages
            for link in _LINK.findall(_FENCE.sub("", page.read_text()))
            if not re.match(r"[a-z]+:", link)
        }
    assert {RUNBOOKS / f"{alert}.md" for alert in ALERTS} == set(RUNBOOKS.glob("Recoup*.md"))
    assert set(RUNBOOKS.glob("*.md")) <= reached
