"""One account in memory: the activities of its lifecycle by name, on the clock of a server that skips time.

The rules are those of ``domain``; what PostgreSQL does about them is proved in tests/integration/accounts.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from temporalio import activity
from temporalio.testing import WorkflowEnvironment

from activities.account_messages import (
    AcceptOffer,
    AccountCommand,
    AccountSnapshot,
    AnswerDispute,
    Assign,
    Close,
    CommandIdentity,
    DeadlineReached,
    MakePromise,
    OfferSettlement,
    PlaceHold,
    Recall,
    RecordDispute,
    RefusedTransition,
    ReleaseHold,
    Transition,
)
from activities.admission import AdmissionRequest, Admitted
from activities.messages import AccountRef
from domain.accounts import FOLLOW_UP_DAYS, OPEN_STATUSES, PAID, AccountStatus, check_system_move
from domain.compliance import validation
from domain.deadlines import (
    Deadline,
    DeadlineKind,
    dispute_deadline,
    end_of_day,
    promise_deadline,
    start_of_day,
)
from domain.errors import Conflict
from workflows.failures import told_to_the_caller

S = AccountStatus
K = DeadlineKind
ZONE = "America/Chicago"
AGENCY, ACCOUNT = UUID(int=1), UUID(int=2)
REF = AccountRef(agency_id=AGENCY, account_id=ACCOUNT)


def order(command: type[AccountCommand], /, **values: Any) -> Any:
    """A command that nobody has given before."""
    identity = CommandIdentity(operation=command.__name__, key=uuid4().hex, body_hash="00" * 32)
    return command(account=REF, identity=identity, actor_kind="user", actor="admin", **values)


@dataclass(frozen=True)
class Event:
    """Something that happened to the account."""

    at: datetime
    kind: str
    new: str


@dataclass
class _Pending:
    id: UUID
    day: date
    amount: Decimal = Decimal(0)
    since: datetime | None = None


@dataclass
class AccountBooks:
    """The account as it is; ``events`` as they happened, ``refused`` the moves that could not be made."""

    clock: WorkflowEnvironment
    last_event_at: datetime
    balance: Decimal = Decimal(1000)
    status: AccountStatus = S.NEW
    version: int = 1
    barred_on: date | None = None
    notice_sent_on: date | None = None
    promise_: _Pending | None = None
    offer: _Pending | None = None
    dispute_: _Pending | None = None
    holds: dict[str, _Pending] = field(default_factory=dict)
    payments: list[tuple[datetime, Decimal]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    refused: list[RefusedTransition] = field(default_factory=list)
    released: int = 0
    admissions: int = 0
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    may_read: asyncio.Event = field(default_factory=asyncio.Event)
    _noted: set[tuple[str, datetime]] = field(default_factory=set)
    _done: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.may_read.set()

    async def today(self) -> date:
        """The date where the agency is."""
        return (await self.clock.get_current_time()).astimezone(ZoneInfo(ZONE)).date()

    async def happen(self, kind: str, new: str) -> None:
        """Put an event on the timeline."""
        self.last_event_at = await self.clock.get_current_time()
        self.events.append(Event(self.last_event_at, kind, new))
        self.version += 1

    async def pay(self, amount: int) -> None:
        """Money, posted; the lifecycle is told by a signal."""
        self.payments.append((await self.clock.get_current_time(), Decimal(amount)))
        self.balance -= amount

    def deadlines(self) -> tuple[Deadline, ...]:
        """What the account waits for, the nearest first."""
        if self.status not in OPEN_STATUSES:
            return ()
        waiting = [d for d in self._deadlines() if (d.name, d.at) not in self._noted]
        return tuple(sorted(waiting, key=lambda deadline: deadline.at))

    def _deadlines(self) -> Iterator[Deadline]:
        yield Deadline(kind=K.FOLLOW_UP, at=self.last_event_at + timedelta(days=FOLLOW_UP_DAYS))
        if self.notice_sent_on:
            last_day = validation.period_end(self.notice_sent_on)
            yield Deadline(kind=K.VALIDATION_END, at=end_of_day(last_day, ZONE))
        if one := self.promise_:
            yield Deadline(kind=K.PROMISE_DUE, at=promise_deadline(one.day, ZONE), subject_id=one.id)
        if one := self.offer:
            yield Deadline(kind=K.OFFER_EXPIRY, at=end_of_day(one.day, ZONE), subject_id=one.id)
        if one := self.dispute_:
            yield Deadline(kind=K.DISPUTE_ANSWER, at=dispute_deadline(one.day, ZONE), subject_id=one.id)
        for one in self.holds.values():
            yield Deadline(kind=K.HOLD_END, at=end_of_day(one.day, ZONE), subject_id=one.id)
        if self.barred_on:
            yield Deadline(kind=K.LIMITATION, at=start_of_day(self.barred_on, ZONE))

    def _snapshot(self) -> AccountSnapshot:
        return AccountSnapshot(
            status=self.status,
            version=self.version,
            is_open=self.status in OPEN_STATUSES,
            follow_up_at=self.last_event_at + timedelta(days=FOLLOW_UP_DAYS),
            holds=tuple(sorted(self.holds)),
            deadlines=self.deadlines(),
        )

    def _begin(self, command: AccountCommand) -> bool:
        """Judge a command; False when it was carried out before."""
        if command.identity.key in self._done:
            return False
        with told_to_the_caller():
            command.check(self.status)
        self._done.add(command.identity.key)
        return True

    async def _move(self, to: AccountStatus) -> None:
        self.status = to
        if to is S.CLOSED:
            self.promise_ = self.offer = self.dispute_ = None
        await self.happen("status_changed", to.value)

    @activity.defn(name="accounts.admit")
    async def admit_account(self, ref: AccountRef) -> AccountSnapshot:
        return await self.load(ref)

    @activity.defn(name="accounts.load")
    async def load(self, ref: AccountRef) -> AccountSnapshot:
        self.reading.set()
        await self.may_read.wait()
        return self._snapshot()

    @activity.defn(name="accounts.assign")
    async def assign(self, command: Assign) -> AccountSnapshot:
        if self._begin(command):
            await self.happen("assigned", str(command.collector_id))
            if self.status is S.NEW:
                await self._move(S.ASSIGNED)
        return self._snapshot()

    @activity.defn(name="accounts.transition")
    async def transition(self, command: Transition) -> AccountSnapshot:
        if self._begin(command):
            await self._move(command.new_status)
        return self._snapshot()

    @activity.defn(name="accounts.promise")
    async def promise(self, command: MakePromise) -> AccountSnapshot:
        if self._begin(command):
            since = await self.clock.get_current_time()
            self.promise_ = _Pending(uuid4(), command.due_date, command.amount, since)
            await self.happen("promise", "open")
        return self._snapshot()

    @activity.defn(name="accounts.hold")
    async def hold(self, command: PlaceHold) -> AccountSnapshot:
        if self._begin(command):
            assert command.until is not None
            self.holds[command.kind] = _Pending(uuid4(), command.until)
            await self.happen("hold", command.kind)
        return self._snapshot()

    @activity.defn(name="accounts.release")
    async def release_hold(self, command: ReleaseHold) -> AccountSnapshot:
        if self._begin(command):
            del self.holds[command.kind]
            await self.happen("hold", "released")
        return self._snapshot()

    @activity.defn(name="accounts.dispute")
    async def dispute(self, command: RecordDispute) -> AccountSnapshot:
        if self._begin(command):
            self.dispute_ = _Pending(uuid4(), command.received_on)
            await self.happen("dispute", "open")
            await self._move(S.DISPUTED)
        return self._snapshot()

    @activity.defn(name="accounts.answer_dispute")
    async def answer_dispute(self, command: AnswerDispute) -> AccountSnapshot:
        if self._begin(command):
            with told_to_the_caller():
                if self.dispute_ is None or self.dispute_.id != command.dispute_id:
                    raise Conflict("the dispute is answered already")
            self.dispute_ = None
            await self.happen("dispute", command.outcome)
            await self._move(S.IN_CONTACT)
        return self._snapshot()

    @activity.defn(name="accounts.offer_settlement")
    async def offer_settlement(self, command: OfferSettlement) -> AccountSnapshot:
        if self._begin(command):
            self.offer = _Pending(uuid4(), command.expires_on)
            await self.happen("offer", "open")
        return self._snapshot()

    @activity.defn(name="accounts.accept_offer")
    async def accept_offer(self, command: AcceptOffer) -> AccountSnapshot:
        if self._begin(command):
            self.offer = None
            await self.happen("offer", "accepted")
        return self._snapshot()

    @activity.defn(name="accounts.recall")
    async def recall(self, command: Recall) -> AccountSnapshot:
        if self._begin(command):
            await self._move(S.CLOSED)
        return self._snapshot()

    @activity.defn(name="accounts.close")
    async def close(self, command: Close) -> AccountSnapshot:
        if self._begin(command):
            await self._move(S.CLOSED)
        return self._snapshot()

    @activity.defn(name="accounts.deadline_reached")
    async def deadline_reached(self, reached: DeadlineReached) -> AccountSnapshot:
        deadline = reached.deadline
        assert await self.clock.get_current_time() >= deadline.at, "no deadline comes before its time"
        if deadline in self.deadlines():
            await self._do(deadline)
        return self._snapshot()

    async def _do(self, deadline: Deadline) -> None:
        kind = deadline.kind
        if kind is K.PROMISE_DUE:
            await self._judge_promise("broken")
        elif kind is K.OFFER_EXPIRY:
            self.offer = None
            await self.happen("offer", "expired")
        elif kind is K.HOLD_END:
            [ended] = [name for name, hold in self.holds.items() if hold.id == deadline.subject_id]
            del self.holds[ended]
            await self.happen("hold", "ended")
        else:
            self._noted.add((deadline.name, deadline.at))
            await self.happen(kind.value, "reached")

    async def _judge_promise(self, otherwise: str) -> None:
        promise = self.promise_
        if promise is None or promise.since is None:
            return
        until = promise_deadline(promise.day, ZONE)
        received = sum(amount for at, amount in self.payments if promise.since <= at < until)
        if received >= promise.amount or otherwise == "broken":
            self.promise_ = None
            await self.happen("promise", "kept" if received >= promise.amount else otherwise)

    @activity.defn(name="accounts.payment_posted")
    async def payment_posted(self, ref: AccountRef) -> AccountSnapshot:
        await self.happen("payment", format(self.balance, "f"))
        await self._judge_promise("open")
        if self.balance == 0 and self.status in OPEN_STATUSES:
            for to in (S.SETTLED, S.CLOSED):
                check_system_move(self.status, to)
                await self._move(to)
            self.events.append(Event(self.last_event_at, "closed", PAID))
        return self._snapshot()

    @activity.defn(name="accounts.payment_reversed")
    async def payment_reversed(self, ref: AccountRef) -> AccountSnapshot:
        await self.happen("payment", format(self.balance, "f"))
        if self.balance > 0 and self.status not in OPEN_STATUSES:
            await self._move(S.IN_CONTACT)
        return self._snapshot()

    @activity.defn(name="accounts.note_refusal")
    async def note_refusal(self, refused: RefusedTransition) -> None:
        self.refused.append(refused)

    @activity.defn(name="admission.release")
    async def release(self, ref: AccountRef) -> None:
        self.released += 1

    @activity.defn(name="admission.admit")
    async def admit(self, request: AdmissionRequest) -> Admitted:
        self.admissions += 1
        return Admitted(started=0, after=None, more=False, pause_s=0)
