"""Which lists can be written into a file, each read page by page as people page through it.

Nothing is filtered here: pages come from the stores, and from the services' own functions where these narrow
a list to what its reader may see.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter
from pydantic_core import from_json

from db.account_exports import AccountLine
from db.debtor_lists import DebtorFilter, HighRiskFilter
from db.keyset import Position
from db.worklist import QueuedAccount, Whose
from services.access import Principal, Right
from services.account_views import AccountSummary, TimelineEntry, timeline_entry
from services.accounts import visible_account, visible_accounts
from services.break_views import BreakView
from services.breaks import break_page
from services.contact_views import ContactView
from services.debtor_views import DebtorListed, HighRiskListed, high_risk
from services.debtors import debtor_page, high_risk_page
from services.export_csv import Column, columns_of
from services.import_views import ImportProblemView, ImportView, import_view, problem_view
from services.imports import ImportFilter
from services.list_filters import AccountsWanted, BreaksWanted, OfAccount, OfImport, OnAccounts
from services.payment_views import PaymentSummary
from services.payments import payment_page
from services.plan_views import PlanSummary
from services.plans import plan_page
from services.worklist import WorklistEntry, visible_queue

if TYPE_CHECKING:
    from db.models import Contact, ImportJob, ImportProblem, TimelineEvent
    from db.session import Transaction

Wanted = TypeVar("Wanted")
Row = TypeVar("Row")
Page = Callable[["Transaction", Principal, Wanted, Position | None, int], Awaitable[Sequence[Row]]]

ROWS_AT_ONCE = 5_000
MOST_COUNTED = 1 << 31


class ExportList(StrEnum):
    """Lists that can be exported."""

    ACCOUNTS = "accounts"
    WORKLIST = "worklist"
    DEBTORS = "debtors"
    HIGH_RISK_DEBTORS = "high_risk_debtors"
    PAYMENTS = "payments"
    PLANS = "plans"
    IMPORTS = "imports"
    IMPORT_ERRORS = "import_errors"
    BREAKS = "breaks"
    CONTACTS = "contacts"
    TIMELINE = "timeline"


@dataclass(frozen=True, slots=True)
class Listing(Generic[Wanted, Row]):
    """A list: the right to read it, its filter, how a row is shown, a page of it, and a row's place in it.

    ``page`` raises for what its reader may not see, ``NotFound`` and ``Invalid`` for what is not there.
    ``shown`` is JSON-ready and has the fields of ``view``. ``count``: how many rows there are, of lists that
    are counted quickly; None where that would take long. ``without``: columns that make no sense in a file.
    """

    right: Right
    filter: type[Wanted]
    view: type[BaseModel]
    page: Page[Wanted, Row]
    key: Callable[[Row], tuple[Any, ...]]
    shown: Callable[[Row], Mapping[str, Any]]
    count: "Callable[[Transaction, Principal, Wanted], Awaitable[int | None]] | None" = None
    without: frozenset[str] = frozenset()

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the file."""
        return tuple(column for column in columns_of(self.view) if column.name not in self.without)

    def keep(self, wanted: Wanted) -> dict[str, Any]:
        """A filter as JSON keeps it."""
        return {_FILTER: TypeAdapter(self.filter).dump_python(wanted, mode="json")}

    def kept(self, kept: Mapping[str, Any]) -> Wanted:
        """The filter that ``keep`` was given."""
        return TypeAdapter(self.filter).validate_python(kept[_FILTER])

    async def pages(self, tx: "Transaction", who: Principal, wanted: Wanted) -> AsyncIterator[Sequence[Row]]:
        """All rows, page after page."""
        position: Position | None = None
        while True:
            rows = await self.page(tx, who, wanted, position, ROWS_AT_ONCE)
            if rows:
                yield rows
            if len(rows) < ROWS_AT_ONCE:
                return
            position = Position(self.key(rows[-1]))


_FILTER = "filter"


async def _accounts(
    tx: "Transaction", who: Principal, wanted: AccountsWanted, position: Position | None, limit: int
) -> Sequence[AccountLine]:
    visible = visible_accounts(who, wanted.filter)
    return [] if visible is None else await tx.account_exports.lines(visible, wanted.order, position, limit)


async def _count_accounts(tx: "Transaction", who: Principal, wanted: AccountsWanted) -> int | None:
    visible = visible_accounts(who, wanted.filter)
    count, more = (0, False) if visible is None else await tx.accounts.count(visible, MOST_COUNTED)
    return None if more else count


async def _worklist(
    tx: "Transaction", who: Principal, wanted: Whose, position: Position | None, limit: int
) -> Sequence[QueuedAccount]:
    visible = visible_queue(who, wanted)
    return [] if visible is None else await tx.worklist.page(visible, position, limit)


async def _count_worklist(tx: "Transaction", who: Principal, wanted: Whose) -> int | None:
    visible = visible_queue(who, wanted)
    count, more = (0, False) if visible is None else await tx.worklist.count(visible, MOST_COUNTED)
    return None if more else count


async def _payments(
    tx: "Transaction", who: Principal, wanted: OnAccounts, position: Position | None, limit: int
) -> Sequence[PaymentSummary]:
    return await payment_page(
        tx, who, position, limit, account_id=wanted.account_id, statuses=wanted.statuses
    )


async def _plans(
    tx: "Transaction", who: Principal, wanted: OnAccounts, position: Position | None, limit: int
) -> Sequence[PlanSummary]:
    return await plan_page(tx, who, position, limit, account_id=wanted.account_id, statuses=wanted.statuses)


async def _imports(
    tx: "Transaction", _who: Principal, wanted: ImportFilter, position: Position | None, limit: int
) -> "Sequence[ImportJob]":
    return await tx.import_reports.page(position, limit, statuses=wanted.statuses)


async def _import_errors(
    tx: "Transaction", _who: Principal, wanted: OfImport, position: Position | None, limit: int
) -> "Sequence[ImportProblem]":
    await tx.imports.get(wanted.import_id)
    return await tx.import_reports.problems(wanted.import_id, position, limit, severity=wanted.severity)


async def _breaks(
    tx: "Transaction", who: Principal, wanted: BreaksWanted, position: Position | None, limit: int
) -> Sequence[BreakView]:
    return await break_page(tx, who, position, limit, wanted.filter, owner=wanted.owner)


async def _contacts(
    tx: "Transaction", who: Principal, wanted: OfAccount, position: Position | None, limit: int
) -> "Sequence[Contact]":
    await visible_account(tx, who, wanted.account_id)
    return await tx.contacts.page(wanted.account_id, position, limit)


async def _timeline(
    tx: "Transaction", who: Principal, wanted: OfAccount, position: Position | None, limit: int
) -> "Sequence[TimelineEvent]":
    await visible_account(tx, who, wanted.account_id)
    return await tx.timeline.page(wanted.account_id, position, limit)


def _json(row: AccountLine | QueuedAccount) -> Mapping[str, Any]:
    found: Mapping[str, Any] = from_json(row.json)
    return found


def _dumped(row: BaseModel) -> Mapping[str, Any]:
    return row.model_dump(mode="json")


LISTS: Mapping[ExportList, Listing[Any, Any]] = {
    ExportList.ACCOUNTS: Listing(
        right=Right.READ_ACCOUNTS,
        filter=AccountsWanted,
        view=AccountSummary,
        page=_accounts,
        key=lambda row: row.key,
        shown=_json,
        count=_count_accounts,
    ),
    ExportList.WORKLIST: Listing(
        right=Right.READ_ACCOUNTS,
        filter=Whose,
        view=WorklistEntry,
        page=_worklist,
        key=lambda row: row.key,
        shown=_json,
        count=_count_worklist,
    ),
    ExportList.DEBTORS: Listing(
        right=Right.READ_DEBTORS,
        filter=DebtorFilter,
        view=DebtorListed,
        page=debtor_page,
        key=lambda row: (row.id,),
        shown=_dumped,
    ),
    ExportList.HIGH_RISK_DEBTORS: Listing(
        right=Right.READ_DEBTORS,
        filter=HighRiskFilter,
        view=HighRiskListed,
        page=high_risk_page,
        key=lambda row: row.key,
        shown=lambda row: _dumped(high_risk(row)),
    ),
    ExportList.PAYMENTS: Listing(
        right=Right.READ_PAYMENTS,
        filter=OnAccounts,
        view=PaymentSummary,
        page=_payments,
        key=lambda row: (row.id,),
        shown=_dumped,
    ),
    ExportList.PLANS: Listing(
        right=Right.READ_PAYMENTS,
        filter=OnAccounts,
        view=PlanSummary,
        page=_plans,
        key=lambda row: (row.id,),
        shown=_dumped,
    ),
    ExportList.IMPORTS: Listing(
        right=Right.READ_IMPORTS,
        filter=ImportFilter,
        view=ImportView,
        page=_imports,
        key=lambda row: (row.id,),
        shown=lambda row: _dumped(import_view(row, "")),
        without=frozenset({"web_ui_url", "eta_seconds"}),
    ),
    ExportList.IMPORT_ERRORS: Listing(
        right=Right.READ_IMPORTS,
        filter=OfImport,
        view=ImportProblemView,
        page=_import_errors,
        key=lambda row: (row.line, row.id),
        shown=lambda row: _dumped(problem_view(row)),
    ),
    ExportList.BREAKS: Listing(
        right=Right.READ_RECONCILIATIONS,
        filter=BreaksWanted,
        view=BreakView,
        page=_breaks,
        key=lambda row: (row.id,),
        shown=_dumped,
    ),
    ExportList.CONTACTS: Listing(
        right=Right.READ_ACCOUNTS,
        filter=OfAccount,
        view=ContactView,
        page=_contacts,
        key=lambda row: (row.at, row.id),
        shown=lambda row: _dumped(ContactView.model_validate(row)),
    ),
    ExportList.TIMELINE: Listing(
        right=Right.READ_ACCOUNTS,
        filter=OfAccount,
        view=TimelineEntry,
        page=_timeline,
        key=lambda row: (row.at, row.id),
        shown=lambda row: _dumped(timeline_entry(row)),
    ),
}
"""Every list that can be exported."""
