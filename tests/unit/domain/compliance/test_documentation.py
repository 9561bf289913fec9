"""``docs/compliance.md`` names every rule, and what it names exists."""

import importlib
import re
from pathlib import Path

import pytest
import yaml

from db.rule_files import builtin_rule_sets, parse_rule_set
from domain.compliance import RULES

HERE = Path(__file__).parent
TEXT = (HERE.parents[3] / "docs" / "compliance.md").read_text(encoding="utf-8")
FUNCTIONS = sorted(set(re.findall(r"`(domain\.compliance\.\w+)\.(\w+)`", TEXT)))
TESTS = sorted(set(re.findall(r"`(test_\w+\.py)::(\w+)`", TEXT)))


def test_every_rule_has_a_row_in_the_order_in_which_rules_are_asked() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| `([\w.]+)` \| `test_\w+\.py::\w+` \|$", TEXT, re.MULTILINE)
    assert rows == [(name, f"{rule.__module__}.{name}") for name, rule in RULES.items()]


@pytest.mark.parametrize(("module", "function"), FUNCTIONS, ids=[name for _, name in FUNCTIONS])
def test_every_function_that_is_named_exists_and_cites_its_source(module: str, function: str) -> None:
    found = getattr(importlib.import_module(module), function)
    assert re.search(r"12 CFR 1006|U\.S\.C\.|policy|citation", found.__doc__ or "")


@pytest.mark.parametrize(
    ("file", "test"), TESTS, ids=[f"{file[:-3]}-{i}" for i, (file, _) in enumerate(TESTS)]
)
def test_every_test_that_is_named_exists(file: str, test: str) -> None:
    assert re.search(rf"^def {test}\(", (HERE / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_enough_is_named() -> None:
    assert len(FUNCTIONS) >= len(RULES) + 8
    assert len(TESTS) >= len(RULES) + 8


def test_the_example_of_a_rule_set_is_one() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    federal = builtin_rule_sets()["federal"]
    assert parse_rule_set(example, "acme.yaml", federal).name == yaml.safe_load(example)["name"]


@pytest.mark.parametrize("name", sorted(builtin_rule_sets()))
def test_every_rule_set_is_described(name: str) -> None:
    assert re.search(rf"^\| `{name}` \|", TEXT, re.MULTILINE)
