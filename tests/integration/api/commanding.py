"""Accounts, a second collector and commands over REST, as several test modules use them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy import text
from temporalio.client import Client

from domain.tenancy import Tenant
from gateways.storage import ObjectStorage
from tests.integration.api.conftest import PASSWORD
from tests.integration.api.people import make, place, read, set_account
from workers.deployment import make_current
from workers.worker import serving


@asynccontextmanager
async def working(world: Any, client: Client) -> AsyncIterator[None]:
    """A worker as `recoup worker` builds it, that admits no accounts."""
    settings = world.settings.model_copy(update={"lifecycle_capacity": 0})
    await make_current(client, settings.build_id)
    async with serving(settings, world.database, client, ObjectStorage(settings.storage_url)):
        yield


async def account_of(world: Any, **values: Any) -> dict[str, Any]:
    """A new account of somebody new; ``values`` are columns that are other than at a placement."""
    account = await place(world, await make(world))
    if values:
        await set_account(world, account, **values)
    return account


async def collectors(world: Any, agency: str = "acme") -> dict[str, UUID]:
    """The collectors of an agency by their names."""
    rows = (await read(world, "/collectors", f"{agency}.admin"))["results"]
    return {row["full_name"]: UUID(row["id"]) for row in rows}


async def second_collector(world: Any) -> UUID:
    """Another collector of acme, logged in as ``acme.second``."""
    person = {"username": "acme.second", "full_name": "acme.second", "role": "collector"}
    user = await world.call("acme.admin", "POST", "/users", {**person, "password": PASSWORD})
    assert user.status_code == 201, user.text
    made = await world.call("acme.admin", "POST", "/collectors", {"user_id": user.json()["id"]})
    world.tokens["acme.second"] = (await world.services.authentication.log_in("acme.second", PASSWORD)).access
    return UUID(made.json()["id"])


async def tell(
    world: Any, account: dict[str, Any], what: str, body: Any = None, who: str = "acme.admin", **headers: str
) -> httpx.Response:
    """One command; a DELETE where ``what`` says so."""
    method, _, path = what.rpartition(" ")
    answer: httpx.Response = await world.call(
        who, method or "POST", f"/accounts/{account['id']}/{path}", body, **headers
    )
    return answer


async def events(world: Any, account: dict[str, Any], kind: str | None = None) -> list[dict[str, Any]]:
    """An account's timeline, oldest first."""
    rows: list[dict[str, Any]] = (await read(world, f"/accounts/{account['id']}/timeline"))["results"]
    return [row for row in reversed(rows) if kind is None or row["kind"] == kind]


async def records(world: Any, account: dict[str, Any], action: str) -> list[Any]:
    """Audit records of an account."""
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        return [row for row in await tx.audit.of("account", account["id"]) if row.action == action]


async def notices(world: Any) -> set[str]:
    """The accounts whose lifecycles are still to be told."""
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        rows = await tx.session.scalars(text("SELECT account_id FROM lifecycle_notice"))
        return {str(row) for row in rows}


def key() -> dict[str, str]:
    """A new idempotency key, as a header."""
    return {"Idempotency-Key": uuid4().hex}
