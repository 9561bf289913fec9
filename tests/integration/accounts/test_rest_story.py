"""The life of an account over REST: placed, told of, disputed, promised, settled, paid, closed.

The real application, worker, Temporal server and database. What would take months is backdated: the notice,
the dispute that nobody answers, a debt as old as that of the story which skips time.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from temporalio.client import Client, WorkflowHandle

from activities.account_change import AccountChange
from db.scorecard_files import builtin_scorecards
from domain.compliance import validation
from domain.tenancy import Tenant
from sandbox.processes import until
from tests.integration.api.commanding import collectors, working
from tests.integration.api.conftest import world
from tests.integration.api.contacting import CALL, days_ago, logged
from tests.integration.api.people import make, place, read
from workflows.queues import account_workflow_id

__all__ = ["world"]

DAY = timedelta(days=1)
SCORERS = builtin_scorecards()
NOON = 18
"""In UTC, the hour at which it is day in every zone of the person."""


@dataclass
class Life:
    """One account over REST, and its workflow."""

    world: Any
    client: Client
    account: dict[str, Any] = field(default_factory=dict)

    @property
    def lifecycle(self) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(account_workflow_id(UUID(self.account["id"])))

    async def tell(
        self, what: str, body: Any = None, *, status: int = 200, who: str = "acme.collector"
    ) -> Any:
        """A command and its answer, which must have this status."""
        method, _, path = what.rpartition(" ")
        answer = await self.world.call(who, method or "POST", f"/accounts/{self.account['id']}/{path}", body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def get(self, path: str = "", **query: Any) -> Any:
        return await read(self.world, f"/accounts/{self.account['id']}{path}", **query)

    async def waits(self) -> list[str]:
        """What the workflow waits for, the nearest first."""
        view = await self.get("/workflow")
        assert (view["status"], view["state"]) == ("running", (await self.get())["status"])
        return [step["what"].split(":")[0] for step in view["next"]]

    async def until_it_waits_no_more(self, what: str) -> None:
        """What happened is on record a moment before the workflow hears that it is done."""

        async def forgotten() -> bool:
            return what not in await self.waits()

        await until(forgotten, within_s=60, what=f"the workflow to wait no more for: {what}")

    async def kinds(self) -> list[tuple[str, str | None]]:
        """Kinds of events with what became of it, oldest first."""
        rows = (await self.get("/timeline", page_size=100))["results"]
        return [(row["kind"], row["new"]) for row in reversed(rows)]

    async def until_it_happens(self, kind: str, what: str) -> None:
        """Something that nobody commands."""

        async def happened() -> bool:
            rows = (await self.get("/timeline", page_size=100))["results"]
            return any(row["kind"] == kind and what in row["description"] for row in rows)

        await until(happened, within_s=60, what=f"{kind}: {what}")

    async def pay(self, amount: str) -> None:
        """Money, as a payment will post it, and its signal."""
        tenant = Tenant.system(self.world.agencies["acme"], "test")
        async with self.world.database.transaction(tenant) as tx:
            change = await AccountChange.begin(tx, UUID(self.account["id"]), SCORERS)
            await change.receive(Decimal(amount), key=uuid4().hex, occurred_at=datetime.now(UTC))
            await change.settle()
        await self.lifecycle.signal("payment_posted")


@pytest.fixture
async def life(world: Any, temporal_client: Client) -> AsyncIterator[Life]:
    async with working(world, temporal_client):
        yield Life(world, temporal_client)


async def test_an_account_over_rest_from_placement_to_closing(life: Life) -> None:
    await live(life)


async def live(life: Life) -> None:
    await placed_and_contacted(life)
    await disputed(life)
    await promised_and_settled(life)
    await paid(life)


def today() -> date:
    """The date where the agency is."""
    return datetime.now(ZoneInfo("America/New_York")).date()


async def placed_and_contacted(life: Life) -> None:
    """Barred by time from the first moment; told of by letter, called, left alone, called no more."""
    debtor = await make(life.world, debtor_ref=uuid4().hex)
    life.account = await place(life.world, debtor, "1000.00", due_date="2015-03-01")
    assert (await life.get("/workflow"))["status"] == "not_started"
    cole = (await collectors(life.world))["acme.collector"]
    assigned = await life.tell("assign", {"collector_id": str(cole)}, who="acme.admin")
    assert assigned["status"] == "assigned"
    await life.until_it_happens("limitation", "no suit")

    sent = days_ago(10, NOON)
    await logged(life.world, life.account, channel="letter", purpose="validation_notice", at=sent)
    ends = datetime.combine(validation.period_end(sent.date()) + DAY, datetime.min.time(), UTC)

    async def noticed() -> bool:
        return "validation period over" in await life.waits()

    await until(noticed, within_s=60, what="the workflow to hear of the notice")
    view = await life.get("/workflow")
    over = [step["at"] for step in view["next"] if step["what"] == "validation period over"]
    assert abs(datetime.fromisoformat(over[0]) - ends) <= timedelta(hours=8), "midnight where the agency is"

    spoken = days_ago(2, NOON)
    await logged(life.world, life.account, at=spoken, conversation=True, right_party=True)
    moved = await life.tell("transition", {"new_status": "in_contact", "note": "wants to think"})
    assert moved["legal_moves"] == ["negotiating", "disputed", "closed"]
    asked = await life.get("/contact-check", channel="call", at=days_ago(1, NOON).isoformat())
    assert (asked["allowed"], asked["citation"].split(")")[0]) == (False, "12 CFR 1006.14(b")
    assert datetime.fromisoformat(asked["retry_at"]) > spoken
    threat = await life.get("/contact-check", channel="letter", purpose="litigation")
    assert (threat["allowed"], "1006.26" in threat["citation"]) == (False, True)

    until_day = (today() + 30 * DAY).isoformat()
    held = await life.tell("holds", {"kind": "cease", "reason": "in writing", "until": until_day}, status=201)
    assert held["released_at"] is None
    problem = await life.tell("contacts", {**CALL, "channel": "letter", "connected": False}, status=409)
    assert (problem["rule"], problem["citation"].split("(")[0]) == ("cease", "12 CFR 1006.6")
    assert "hold ends" in await life.waits()
    [listed] = (await life.get("/holds"))["results"]
    assert (listed["kind"], listed["until"]) == ("cease", until_day)
    await life.tell("DELETE holds/cease", who="acme.admin")


async def disputed(life: Life) -> None:
    """In writing, and left unanswered for forty days: escalated."""
    received = (today() - 40 * DAY).isoformat()
    dispute = await life.tell(
        "disputes", {"reason": "not mine", "received_on": received, "in_writing": True}, status=201
    )
    assert (dispute["status"], dispute["in_period"]) == ("open", True)
    await life.until_it_happens("dispute", "escalated")
    await life.until_it_waits_no_more("dispute to be answered, or escalated")
    promise = {"amount": "100.00", "due_date": today().isoformat()}
    problem = await life.tell("promises", promise, status=409)
    assert (problem["status_now"], problem["legal_moves"]) == ("disputed", ["in_contact", "closed"])
    answer = {"outcome": "verified", "verification_sent_on": today().isoformat()}
    await life.tell(f"disputes/{dispute['id']}/answer", answer, who="acme.admin")
    assert (await life.get())["status"] == "in_contact"


async def promised_and_settled(life: Life) -> None:
    """A promise that is kept, an offer that is accepted."""
    await life.tell("transition", {"new_status": "negotiating"})
    soon = (today() + 7 * DAY).isoformat()
    await life.tell("promises", {"amount": "100.00", "due_date": soon}, status=201)
    assert "promise due, with grace" in await life.waits()
    await life.pay("100.00")
    await life.until_it_happens("promise", "was kept")
    offer = await life.tell("offers", {"percent": "70", "instalments": 3, "expires_on": soon}, status=201)
    assert offer["amount"] == "630.00"
    assert "settlement offer expires" in await life.waits()
    await life.tell(f"offers/{offer['id']}/accept")
    assert "settlement offer expires" not in await life.waits()


async def paid(life: Life) -> None:
    """All of it; nothing is left to be told to the account."""
    await life.pay("900.00")
    await life.lifecycle.result()
    account = await life.get()
    assert (account["status"], account["current_balance"]) == ("closed", "0.00")
    view = await life.get("/workflow")
    assert (view["status"], view["next"]) == ("completed", [])
    problem = await life.tell("transition", {"new_status": "in_contact"}, status=409)
    assert problem["legal_moves"] == []
    happened = await life.kinds()
    # It came while the account was being assigned, before or after.
    happened.remove(("limitation", None))
    assert happened == [
        ("placed", "new"),
        ("assigned", "acme.collector"),
        ("status_changed", "assigned"),
        ("contact", None),
        ("contact", None),
        ("status_changed", "in_contact"),
        ("hold", "cease"),
        ("hold", None),
        ("dispute", "open"),
        ("status_changed", "disputed"),
        ("dispute", None),
        ("dispute", "answered"),
        ("status_changed", "in_contact"),
        ("status_changed", "negotiating"),
        ("promise", "open"),
        ("promise", "kept"),
        ("offer", "open"),
        ("offer", "accepted"),
        ("status_changed", "settled"),
        ("status_changed", "closed"),
    ]
    async with life.world.database.transaction(Tenant.system(life.world.agencies["acme"], "test")) as tx:
        assert [breach async for breach in tx.ledger.breaches()] == []
