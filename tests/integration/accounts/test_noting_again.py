"""Notices that are noted again while they are delivered."""

import asyncio
from uuid import UUID

from tests.integration.accounts.desk import Desk


async def notices(desk: Desk) -> set[UUID]:
    rows = await desk.query("SELECT account_id FROM lifecycle_notice WHERE agency_id = %s", desk.agency_id)
    return {row["account_id"] for row in rows}


async def test_a_notice_that_is_being_noted_again_is_neither_waited_for_nor_removed(desk: Desk) -> None:
    async with asyncio.timeout(60):
        busy, free = await desk.place(), await desk.place()
        async with desk.db.transaction(desk.tenant) as tx:
            await tx.lifecycles.notify([busy, free])
        await desk.query("UPDATE lifecycle_notice SET noted_at = noted_at - interval '1 hour'")
        async with desk.db.transaction(desk.tenant) as noting:
            await noting.lifecycles.notify([busy])
            async with desk.db.transaction(desk.tenant) as tx:
                await tx.notices.remove(await tx.notices.of([busy, free]))
            assert await notices(desk) == {busy}
            async with desk.db.transaction(desk.tenant) as tx:
                await tx.lifecycles.notify([free])
            await desk.query(
                "UPDATE lifecycle_notice SET noted_at = noted_at - interval '1 hour' WHERE account_id = %s",
                free,
            )
            async with desk.db.transaction(desk.tenant) as tx:
                await tx.notices.drop_unworked()
            assert await notices(desk) == {busy}
        assert await notices(desk) == {busy}
