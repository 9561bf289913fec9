"""The report of a reconciliation with a partner: figures as JSON, its breaks as a CSV file."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import Field

from db.breaks import BreakFilter
from db.keyset import Position
from domain.csv_text import neutralise_formula
from services.access import Principal, Right, require
from services.break_views import BreakView, break_view
from services.fields import View
from services.partner_reconciliations import PartnerReconciliationService, PartnerReconciliationView

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from db.breaks import BreakRow
    from db.session import Database
    from domain.tenancy import Tenant

ROWS_AT_ONCE = 1000
SHARE = Decimal("0.0001")

COLUMNS = (
    "id",
    "kind",
    "account_ref",
    "subject",
    "ours",
    "theirs",
    "difference",
    "value",
    "currency",
    "ours_status",
    "theirs_status",
    "theirs_at",
    "rule",
    "probable_cause",
    "state",
    "resolution",
    "resolved_by",
    "owner",
    "age_days",
    "found_at",
)
"""Of the CSV file, each named like a field of a break."""


class Count(View):
    """How many, of what sort; what a sort does not say is null. ``value``: the money at risk in them."""

    kind: str | None = None
    rule: str | None = None
    resolution: str | None = None
    resolved_by: str | None = None
    age: str | None = None
    currency: str | None = None
    count: int
    value: str | None = None


class StatementFigures(View):
    """A statement that the run took: all its lines, and those that could not be read."""

    id: UUID
    channel: str
    name: str | None
    state: str
    reason: str | None
    lines: int
    problems: int


class PartnerReconciliationReport(View):
    """What a reconciliation came to; empty until it is complete.

    ``matched_share``: of the lines, a number from 0 to 1 with four decimals, null without lines. ``older``:
    lines behind what the partner had said before. ``opened``: new differences, by kind and rule in
    ``opened_by``; ``resolved_by``: what rules resolved and what cured itself; ``open_by``: what was open with
    this partner when the run ended, by kind and age in days; ``matched_by``: lines by how they were matched.
    ``problems``: files that were not taken, and why. ``matching``: what was counted, of a dry run too.
    """

    run: PartnerReconciliationView
    matched_share: str | None = Field(examples=["0.9987"])
    opened: int
    older: int
    opened_by: tuple[Count, ...]
    resolved_by: tuple[Count, ...]
    open_by: tuple[Count, ...]
    matched_by: tuple[Count, ...]
    statements: tuple[StatementFigures, ...]
    problems: tuple[str, ...]
    matching: dict[str, Any]


class PartnerReportService:
    """Reports of the principal's agency."""

    def __init__(self, database: "Database", runs: PartnerReconciliationService) -> None:
        self._database = database
        self._runs = runs

    async def report(self, who: Principal, run_id: UUID) -> PartnerReconciliationReport:
        """The figures of a run. ``NotFound``."""
        require(who, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(who.tenant) as tx:
            run = await tx.partner_runs.get(run_id)
        return report_of(self._runs.view(run), run.report)

    async def rows(self, who: Principal, run_id: UUID) -> AsyncIterator[str]:
        """The breaks of a run as the lines of a CSV file, the newest first; ``NotFound`` before the first.

        They are read in portions, so that no transaction lasts as long as the caller takes to read.
        """
        require(who, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(who.tenant) as tx:
            await tx.partner_runs.get(run_id)
        return self._lines(who.tenant, run_id)

    async def _lines(self, tenant: "Tenant", run_id: UUID) -> AsyncIterator[str]:
        yield _csv([COLUMNS])
        position: Position | None = None
        while True:
            async with self._database.transaction(tenant) as tx:
                rows = await tx.breaks.page(position, ROWS_AT_ONCE, BreakFilter(run_id=run_id))
                now = tx.began_at
            if not rows:
                return
            yield await asyncio.to_thread(_text_of, rows, now)
            position = Position((rows[-1].broken.id,))


def report_of(run: PartnerReconciliationView, kept: Mapping[str, Any]) -> PartnerReconciliationReport:
    """A report from what the run has kept of itself."""
    matching = kept.get("matching", {})
    return PartnerReconciliationReport(
        run=run,
        matched_share=str((Decimal(run.matched) / run.lines).quantize(SHARE)) if run.lines else None,
        opened=matching.get("opened", 0),
        older=matching.get("older", 0),
        opened_by=_counts(kept.get("opened_by", ())),
        resolved_by=_counts(kept.get("resolved_by", ())),
        open_by=_counts(kept.get("open_by", ())),
        matched_by=_counts(matching.get("report", {}).get("matched_by", ())),
        statements=tuple(StatementFigures.model_validate(one) for one in kept.get("statements", ())),
        problems=tuple(kept.get("problems", ())),
        matching=dict(matching.get("report", {})),
    )


def _counts(kept: "Sequence[Mapping[str, Any]]") -> tuple[Count, ...]:
    return tuple(Count.model_validate(one) for one in kept)


def _text_of(rows: "Sequence[BreakRow]", now: "datetime") -> str:
    return _csv(_cells(break_view(row, now)) for row in rows)


def _cells(broken: BreakView) -> list[str]:
    shown = broken.model_dump(mode="json")
    return [_cell(shown[name], name) for name in COLUMNS]


def _cell(value: object, column: str) -> str:
    """Text that no spreadsheet runs; amounts are numbers, negative ones too."""
    if value is None:
        return ""
    return str(value) if column in {"ours", "theirs", "difference"} else neutralise_formula(str(value))


def _csv(rows: "Iterable[Sequence[str]]") -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()
