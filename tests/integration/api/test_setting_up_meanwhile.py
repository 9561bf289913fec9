"""Agencies are set up while somebody else works: what was looked at is still so when it is written."""

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from db.accounts import NewAccount
from db.debtors import natural_key
from domain.errors import Conflict
from domain.tenancy import Role, Tenant
from services.access import Principal
from services.commands import CommandKey
from services.onboarding.users import NewUser, UserChange
from tests.integration.api.people import make, until_it_waits


def _admin(world: Any) -> Principal:
    return Principal(uuid4(), "acme.boss", Role.AGENCY_ADMIN, world.agencies["acme"])


async def test_who_is_just_made_a_collector_keeps_the_role(world: Any) -> None:
    admin = _admin(world)
    form = NewUser(
        username=f"u{uuid4().hex}", full_name="Ursula", role=Role.COLLECTOR, password="correct horse battery"
    )
    made = await world.services.users.create(admin, CommandKey("test"), form)
    user_id = UUID(made.body["id"])
    change = UserChange(role=Role.AUDITOR)
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        user = await tx.users.member(world.agencies["acme"], user_id, lock=True)
        await tx.collectors.add({"user_id": user.id, "full_name": user.full_name})
        changing = asyncio.create_task(
            world.services.users.change(admin, CommandKey("test"), user_id, change)
        )
        await until_it_waits(world, changing)
    with pytest.raises(Conflict, match="is a collector"):
        await changing
    shown = await world.services.users.get(admin, user_id)
    assert shown.role is Role.COLLECTOR


async def test_a_debtor_who_is_brought_up_to_date_keeps_nobody_from_placing_their_accounts(
    world: Any,
) -> None:
    debtor = await make(world)
    key = natural_key(debtor["debtor_ref"], 0, "")
    acme = Tenant.system(world.agencies["acme"], "test")
    async with world.database.transaction(acme) as one, world.database.transaction(acme) as other:
        await one.debtors.place(key, {"full_name": "Ada King"}, ssn_last4=None)
        await other.session.execute(text("SET LOCAL lock_timeout = '3s'"))
        placed = await other.accounts.add(
            NewAccount(
                creditor_id=(await other.creditors.default()).id,
                debtor_id=UUID(debtor["id"]),
                external_ref=f"R-{uuid4().hex}",
                original_amount=Decimal(1),
                currency="USD",
            )
        )
        await other.ledger.place(placed, Decimal(1), "USD", key=str(placed), occurred_at=other.began_at)
