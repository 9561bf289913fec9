"""What a user may ask about accounts, and placing one by hand."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from db.account_lists import AccountFilter, AccountOrder
from domain.errors import NotFound
from domain.scoring import DebtorFacts, explain
from domain.scoring.facts import FACT_NAMES
from domain.tenancy import Role
from services.access import Principal, Right, require
from services.account_views import (
    AccountDetail,
    ScoreDetail,
    detail,
    priority_score,
)
from services.commands import CommandKey, carry_out
from services.counting import COUNTED_TO, BoundedCount, bounded
from services.lifecycle_view import LifecycleReader, WorkflowView
from services.placing import PlacementForm, place_account
from services.plan_steps import next_instalment
from services.ssn import SEES_SSN, shown_ssn

if TYPE_CHECKING:
    from db.accounts import AccountName, AccountView
    from db.commands import Answer
    from db.keyset import Position
    from db.models import TimelineEvent
    from db.session import Database, Transaction
    from domain.scoring import Scorer

AskAdmission = Callable[[UUID], Awaitable[None]]
"""Asks for an agency's admission to run soon; does its best and never raises for a server that is away."""


class AccountService:
    """Accounts of the principal's agency; a collector's are those assigned to them."""

    def __init__(
        self,
        database: "Database",
        lifecycles: LifecycleReader,
        scorecards: "Mapping[str, Scorer]",
        ask_admission: AskAdmission,
    ) -> None:
        self._database = database
        self._lifecycles = lifecycles
        self._scorecards = scorecards
        self._ask_admission = ask_admission

    async def page(
        self,
        who: Principal,
        wanted: AccountFilter,
        order: AccountOrder,
        position: "Position | None",
        limit: int,
    ) -> "Sequence[AccountView]":
        """At most ``limit`` accounts next to ``position``, nearest first."""
        require(who, Right.READ_ACCOUNTS)
        visible = visible_accounts(who, wanted)
        if visible is None:
            return []
        async with self._database.transaction(who.tenant) as tx:
            return await tx.accounts.page(visible, order, position, limit)

    async def count(self, who: Principal, wanted: AccountFilter) -> BoundedCount:
        """How many accounts ``page`` would list in all, counted to ``COUNTED_TO``."""
        require(who, Right.READ_ACCOUNTS)
        visible = visible_accounts(who, wanted)
        if visible is None:
            return bounded(0)
        async with self._database.transaction(who.tenant) as tx:
            return bounded(*await tx.accounts.count(visible, COUNTED_TO + 1))

    async def names(self, who: Principal, account_ids: Collection[UUID]) -> "Mapping[UUID, AccountName]":
        """What these accounts are known by, those that the principal may see."""
        require(who, Right.READ_ACCOUNTS)
        if not account_ids:
            return {}
        async with self._database.transaction(who.tenant) as tx:
            return await tx.accounts.names(account_ids, who.sees_only)

    async def get(self, who: Principal, account_id: UUID) -> AccountDetail:
        """One account in detail. ``NotFound`` when it is not there or not the principal's."""
        require(who, Right.READ_ACCOUNTS)
        async with self._database.transaction(who.tenant) as tx:
            view = await visible_account(tx, who, account_id)
            return await account_detail(tx, view, with_ssn=who.role in SEES_SSN)

    async def timeline(
        self, who: Principal, account_id: UUID, position: "Position | None", limit: int
    ) -> "Sequence[TimelineEvent]":
        """Events of one account next to ``position``, nearest first. ``NotFound`` as ``get``."""
        require(who, Right.READ_ACCOUNTS)
        async with self._database.transaction(who.tenant) as tx:
            await visible_account(tx, who, account_id)
            return await tx.timeline.page(account_id, position, limit)

    async def workflow(self, who: Principal, account_id: UUID) -> WorkflowView:
        """What the account's workflow waits for, and its payment plan. ``NotFound`` as ``get``."""
        require(who, Right.READ_ACCOUNTS)
        async with self._database.transaction(who.tenant) as tx:
            await visible_account(tx, who, account_id)
            instalment = await next_instalment(tx, account_id)
        view = await self._lifecycles.read(account_id)
        return view if instalment is None else view.with_step(instalment)

    async def create(self, who: Principal, command: CommandKey, form: PlacementForm) -> "Answer":
        """Place an account and answer it in detail (201); then ask for admission.

        ``Conflict`` when the creditor placed this reference before, ``Invalid`` for a bad value.
        The answer is kept with the command, so it never holds SSN digits.
        """
        require(who, Right.CREATE_ACCOUNTS)

        async def effect(tx: "Transaction") -> AccountDetail:
            account_id = await place_account(tx, form, self._scorecards)
            return await account_detail(tx, await visible_account(tx, who, account_id), with_ssn=False)

        answer = await carry_out(self._database, who.tenant, command, effect, status=201)
        await self._ask_admission(who.tenant.agency_id)
        return answer


def visible_accounts(who: Principal, wanted: AccountFilter) -> AccountFilter | None:
    """What is left of ``wanted`` for this principal to see; None where that is nothing."""
    if who.role is not Role.COLLECTOR:
        return wanted
    if who.collector_id is None or wanted.nobody or wanted.collector_id not in {None, who.collector_id}:
        return None
    return replace(wanted, collector_id=who.collector_id)


async def visible_account(tx: "Transaction", who: Principal, account_id: UUID) -> "AccountView":
    """An account that the principal may see; ``NotFound`` for any other, or none."""
    view = await tx.accounts.get(account_id)
    if view is None or (who.role is Role.COLLECTOR and not _is_theirs(view, who)):
        raise NotFound("there is no such account")
    return view


async def check_account_visible(tx: "Transaction", who: Principal, account_id: UUID) -> None:
    """``visible_account`` for those who do not need it."""
    assigned_to = await tx.accounts.collector_of(account_id)
    if who.sees_only is not None and assigned_to != who.sees_only:
        raise NotFound("there is no such account")


async def check_visible(tx: "Transaction", who: Principal, account_id: UUID, what: str) -> None:
    """``NotFound`` for ``what`` hangs on an account that the principal may not see, in the words in which it
    is said of one that is not there.
    """
    if who.role is Role.COLLECTOR:
        view = await tx.accounts.get(account_id)
        if view is None or not _is_theirs(view, who):
            raise NotFound(f"there is no such {what}")


def _is_theirs(view: "AccountView", who: Principal) -> bool:
    return who.collector_id is not None and view.account.assigned_to == who.collector_id


async def account_detail(tx: "Transaction", view: "AccountView", *, with_ssn: bool) -> AccountDetail:
    """An account with everything on file, read in a transaction that is open."""
    ssn = shown_ssn(tx, view.debtor, with_digits=with_ssn)
    latest = await tx.timeline.latest(view.account.id) or view.account.created_at
    owed_back = await tx.ledger.owed_back(view.account.id)
    return detail(view, ssn=ssn, score=await _score(tx, view), owed_back=owed_back, latest=latest)


async def _score(tx: "Transaction", view: "AccountView") -> ScoreDetail | None:
    """The score as it is stored, in the words of the scorecard version and threshold that it was made by."""
    row = view.score
    if row is None:
        return None
    card = await tx.scorecards.get(row.scorecard_id)
    facts = DebtorFacts.model_validate({name: getattr(view.debtor, name) for name in FACT_NAMES})
    words = explain(
        card,
        facts,
        view.account.balance,
        total=row.total,
        threshold=await tx.score_history.threshold(row.account_id),
    )
    return ScoreDetail(
        total=int(row.total),
        level=row.level,
        priority=row.priority,
        priority_score=priority_score(row.rank),
        high_priority=row.high_priority,
        points=tuple(row.points),
        scored_at=row.scored_at,
        scorecard=f"{card.name} version {card.version}",
        current=(row.rank, tuple(row.points)) == (words.score.rank, words.score.points),
        factors=words.factors,
        summary=words.summary,
    )
