"""What a user may ask about debtors: lists, those at high risk, why; making and changing them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

from db.debtor_lists import AccountTotals, DebtorFilter, HighRiskFilter
from db.debtors import SEARCHED_FIELDS
from db.rescoring import rescore, scorer_of
from domain.errors import Conflict, Invalid
from domain.scoring import DebtorFacts
from domain.scoring.facts import FACT_NAMES
from domain.tenancy import Role
from services.access import Principal, Right, require
from services.commands import CommandKey, carry_out
from services.debtor_forms import DebtorChange, DebtorForm, DebtorReplacement, judged_debtor
from services.debtor_views import (
    DebtorListed,
    DebtorScore,
    DebtorView,
    ExplainedScore,
    detail,
    highest,
    listed,
)
from services.explaining import explain_now
from services.ssn import SEES_SSN, shown_ssn

if TYPE_CHECKING:
    from db.changes import Change
    from db.commands import Answer
    from db.debtor_lists import HighRiskDebtor
    from db.keyset import Position
    from db.models import Debtor
    from db.session import Database, Transaction
    from domain.scoring import Scorer

ACCOUNTS_SHOWN = 20
ACCOUNTS_EXPLAINED = 100

_NO_COLLECTOR = UUID(int=0)
"""Nothing is assigned to it: what a user with the role, but who is no collector, sees."""


class DebtorService:
    """Debtors of the principal's agency; a collector's are those of accounts assigned to them."""

    def __init__(self, database: "Database", scorers: "Mapping[str, Scorer]") -> None:
        self._database = database
        self._scorers = scorers

    async def page(
        self, who: Principal, wanted: DebtorFilter, position: "Position | None", limit: int
    ) -> Sequence[DebtorListed]:
        """At most ``limit`` debtors next to ``position``, nearest first; newest first without."""
        require(who, Right.READ_DEBTORS)
        async with self._database.transaction(who.tenant) as tx:
            return await debtor_page(tx, who, wanted, position, limit)

    async def high_risk(
        self, who: Principal, wanted: HighRiskFilter, position: "Position | None", limit: int
    ) -> "Sequence[HighRiskDebtor]":
        """At most ``limit`` debtors at high risk next to ``position``, nearest first."""
        require(who, Right.READ_DEBTORS)
        async with self._database.transaction(who.tenant) as tx:
            return await high_risk_page(tx, who, wanted, position, limit)

    async def get(self, who: Principal, debtor_id: UUID) -> DebtorView:
        """One debtor in detail. ``NotFound`` when they are not there or not the principal's."""
        require(who, Right.READ_DEBTORS)
        async with self._database.transaction(who.tenant) as tx:
            debtor = await tx.debtors.get(debtor_id, collector_id=own_accounts_of(who))
            return await _detail(tx, debtor, own_accounts_of(who), with_ssn=who.role in SEES_SSN)

    async def score(self, who: Principal, debtor_id: UUID) -> DebtorScore:
        """Why the debtor's accounts rank as they do, worked out now; writes nothing. ``NotFound`` as ``get``.

        ``Conflict`` when the agency names a scorecard that is not known here.
        """
        require(who, Right.READ_DEBTORS)
        async with self._database.transaction(who.tenant) as tx:
            debtor = await tx.debtors.get(debtor_id, collector_id=own_accounts_of(who))
            agency = await tx.agencies.get(tx.tenant.agency_id)
            rows = await tx.debtor_lists.accounts(
                debtor_id, collector_id=own_accounts_of(who), limit=ACCOUNTS_EXPLAINED
            )
            totals = await tx.debtor_lists.totals([debtor_id], own_accounts_of(who))
        scorer = scorer_of(agency, self._scorers)
        facts = DebtorFacts.model_validate({name: getattr(debtor, name) for name in FACT_NAMES})
        accounts = [explain_now(scorer, facts, row, agency.high_priority_threshold) for row in rows]
        accounts.sort(key=_by_value)
        count = totals.get(debtor_id, AccountTotals()).count
        return DebtorScore(
            debtor_id=debtor_id,
            full_name=debtor.full_name,
            scorecard=f"{scorer.name} version {scorer.version}",
            count=count,
            truncated=len(accounts) < count,
            highest=highest(accounts),
            accounts=tuple(accounts),
        )

    async def create(self, who: Principal, command: CommandKey, form: DebtorForm) -> "Answer":
        """Make a debtor, who has no accounts yet (201).

        ``Conflict`` when the ``debtor_ref`` is known, ``Invalid`` for a bad value. Like every answer that
        is kept with its command, it holds no SSN digits.
        """
        require(who, Right.MANAGE_DEBTORS)

        async def effect(tx: "Transaction") -> DebtorView:
            values = judged_debtor(form.model_dump())
            if values["debtor_ref"] is None:
                raise Invalid(
                    "debtor_ref is empty; files and placements find the debtor by it", field="debtor_ref"
                )
            debtor_id = await tx.debtors.add(values)
            if debtor_id is None:
                known = await tx.debtors.id_of(values["debtor_ref"])
                raise Conflict(
                    f"there is a debtor with the reference {values['debtor_ref']} already; change that one",
                    field="debtor_ref",
                    debtor_id=str(known),
                )
            told = {name: value for name, value in values.items() if value is not None}
            if "ssn_last4" in told:
                told["ssn_last4"] = "(set)"
            await tx.audit.record("debtor.created", "debtor", debtor_id, new=told)
            return await _detail(tx, await tx.debtors.get(debtor_id), None, with_ssn=False)

        return await carry_out(self._database, who.tenant, command, effect, status=201)

    async def change(
        self, who: Principal, command: CommandKey, debtor_id: UUID, form: DebtorChange | DebtorReplacement
    ) -> "Answer":
        """Change a debtor; their accounts are told, and scored anew when facts have changed.

        ``NotFound``, ``Invalid`` for a bad value, ``Conflict`` when the debtor is not of the version that
        the caller has seen.
        """
        require(who, Right.MANAGE_DEBTORS)

        async def effect(tx: "Transaction") -> DebtorView:
            debtor = await tx.debtors.get(debtor_id, lock=True)
            if form.version not in {None, debtor.version}:
                raise Conflict(
                    f"the debtor has changed since: they are at version {debtor.version} now; "
                    "read them again and repeat what is still to change",
                    field="version",
                    version=debtor.version,
                )
            values = judged_debtor(form.values())
            if values.pop("debtor_ref", debtor.debtor_ref) != debtor.debtor_ref:
                raise Invalid(
                    "debtor_ref cannot change: files and placements find the debtor by it", field="debtor_ref"
                )
            change = await tx.debtors.change(debtor, values)
            if change:
                await self._tell(tx, debtor, change)
            return await _detail(tx, debtor, None, with_ssn=False)

        return await carry_out(self._database, who.tenant, command, effect)

    async def _tell(self, tx: "Transaction", debtor: "Debtor", change: "Change") -> None:
        """Everything that follows from a change: audit, search, timelines, scores."""
        await tx.audit.record("debtor.changed", "debtor", debtor.id, old=change.old, new=change.new)
        if SEARCHED_FIELDS & change.new.keys():
            await tx.accounts.index_debtor(debtor.id)
            await tx.debtors.index(debtor.id)
        fields = list(change.new)
        await tx.timeline.add_to_accounts_of(
            debtor.id,
            "debtor_changed",
            f"Debtor details changed: {', '.join(name.replace('_', ' ') for name in fields)}",
            details={"fields": fields, "debtor_version": debtor.version},
        )
        accounts = await tx.accounts.of_debtor(debtor.id)
        if any(name in change.new for name in FACT_NAMES):
            await rescore(tx, self._scorers, accounts)
        if "state" in change.new:
            # Its law says when a debt is time-barred.
            await tx.lifecycles.notify(accounts)


def own_accounts_of(who: Principal) -> UUID | None:
    """The collector whose accounts are all that the principal sees; None for who sees every account."""
    return (who.collector_id or _NO_COLLECTOR) if who.role is Role.COLLECTOR else None


async def debtor_page(
    tx: "Transaction", who: Principal, wanted: DebtorFilter, position: "Position | None", limit: int
) -> Sequence[DebtorListed]:
    """``DebtorService.page`` in a transaction that is open."""
    mine = own_accounts_of(who)
    found = await tx.debtor_lists.page(replace(wanted, collector_id=mine), position, limit)
    totals = await tx.debtor_lists.totals([debtor.id for debtor in found], mine)
    return [listed(debtor, totals.get(debtor.id, AccountTotals())) for debtor in found]


async def high_risk_page(
    tx: "Transaction", who: Principal, wanted: HighRiskFilter, position: "Position | None", limit: int
) -> "Sequence[HighRiskDebtor]":
    """``DebtorService.high_risk`` in a transaction that is open."""
    mine = own_accounts_of(who)
    return await tx.debtor_lists.high_risk(replace(wanted, collector_id=mine), position, limit)


async def _detail(tx: "Transaction", debtor: "Debtor", mine: UUID | None, *, with_ssn: bool) -> DebtorView:
    totals = await tx.debtor_lists.totals([debtor.id], mine)
    return detail(
        debtor,
        ssn=shown_ssn(tx, debtor, with_digits=with_ssn),
        totals=totals.get(debtor.id, AccountTotals()),
        accounts=await tx.debtor_lists.accounts(debtor.id, collector_id=mine, limit=ACCOUNTS_SHOWN),
    )


def _by_value(account: ExplainedScore) -> tuple[Decimal, UUID]:
    """The most valuable first, what has no score last."""
    value = Decimal("Infinity") if account.priority_score is None else -account.priority_score
    return (value, account.account_id)
