"""Lists of accounts: every order walked page by page, and searches, under row-level security."""

from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from db.account_lists import AccountFilter, AccountOrder, page_query
from db.accounts import SEARCH_PROBE, AccountView, position_key
from db.keyset import Position
from domain.tenancy import Tenant
from tests.integration.db.shop import Shop, walk


def expected_key(order: AccountOrder) -> Callable[[AccountView], Any]:
    """The order in words of Python, written a second time: nulls last, ties by id."""
    sign = -1 if order.descending else 1

    def key(view: AccountView) -> Any:
        value: Any
        if order.by == "created_at":
            value = 0
        elif order.by == "balance":
            value = view.account.balance
        elif order.by == "due_date":
            value = view.account.due_date.toordinal() if view.account.due_date else None
        else:
            value = view.score.total * view.account.balance if view.score else None
        return (value is None, sign * (value or 0), sign * view.account.id.int)

    return key


@pytest.mark.parametrize("order", AccountOrder)
@pytest.mark.parametrize("size", [3, 500])
async def test_walking_gives_every_account_once_in_order(shop: Shop, order: AccountOrder, size: int) -> None:
    found = await walk(shop, order, size)
    everything = await shop.page()

    assert len(found) == len(everything)
    assert [view.account.id for view in found] == [
        view.account.id for view in sorted(everything, key=expected_key(order))
    ]


@pytest.mark.parametrize("order", AccountOrder)
async def test_walking_back_gives_the_same_in_reverse(shop: Shop, order: AccountOrder) -> None:
    forward = await walk(shop, order, 500)
    last = Position(position_key(forward[-1], order), backward=True)

    back = await walk(shop, order, 7, backward=True, start=last)

    assert [view.account.id for view in back] == [view.account.id for view in reversed(forward[:-1])]


@pytest.mark.parametrize("order", AccountOrder)
async def test_rows_inserted_meanwhile_neither_repeat_nor_hide_others(
    shop: Shop, order: AccountOrder
) -> None:
    before = {view.account.id for view in await shop.page()}
    found: list[UUID] = []
    position = None
    while page := await shop.page(order, position, 8):
        found += [view.account.id for view in page]
        position = Position(position_key(page[-1], order))
        if len(found) < 40:
            await shop.place(shop.north)

    assert len(found) == len(set(found))
    assert before <= set(found)


@pytest.mark.parametrize(
    ("search", "refs"),
    [
        ("50%", {"A-50%", "B-50%x"}),
        ("0%x", {"B-50%x"}),
        ("a_c", {"a_c"}),
        ("\\", {"back\\slash"}),
        ("'", {"quote'd"}),
        ("O'BRIEN", {"quote'd"}),
        ("ÉMILIE", {"accent"}),
        ("+1214555", {"phone"}),
        ("ada@EXAMPLE", {"mail"}),
        ("phonePhyllis", set()),
        ("phone phyllis", set()),
        ("no such text", set()),
    ],
)
async def test_search_is_a_substring_of_one_field(shop: Shop, search: str, refs: set[str]) -> None:
    if not await shop.page(search="back\\slash"):
        await shop.place(shop.north, ref="A-50%")
        await shop.place(shop.north, ref="B-50%x")
        await shop.place(shop.north, ref="A-501")
        await shop.place(shop.north, ref="a_c")
        await shop.place(shop.north, ref="abc")
        await shop.place(shop.north, ref="back\\slash")
        await shop.place(shop.north, ref="quote'd", name="Pat O'Brien")
        await shop.place(shop.north, ref="accent", name="Émilie Zoë")
        await shop.place(shop.north, ref="phone", name="Phyllis", phone="+12145550100")
        await shop.place(shop.north, ref="mail", email="Ada@example.com")

    assert {view.account.external_ref for view in await shop.page(search=search)} == refs


async def test_a_search_that_many_match_is_walked(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [view.account.id for view in await shop.page(search="person", statuses=["new"])]
    monkeypatch.setattr("db.accounts.SEARCH_PROBE", 3)

    walked = [view.account.id for view in await shop.page(search="person", statuses=["new"])]

    assert SEARCH_PROBE > len(listed) > 3
    assert walked == listed


async def test_another_agency_sees_only_its_own(shop: Shop) -> None:
    theirs = await shop.page(agency=shop.south)
    ours = {view.account.id for view in await shop.page()}

    assert len(theirs) == 5
    assert ours.isdisjoint({view.account.id for view in theirs})
    assert await shop.page(agency=shop.south, search="REF-00001") == []
    async with shop.database.transaction(Tenant.system(shop.south, "test")) as tx:
        assert await tx.accounts.get(next(iter(ours))) is None


DEEP: dict[str, tuple[Any, ...]] = {
    "created_at": (UUID(int=7 << 100),),
    "balance": (50_000, UUID(int=7 << 100)),
    "due_date": (date(2026, 1, 5), UUID(int=7 << 100)),
    "priority_score": (900_000, UUID(int=7 << 100)),
}
INDEXES = {
    "created_at": "uq_account_agency_id_id",
    "balance": "ix_account_agency_id_balance_cents_id",
    "due_date": "ix_account_agency_id_due_date_id",
    "priority_score": "ix_account_score_rank",
}


@pytest.mark.parametrize("order", AccountOrder)
@pytest.mark.parametrize("deep", [False, True])
async def test_row_level_security_leaves_the_index_of_the_order_usable(
    shop: Shop, order: AccountOrder, *, deep: bool
) -> None:
    position = Position(DEEP[order.by]) if deep else None
    query = page_query(order, AccountFilter(), [], keyed=True, position=position, backward=False, limit=51)
    async with shop.database.transaction(Tenant.system(shop.north, "test")) as tx:
        for setting in ("enable_seqscan", "enable_sort", "enable_bitmapscan"):
            await tx.session.execute(text(f"SET LOCAL {setting} = off"))
        compiled = query.compile(
            dialect=tx.session.get_bind().dialect, compile_kwargs={"literal_binds": True}
        )
        plan = "\n".join((await tx.session.scalars(text(f"EXPLAIN (COSTS OFF) {compiled}"))).all())

    assert "Sort" not in plan
    line = plan.split(INDEXES[order.by] if INDEXES[order.by] in plan else "pk_account", 1)
    assert len(line) == 2, plan
    if deep:
        assert "Index Cond" in line[1].split("->")[0], plan
        assert "ROW(" in line[1] or "id <" in line[1] or "id >" in line[1], plan
