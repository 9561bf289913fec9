"""Rule sets read from YAML: a bad or too lax one is refused with every fault and the line it is on.

The rules are in ``domain.compliance``, which parses no files.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from db.yaml_files import PlainLoader, locate, read_mapping
from domain.compliance.ruleset import RuleSet
from domain.errors import Invalid

FEDERAL = "federal"
_TABLE = "limitation.yaml"
_MERGED = ("calls", "states", "limitation", "account_types")


class BadRuleSet(Invalid):
    """A rule file that cannot be used; the message gives file, line and remedy of each fault."""

    type = "bad-rule-set"
    title = "Rule set refused"


class _Loader(PlainLoader):
    """Safe YAML in which 21:00 is a time of day, not a number of minutes."""


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int | str:
    return str(node.value) if ":" in node.value else loader.construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


@cache
def builtin_rule_sets() -> Mapping[str, RuleSet]:
    """The rule sets that come with the product, by name; ``federal`` is what the others start from."""
    folder = resources.files("domain.compliance") / "rules"
    federal = _federal(folder)
    found = {FEDERAL: federal}
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".yaml") and file.name not in {f"{FEDERAL}.yaml", _TABLE}:
            rules = parse_rule_set(file.read_text(encoding="utf-8"), file.name, federal)
            found[rules.name] = rules
    return MappingProxyType(found)


def load_rule_sets(folder: Path | None) -> Mapping[str, RuleSet]:
    """Every rule set that an agency may work under: those of the product, and those in ``folder``.

    All its ``*.yaml`` files are read. Raises ``BadRuleSet`` for a file that cannot be used, a value that is
    looser than federal law and a name that is taken.
    """
    known = dict(builtin_rule_sets())
    origin = dict.fromkeys(known, "a rule set that comes with the product")
    for path in _files(folder):
        text = _text(path)
        rules = parse_rule_set(text, path.name, known[FEDERAL])
        if rules.name in known:
            root, _ = _read(text, path.name)
            line = locate(root, ["name"])[0]
            raise BadRuleSet(
                f"{path.name}, line {line}: name: {rules.name} is taken by {origin[rules.name]}; "
                "give it another name"
            )
        known[rules.name], origin[rules.name] = rules, path.name
    return MappingProxyType(known)


def parse_rule_set(text: str, source: str, federal: RuleSet) -> RuleSet:
    """The rule set in ``text``, and ``federal`` where it says nothing. Raises ``BadRuleSet``."""
    root, data = _read(text, source)
    if isinstance(data.get("calls"), dict) and "citation" not in data["calls"]:
        line = locate(root, ["calls"])[0]
        raise BadRuleSet(
            f"{source}, line {line}: calls: citation is missing; say where the stricter limit is from"
        )
    merged = federal.model_dump(mode="json", exclude={"name", "title"})
    for key, value in data.items():
        merged[key] = _merge(merged[key], value) if key in _MERGED else value
    rules = _validate(merged, root, source)
    if faults := [_at(root, path, message) for path, message in rules.faults_against(federal)]:
        raise BadRuleSet("; ".join(f"{source}, {fault}" for fault in faults))
    return rules


def _federal(folder: Traversable) -> RuleSet:
    root, data = _read((folder / f"{FEDERAL}.yaml").read_text(encoding="utf-8"), f"{FEDERAL}.yaml")
    _, table = _read((folder / _TABLE).read_text(encoding="utf-8"), _TABLE)
    return _validate({**data, **table}, root, f"{FEDERAL}.yaml")


def _files(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise BadRuleSet(f"{folder} is no folder; RECOUP_RULES names the one with your rule sets")
    return sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"})


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadRuleSet(f"{path.name}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise BadRuleSet(f"{path.name}: cannot be read ({error.strerror})") from None


def _read(text: str, source: str) -> tuple[yaml.MappingNode, dict[Any, Any]]:
    expected = "a rule set is a mapping that starts with name and title"
    return read_mapping(text, source, _Loader, refusal=BadRuleSet, expected=expected)


def _merge(base: Any, over: Any) -> Any:
    """``over`` laid on ``base``, mapping by mapping."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return {**base, **{key: _merge(base.get(key), value) for key, value in over.items()}}


def _validate(data: dict[str, Any], root: yaml.Node, source: str) -> RuleSet:
    try:
        return RuleSet.model_validate(data)
    except ValidationError as error:
        faults = [_fault(root, detail) for detail in error.errors(include_url=False)]
        raise BadRuleSet("; ".join(f"{source}, {fault}" for fault in faults)) from None


def _fault(root: yaml.Node, detail: ErrorDetails) -> str:
    path, message = detail["loc"], detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing":
        message = f"{path[-1]} is missing"
    return _at(root, path, message)


def _at(root: yaml.Node, path: tuple[str | int, ...], message: str) -> str:
    line, known = locate(root, path)
    return f"line {line}: {'.'.join(map(str, known))}: {message}" if known else f"line {line}: {message}"
