"""What is wrong in a simulated statement, on purpose: the truth that a reconciliation is measured by."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

SCHEMA = 1
_OF_LINE = re.compile(r"^[0-9a-f-]{36}/(?=[0-9]+$)")


class Found(NamedTuple):
    """A break that a reconciliation has opened: ``subject`` as in its table."""

    kind: str
    subject: str


@dataclass(frozen=True, slots=True)
class Measure:
    """How much of what was found is true, and how much of the truth was found; 1.0 where there is nothing."""

    true: int
    found: int
    planted: int

    @property
    def precision(self) -> float:
        return self.true / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        return self.true / self.planted if self.planted else 1.0


@dataclass(frozen=True, slots=True)
class Score:
    """A reconciliation measured by the truth: in all, by kind, and where they differ."""

    overall: Measure
    by_kind: Mapping[str, Measure]
    missed: frozenset[Found]
    invented: frozenset[Found]

    def as_json(self) -> dict[str, Any]:
        """Precision and recall, in all and by kind."""

        def shown(measure: Measure) -> dict[str, Any]:
            return {
                "precision": round(measure.precision, 6),
                "recall": round(measure.recall, 6),
                "found": measure.found,
                "planted": measure.planted,
            }

        kinds = {kind: shown(measure) for kind, measure in sorted(self.by_kind.items())}
        return {**shown(self.overall), "by_kind": kinds}


@dataclass(slots=True)
class Truth:
    """A statement's planted breaks, and the links that only a fallback of the matching finds.

    ``planted``: one entry per break, with ``kind``, ``subject`` (id of the account or payment, or the
    reference of what is not known here, or ``line/<line>``), ``account_ref``, ``line`` (null: left out),
    ``ours`` and ``theirs`` as amounts or statuses. ``links``: ``line``, ``subject`` and ``how`` the reference
    was written.
    """

    partner: str
    kind: str
    seed: int
    statement: str
    sha256: str
    lines: int
    population: int
    generated_at: str
    shares: Mapping[str, str]
    planted: list[dict[str, Any]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Planted breaks by kind."""
        return dict(sorted(Counter(entry["kind"] for entry in self.planted).items()))

    @property
    def breaks(self) -> frozenset[Found]:
        """What a reconciliation has to find, and nothing else."""
        return frozenset(Found(entry["kind"], entry["subject"]) for entry in self.planted)

    def score(self, found: Iterable[tuple[str, str]]) -> Score:
        """Measure the breaks of a run: ``(kind, subject)`` of each.

        A subject ``<statement id>/<line>`` counts as ``line/<line>``: the truth is told before the statement
        has an id.
        """
        theirs = {Found(kind, _OF_LINE.sub("line/", str(subject))) for kind, subject in found}
        planted = self.breaks
        kinds = {one.kind for one in theirs | planted}
        return Score(
            overall=_measure(theirs, planted),
            by_kind={
                kind: _measure({f for f in theirs if f.kind == kind}, {p for p in planted if p.kind == kind})
                for kind in kinds
            },
            missed=frozenset(planted - theirs),
            invented=frozenset(theirs - planted),
        )

    def write(self, path: Path) -> None:
        """Write it as a JSON file, one planted break a line."""
        head = {
            "schema": SCHEMA,
            **{name: getattr(self, name) for name in _HEAD},
            "counts": self.counts,
            "notes": self.notes,
        }
        with path.open("w") as fh:
            fh.write(json.dumps(head, indent=1)[:-2])
            for name in ("planted", "links"):
                entries = ",\n  ".join(json.dumps(entry) for entry in getattr(self, name))
                fh.write(f',\n "{name}": [\n  {entries}\n ]' if entries else f',\n "{name}": []')
            fh.write("\n}\n")


_HEAD = (
    "partner",
    "kind",
    "seed",
    "statement",
    "sha256",
    "lines",
    "population",
    "generated_at",
    "shares",
)


def read_truth(path: Path) -> Truth:
    """The truth file that ``Truth.write`` wrote. ``ValueError`` when it is none."""
    values = json.loads(path.read_text())
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise ValueError(f"{path} is not a truth file of this version")
    return Truth(**{name: values[name] for name in (*_HEAD, "planted", "links", "notes")})


def _measure(found: set[Found] | frozenset[Found], planted: set[Found] | frozenset[Found]) -> Measure:
    return Measure(true=len(found & planted), found=len(found), planted=len(planted))
