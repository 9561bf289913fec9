"""Partners' rules read from YAML: a bad or contradictory file is refused with every fault and its line.

The rules are in ``domain.partner_rules``, which parses no files.
"""

from decimal import Decimal, InvalidOperation
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from db.yaml_files import PlainLoader, locate, read_mapping
from domain.errors import Invalid
from domain.partner_rules import PartnerRuleBook

MAX_LENGTH = 100_000
"""Characters in a rule file."""


class BadPartnerRules(Invalid):
    """A partner's rules that cannot be used; the message gives line and remedy of each fault."""

    type = "bad-partner-rules"
    title = "Partner rules refused"


class _Loader(PlainLoader):
    """Safe YAML in which 2.90 is exactly that, not the nearest binary fraction."""


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal | str:
    try:
        return Decimal(node.value)
    except InvalidOperation:
        return str(node.value)


_Loader.add_constructor("tag:yaml.org,2002:float", _decimal)


def read_rules(text: str, source: str = "rules") -> PartnerRuleBook:
    """The rules in ``text``; ``source`` names it in errors. An empty text has none, and is none to refuse.

    Raises ``BadPartnerRules`` for what is no YAML, unknown or wrong values, and rules that contradict
    themselves: all faults at once, each with its line.
    """
    if len(text) > MAX_LENGTH:
        raise BadPartnerRules(f"{source}: longer than {MAX_LENGTH:,} characters", field="rules")
    if not text.strip():
        return PartnerRuleBook()
    expected = "partner rules are a mapping, of matching, fees and resolve"
    root, data = read_mapping(text, source, _Loader, refusal=BadPartnerRules, expected=expected)
    book = _validate(data, root, source)
    if faults := [_at(root, path, message) for path, message in book.contradictions()]:
        raise BadPartnerRules("; ".join(f"{source}, {fault}" for fault in faults), field="rules")
    return book


def _validate(data: dict[Any, Any], root: yaml.Node, source: str) -> PartnerRuleBook:
    try:
        return PartnerRuleBook.model_validate(data)
    except ValidationError as error:
        faults = [_fault(root, detail) for detail in error.errors(include_url=False)]
        raise BadPartnerRules("; ".join(f"{source}, {fault}" for fault in faults), field="rules") from None


def _fault(root: yaml.Node, detail: ErrorDetails) -> str:
    path, message = detail["loc"], detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing":
        message = f"{path[-1]} is missing"
    elif detail["type"] == "extra_forbidden":
        message = "there is no such rule; take it out, or mend its name"
    return _at(root, path, message)


def _at(root: yaml.Node, path: tuple[str | int, ...], message: str) -> str:
    line, known = locate(root, path)
    return f"line {line}: {'.'.join(map(str, known))}: {message}" if known else f"line {line}: {message}"
