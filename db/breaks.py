"""The queue of breaks: differences between our books and somebody else's, until they are resolved."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select, text, update

from db.keyset import Position, newest_first
from db.models import (
    AppUser,
    BreakProposal,
    Partner,
    PartnerMessage,
    PartnerRunBreak,
    ReconciliationBreak,
)
from db.store import Store
from domain.breaks import AGES, AgeBucket, BreakChanged, BreakIsResolved
from domain.errors import NotFound

Break = ReconciliationBreak
ProposalEnd = Literal["approved", "rejected", "withdrawn"]


@dataclass(frozen=True, slots=True)
class BreakFilter:
    """Which breaks are wanted; what is not given does not matter.

    ``owner_id`` of ``NOBODY``: those that nobody has taken. ``run_id``: those that this run has
    opened, or found to be there still.
    """

    states: Sequence[str] = ()
    kinds: Sequence[str] = ()
    sources: Sequence[str] = ()
    partner_id: UUID | None = None
    run_id: UUID | None = None
    account_id: UUID | None = None
    owner_id: UUID | None = None
    age: AgeBucket | None = None
    min_value: Decimal | None = None
    escalated: bool | None = None


NOBODY = UUID(int=0)


class BreakTerms(NamedTuple):
    """What the partner of a break has agreed to; all None of a break that is no partner's."""

    name: str | None
    delivery: str | None
    approval_limit: Decimal | None
    material_amount: Decimal | None
    answer_within_hours: int | None


class BreakRow(NamedTuple):
    """A break, its partner's terms, and the name of whoever has taken it."""

    broken: Break
    terms: BreakTerms
    owner: str | None


class BreakStore(Store):
    """Breaks of one agency, whoever the other side is."""

    async def page(self, position: Position | None, limit: int, wanted: BreakFilter) -> Sequence[BreakRow]:
        """Breaks, newest first, keyed by ``(id,)``."""
        query, key = self._rows().where(*_conditions(wanted)), Break.id
        if wanted.run_id is not None:
            if await self._is_listed(wanted.run_id):
                query = query.join(PartnerRunBreak, PartnerRunBreak.break_id == Break.id)
                query = query.where(PartnerRunBreak.run_id == wanted.run_id)
                key = PartnerRunBreak.break_id
            else:
                query = query.where(_opened_or_seen(wanted.run_id))
        rows = await self._session.execute(newest_first(query, (key,), position, limit))
        return [_row(row) for row in rows]

    async def _is_listed(self, run_id: UUID) -> bool:
        """Whether it is kept what the run has found: not of runs long ago."""
        listed = select(PartnerRunBreak.break_id).where(
            PartnerRunBreak.agency_id == self._agency_id, PartnerRunBreak.run_id == run_id
        )
        return bool(await self._session.scalar(select(listed.exists())))

    async def get(self, break_id: UUID) -> BreakRow:
        """One break. ``NotFound``."""
        return _there(await self._one(self._rows().where(Break.id == break_id)))

    async def lock(self, break_id: UUID) -> BreakRow:
        """One break, which nobody else changes until the transaction ends. ``NotFound``."""
        query = self._rows().where(Break.id == break_id)
        return _there(await self._one(query.with_for_update(of=Break, key_share=True)))

    async def change(self, broken: Break, **values: Any) -> Break:
        """Write ``values`` and the next version. ``BreakChanged`` when it is not as it was judged."""
        changed: Break | None = await self._session.scalar(
            update(Break)
            .where(
                Break.agency_id == self._agency_id,
                Break.id == broken.id,
                Break.version == broken.version,
                Break.state == broken.state,
            )
            .values(**values, version=Break.version + 1)
            .returning(Break)
            .execution_options(synchronize_session=False, populate_existing=True)
        )
        if changed is None:
            raise BreakChanged("the break was changed by somebody else at the same moment; look at it again")
        return changed

    async def resolve(
        self,
        broken: Break,
        resolution: str,
        note: str,
        *,
        journal_id: UUID | None = None,
        item_id: UUID | None = None,
    ) -> Break:
        """Resolve a break, once, in the name of the tenant's actor. ``BreakIsResolved``, ``BreakChanged``.

        ``item_id``: the payment, refund or chargeback that the journal was posted for.
        """
        if broken.state == "resolved":
            raise BreakIsResolved("the break is resolved already", resolution=broken.resolution)
        return await self.change(
            broken,
            state="resolved",
            resolution=resolution,
            resolution_note=note,
            resolved_by=self._tenant.actor.name,
            resolved_at=func.now(),
            journal_id=journal_id,
            item_id=item_id,
        )

    async def propose(self, broken: Break, resolution: str, note: str, proposed_by: UUID) -> BreakProposal:
        """Keep a proposal with both sides as they are now. ``BreakChanged``."""
        await self.change(broken, state="proposed")
        proposal = BreakProposal(
            agency_id=self._agency_id,
            break_id=broken.id,
            resolution=resolution,
            note=note,
            ours=broken.ours,
            theirs=broken.theirs,
            proposed_by=proposed_by,
            proposed_by_name=self._tenant.actor.name,
        )
        self._session.add(proposal)
        await self._session.flush()
        return proposal

    async def decide(self, break_id: UUID, end: ProposalEnd) -> None:
        """Say what became of a break's open proposal, if it has one."""
        await self._session.execute(
            update(BreakProposal)
            .where(
                BreakProposal.agency_id == self._agency_id,
                BreakProposal.break_id == break_id,
                BreakProposal.state == "open",
            )
            .values(state=end, decided_by_name=self._tenant.actor.name, decided_at=func.now())
            .execution_options(synchronize_session=False)
        )

    async def proposals(self, break_id: UUID) -> Sequence[BreakProposal]:
        """All that was proposed for a break, oldest first."""
        found = await self._session.scalars(
            select(BreakProposal)
            .where(BreakProposal.agency_id == self._agency_id, BreakProposal.break_id == break_id)
            .order_by(BreakProposal.id)
            .execution_options(populate_existing=True)
        )
        return found.all()

    async def open_proposal(self, break_id: UUID) -> BreakProposal | None:
        """What is proposed for a break and not decided yet."""
        return await self._session.scalar(
            select(BreakProposal).where(
                BreakProposal.agency_id == self._agency_id,
                BreakProposal.break_id == break_id,
                BreakProposal.state == "open",
            )
        )

    async def withdraw_of_resolved(self) -> int:
        """Withdraw what is still proposed for breaks that resolved themselves; how many."""
        return len((await self._session.scalars(_WITHDRAW, {"agency": self._agency_id})).all())

    async def tell(self, broken: Break, *, balance: Decimal | None, status: str | None) -> PartnerMessage:
        """Keep word to the partner that our record stands; it is delivered by the break's case."""
        message = PartnerMessage(
            agency_id=self._agency_id,
            partner_id=broken.partner_id,
            break_id=broken.id,
            account_ref=broken.account_ref or broken.subject,
            balance=balance,
            status=status,
            payment_id=broken.payment_id,
            their_balance=broken.theirs,
            their_status=broken.theirs_status,
            currency=broken.currency,
        )
        self._session.add(message)
        await self._session.flush()
        return message

    async def message(self, break_id: UUID) -> PartnerMessage | None:
        """The word that was sent, or is to be, about a break."""
        return await self._session.scalar(
            select(PartnerMessage)
            .where(PartnerMessage.agency_id == self._agency_id, PartnerMessage.break_id == break_id)
            .execution_options(populate_existing=True)
        )

    async def change_message(self, message: PartnerMessage, **values: Any) -> None:
        """Write down how far the delivery of a message is."""
        for name, value in values.items():
            setattr(message, name, value)
        await self._session.flush()

    async def open_case(self, broken: Break, answer_within: timedelta) -> None:
        """Note that a case works on a break, and until when it is to be answered; done once."""
        await self._note(
            broken,
            case_started_at=func.now(),
            answer_due_at=func.coalesce(Break.answer_due_at, func.now() + answer_within),
        )

    async def leave_case(self, broken: Break) -> None:
        """Note that no case works on a break any more, though it is not resolved."""
        await self._note(broken, case_started_at=None, answer_due_at=None)

    async def escalate(self, broken: Break) -> None:
        """Note that a break was not answered in time."""
        await self._note(broken, escalated_at=func.now())

    async def wanting_cases(
        self, *, material: Decimal, most: int, partner_id: UUID | None = None
    ) -> Sequence[UUID]:
        """Breaks that need a case and have none: those that people work, those of which word is to be sent,
        and of each other side the most valuable from its material amount on, as long as at most so many of
        these have a case at once.
        """
        values = {"agency": self._agency_id, "partner": partner_id, "material": material, "most": most}
        return list(await self._session.scalars(_WANTING_CASES, values))

    async def cases_of_run(self, partner_id: UUID, run_id: UUID) -> Sequence[UUID]:
        """Breaks with a case about which a run has brought news: seen again, or gone."""
        values = {"agency": self._agency_id, "partner": partner_id, "run": run_id}
        return list(await self._session.scalars(_CASES_OF_RUN, values))

    async def _note(self, broken: Break, **values: Any) -> None:
        """Write what is no news to whoever judges the break: its version stays."""
        await self._session.execute(
            update(Break)
            .where(Break.agency_id == self._agency_id, Break.id == broken.id)
            .values(**values)
            .execution_options(synchronize_session=False)
        )
        await self._session.refresh(broken)

    async def _one(self, query: "Select[Any]") -> BreakRow | None:
        found = (await self._session.execute(query.execution_options(populate_existing=True))).one_or_none()
        return None if found is None else _row(found)

    def _rows(self) -> "Select[Any]":
        query = (
            select(
                Break,
                Partner.name,
                Partner.delivery,
                Partner.approval_limit,
                Partner.material_amount,
                Partner.answer_within_hours,
                AppUser.username,
            )
            .outerjoin(Partner, (Partner.agency_id == self._agency_id) & (Partner.id == Break.partner_id))
            .outerjoin(AppUser, AppUser.id == Break.owner_id)
            .where(Break.agency_id == self._agency_id)
        )
        return cast("Select[Any]", query)


def _row(found: Any) -> BreakRow:
    broken, *terms, owner = found
    return BreakRow(broken, BreakTerms(*terms), owner)


def _there(row: BreakRow | None) -> BreakRow:
    if row is None:
        raise NotFound("there is no such break")
    return row


def _opened_or_seen(run_id: UUID) -> ColumnElement[bool]:
    """What a run has opened, or was the last to find there still."""
    seen = (Break.seen_run_id == run_id) & Break.resolution.is_distinct_from("cured")
    return or_(Break.run_id == run_id, seen)


def _conditions(wanted: BreakFilter) -> list[ColumnElement[bool]]:
    among = ((Break.state, wanted.states), (Break.kind, wanted.kinds), (Break.source, wanted.sources))
    found: list[ColumnElement[bool]] = [column.in_(values) for column, values in among if values]
    same = (
        (Break.partner_id, wanted.partner_id),
        (Break.account_id, wanted.account_id),
    )
    found += [column == value for column, value in same if value is not None]
    if wanted.owner_id is not None:
        mine = Break.owner_id == wanted.owner_id
        found.append(Break.owner_id.is_(None) if wanted.owner_id == NOBODY else mine)
    if wanted.min_value is not None:
        found.append(Break.value >= wanted.min_value)
    if wanted.escalated is not None:
        escalated = Break.escalated_at.is_not(None)
        found.append(escalated if wanted.escalated else ~escalated)
    if wanted.age is not None:
        first, last = AGES[wanted.age]
        age = func.coalesce(Break.resolved_at, func.now()) - Break.found_at
        found.append(age >= timedelta(days=first))
        if last is not None:
            found.append(age < timedelta(days=last + 1))
    return found


_WITHDRAW = text("""
    UPDATE break_proposal p SET state = 'withdrawn', decided_at = now()
      FROM reconciliation_break b
     WHERE p.agency_id = :agency AND p.state = 'open'
       AND b.agency_id = :agency AND b.id = p.break_id AND b.state = 'resolved'
    RETURNING p.id
""")

_WANTING_CASES = text("""
    WITH worked AS (
        SELECT id FROM reconciliation_break
         WHERE agency_id = :agency AND case_started_at IS NULL AND state <> 'resolved'
           AND (owner_id IS NOT NULL OR state = 'proposed' OR told_at IS NOT NULL)
         UNION
        SELECT break_id FROM partner_message WHERE agency_id = :agency AND state = 'pending'),
    others AS (
        SELECT id, material_amount FROM partner
         WHERE agency_id = :agency AND (CAST(:partner AS uuid) IS NULL OR id = CAST(:partner AS uuid))
         UNION ALL
        SELECT NULL, NULL WHERE CAST(:partner AS uuid) IS NULL),
    material AS (
        SELECT b.id
          FROM others o
         CROSS JOIN LATERAL (
               SELECT count(*) AS cases FROM reconciliation_break g
                WHERE g.agency_id = :agency AND g.partner_id IS NOT DISTINCT FROM o.id
                  AND g.case_started_at IS NOT NULL AND g.state = 'open' AND g.owner_id IS NULL) g
         CROSS JOIN LATERAL (
               SELECT c.id FROM reconciliation_break c
                WHERE c.agency_id = :agency AND c.partner_id IS NOT DISTINCT FROM o.id
                  AND c.case_started_at IS NULL AND c.state = 'open'
                  AND c.value >= COALESCE(o.material_amount, :material)
                ORDER BY c.value DESC, c.id
                LIMIT greatest(:most - g.cases, 0)) b)
    SELECT id FROM worked UNION SELECT id FROM material ORDER BY id
""")

_CASES_OF_RUN = text("""
    SELECT id FROM reconciliation_break
     WHERE agency_id = :agency AND partner_id = :partner AND case_started_at IS NOT NULL
       AND (seen_run_id = :run OR state = 'resolved' AND resolved_at >= (
            SELECT created_at FROM partner_reconciliation WHERE agency_id = :agency AND id = :run))
     ORDER BY id
""")
