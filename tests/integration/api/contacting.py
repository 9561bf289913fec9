"""Contacts over REST, as tests make them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy import insert

from db.models import Dispute, Hold
from domain.tenancy import Tenant
from tests.integration.api.people import collector_of, make, place, read, set_account

CALL = {
    "channel": "call",
    "direction": "outbound",
    "connected": True,
    "conversation": False,
    "right_party": False,
}


def days_ago(days: float, hour: int = 18) -> datetime:
    """18:00 UTC of a day: 11:00 to 13:00 in Dallas and in all of Texas."""
    return (datetime.now(UTC) - timedelta(days=days)).replace(hour=hour, minute=0, second=0, microsecond=0)


async def debt(world: Any, *, mine: bool = True, debtor: Any = None, **more: Any) -> dict[str, Any]:
    """An account of a new debtor, or of ``debtor``, assigned to acme's collector if ``mine``."""
    account = await place(world, debtor or await make(world), **more)
    if mine:
        await set_account(world, account, assigned_to=await collector_of(world))
    return account


async def post(
    world: Any, account: dict[str, Any], who: str = "acme.collector", key: str | None = None, **fields: Any
) -> httpx.Response:
    """Log a contact: an outbound call unless ``fields`` say otherwise."""
    body = {**CALL, **fields}
    if isinstance(body.get("at"), datetime):
        body["at"] = body["at"].isoformat()
    headers = {} if key is None else {"Idempotency-Key": key}
    answer: httpx.Response = await world.call(
        who, "POST", f"/accounts/{account['id']}/contacts", body, **headers
    )
    return answer


async def logged(world: Any, account: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A contact that must be allowed."""
    answer = await post(world, account, **fields)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def refused(world: Any, account: dict[str, Any], rule: str, **fields: Any) -> dict[str, Any]:
    """A contact that ``rule`` must forbid: the problem."""
    answer = await post(world, account, **fields)
    assert answer.status_code == 409, answer.text
    body: dict[str, Any] = answer.json()
    assert (body["type"], body["rule"]) == ("urn:recoup:problem:contact-refused", rule)
    return body


async def check(
    world: Any, account: dict[str, Any], who: str = "acme.collector", **query: Any
) -> dict[str, Any]:
    """What ``contact-check`` answers."""
    if isinstance(query.get("at"), datetime):
        query["at"] = query["at"].isoformat()
    return await read(world, f"/accounts/{account['id']}/contact-check", who, **{"channel": "call", **query})


async def results(world: Any, account: dict[str, Any], what: str, **query: Any) -> list[dict[str, Any]]:
    """The rows of a list of the account."""
    found: list[dict[str, Any]] = (await read(world, f"/accounts/{account['id']}/{what}", **query))["results"]
    return found


async def hold(world: Any, account: dict[str, Any], kind: str, since: datetime, **more: Any) -> None:
    """A hold, as another command places it."""
    values = {
        "agency_id": world.agencies["acme"],
        "account_id": UUID(account["id"]),
        "debtor_id": UUID(account["debtor"]["id"]),
        "kind": kind,
        "reason": "said so",
        "placed_at": since,
        "placed_by": "test",
        **more,
    }
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        await tx.session.execute(insert(Hold).values(**values))


async def dispute(world: Any, account: dict[str, Any], **values: Any) -> None:
    """An open dispute of the debt, as another command records it."""
    row = {
        "agency_id": world.agencies["acme"],
        "account_id": UUID(account["id"]),
        "reason": "not mine",
        "in_writing": True,
        "in_period": True,
        "recorded_by": "test",
        **values,
    }
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        await tx.session.execute(insert(Dispute).values(**row))


def new_key() -> str:
    """An idempotency key that nobody has used."""
    return uuid4().hex
