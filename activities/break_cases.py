"""The steps of the cases of breaks: opened, answered in time or escalated, word sent; and who starts them."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from temporalio import activity

from activities.break_messages import (
    BreakRef,
    BreakStanding,
    CasesSeenTo,
    NewsOfBreaks,
    UndeliveredWord,
)
from activities.heartbeats import heartbeating
from domain.breaks import MATERIAL_AMOUNT, MOST_CASES, answer_within
from domain.errors import DomainError
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from activities.partner_ways import PartnerWays
    from db.breaks import BreakRow
    from db.models import PartnerMessage, ReconciliationBreak
    from db.session import Database, Transaction

    Start = Callable[[UUID, UUID], Awaitable[None]]
    Answer = Callable[[UUID], Awaitable[bool]]


ACTOR = "break-case"
ENTITY = "reconciliation_break"


class BreakCaseActivities:
    """The steps of ``BreakCase``, and what starts it.

    ``start`` starts the case of a break of an agency, or tells one that runs to look again; ``answer`` tells
    a case that the partner's next statement is in, and whether one runs. Both raise ``Unavailable`` while
    Temporal is away. ``ways`` are those to partners.
    """

    def __init__(self, db: "Database", start: "Start", answer: "Answer", ways: "PartnerWays") -> None:
        self._db = db
        self._start = start
        self._answer = answer
        self._ways = ways

    @activity.defn(name="breaks.attend")
    async def attend(self, ref: BreakRef) -> BreakStanding:
        """Open the case, escalate what was not answered in time; where it then stands. ``NotFound``."""
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            row = await tx.breaks.lock(ref.break_id)
            if row.broken.state == "resolved":
                return await self._resolved(tx, row)
            if not _is_wanted(row):
                await tx.breaks.leave_case(row.broken)
                return BreakStanding(state="open", over=True)
            if row.broken.case_started_at is None:
                await tx.breaks.open_case(row.broken, answer_within(row.terms.answer_within_hours))
                await tx.audit.record("break.case_opened", ENTITY, row.broken.id)
            await self._escalate_if_due(tx, row)
            return _standing(row.broken, await tx.breaks.message(ref.break_id))

    @activity.defn(name="breaks.deliver")
    async def deliver(self, ref: BreakRef) -> None:
        """Send the partner word that our record stands: the same bytes under the same name, each time.

        Raises what its server has against it; that is on the message, for people to see.
        """
        tenant = Tenant.system(ref.agency_id, ACTOR)
        async with self._db.transaction(tenant) as tx:
            message = await tx.breaks.message(ref.break_id)
            if message is None or message.state != "pending":
                return
            if (await tx.breaks.get(ref.break_id)).broken.state == "resolved":
                return
            way = await tx.partners.delivery_way(message.partner_id)
        problem: DomainError | None = None
        key = f"break-{message.break_id}"
        file = {"key": key, "file_name": f"{key}.json"}
        try:
            target = self._ways.target(way, file["file_name"])
            async with heartbeating():
                await self._ways.deliver(tenant, way, body=word_of(message), **file)
        except DomainError as error:
            problem, target = error, None
        async with self._db.transaction(tenant) as tx:
            message = await tx.breaks.message(ref.break_id) or message
            tried: dict[str, Any] = {
                "attempts": message.attempts + 1,
                "last_problem": problem.message if problem else None,
            }
            if problem is None:
                tried |= {"state": "delivered", "target": target, "delivered_at": tx.began_at}
                await tx.audit.record("break.partner_told", ENTITY, ref.break_id, new={"target": target})
            await tx.breaks.change_message(message, **tried)
        if problem is not None:
            raise problem

    @activity.defn(name="breaks.give_up")
    async def give_up(self, undelivered: UndeliveredWord) -> bool:
        """Note that word could not be sent: it stays visible as failed."""
        async with self._db.transaction(Tenant.system(undelivered.agency_id, ACTOR)) as tx:
            message = await tx.breaks.message(undelivered.break_id)
            if message is not None and message.state == "pending":
                reason = message.last_problem or undelivered.reason
                await tx.breaks.change_message(message, state="failed", last_problem=reason)
                await tx.audit.record(
                    "break.partner_not_told", ENTITY, undelivered.break_id, new={"reason": reason}
                )
        return True

    @activity.defn(name="breaks.follow")
    async def follow(self, news: NewsOfBreaks) -> CasesSeenTo:
        """After a run: withdraw what is proposed for breaks that are gone, tell the cases that it has brought
        news to, start those of what is material.
        """
        tenant = Tenant.system(news.agency_id, ACTOR)
        async with heartbeating():
            started = await self.start_wanted(tenant, partner_id=news.partner_id)
            async with self._db.transaction(tenant) as tx:
                cases = await tx.breaks.cases_of_run(news.partner_id, news.run_id)
            told = 0
            for break_id in cases:
                told += await self._answer(break_id)
        return CasesSeenTo(started=started, told=told)

    async def start_wanted(self, tenant: Tenant, *, partner_id: "UUID | None" = None) -> int:
        """Start the cases that breaks of an agency, or those of one partner, wait for; how many."""
        async with self._db.transaction(tenant) as tx:
            await tx.breaks.withdraw_of_resolved()
            wanting = await tx.breaks.wanting_cases(
                material=MATERIAL_AMOUNT, most=MOST_CASES, partner_id=partner_id
            )
        for break_id in wanting:
            await self._start(tenant.agency_id, break_id)
        return len(wanting)

    async def _resolved(self, tx: "Transaction", row: "BreakRow") -> BreakStanding:
        broken = row.broken
        await tx.breaks.decide(broken.id, "withdrawn")
        message = await tx.breaks.message(broken.id)
        if message is not None and message.state == "pending":
            reason = f"the break was resolved ({broken.resolution}) before this could be sent"
            await tx.breaks.change_message(message, state="failed", last_problem=reason)
        return BreakStanding(state="resolved", resolution=broken.resolution, over=True)

    async def _escalate_if_due(self, tx: "Transaction", row: "BreakRow") -> None:
        broken = row.broken
        due = broken.answer_due_at
        if due is None or broken.escalated_at is not None or datetime.now(UTC) < due:
            return
        await tx.breaks.escalate(broken)
        await tx.audit.record("break.escalated", ENTITY, broken.id, new={"due_at": due.isoformat()})
        if broken.account_id is not None:
            other = row.terms.name or "the payment provider"
            words = f"Difference from {other} was not resolved in time: escalated"
            event = {"break_id": str(broken.id), "due_at": due.isoformat()}
            await tx.timeline.add(broken.account_id, "reconciliation", words, new="escalated", details=event)


def word_of(message: "PartnerMessage") -> bytes:
    """What a partner is sent: our record against theirs, as JSON in UTF-8; amounts are strings."""
    word = {
        "type": "record.stands",
        "break_id": str(message.break_id),
        "account_ref": message.account_ref,
        "payment_id": None if message.payment_id is None else str(message.payment_id),
        "currency": message.currency,
        "ours": {"balance": _amount(message.balance), "status": message.status},
        "yours": {"balance": _amount(message.their_balance), "status": message.their_status},
        "processed_at": message.created_at.astimezone(UTC).isoformat(),
    }
    return json.dumps(word, ensure_ascii=False, indent=1).encode() + b"\n"


def _amount(amount: object) -> str | None:
    return None if amount is None else format(amount, "f")


def _is_wanted(row: "BreakRow") -> bool:
    """Whether somebody works the break, the partner was told of it, or it is material."""
    broken, material = row.broken, row.terms.material_amount
    worked = broken.owner_id is not None or broken.state == "proposed" or broken.told_at is not None
    return worked or broken.value >= (MATERIAL_AMOUNT if material is None else material)


def _standing(broken: "ReconciliationBreak", message: "PartnerMessage | None") -> BreakStanding:
    began, seen = broken.case_started_at, broken.seen_at
    escalated = broken.escalated_at is not None
    return BreakStanding(
        state="proposed" if broken.state == "proposed" else "open",
        to_tell=message is not None and message.state == "pending",
        look_at=None if escalated else broken.answer_due_at,
        escalated=escalated,
        stated_at=seen if began is not None and seen > began else None,
    )
