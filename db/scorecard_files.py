"""Scorers read from YAML: a bad one is refused with every fault and the line it is on.

The rules of a scorecard are in ``domain.scoring``, which parses no files; this module sits beside
the store of scorecards because that is who needs both.
"""

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from db.predictors import find_predictor
from db.yaml_files import PlainLoader, locate, read_mapping
from domain.errors import Invalid
from domain.scoring import ModelCard, Scorecard, Scorer
from domain.scoring.factors import DefinitionError


class BadScorecard(Invalid):
    """A scorecard file that cannot be used; the message gives file, line and remedy of each fault."""

    type = "bad-scorecard"
    title = "Scorecard refused"


class _ExactLoader(PlainLoader):
    """Safe YAML whose fractions stay decimals."""


def _decimal(_: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal | str:
    """The number as written; what only YAML calls one (``.inf``, ``1:30.5``) stays text, to be refused."""
    text = str(node.value)
    return Decimal(text) if text.replace(".", "", 1).lstrip("+-").isdecimal() else text


_ExactLoader.add_constructor("tag:yaml.org,2002:float", _decimal)


def parse_scorer(text: str, source: str) -> Scorer:
    """The scorer written in ``text``; ``source`` names it in errors. Raises ``BadScorecard``.

    A model comes without its callable: ``load_scorers`` finds that.
    """
    return _parse(text, source)[0]


@cache
def builtin_scorecards() -> Mapping[str, Scorecard]:
    """The scorecards that come with the product, by name; read once a process."""
    folder = resources.files("domain.scoring") / "scorecards"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    cards = (parse_scorer(f.read_text(encoding="utf-8"), f.name) for f in files)
    return MappingProxyType({card.name: card for card in cards if isinstance(card, Scorecard)})


def load_scorers(folder: Path | None) -> Mapping[str, Scorer]:
    """Every scorer that an agency may name: those that come with the product, and those in ``folder``.

    All its ``*.yaml`` files are read, each model with its callable. Raises ``BadScorecard`` for a
    file that cannot be used, a name that is taken and a model that cannot be imported.
    """
    known: dict[str, Scorer] = dict(builtin_scorecards())
    origin = dict.fromkeys(known, "a scorecard that comes with the product")
    for path in _files(folder):
        scorer, root = _load(path)
        if scorer.name in known:
            line = locate(root, ["name"])[0]
            raise BadScorecard(
                f"{path.name}, line {line}: name: {scorer.name} is taken by {origin[scorer.name]}; "
                "give it another name"
            )
        known[scorer.name], origin[scorer.name] = scorer, path.name
    return MappingProxyType(known)


def _files(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise BadScorecard(f"{folder} is no folder; RECOUP_SCORECARDS names the one with your scorecards")
    return sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"})


def _load(path: Path) -> tuple[Scorer, yaml.MappingNode]:
    try:
        scorer, root = _parse(path.read_text(encoding="utf-8"), path.name)
    except UnicodeDecodeError as error:
        raise BadScorecard(f"{path.name}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise BadScorecard(f"{path.name}: cannot be read ({error.strerror})") from None
    if isinstance(scorer, ModelCard):
        try:
            scorer.bind(find_predictor(scorer, path.parent))
        except DefinitionError as error:
            line, known = locate(root, error.path)
            place = ".".join(map(str, known))
            raise BadScorecard(f"{path.name}, line {line}: {place}: {error}") from None
    return scorer, root


def _parse(text: str, source: str) -> tuple[Scorer, yaml.MappingNode]:
    root, data = read_mapping(
        text,
        source,
        _ExactLoader,
        refusal=BadScorecard,
        expected="a scorecard is a mapping that starts with name, version, title",
    )
    kind = data.get("kind")
    if kind not in {None, "model"}:
        line = locate(root, ["kind"])[0]
        raise BadScorecard(f"{source}, line {line}: kind: must be model, or left out for a scorecard")
    wanted: type[Scorecard | ModelCard] = Scorecard if kind is None else ModelCard
    try:
        return wanted.model_validate(data), root
    except ValidationError as error:
        faults = [_fault(root, detail) for detail in error.errors()]
        raise BadScorecard("; ".join(f"{source}, {fault}" for fault in faults)) from None


def _fault(root: yaml.Node, detail: ErrorDetails) -> str:
    cause = detail.get("ctx", {}).get("error")
    path, message = detail["loc"], detail["msg"]
    if isinstance(cause, DefinitionError):
        path, message = (*path, *cause.path), str(cause)
    elif detail["type"] == "union_tag_invalid":
        path = (*path, "kind")
    elif detail["type"] == "missing":
        message = f"{path[-1]} is missing"
    line, known = locate(root, path)
    return f"line {line}: {'.'.join(map(str, known))}: {message}" if known else f"line {line}: {message}"
