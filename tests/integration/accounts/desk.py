"""An agency's desk: people who owe, accounts, collectors, and what is told to accounts there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row

from activities.account_change import AccountChange
from activities.account_commands import AccountCommands
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
    ReleaseHold,
    Transition,
)
from activities.accounts import AccountActivities
from activities.messages import AccountRef
from db.commands import body_hash
from db.rule_files import builtin_rule_sets
from db.scorecard_files import builtin_scorecards
from db.session import Database
from domain.deadlines import Deadline, DeadlineKind
from domain.tenancy import Actor, Tenant

SCORERS = builtin_scorecards()
RULE_SETS = builtin_rule_sets()
IP = "203.0.113.7"
PLACED_AT = datetime(2026, 1, 2, tzinfo=UTC)

AnyCommand = TypeVar("AnyCommand", bound=AccountCommand)

STEPS: dict[type[AccountCommand], str] = {
    Assign: "assign",
    Transition: "transition",
    MakePromise: "promise",
    PlaceHold: "hold",
    ReleaseHold: "release",
    RecordDispute: "dispute",
    AnswerDispute: "answer_dispute",
    OfferSettlement: "offer_settlement",
    AcceptOffer: "accept_offer",
    Recall: "recall",
    Close: "close",
}
"""The update of the lifecycle, and the activity behind it, for each command."""


@dataclass
class Desk:
    """One agency, in the time zone of UTC, and its accounts; ``who`` is the user who tells them things."""

    db: Database
    superuser_url: str
    agency_id: UUID = field(default_factory=uuid4)
    who: UUID = field(default_factory=uuid4)

    @property
    def tenant(self) -> Tenant:
        return Tenant.system(self.agency_id, "test")

    @property
    def commands(self) -> AccountCommands:
        """What a worker carries out."""
        return AccountCommands(self.db, SCORERS, RULE_SETS)

    @property
    def steps(self) -> AccountActivities:
        return AccountActivities(self.db, SCORERS, RULE_SETS)

    async def open(self) -> None:
        """Register the agency, with a creditor."""
        await self.query(
            "WITH g AS (INSERT INTO agency (id, slug, name, time_zone) VALUES (%s, %s, 'Desk', 'UTC')"
            " RETURNING id)"
            " INSERT INTO creditor (agency_id, name, is_default) SELECT id, 'Bank', true FROM g",
            self.agency_id,
            self.agency_id.hex,
        )

    async def query(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a statement, past row-level security."""
        async with await psycopg.AsyncConnection.connect(self.superuser_url, row_factory=dict_row) as link:
            cursor = await link.execute(statement.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def debtor(self, state: str | None = None) -> UUID:
        """Somebody who owes."""
        key = uuid4().hex
        [row] = await self.query(
            "INSERT INTO debtor (agency_id, natural_key, full_name, state, monthly_income)"
            " VALUES (%s, %s, 'Ada Owes', %s, 4000) RETURNING id",
            self.agency_id,
            key,
            state,
        )
        made: UUID = row["id"]
        return made

    async def place(
        self,
        debtor_id: UUID | None = None,
        amount: str = "1000.00",
        *,
        status: str = "new",
        due_date: date | None = None,
    ) -> UUID:
        """Place an account, on the ledger and scored; of a debtor of its own unless one is named."""
        debtor_id = debtor_id or await self.debtor()
        [row] = await self.query(
            "INSERT INTO account (agency_id, creditor_id, debtor_id, external_ref, original_amount, balance,"
            "                     status, due_date)"
            " SELECT agency_id, id, %s, %s, %s, %s, %s, %s FROM creditor WHERE agency_id = %s RETURNING id",
            debtor_id,
            uuid4().hex,
            amount,
            amount,
            status,
            due_date,
            self.agency_id,
        )
        account: UUID = row["id"]
        async with self.db.transaction(self.tenant) as tx:
            await tx.ledger.place(
                account, Decimal(amount), "USD", key=f"place-{account}", occurred_at=PLACED_AT
            )
            await tx.rescore(SCORERS, [account])
        return account

    async def hire(self, name: str = "Cole Lector", *, active: bool = True) -> UUID:
        """Another collector."""
        [made] = await self.query(
            "WITH u AS (INSERT INTO app_user (agency_id, username, full_name, role, password_hash)"
            " VALUES (%s, %s, %s, 'collector', '!') RETURNING *)"
            " INSERT INTO collector (agency_id, user_id, full_name, active)"
            " SELECT agency_id, id, full_name, %s FROM u RETURNING id",
            self.agency_id,
            uuid4().hex,
            name,
            active,
        )
        collector_id: UUID = made["id"]
        return collector_id

    def ref(self, account: UUID) -> AccountRef:
        return AccountRef(agency_id=self.agency_id, account_id=account)

    def order(
        self,
        command: type[AnyCommand],
        account: UUID,
        /,
        *,
        key: str | None = None,
        only_for: UUID | None = None,
        **values: Any,
    ) -> AnyCommand:
        """A command as the API makes it, from ``admin`` at a known address."""
        body = {name: str(value) for name, value in values.items()} | {"account": str(account)}
        digest = body_hash(body, Actor("user", "admin", self.who))
        identity = CommandIdentity(operation=command.__name__, key=key or uuid4().hex, body_hash=digest.hex())
        return command(
            account=self.ref(account),
            identity=identity,
            actor_kind="user",
            actor="admin",
            actor_id=self.who,
            ip=IP,
            only_for=only_for,
            **values,
        )

    async def carry_out(self, order: AccountCommand) -> AccountSnapshot:
        """What the lifecycle does with a command: one activity."""
        step = getattr(self.commands, STEPS[type(order)])
        after: AccountSnapshot = await step(order)
        return after

    async def tell(self, command: type[AccountCommand], account: UUID, /, **values: Any) -> AccountSnapshot:
        """Order and carry out."""
        return await self.carry_out(self.order(command, account, **values))

    async def ask(self, command: type[AccountCommand], account: UUID, /, **values: Any) -> dict[str, Any]:
        """Order and carry out; the body of the answer."""
        order = self.order(command, account, **values)
        await self.carry_out(order)
        _, body = await self.answer(order)
        return body

    async def answer(self, order: AccountCommand) -> tuple[int, dict[str, Any]]:
        """HTTP status and body that were kept for a command."""
        [row] = await self.query(
            "SELECT status, response FROM command WHERE agency_id = %s AND operation = %s AND key = %s",
            self.agency_id,
            order.identity.operation,
            order.identity.key,
        )
        return row["status"], row["response"]

    async def reach(self, account: UUID, kind: DeadlineKind) -> tuple[Deadline, AccountSnapshot]:
        """Let the account's deadline of a kind come now; it, and the account afterwards."""
        [deadline] = await self.deadlines(account, kind)
        reached = DeadlineReached(account=self.ref(account), deadline=deadline)
        return deadline, await self.steps.deadline_reached(reached)

    async def deadlines(self, account: UUID, kind: DeadlineKind | None = None) -> Sequence[Deadline]:
        """What the account waits for."""
        found = (await self.steps.load(self.ref(account))).deadlines
        return [deadline for deadline in found if kind in {None, deadline.kind}]

    async def post(self, account: UUID, amount: str, *, at: datetime | None = None) -> UUID:
        """Money on the ledger, as a payment will post it; the lifecycle does not know of it yet."""
        async with self.db.transaction(self.tenant) as tx:
            change = await AccountChange.begin(tx, account, SCORERS)
            journal = await change.receive(
                Decimal(amount), key=uuid4().hex, occurred_at=at or datetime.now(UTC)
            )
            await change.settle()
        return journal

    async def pay(self, account: UUID, amount: str, *, at: datetime | None = None) -> AccountSnapshot:
        """A payment, and what the lifecycle does about it."""
        await self.post(account, amount, at=at)
        return await self.steps.payment_posted(self.ref(account))

    async def reverse(self, account: UUID, journal: UUID) -> None:
        """The money went back."""
        async with self.db.transaction(self.tenant) as tx:
            change = await AccountChange.begin(tx, account, SCORERS)
            await change.give_back(journal, key=uuid4().hex, occurred_at=datetime.now(UTC))
            await change.settle()

    async def account(self, account: UUID) -> dict[str, Any]:
        """The account's row, with the place that it has on the worklist."""
        [row] = await self.query(
            "SELECT a.*, s.queued, s.rank, s.total, s.collector_id, s.account_version FROM account a"
            " LEFT JOIN account_score s ON s.account_id = a.id WHERE a.id = %s",
            account,
        )
        return row

    async def timeline(self, account: UUID) -> list[dict[str, Any]]:
        """What happened to the account, in order."""
        return await self.query("SELECT * FROM timeline_event WHERE account_id = %s ORDER BY at, id", account)

    async def events(self, account: UUID) -> list[tuple[str, str | None, str | None]]:
        """Kind, old and new of what happened."""
        return [(event["kind"], event["old"], event["new"]) for event in await self.timeline(account)]

    async def audit(self, account: UUID) -> list[dict[str, Any]]:
        """Who changed what about the account, and what hangs on it."""
        return await self.query(
            "SELECT *, host(ip) AS address FROM audit_record"
            " WHERE entity_id = %s OR new ->> 'account_id' = %s ORDER BY at, id",
            str(account),
            str(account),
        )

    async def backdate(self, account: UUID, back: timedelta) -> None:
        """Let all that is on record of the account have happened so much earlier."""
        for table, columns in _DATED.items():
            moved = ", ".join(f"{column} = {column} - %s" for column in columns)
            await self.query(
                f"UPDATE {table} SET {moved} WHERE account_id = %s",  # noqa: S608 - of constants
                *[back] * len(columns),
                account,
            )


_DATED = {
    "promise": ("made_at", "due_date"),
    "settlement_offer": ("made_at", "expires_on"),
    "hold": ("placed_at", "until"),
    "dispute": ("recorded_at", "received_on"),
}
