"""What a demo agency has done before anybody logs in: accounts given out, checks cashed, a partner compared.

So that a collector finds accounts to work, a manager finds breaks to resolve and an owner finds figures. Done
once: who has had a run of either kind is left alone.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

from db.account_lists import AccountFilter, AccountOrder
from domain.accounts import AccountStatus
from domain.payments import PaymentMethod
from sandbox.partner_shares import Shares
from sandbox.partner_simulator import simulate
from sandbox.seed import OPERATOR
from services.access import Principal
from services.commands import CommandKey
from services.partner_reconciliations import NewPartnerReconciliation
from services.payment_forms import PaymentForm

if TYPE_CHECKING:
    from api.composition import Services
    from db.models import Partner
    from db.session import Database

WRONG = Shares(
    balance=Decimal("0.002"),
    status=Decimal("0.003"),
    missing=Decimal("0.001"),
    duplicates=Decimal("0.0005"),
)
"""Some breaks of each kind in some thousand accounts: a queue that can be looked through."""

SEED = 2026
LOOK_EVERY_S = 0.2
DONE_WITHIN = timedelta(minutes=3)
CHECKS, CHECK_DAYS, AT_ONCE = 36, 35, 6
"""How many checks came in, in how many days until today, and how many are recorded side by side."""

_PASSED_OVER = 40
"""The accounts worth most stay as they came: they are what people look at first."""

_OVER = {"completed", "failed"}


class FirstDay:
    """The first day of one agency; ``folder`` is the root of the SFTP user that its partner is."""

    def __init__(self, database: "Database", services: "Services", agency_id: UUID, folder: Path) -> None:
        self._database = database
        self._services = services
        self._who = Principal.operator(OPERATOR, agency_id)
        self._folder = folder

    async def have(self) -> None:
        """Do what was not done yet. ``TimeoutError`` when it does not end."""
        await self._assign()
        async with self._database.transaction(self._who.tenant) as tx:
            partners = await tx.partners.page(None, 1)
        for partner in partners:
            await self._reconcile(partner)

    async def _assign(self) -> None:
        async with self._database.transaction(self._who.tenant) as tx:
            if await tx.assignment_runs.page(None, 1):
                return
            agency = await tx.agencies.get(self._who.tenant.agency_id)
        answer = await self._services.assignments.start(self._who, CommandKey("first day assignment"))
        run_id = UUID(answer.body["id"])
        await _until(lambda: self._services.assignments.get(self._who, run_id))
        await self._cash_checks(datetime.now(ZoneInfo(agency.time_zone)).date())

    async def _cash_checks(self, today: date) -> None:
        """Money of the last weeks, on accounts that somebody works: checks alone can be dated back."""
        async with self._database.transaction(self._who.tenant) as tx:
            best = await tx.accounts.page(
                AccountFilter(statuses=(AccountStatus.ASSIGNED,)),
                AccountOrder.PRIORITY_DESC,
                None,
                _PASSED_OVER + 4 * CHECKS,
            )
        dice, turn = Random(SEED), asyncio.Semaphore(AT_ONCE)  # noqa: S311 - sample data
        lesser = best[_PASSED_OVER:]
        async with asyncio.TaskGroup() as tasks:
            for number, payer in enumerate(dice.sample(lesser, min(CHECKS, len(lesser)))):
                check = PaymentForm(
                    account_id=payer.account.id,
                    amount=Decimal(dice.randrange(40 + 4 * number, 400 + 12 * number)),
                    method=PaymentMethod.CHECK,
                    reference=f"no. {1001 + number}",
                    received_on=today - timedelta(days=CHECK_DAYS - number * CHECK_DAYS // CHECKS),
                )
                tasks.create_task(self._cash(check, turn))

    async def _cash(self, check: PaymentForm, turn: asyncio.Semaphore) -> None:
        async with turn:
            command = CommandKey("first day check", f"first-day-{check.reference}")
            await self._services.payments.take(self._who, command, check)

    async def _reconcile(self, partner: "Partner") -> None:
        async with self._database.transaction(self._who.tenant) as tx:
            if await tx.partner_runs.page(None, 1, partner_id=partner.id):
                return
            statement = await simulate(tx, partner, seed=SEED, shares=WRONG)
        inbox = self._folder / "partners" / partner.name
        inbox.mkdir(parents=True, exist_ok=True)
        part = inbox / f".{statement.name}.part"
        part.write_bytes(statement.content)
        part.replace(inbox / statement.name)
        runs, command = self._services.partner_reconciliations, CommandKey("first day reconciliation")
        answer = await runs.start(self._who, command, partner.id, NewPartnerReconciliation())
        run_id = UUID(answer.body["id"])
        await _until(lambda: runs.get(self._who, run_id))


async def _until(look: Callable[[], Awaitable[object]]) -> None:
    """Wait until the run that ``look`` reads is over."""
    async with asyncio.timeout(DONE_WITHIN.total_seconds()):
        while getattr(await look(), "status", None) not in _OVER:
            await asyncio.sleep(LOOK_EVERY_S)
