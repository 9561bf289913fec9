"""A break inside one transaction: proposed, decided, resolved; with what that does to the books."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from activities.account_change import AccountChange
from activities.account_money import came_in
from domain.accounts import SETTLED_FOR_LESS, AccountStatus
from domain.breaks import (
    APPROVAL_LIMIT,
    BreakChanged,
    BreakIsResolved,
    Difference,
    Effect,
    OwnProposal,
    Resolution,
    answer_within,
    check_limit,
    effect_of,
    is_incoming,
)
from domain.errors import Conflict
from domain.reconciliation import PAID_REASONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from db.adjustments import Standing
    from db.breaks import BreakRow
    from db.models import BreakProposal, PartnerMessage, ReconciliationBreak
    from db.session import Transaction
    from domain.scoring import Scorer

S = AccountStatus
ENTITY = "reconciliation_break"
_PAID_THERE = "PAID"
_MISSED = "missing_there"

_DONE = {"resolved": "resolved", "told": "the partner is told"}

_WORDS = {
    Resolution.ACCEPT_THEIRS: "the other side's record is taken over",
    Resolution.KEEP_OURS: "our record stands",
    Resolution.WRITE_OFF: "the difference is written off",
    Resolution.EXPLAIN: "it is explained",
}


def difference_of(row: "BreakRow") -> Difference:
    """What the resolution of a break rests on."""
    broken = row.broken
    return Difference(
        source=broken.source,
        kind=broken.kind,
        ours=broken.ours,
        theirs=broken.theirs,
        about_account=broken.account_id is not None and broken.payment_id is None,
        about_payment=broken.payment_id is not None,
        paid_there=(broken.theirs_status or "").upper() == _PAID_THERE,
        incoming=is_incoming(broken.subject),
        can_be_told=row.terms.delivery not in {None, "none"},
    )


def limit_of(row: "BreakRow") -> Decimal:
    """Above what a resolution needs a second person: by the lower of the limits when it was found and now."""
    now, then = row.terms.approval_limit, row.broken.approval_limit
    limits = [limit for limit in (now, then) if limit is not None]
    return min(limits, default=APPROVAL_LIMIT)


class BreakChange:
    """A break that this transaction has locked; who changes it is the tenant's actor.

    ``account_id``: of the account that a resolution has changed, whose lifecycle is noted to be told.
    """

    def __init__(self, tx: "Transaction", row: "BreakRow", scorers: "Mapping[str, Scorer]") -> None:
        self.tx = tx
        self.row = row
        self.account_id: UUID | None = None
        self._scorers = scorers

    @classmethod
    async def begin(
        cls,
        tx: "Transaction",
        break_id: UUID,
        scorers: "Mapping[str, Scorer]",
        *,
        version: int | None = None,
    ) -> "BreakChange":
        """Lock a break that is not resolved. ``NotFound``, ``BreakIsResolved``.

        ``version`` is what whoever decides has looked at: ``BreakChanged`` where it is another by now.
        """
        row = await tx.breaks.lock(break_id)
        broken = row.broken
        if broken.state == "resolved":
            raise BreakIsResolved(
                f"the break is resolved already, by {broken.resolved_by or 'itself'} ({broken.resolution})",
                resolution=broken.resolution,
                resolved_by=broken.resolved_by,
            )
        if version is not None and version != broken.version:
            raise BreakChanged(
                "the break is not as you have seen it; look at it again", version=broken.version
            )
        return cls(tx, row, scorers)

    @property
    def broken(self) -> "ReconciliationBreak":
        """The break as it is now."""
        return self.row.broken

    @property
    def _key(self) -> str:
        """Of the one journal that the break of an account can bring about."""
        return f"break/{self.broken.id}"

    async def propose(self, resolution: Resolution, note: str, proposed_by: UUID) -> None:
        """Propose a resolution, which another person decides on.

        ``Conflict`` while another one is proposed, ``NotPossible``, ``BreakChanged``.
        """
        proposal = await self.tx.breaks.open_proposal(self.broken.id)
        if proposal is not None:
            raise Conflict(
                f"{proposal.proposed_by_name} has proposed {proposal.resolution}; have that approved or"
                " rejected first",
                proposed_by=proposal.proposed_by_name,
                resolution=proposal.resolution,
            )
        effect = effect_of(resolution, difference_of(self.row))
        if effect.on_account:
            await self._account()
        elif effect.on_cash:
            await self._item()
        await self.tx.breaks.propose(self.broken, resolution.value, note, proposed_by)
        await self._reread()
        await self._noted("proposed", resolution, note)

    async def approve(self, approver: UUID, note: str | None) -> None:
        """Carry out what is proposed. ``Conflict`` where nothing is, ``OwnProposal``, ``BreakChanged``."""
        proposal = await self._proposal()
        if proposal.proposed_by == approver:
            raise OwnProposal(
                "you have proposed this yourself: somebody else has to approve it",
                proposed_by=proposal.proposed_by_name,
            )
        if (proposal.ours, proposal.theirs) != (self.broken.ours, self.broken.theirs):
            raise BreakChanged(
                "the two sides are not what they were when this was proposed; reject it and look again",
                proposed={"ours": _text(proposal.ours), "theirs": _text(proposal.theirs)},
                now={"ours": _text(self.broken.ours), "theirs": _text(self.broken.theirs)},
            )
        resolution = Resolution(proposal.resolution)
        effect = effect_of(resolution, difference_of(self.row))
        await self.tx.breaks.decide(self.broken.id, "approved")
        words = note or proposal.note
        await self._carry_out(resolution, effect, words, proposed_by=proposal.proposed_by_name)

    async def reject(self, who: UUID, note: str | None) -> None:
        """Turn down what is proposed; who has proposed it takes it back so."""
        proposal = await self._proposal()
        end: Literal["withdrawn", "rejected"] = "withdrawn" if proposal.proposed_by == who else "rejected"
        await self.tx.breaks.decide(self.broken.id, end)
        await self.tx.breaks.change(self.broken, state="open")
        await self._reread()
        await self._noted(end, Resolution(proposal.resolution), note or proposal.note)

    async def resolve(self, resolution: Resolution, note: str) -> None:
        """Resolve the break in one step. ``ApprovalNeeded`` above the limit, ``NotPossible``.

        What is proposed is withdrawn.
        """
        effect = effect_of(resolution, difference_of(self.row))
        check_limit(self.broken.value, effect, limit_of(self.row))
        await self.tx.breaks.decide(self.broken.id, "withdrawn")
        await self._carry_out(resolution, effect, note)

    async def assign(self, owner_id: UUID | None, owner: str | None) -> None:
        """Give the break to somebody, or to nobody."""
        before = self.row.owner
        if owner_id == self.broken.owner_id:
            return
        await self.tx.breaks.change(self.broken, owner_id=owner_id)
        await self._reread()
        await self.tx.audit.record(
            "break.assigned", ENTITY, self.broken.id, old={"owner": before}, new={"owner": owner}
        )

    async def _carry_out(
        self, resolution: Resolution, effect: Effect, note: str, *, proposed_by: str | None = None
    ) -> None:
        details: dict[str, Any] = {"proposed_by": proposed_by} if proposed_by else {}
        if effect.told:
            await self._tell()
            await self._noted("told", resolution, note, **details)
            return
        item = await self._item() if effect.on_cash else None
        journal_id = await self._post_on_account(effect) if item is None else await self._post(effect, item)
        await self.tx.breaks.resolve(
            self.broken, resolution.value, note, journal_id=journal_id, item_id=item and item.item_id
        )
        await self._reread()
        if journal_id is not None:
            details |= {"journal_id": str(journal_id), "moved": format(effect.moved, "f")}
        await self._noted("resolved", resolution, note, **details)

    async def _post(self, effect: Effect, item: "Standing") -> UUID:
        """Bring the house's cash in line with what came in of a payment; the journal's id."""
        # Whatever breaks there are about it: each of its adjustments has its number, and is posted once.
        key, now = f"item/{item.item_id}/{item.journals + 1}", self.tx.began_at
        adjustments, currency = self.tx.adjustments, self.broken.currency
        if effect.cash:
            return await adjustments.adjust_cash(effect.cash, currency, key=key, occurred_at=now)
        return await adjustments.lose(effect.lost, currency, key=key, occurred_at=now)

    async def _post_on_account(self, effect: Effect) -> UUID | None:
        """Bring the account in line; the journal's id, None where nothing is posted."""
        if not effect.on_account:
            return None
        change = await self._account()
        account, journal_id = change.account, None
        key, now = self._key, self.tx.began_at
        added = effect.added or -effect.forgiven
        if effect.forgiven:
            journal_id = await self.tx.adjustments.write_off(
                account.id, effect.forgiven, account.currency, key=key, occurred_at=now
            )
        elif effect.added:
            journal_id = await self.tx.adjustments.adjust(
                account.id, added, account.currency, key=key, occurred_at=now
            )
        if journal_id is not None:
            await change.write(
                "account.balance",
                {"balance": account.balance + added},
                old={"balance": account.balance},
                new={"journal_id": journal_id, "break_id": self.broken.id},
            )
        await self._follow(change, forgiven=bool(effect.forgiven))
        await change.settle()
        await self.tx.lifecycles.notify([account.id])
        self.account_id = account.id
        return journal_id

    async def _follow(self, change: AccountChange, *, forgiven: bool) -> None:
        """What the new balance means: settled and closed as after a payment, or worked again."""
        if forgiven and change.account.balance == 0 and change.account.status not in {S.SETTLED, S.CLOSED}:
            await change.move(S.SETTLED, "What was left is written off", reason=SETTLED_FOR_LESS)
        elif change.account.balance == 0 or change.account.status not in {S.SETTLED, S.CLOSED}:
            await came_in(change, self.tx.began_at)
        elif change.account.status is S.SETTLED or change.account.closed_reason in PAID_REASONS:
            await change.move(S.IN_CONTACT, "A partner's balance was taken over: something is owed again")
        if await self.tx.plans.open_on(change.account.id) is not None:
            # Its workflow brings it in line with what is owed before it asks for anything.
            await change.note_plan()

    async def _account(self) -> AccountChange:
        """The account, locked. ``BreakChanged`` when what is owed on it is not what the break says."""
        assert self.broken.account_id is not None  # noqa: S101 - effects on accounts need one
        change = await AccountChange.begin(self.tx, self.broken.account_id, self._scorers)
        balance = change.account.balance
        if balance != self.broken.ours:
            raise BreakChanged(
                f"our balance has changed since this was found: it was {self.broken.ours}, it is {balance};"
                " the next reconciliation looks at it again",
                found=_text(self.broken.ours),
                balance=_text(balance),
            )
        return change

    async def _item(self) -> "Standing":
        """What of a payment the break is about, locked. ``BreakChanged`` when our side of it is not what the
        break says: it went back, or was adjusted, since.
        """
        broken = self.broken
        assert broken.payment_id is not None  # noqa: S101 - effects on cash need one
        await self.tx.payments.lock(broken.payment_id)
        item = await self.tx.adjustments.standing(broken.payment_id, broken.subject, broken.partner_id)
        ours = None
        if item is not None and item.on_ledger:
            ours = item.missed if broken.kind == _MISSED else item.ours
        if item is None or ours != broken.ours or broken.ours_status not in {None, item.status}:
            raise BreakChanged(
                f"our side of it has changed since this was found: it was {_text(broken.ours)}, it is"
                f" {_text(ours) or 'not on our ledger'}; the next reconciliation looks at it again",
                found=_text(broken.ours),
                ours=_text(ours),
            )
        return item

    async def _tell(self) -> None:
        """Keep word to the partner with our record as it is now, and wait for its answer.

        The break stays: the next statement cures it, or it is escalated. Word that could not be sent is sent
        again, the same bytes. ``Conflict`` where it has been sent, or is being sent.
        """
        broken, word = self.broken, await self.tx.breaks.message(self.broken.id)
        if word is not None:
            await self._tell_again(word)
        elif broken.account_id is None or broken.payment_id is not None:
            await self.tx.breaks.tell(broken, balance=broken.ours, status=broken.ours_status)
        else:
            account = (await AccountChange.begin(self.tx, broken.account_id, self._scorers)).account
            await self.tx.breaks.tell(broken, balance=account.balance, status=account.status.value)
        now = self.tx.began_at
        due = now + answer_within(self.row.terms.answer_within_hours)
        await self.tx.breaks.change(broken, state="open", told_at=now, answer_due_at=due, escalated_at=None)
        await self._reread()

    async def _tell_again(self, word: "PartnerMessage") -> None:
        if word.state != "failed":
            raise Conflict(
                f"the partner has been told already (word is {word.state}), and its answer is waited for;"
                " or resolve the break in another way",
                word=word.state,
            )
        await self.tx.breaks.change_message(word, state="pending")

    async def _proposal(self) -> "BreakProposal":
        proposal = await self.tx.breaks.open_proposal(self.broken.id)
        if proposal is None or self.broken.state != "proposed":
            raise Conflict("nothing is proposed for this break", state_now=self.broken.state)
        return proposal

    async def _reread(self) -> None:
        self.row = await self.tx.breaks.get(self.broken.id)

    async def _noted(self, what: str, resolution: Resolution, note: str, **details: Any) -> None:
        """The audit record, and an event on the account that it is about."""
        broken = self.broken
        sides = {"ours": broken.ours, "theirs": broken.theirs}
        new = {"resolution": resolution.value, "note": note, "kind": broken.kind, **sides, **details}
        await self.tx.audit.record(f"break.{what}", ENTITY, broken.id, new=new)
        if broken.account_id is None:
            return
        other = self.row.terms.name or "the payment provider"
        done = _DONE.get(what, f"resolution {what}")
        words = f"Difference from {other} ({broken.kind.replace('_', ' ')}) {done}: {_WORDS[resolution]}"
        event = {"break_id": str(broken.id), "resolution": resolution.value, **details}
        await self.tx.timeline.add(
            broken.account_id, "reconciliation", words, new=broken.state, details=event
        )


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount, "f")
