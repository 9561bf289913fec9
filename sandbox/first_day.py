"""What a demo agency has done before anybody logs in: its accounts given out, a partner's statement compared.

So that a collector finds accounts to work and a manager finds breaks to resolve. Done once: who has had a
run of either kind is left alone.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from sandbox.partner_shares import Shares
from sandbox.partner_simulator import simulate
from sandbox.seed import OPERATOR
from services.access import Principal
from services.commands import CommandKey
from services.partner_reconciliations import NewPartnerReconciliation

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
        answer = await self._services.assignments.start(self._who, CommandKey("first day assignment"))
        run_id = UUID(answer.body["id"])
        await _until(lambda: self._services.assignments.get(self._who, run_id))

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
