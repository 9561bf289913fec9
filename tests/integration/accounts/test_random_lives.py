"""Whatever accounts are told, their workflows and the database do as a simple model in memory does.

Commands go the way of the API, from its service through the workflow to the database and back.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from temporalio.client import Client

from activities.account_messages import DeadlineReached
from activities.account_messages import Transition as TransitionOrder
from db.commands import Answer as Kept
from domain.accounts import AccountStatus
from domain.deadlines import DeadlineKind
from domain.errors import DomainError
from domain.holds import HoldKind
from domain.tenancy import Role
from sandbox.errors import NotReadyError
from sandbox.processes import until
from services.access import Principal
from services.account_command_forms import (
    AssignForm,
    DisputeAnswerForm,
    DisputeForm,
    HoldForm,
    OfferForm,
    PromiseForm,
    ReasonForm,
    TransitionForm,
)
from services.account_commands import AccountCommandService
from services.commands import CommandKey
from services.inbox_starts import ProcessWaker
from services.lifecycle_commands import LifecycleCommander
from services.lifecycle_start import lifecycle_input, start_options
from tests.integration.accounts.account_model import BY_HAND, Account, Answer, Event, Person
from tests.integration.accounts.desk import SCORERS, Desk
from workflows.accounts import AccountLifecycle
from workflows.queues import account_workflow_id

BALANCES = [Decimal(1000), Decimal(300)]
SETTLE_S = 60
LIVES, STEPS = 4, 30

TELLING: dict[str, DeadlineKind] = {
    "promise due, with grace": DeadlineKind.PROMISE_DUE,
    "settlement offer expires": DeadlineKind.OFFER_EXPIRY,
    "settlement to be paid, or it lapses": DeadlineKind.SETTLEMENT_DUE,
}

money = st.sampled_from([Decimal(100), Decimal("99.99"), Decimal(300), Decimal(1000), Decimal(1001)])
days = st.sampled_from([5, 0, 5, -1])
kinds = st.sampled_from(["cease", "chargeback", "bankruptcy", "opt_out_sms", "workplace"])
outcomes = st.sampled_from(["verified", "corrected", "withdrawn", "invalid", "duplicative"])
Step = tuple[Any, ...]


def steps(number: int, account: Account, sent: int) -> st.SearchStrategy[Step]:
    """What may be told to an account; most of it is possible as the account is now."""

    def step(name: str, *values: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
        return st.tuples(st.just(name), st.just(number), *values)

    legal = [to for to in BY_HAND[account.status] if to != "closed"]
    anywhere = st.sampled_from(sorted(BY_HAND))
    likely = [
        *[step("transition", st.sampled_from(legal))] * (4 if legal else 0),
        step("assign", st.sampled_from([0, 1, None])),
        step("transition", anywhere),
        step("ask", st.sampled_from(legal) if legal else anywhere),
        step("ask", anywhere),
        step("promise", money, days),
        step("hold", kinds, st.sampled_from([None, 5, -1])),
        step("release", st.sampled_from(sorted(account.holds)) if account.holds else kinds),
        step("dispute", st.sampled_from(["not mine", "paid"]), st.booleans(), st.booleans()),
        step("answer", outcomes, st.booleans()),
        *[step("answer", outcomes, st.just(True))] * (4 if account.open_dispute else 0),
        step("offer", money, st.none(), days),
        step("offer", st.none(), st.just(Decimal(50)), days),
        *[step("accept")] * (3 if "open" in account.offers else 1),
        *[step("recall"), step("close")] * number,
        step("pay", money),
        step("pay", st.just(Decimal(100))),
        *[step("pay", st.just(account.balance))] * (number if account.balance else 0),
        step("reverse"),
        *[step("reverse")] * (4 if account.payments and account.status == "closed" else 0),
        step("beside", st.sampled_from(["negotiating", "assigned", "in_contact", "closed"])),
        *[step("beside", st.just("negotiating"))] * (8 if account.status == "closed" else 0),
        *[step("pass", st.just(what)) for what in TELLING],
        *[st.tuples(st.sampled_from(["again", "reuse"]), st.integers(0, sent))] * 2,
    ]
    return st.one_of(likely)


@dataclass
class Command:
    """One that was sent: how, its key, and what came of it."""

    send: Callable[[CommandKey], Awaitable[Kept]]
    key: CommandKey
    answer: Answer
    body: Any


@dataclass
class Machine:
    """The model, and the real accounts that it is compared with."""

    desk: Desk
    client: Client
    model: Person
    accounts: list[UUID]
    collectors: list[UUID]
    strangers: UUID
    told: set[int] = field(default_factory=set)
    sent: list[Command] = field(default_factory=list)
    journals: dict[int, list[UUID]] = field(default_factory=lambda: {0: [], 1: []})
    disputes: dict[int, list[UUID]] = field(default_factory=lambda: {0: [], 1: []})
    offers: dict[int, list[UUID]] = field(default_factory=lambda: {0: [], 1: []})

    @property
    def service(self) -> AccountCommandService:
        commander = LifecycleCommander(self.client, timedelta(seconds=60))
        return AccountCommandService(self.desk.db, commander, ProcessWaker(self.client).wake)

    @property
    def who(self) -> Principal:
        return Principal(self.desk.who, "admin", Role.AGENCY_ADMIN, self.desk.agency_id)

    async def tell(self, expected: Answer, command: str, number: int, *path: Any, form: Any = None) -> Any:
        """Send a command; its answer's body, when it is carried out."""
        given = [] if form is None else [form]
        method, account = getattr(self.service, command), self.accounts[number]

        async def send(key: CommandKey) -> Kept:
            answer: Kept = await method(self.who, key, account, *path, *given)
            return answer

        body = {"account": str(account), "path": str(path), "form": str(form)}
        key = CommandKey(command, uuid4().hex, body)
        found, told = await outcome(send, key)
        self.told.add(number)
        assert found == expected, f"{command} {path} {form}"
        self.sent.append(Command(send, key, found, told))
        if isinstance(told, dict) and "legal_moves" in told:
            assert told["legal_moves"] == BY_HAND[self.model.accounts[number].status]
        return told

    async def take(self, step: tuple[Any, ...]) -> None:
        """One step, of the model and of the real account."""
        name, number, *values = step
        if name in {"again", "reuse"}:
            await self.repeat(number, with_other_body=name == "reuse")
            return
        await getattr(self, f"step_{name}")(number, self.model.accounts[number], *values)

    async def repeat(self, number: int, *, with_other_body: bool) -> None:
        """A command that was carried out comes once more: its answer is the first, or its key is refused."""
        done = [command for command in self.sent if isinstance(command.answer, int)]
        if not done:
            return
        command = done[number % len(done)]
        if with_other_body:
            other = CommandKey(command.key.operation, command.key.key, {"other": "body"})
            found, _ = await outcome(command.send, other)
            assert found == "idempotency-key-reused"
        else:
            assert await outcome(command.send, command.key) == (command.answer, command.body)

    async def step_assign(self, number: int, account: Account, collector: int | None) -> None:
        form = AssignForm(collector_id=self.strangers if collector is None else self.collectors[collector])
        await self.tell(self.model.assign(account, collector), "assign", number, form=form)

    async def step_transition(self, number: int, account: Account, to: str) -> None:
        form = TransitionForm(new_status=AccountStatus(to), note="as told")
        await self.tell(self.model.transition(account, to), "transition", number, form=form)

    async def step_ask(self, number: int, account: Account, to: str) -> None:
        answer = self.model.transition(account, to)
        if answer == "illegal-move":
            account.events.append(("refused", None, None))
        order = self.desk.order(TransitionOrder, self.accounts[number], new_status=AccountStatus(to))
        await self.signal(number, "transition", order)

    async def step_promise(self, number: int, account: Account, amount: Decimal, ahead: int) -> None:
        form = PromiseForm(amount=amount, due_date=self.day(ahead))
        await self.tell(self.model.promise(account, amount, ahead), "promise", number, form=form)

    async def step_hold(self, number: int, account: Account, kind: str, ahead: int | None) -> None:
        until = None if ahead is None else self.day(ahead)
        form = HoldForm(kind=HoldKind(kind), reason="they said so", until=until)
        await self.tell(self.model.hold(account, kind, ahead), "hold", number, form=form)
        await self.signal(1 - number, "account_changed")

    async def step_release(self, number: int, account: Account, kind: str) -> None:
        await self.tell(self.model.release(account, kind), "release", number, HoldKind(kind))
        await self.signal(1 - number, "account_changed")

    async def step_dispute(
        self, number: int, account: Account, words: str, in_writing: bool, new: bool
    ) -> None:
        form = DisputeForm(reason=words, received_on=self.day(0), in_writing=in_writing, new_information=new)
        expected = self.model.dispute(account, words, 0, in_writing=in_writing, new=new)
        made = await self.tell(expected, "dispute", number, form=form)
        if expected == 201:
            self.disputes[number].append(UUID(made["id"]))

    async def step_answer(self, number: int, account: Account, outcome: Any, sent: bool) -> None:
        last = len(account.disputes) - 1 if account.disputes else None
        form = DisputeAnswerForm(outcome=outcome, verification_sent_on=self.day(0) if sent else None)
        expected = self.model.answer(account, last, outcome, sent=sent)
        dispute = uuid4() if last is None else self.disputes[number][last]
        await self.tell(expected, "answer_dispute", number, dispute, form=form)

    async def step_offer(
        self, number: int, account: Account, amount: Decimal | None, percent: Decimal | None, ahead: int
    ) -> None:
        if (amount is None) == (percent is None):
            return
        form = OfferForm(amount=amount, percent=percent, expires_on=self.day(ahead))
        expected = self.model.offer(account, amount, percent, ahead)
        made = await self.tell(expected, "offer", number, form=form)
        if expected == 201:
            self.offers[number].append(UUID(made["id"]))

    async def step_accept(self, number: int, account: Account) -> None:
        last = len(account.offers) - 1 if account.offers else None
        offer = uuid4() if last is None else self.offers[number][last]
        await self.tell(self.model.accept(account, last), "accept_offer", number, offer)

    async def step_recall(self, number: int, account: Account) -> None:
        await self.tell(self.model.recall(account), "recall", number, form=ReasonForm(reason="they asked"))

    async def step_close(self, number: int, account: Account) -> None:
        form = ReasonForm(reason="too old")
        await self.tell(self.model.close(account, form.reason), "close", number, form=form)

    async def step_pay(self, number: int, account: Account, amount: Decimal) -> None:
        if amount > account.balance:
            return
        self.model.pay(account, amount)
        self.journals[number].append(await self.desk.post(self.accounts[number], format(amount, "f")))
        await self.signal(number, "payment_posted")

    async def step_reverse(self, number: int, account: Account) -> None:
        left = set(range(len(account.payments))) - account.reversed_
        if not left:
            return
        self.model.reverse(account, max(left))
        await self.desk.reverse(self.accounts[number], self.journals[number][max(left)])
        await self.signal(number, "payment_reversed")

    async def step_beside(self, number: int, account: Account, to: str) -> None:
        """As a file of the creditor's does, or a set-based assignment."""
        if account.balance == 0:
            return
        account.status, account.closed_reason = to, "recalled" if to == "closed" else None
        account_id = self.accounts[number]
        await self.desk.query(
            "UPDATE account SET status = %s, closed_reason = %s, version = version + 1 WHERE id = %s",
            account.status,
            account.closed_reason,
            account_id,
        )
        async with self.desk.db.transaction(self.desk.tenant) as tx:
            await tx.rescore(SCORERS, [account_id])
        await self.signal(number, "account_changed")

    async def step_pass(self, number: int, account: Account, what: str) -> None:
        """A deadline comes: what its timer brings about, brought about without one."""
        self.model.pass_time(account, what)
        for deadline in await self.desk.deadlines(self.accounts[number], TELLING[what]):
            ref = self.desk.ref(self.accounts[number])
            await self.desk.steps.deadline_reached(DeadlineReached(account=ref, deadline=deadline))
        await self.signal(number, "account_changed")

    async def signal(self, number: int, name: str, *values: Any) -> None:
        """A fact, told to the account's workflow, which is started where it does not run."""
        self.told.add(number)
        ref, status = self.desk.ref(self.accounts[number]), self.model.accounts[number].status
        await self.client.start_workflow(
            AccountLifecycle.run,
            lifecycle_input(ref),
            start_signal=name,
            start_signal_args=values,
            **start_options(ref, 0, status),
        )

    def day(self, ahead: int) -> Any:
        return datetime.now(UTC).date() + timedelta(days=ahead)

    async def compare(self) -> None:
        """Signals are acted upon a moment later; the database and the workflow must come to agree."""
        expected = [self.expected(number) for number in (0, 1)]
        found: list[Any] = []

        async def agrees() -> bool:
            found[:] = [await self.found(number) for number in (0, 1)]
            return found == expected

        with suppress(NotReadyError):
            await until(agrees, within_s=SETTLE_S, what="agreement")
        assert found == expected

    def expected(self, number: int) -> dict[str, Any]:
        account = self.model.accounts[number]
        holds, held = sorted(self.model.holds(account)), self.model.held(account)
        workable = account.status in {"new", "assigned", "in_contact", "negotiating", "payment_plan"}
        return {
            "status": account.status,
            "balance": account.balance,
            "assigned_to": None if account.collector is None else self.collectors[account.collector],
            "closed_reason": account.closed_reason,
            "held": held,
            "promised": account.promise is not None,
            "queued": workable and not held and account.promise is None and account.balance > 0,
            "disputes": [(dispute.status, dispute.outcome) for dispute in account.disputes],
            "offers": account.offers,
            "events": account.events,
            "described": (account.status, holds, self.model.waits(account)),
        }

    async def found(self, number: int) -> dict[str, Any]:
        account = self.accounts[number]
        async with self.desk.db.transaction(self.desk.tenant) as tx:
            answer = await tx.session.execute(text(_FOUND), {"account": account})
            row: dict[str, Any] = dict(answer.mappings().one())
        described: Any = self.expected(number)["described"]
        if number in self.told:
            handle = self.client.get_workflow_handle(account_workflow_id(account))
            told = await handle.query(AccountLifecycle.describe)
            next_ = sorted(expected.what.split(":")[0] for expected in told.next)
            described = (told.state, list(told.holds), next_)
        events: list[Event] = [tuple(event) for event in row.pop("events") or []]
        disputes = [tuple(dispute) for dispute in row.pop("disputes") or []]
        return {
            **row,
            "offers": row["offers"] or [],
            "events": events,
            "disputes": disputes,
            "described": described,
        }


async def outcome(send: Callable[[CommandKey], Awaitable[Kept]], key: CommandKey) -> tuple[Answer, Any]:
    """Status and body of a command's answer, or the type of its refusal."""
    try:
        answer = await send(key)
    except DomainError as error:
        return error.type, error.details
    return answer.status, answer.body


_FOUND = """
    SELECT a.status, a.balance, a.assigned_to, a.closed_reason, a.held, a.promised, s.queued,
           (SELECT json_agg(json_build_array(status, outcome) ORDER BY id) FROM dispute
             WHERE account_id = a.id) AS disputes,
           (SELECT json_agg(status ORDER BY id) FROM settlement_offer WHERE account_id = a.id) AS offers,
           (SELECT json_agg(json_build_array(kind, old, new) ORDER BY at, id) FROM timeline_event
             WHERE account_id = a.id) AS events
      FROM account a JOIN account_score s ON s.account_id = a.id WHERE a.id = :account
"""


async def machine(desk: Desk, client: Client) -> Machine:
    made = Desk(desk.db, desk.superuser_url)
    await made.open()
    await made.query("UPDATE agency SET lifecycle_capacity = 0 WHERE id = %s", made.agency_id)
    debtor = await made.debtor()
    return Machine(
        desk=made,
        client=client,
        model=Person(BALANCES),
        accounts=[await made.place(debtor, format(balance, "f")) for balance in BALANCES],
        collectors=[await made.hire(f"Collector {number}") for number in (0, 1)],
        strangers=await desk.hire("Not ours"),
    )


@settings(
    max_examples=LIVES,
    deadline=None,
    derandomize=True,
    # A life is long, and one that differs is told step by step: making it shorter takes many minutes.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
async def test_whatever_is_told_the_workflow_does_as_the_model(
    desk: Desk, client: Client, data: st.DataObject
) -> None:
    lives = await machine(desk, client)
    for _ in range(STEPS):
        number = data.draw(st.sampled_from([0, 0, 1]))
        await lives.take(data.draw(steps(number, lives.model.accounts[number], len(lives.sent))))
        await lives.compare()
