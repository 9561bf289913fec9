"""The queue of breaks as two administrators work it; breaks as a reconciliation leaves them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import httpx
from temporalio.client import WorkflowHandle

from db.models import ReconciliationBreak
from domain.tenancy import Tenant
from sandbox.processes import until
from tests.integration.api.conftest import PASSWORD
from tests.integration.partners.office import Json, PartnerOffice
from workflows.queues import break_workflow_id

FIRST, SECOND = "acme.admin", "acme.checker"
NOTE = "as they wrote to us"


class QueueDesk:
    """Two people of one agency over its breaks."""

    def __init__(self, office: PartnerOffice) -> None:
        self.office = office

    @classmethod
    async def opened(cls, office: PartnerOffice) -> "QueueDesk":
        """With a second administrator, who can approve what the first one proposes."""
        person = {"username": SECOND, "full_name": SECOND, "role": "agency_admin", "password": PASSWORD}
        await office.done("POST", "/users", person)
        pair = await office.world.services.authentication.log_in(SECOND, PASSWORD)
        office.world.tokens[SECOND] = pair.access
        return cls(office)

    async def found(
        self,
        partner: Mapping[str, Any] | None = None,
        account: Mapping[str, Any] | None = None,
        *,
        ours: str | None = "100.00",
        theirs: str | None = "90.00",
        **columns: Any,
    ) -> Json:
        """A break as a reconciliation leaves it, as it is shown."""
        sides = {
            side: None if text is None else Decimal(text)
            for side, text in (("ours", ours), ("theirs", theirs))
        }
        values: dict[str, Any] = {
            "kind": "balance",
            "subject": str(account["id"]) if account else f"ref-{uuid4().hex}",
            "currency": "USD",
            "probable_cause": "unknown",
            "value": abs((sides["theirs"] or Decimal(0)) - (sides["ours"] or Decimal(0))),
            "rule": "exact",
        }
        if partner is not None:
            values |= {"source": "partner", "partner_id": UUID(partner["id"])}
        if account is not None:
            values |= {"account_id": UUID(account["id"]), "account_ref": account["external_ref"]}
        values |= sides | columns
        async with self.transaction() as tx:
            broken = ReconciliationBreak(agency_id=self.office.agency_id, **values)
            tx.session.add(broken)
            await tx.session.flush()
            found = broken.id
        return await self.get({"id": str(found)})

    def transaction(self) -> Any:
        return self.office.world.database.transaction(Tenant.system(self.office.agency_id, "test"))

    async def get(self, broken: Mapping[str, Any], who: str = FIRST) -> Json:
        return await self.office.done("GET", f"/breaks/{broken['id']}", who=who)

    async def tell(
        self, broken: Mapping[str, Any], what: str, who: str = FIRST, key: str | None = None, **body: Any
    ) -> httpx.Response:
        """One command about a break."""
        headers = {"Idempotency-Key": key} if key else {}
        return await self.office.ask(who, "POST", f"/breaks/{broken['id']}/{what}", body, **headers)

    async def resolve(
        self, broken: Mapping[str, Any], resolution: str, who: str = FIRST, **more: Any
    ) -> httpx.Response:
        return await self.tell(broken, "resolve", who, resolution=resolution, note=NOTE, **more)

    async def propose(
        self, broken: Mapping[str, Any], resolution: str, who: str = FIRST, **more: Any
    ) -> httpx.Response:
        return await self.tell(broken, "propose", who, resolution=resolution, note=NOTE, **more)

    async def agreed(self, broken: Mapping[str, Any], resolution: str) -> Json:
        """Proposed by one and approved by the other."""
        proposed = await self.propose(broken, resolution)
        assert proposed.status_code == 200, proposed.text
        approved = await self.tell(broken, "approve", SECOND)
        assert approved.status_code == 200, approved.text
        return dict(approved.json())

    async def journals(self, account: Mapping[str, Any]) -> list[tuple[str, str, str, Decimal]]:
        """What was posted on an account since it was placed: kind, debit, credit, amount."""
        rows = await self.office.query(
            "SELECT j.kind, p.debit, p.credit, p.amount FROM journal j JOIN posting p ON p.journal_id = j.id"
            " WHERE p.account_id = :account AND j.kind <> 'placement' ORDER BY p.id",
            account=account["id"],
        )
        return [tuple(row) for row in rows]

    async def of_journal(self, journal_id: str) -> list[tuple[Any, ...]]:
        """A journal's postings: account, debit, credit, amount."""
        rows = await self.office.query(
            "SELECT account_id, debit, credit, amount FROM posting WHERE journal_id = :journal ORDER BY id",
            journal=journal_id,
        )
        return [tuple(row) for row in rows]

    async def events(self, account: Mapping[str, Any]) -> list[Json]:
        """What the account's timeline says of breaks, oldest first."""
        rows = (await self.office.done("GET", f"/accounts/{account['id']}/timeline"))["results"]
        return [row for row in reversed(rows) if row["kind"] == "reconciliation"]

    async def recorded(self, broken: Mapping[str, Any]) -> list[tuple[str, str]]:
        """The audit records of a break: what, and who."""
        async with self.transaction() as tx:
            return [
                (row.action, row.actor) for row in await tx.audit.of("reconciliation_break", broken["id"])
            ]

    async def is_sound(self) -> bool:
        """What ``recoup audit ledger`` proves."""
        async with self.transaction() as tx:
            return not [breach async for breach in tx.ledger.breaches()]

    async def alter(self, broken: Mapping[str, Any], columns: str, **values: Any) -> None:
        """What time, or another run, does to a break's row."""
        changed = f"UPDATE reconciliation_break SET {columns} WHERE id = :id"  # noqa: S608 - of a test
        await self.office.query(changed, id=broken["id"], **values)

    async def ids(self, query: str, who: str = "acme.auditor") -> set[str]:
        """The breaks that a filter finds."""
        page = await self.office.done("GET", f"/breaks?page_size=500&{query}", who=who)
        return {row["id"] for row in page["results"]}

    async def until(self, so: Callable[[], Awaitable[bool]], what: str) -> None:
        await until(so, within_s=60, what=what)

    def case(self, broken: Mapping[str, Any]) -> WorkflowHandle[Any, Any]:
        return self.office.temporal.get_workflow_handle(break_workflow_id(UUID(broken["id"])))

    async def becomes(self, broken: Mapping[str, Any], what: str, within_s: float = 60, **shown: Any) -> Json:
        """The break once it shows these values."""

        async def so() -> bool:
            now = await self.get(broken)
            return all(now[name] == value for name, value in shown.items())

        await until(so, within_s=within_s, what=what)
        return await self.get(broken)

    async def at_once(self, *calls: Any) -> list[int]:
        """Status codes of requests that are sent together, in order."""
        return sorted(answer.status_code for answer in await asyncio.gather(*calls))
