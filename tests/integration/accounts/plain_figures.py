"""Figures from single rows, one at a time: a sum in memory that shares no statement with the product."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.accounts import OPEN_STATUSES
from tests.integration.accounts.desk import Desk
from tests.integration.accounts.test_payment_books import Till

NOBODY = UUID(int=0)
DAILY = (
    *("payments", "received", "refunded", "charged_back", "collected", "owed_back"),
    *("attempts", "right_party", "promises_kept", "promises_broken"),
)
ZERO = dict.fromkeys(DAILY, Decimal(0))
OWED_BACK = {"credit_balances", "unapplied"}
COLUMN = {
    "payment": "received",
    "chargeback": "charged_back",
    "refund": "refunded",
    "reinstatement": "refunded",
}
"""Where the cash of a journal belongs, by its kind; unless it is of a chargeback by its key."""


def beginning(journal: Mapping[str, Any], journals: Mapping[UUID, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The journal by whose time a collector is looked for."""
    return journal if journal["kind"] == "application" else journals.get(journal["reverses_id"], journal)


class Plain:
    """The same figures from single rows, one at a time."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def rows(self, table: str, order: str = "id") -> list[dict[str, Any]]:
        return await self.desk.query(
            f"SELECT * FROM {table} WHERE agency_id = %s ORDER BY {order}",  # noqa: S608 (constants)
            self.desk.agency_id,
        )

    async def totals(self) -> dict[str, Any]:
        payments = [row for row in await self.rows("payment") if row["journal_id"]]
        refunds = [row for row in await self.rows("refund") if row["journal_id"] and not row["undone_by_id"]]
        back = [
            row
            for row in await self.rows("chargeback", "created_at")
            if row["journal_id"] and not row["undone_by_id"]
        ]
        accounts = await self.rows("account")
        paid = {row["account_id"] for row in payments}
        houses = [await Till(self.desk).house(account_id) for account_id in paid]
        contacts = [row for row in await self.rows("contact") if row["direction"] == "outbound"]
        promises = [row["status"] for row in await self.rows("promise")]
        breaks = [row for row in await self.rows("reconciliation_break") if row["state"] != "resolved"]
        return {
            "payments": len(payments),
            "received": sum(row["amount"] for row in payments),
            "refunded": sum(row["amount"] for row in refunds),
            "charged_back": sum(row["amount"] for row in back),
            # Nothing is forgiven in this life: what is not owed any more was paid.
            "collected": sum(row["original_amount"] - row["balance"] for row in accounts),
            "owed_back": sum(
                house.get("credit_balances", Decimal(0)) + house.get("unapplied", Decimal(0))
                for house in houses
            ),
            "attempts": len(contacts),
            "right_party": sum(row["conversation"] and row["right_party"] for row in contacts),
            "promises_open": promises.count("open"),
            "promises_kept": promises.count("kept"),
            "promises_broken": promises.count("broken"),
            "promises_cancelled": promises.count("cancelled"),
            "breaks": len(breaks),
            "breaks_elsewhere": sum(row["currency"] == "EUR" for row in breaks),
            "breaks_value": sum(row["value"] for row in breaks if row["currency"] == "USD"),
        }

    async def slices(self, today: date) -> dict[tuple[str, str], list[Decimal]]:
        levels = {row["account_id"]: row["level"] for row in await self.rows("account_score", "account_id")}
        found: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
        for account in await self.rows("account"):
            parts = [("status", account["status"])]
            if account["status"] in OPEN_STATUSES:
                parts.append(("risk", levels.get(account["id"], "")))
                parts.append(("aging", bucket(account["due_date"] or account["charge_off_date"], today)))
                parts.append(("collector", str(account["assigned_to"] or NOBODY)))
            for part in parts:
                of = (Decimal(1), account["original_amount"], account["balance"])
                found[part] = [a + b for a, b in zip(found[part], of, strict=True)]
        return found

    async def days(self, zone: ZoneInfo) -> dict[tuple[date, UUID], dict[str, Decimal]]:
        """By day and collector."""
        found: dict[tuple[date, UUID], dict[str, Decimal]] = defaultdict(lambda: dict(ZERO))

        def add(at: datetime, who: UUID, **values: Any) -> None:
            for name, value in values.items():
                found[at.astimezone(zone).date(), who][name] += value

        holder = await self.given()
        journals = {row["id"]: row for row in await self.rows("journal")}
        for posting in await self.rows("posting"):
            journal = journals[posting["journal_id"]]
            sign = {posting["debit"]: 1, posting["credit"]: -1}.get("cash")
            if sign is None:
                continue
            amount = sign * posting["amount"]
            who = holder(posting["account_id"], beginning(journal, journals)["created_at"])
            if column := COLUMN.get(journal["kind"]):
                back = -1 if journal["kind"] != "payment" else 1
                column = "charged_back" if journal["key"].startswith("chargeback/") else column
                add(journal["occurred_at"], who, **{column: back * amount})
            if "receivable" in {posting["debit"], posting["credit"]}:
                add(journal["occurred_at"], who, collected=amount)
            elif OWED_BACK & {posting["debit"], posting["credit"]}:
                add(journal["occurred_at"], who, owed_back=amount)
        for payment in await self.rows("payment"):
            if payment["journal_id"]:
                journal = journals[payment["journal_id"]]
                who = holder(payment["account_id"], journal["created_at"])
                add(journal["occurred_at"], who, payments=1)
        await self.work(add)
        return {key: values for key, values in found.items() if values != ZERO}

    async def work(self, add: Callable[..., None]) -> None:
        """Contacts and promises."""
        people = await self.people()
        for contact in await self.rows("contact"):
            if contact["direction"] == "outbound":
                reached = int(contact["conversation"] and contact["right_party"])
                add(contact["at"], people.get(contact["actor"], NOBODY), attempts=1, right_party=reached)
        for promise in await self.rows("promise"):
            if promise["status"] in {"kept", "broken"}:
                who = people.get(promise["made_by"], NOBODY)
                add(promise["resolved_at"], who, **{f"promises_{promise['status']}": 1})

    async def given(self) -> Callable[[UUID, datetime], UUID]:
        """Whose an account was at some time."""
        events = [one for one in await self.rows("timeline_event", "at, id") if one["kind"] == "assigned"]

        def holder(account: UUID, at: datetime) -> UUID:
            before = [one for one in events if one["account_id"] == account and one["at"] <= at]
            return UUID(before[-1]["details"]["collector_id"]) if before else NOBODY

        return holder

    async def people(self) -> dict[str, UUID]:
        rows = await self.desk.query(
            "SELECT u.username, c.id FROM collector c JOIN app_user u ON u.id = c.user_id"
            " WHERE c.agency_id = %s",
            self.desk.agency_id,
        )
        return {row["username"]: row["id"] for row in rows}


def bucket(since: date | None, today: date) -> str:
    if since is None:
        return "unknown"
    days = (today - since).days
    if days < 0:
        return "not_due"
    return "0-30" if days <= 30 else "31-60" if days <= 60 else "61-90" if days <= 90 else "90+"
