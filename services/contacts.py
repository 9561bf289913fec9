"""Contacting debtors: the law is asked and the attempt logged in one transaction, or refused."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from db.contacts import UNTOLD
from domain.compliance import Denied, Direction
from domain.compliance.calls import counts_as_consented
from domain.deadlines import MOST_DAYS_BACK
from domain.errors import Invalid
from services.access import Principal, Right, require
from services.accounts import visible_account
from services.commands import CommandKey, Refused, carry_out
from services.compliance import Question, person_zones
from services.contact_views import (
    ContactAnswer,
    ContactForm,
    LoggedContact,
    PreferenceForm,
    PreferenceView,
    answer,
    logged,
    purpose_fault,
    refusal,
)
from services.debtors import own_accounts_of

if TYPE_CHECKING:
    from db.commands import Answer
    from db.keyset import Position
    from db.models import Contact, ContactPreference, Debtor
    from db.session import Database, Transaction
    from services.compliance import Judge, Judged

Notify = Callable[[UUID, Sequence[UUID]], Awaitable[None]]
"""Tells the running lifecycles of an agency's accounts that these were changed beside them.

Called after the commit; does its best and never raises.
"""


class ContactService:
    """Contacts about accounts that the principal may see, under the law."""

    def __init__(self, database: "Database", judge: "Judge", notify: Notify) -> None:
        self._database = database
        self._judge = judge
        self._notify = notify

    async def log(self, who: Principal, command: CommandKey, account_id: UUID, form: ContactForm) -> "Answer":
        """Log a contact (201), with the decision that allowed it.

        The person is locked first, on whichever of their accounts they are contacted, so that no two
        attempts are allowed by the same facts. One that is entered late is judged as of its time, by all
        that is known now: also by attempts after it, whose windows it is in. ``ContactRefused`` when the
        law forbids it: the decision is kept, no attempt is logged, and the key stays unused, so that the
        same request may be sent again when the time has come. An inbound contact is never refused.
        ``NotFound`` when the account is not the principal's, ``Invalid`` (``at``) for the future, and for
        what lies further back than ``MOST_DAYS_BACK``.
        """
        require(who, Right.CONTACT_DEBTORS)

        async def theirs(tx: "Transaction") -> None:
            await visible_account(tx, who, account_id)

        async def effect(tx: "Transaction") -> LoggedContact | Refused:
            await tx.contacts.lock_person(account_id)
            view = await visible_account(tx, who, account_id)
            judged = await self._judge.judge(tx, view, _question(form))
            if judged.facts.at > judged.facts.now:
                raise Invalid(
                    "at lies in the future: log a contact when it is made; GET …/contact-check answers"
                    " for a time to come",
                    field="at",
                )
            _not_too_old(judged)
            if isinstance(judged.decision, Denied):
                await self._judge.log(tx, judged)
                return Refused(refusal(judged.decision, judged.decision_id))
            contact = await tx.contacts.add(_columns(view.debtor.id, form, judged))
            await _tell(tx, contact)
            await self._judge.log(tx, judged)
            return logged(contact, judged.decision)

        made = await carry_out(self._database, who.tenant, command, effect, first=theirs, status=201)
        await self._notify(who.tenant.agency_id, [account_id])
        return made

    async def check(self, who: Principal, account_id: UUID, question: Question) -> ContactAnswer:
        """What the law says of a contact, now or at any time; the decision is kept, nothing is reserved.

        ``Invalid`` for what could not be logged either, but for the time to come.
        """
        require(who, Right.READ_ACCOUNTS)
        if fault := purpose_fault(question.channel, question.purpose):
            raise Invalid(f"purpose: {fault}", field="purpose")
        async with self._database.transaction(who.tenant) as tx:
            view = await visible_account(tx, who, account_id)
            judged = await self._judge.judge(tx, view, question)
            _not_too_old(judged)
            await self._judge.log(tx, judged)
        return answer(judged.decision, judged.facts.at, judged.decision_id)

    async def page(
        self, who: Principal, account_id: UUID, position: "Position | None", limit: int
    ) -> "Sequence[Contact]":
        """Contacts of an account next to ``(at, id)``, nearest first. ``NotFound`` as ``log``."""
        require(who, Right.READ_ACCOUNTS)
        async with self._database.transaction(who.tenant) as tx:
            await visible_account(tx, who, account_id)
            return await tx.contacts.page(account_id, position, limit)

    async def preferences(self, who: Principal, debtor_id: UUID) -> PreferenceView:
        """What a debtor said of being contacted. ``NotFound`` when they are not the principal's."""
        require(who, Right.READ_DEBTORS)
        async with self._database.transaction(who.tenant) as tx:
            debtor = await tx.debtors.get(debtor_id, collector_id=own_accounts_of(who))
            return _preferences(debtor, await tx.contacts.preference(debtor_id))

    async def prefer(
        self, who: Principal, command: CommandKey, debtor_id: UUID, form: PreferenceForm
    ) -> "Answer":
        """Replace what a debtor said of being contacted; it counts from the next contact on."""
        require(who, Right.CONTACT_DEBTORS)

        async def theirs(tx: "Transaction") -> None:
            await tx.debtors.get(debtor_id, collector_id=own_accounts_of(who))

        async def effect(tx: "Transaction") -> PreferenceView:
            debtor = await tx.debtors.get(debtor_id, collector_id=own_accounts_of(who), lock=True)
            row, change = await tx.contacts.prefer(debtor_id, form.values())
            if change:
                await tx.audit.record(
                    "debtor.contact_preferences_changed",
                    "debtor",
                    debtor_id,
                    old=change.old,
                    new=change.new,
                )
                fields = list(change.new)
                await tx.timeline.add_to_accounts_of(
                    debtor_id,
                    "debtor_changed",
                    f"Contact preferences changed: {', '.join(name.replace('_', ' ') for name in fields)}",
                    details={"fields": fields},
                )
            return _preferences(debtor, row)

        return await carry_out(self._database, who.tenant, command, effect, first=theirs)


def _not_too_old(judged: "Judged") -> None:
    if judged.facts.at < judged.facts.now - timedelta(days=MOST_DAYS_BACK):
        raise Invalid(
            f"at lies more than {MOST_DAYS_BACK // 366} years back: look at the year, for logged is logged",
            field="at",
        )


def _question(form: ContactForm) -> Question:
    return Question(
        channel=form.channel,
        direction=form.direction,
        purpose=form.purpose,
        recipient=form.recipient,
        place=form.place,
        connected=form.connected,
        at=form.at,
    )


def _columns(debtor_id: UUID, form: ContactForm, judged: "Judged") -> dict[str, Any]:
    given = form.model_dump(mode="json", exclude={"at", "right_party"})
    return {
        **given,
        "account_id": judged.account_id,
        "debtor_id": debtor_id,
        "right_party": form.with_right_party,
        "consented": counts_as_consented(judged.facts, judged.rules),
        "at": judged.facts.at,
        "decision_id": judged.decision_id,
    }


_TOLD = (
    *("channel", "direction", "purpose", "recipient", "place", "connected", "conversation"),
    *("right_party", "consented", "consent_given"),
)


async def _tell(tx: "Transaction", contact: "Contact") -> None:
    """Everything that follows from a contact; what was said in it stays in its note."""
    facts = {name: getattr(contact, name) for name in _TOLD} | {"at": contact.at.isoformat()}
    await tx.timeline.add(
        contact.account_id, "contact", _in_words(contact), details={"contact_id": str(contact.id), **facts}
    )
    await tx.audit.record(
        "contact.logged",
        "contact",
        contact.id,
        new={"account_id": contact.account_id, **facts, "decision_id": contact.decision_id},
    )
    await tx.lifecycles.notify([contact.account_id])


_MEDIA = {"call": "call", "email": "e-mail", "sms": "text message", "letter": "letter"}


def _in_words(contact: "Contact") -> str:
    direction = "Inbound" if contact.direction == Direction.INBOUND else "Outbound"
    words = f"{direction} {_MEDIA[contact.channel]}"
    if contact.purpose != "general":
        words += f" ({contact.purpose.replace('_', ' ')})"
    if contact.conversation:
        return f"{words}: conversation" + ("" if contact.right_party else " with somebody else")
    if contact.channel == "call":
        return f"{words}: " + ("no conversation" if contact.connected else "not connected")
    return words


def _preferences(debtor: "Debtor", row: "ContactPreference | None") -> PreferenceView:
    said = {name: getattr(row, name) for name in UNTOLD} if row else dict(UNTOLD)
    return PreferenceView(
        debtor_id=debtor.id,
        **said,
        zones=person_zones(debtor, said["time_zone"]),
        updated_at=row.updated_at if row else None,
    )
