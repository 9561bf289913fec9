"""What documents name is there: commands with their options, settings, targets, operations, problems."""

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from api.app import create_app
from cli.main import GROUPS, app
from runtime.settings import Settings

ROOT = Path(__file__).parents[3]
PAGES = [
    page
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/*/*.md"))
    if "node_modules" not in page.parts and page.name != "CHANGELOG.md"
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
WORD = re.compile(r"`([^`]+)`")
COMMAND = re.compile(
    r"(?:^|/bin/|exec api |-- |time )recoup((?: +[a-zA-Z0-9<{.…\"'$=/_,:-]+)+)", re.MULTILINE
)
SETTING = re.compile(r"RECOUP_[A-Z_]*[A-Z]")
TARGET = re.compile(r"^\s*make ([a-z][a-z-]*)", re.MULTILINE)
OPERATION = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/[a-z][^\s`?\"]*)(?:\?([^\s`\"]*))?")
PROBLEM = re.compile(r"^\s+type(?:: [^=]+)? = \"([a-z-]+)\"", re.MULTILINE)
OF_TESTS_AND_COMPOSE = {"RECOUP_CHROMIUM", "RECOUP_IMAGE", "RECOUP_OWNER_PASSWORD", "RECOUP_APP_PASSWORD"}


def name(page: Path) -> str:
    """How a page is called."""
    return str(page.relative_to(ROOT))


def code(page: Path) -> Iterator[str]:
    """The pieces of code of a page."""
    text = page.read_text()
    yield from (block for language, block in FENCE.findall(text) if language != "mermaid")
    yield from WORD.findall(FENCE.sub("", text))


def commands(page: Path) -> Iterator[list[str]]:
    """The words behind ``recoup`` wherever a page names a command."""
    for piece in code(page):
        for words in COMMAND.findall(piece.replace("\\\n", " ")):
            yield words.split()


@cache
def recoup() -> Any:
    """The command line, as it is parsed, with all its groups."""
    whole = typer.main.get_group(app)
    for group in GROUPS:
        whole.commands[group] = typer.main.get_group(import_module(f"cli.{group}").app)
    return whole


@cache
def operations() -> dict[tuple[str, str], set[str]]:
    """Query parameters by methods and paths of the API, whatever the ids in these are called."""
    return {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path.removeprefix("/api/v1"))): {
            one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"
        }
        for path, methods in create_app(Settings()).openapi()["paths"].items()
        for method, operation in methods.items()
    }


def unknown(words: list[str]) -> str | None:
    """The first word that is neither a command nor an option of it."""
    command = recoup()
    for word in words:
        if hasattr(command, "commands"):
            if word in command.commands:
                command = command.commands[word]
                continue
            return None if word in {"--help", "…"} else word
        names = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        if word.startswith("--") and word.partition("=")[0] not in {*names, "--help"}:
            return word
    return None


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_that_is_named_exists(page: Path) -> None:
    assert [(words, odd) for words in commands(page) if (odd := unknown(words))] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_setting_and_target_that_is_named_exists(page: Path) -> None:
    settings = {f"RECOUP_{name.upper()}" for name in Settings.model_fields} | OF_TESTS_AND_COMPOSE
    assert set(SETTING.findall(page.read_text())) - settings == set()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {target for piece in code(page) for target in TARGET.findall(piece)} - targets == set()


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "stripe-stand-in.md"], ids=name)
def test_every_operation_that_is_named_exists(page: Path) -> None:
    wrong = []
    for method, path, query in (named for piece in code(page) for named in OPERATION.findall(piece)):
        if {"…", "*"} & set(path):
            continue
        plain = re.sub(r"\{\w+\}|\bID\b|\bAGENCY\b", "{}", path.removeprefix("/api/v1")).rstrip("/.,:;)")
        known = operations().get((method, plain))
        asked = {name.removesuffix("=…") for name in re.findall(r"(?:^|&)([^=&]+)", query)}
        if known is None or asked - known:
            wrong.append((method, path, query))
    assert wrong == []


def test_every_setting_is_told_of_in_operations() -> None:
    told = set(SETTING.findall((ROOT / "docs" / "operations.md").read_text()))
    assert {f"RECOUP_{name.upper()}" for name in Settings.model_fields} - told == set()


def test_every_problem_of_the_guide_is_one() -> None:
    guide = (ROOT / "docs" / "api.md").read_text()
    table = guide[guide.index("| status | `type`") :].partition("\n\n")[0]
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", table)) - {
        "type",
        "field",
        "rule",
        "citation",
        "incident",
    }
    packages = ("domain", "services", "activities", "db", "gateways", "api")
    sources = "".join(path.read_text() for package in packages for path in (ROOT / package).rglob("*.py"))
    assert named - set(PROBLEM.findall(sources)) - set(re.findall(r'slug="([a-z-]+)"', sources)) == set()
