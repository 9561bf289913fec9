"""Lists of accounts: what each filter leaves, in every order, and which index finds it."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text

from db.account_aging import few_aged
from db.account_lists import AccountFilter, AccountOrder, page_query
from db.accounts import AGED_PROBE, AccountView
from domain.figures import AgingBucket
from domain.tenancy import Tenant
from tests.integration.db.shop import SEEDED, Shop, walk


def matching(wanted: dict[str, Any]) -> Callable[[AccountView], bool]:
    tests: dict[str, Callable[[AccountView, Any], bool]] = {
        "statuses": lambda v, x: v.account.status in x,
        "min_balance": lambda v, x: v.account.balance >= x,
        "max_balance": lambda v, x: v.account.balance <= x,
        "due_after": lambda v, x: v.account.due_date is not None and v.account.due_date >= x,
        "due_before": lambda v, x: v.account.due_date is not None and v.account.due_date <= x,
        "priorities": lambda v, x: v.score is not None and v.score.priority in x,
        "risk_levels": lambda v, x: v.score is not None and v.score.level in x,
        "nobody": lambda v, _: v.collector is None,
        "right_party": lambda v, _: number(v) >= 0 and number(v) % 8 == 0,
        "owed_back": lambda v, _: number(v) >= 0 and (number(v) % 6 == 3 or number(v) % 12 == 0),
        "promises": lambda v, x: not {*x}.isdisjoint(promised(v)),
    }
    return lambda view: all(tests[name](view, value) for name, value in wanted.items())


def number(view: AccountView) -> int:
    """The how manieth account it is; -1 of those whose placing says otherwise."""
    found = view.account.external_ref.removeprefix("REF-")
    return int(found) if found.isdigit() and int(found) < SEEDED else -1


def promised(view: AccountView) -> set[str]:
    """What became of its promises."""
    outcomes = enumerate(("kept", "kept", "broken", "open"), 4)
    return {status for by, status in outcomes if number(view) >= 0 and number(view) % by == 0}


FILTERS: list[dict[str, Any]] = [
    {"statuses": ["new"]},
    {"statuses": ["assigned", "closed"]},
    {"min_balance": Decimal(300), "max_balance": Decimal(600)},
    {"due_after": date(2026, 1, 3), "due_before": date(2026, 1, 6)},
    {"due_before": date(2026, 1, 1)},
    {"priorities": [0, 3]},
    {"risk_levels": ["HIGH"], "statuses": ["new", "disputed"]},
    {"nobody": True},
    {"promises": ["kept"]},
    {"right_party": True},
    {"owed_back": True},
    {"promises": ["broken", "open"], "statuses": ["new", "disputed"]},
]


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
@pytest.mark.parametrize("order", AccountOrder)
async def test_filters_narrow_every_order(shop: Shop, order: AccountOrder, wanted: dict[str, Any]) -> None:
    everything = await walk(shop, order, 500)
    expected = [view.account.id for view in everything if matching(wanted)(view)]

    found = await shop.page(order, **wanted)

    assert 0 < len(expected) < len(everything)
    assert [view.account.id for view in found] == expected


async def test_collector_and_creditor(shop: Shop) -> None:
    everything = await shop.page()
    assigned = [view for view in everything if view.collector]
    assert assigned
    collector = assigned[0].collector
    assert collector is not None

    found = await shop.page(collector_id=collector.id)

    assert [v.account.id for v in found] == [v.account.id for v in assigned]
    assert len(await shop.page(creditor_id=everything[0].creditor.id)) == len(everything)
    assert await shop.page(creditor_id=UUID(int=1)) == []


async def test_creation_time_bounds(shop: Shop) -> None:
    everything = await shop.page(AccountOrder.OLDEST)
    middle = everything[25].account.created_at

    after = await shop.page(AccountOrder.OLDEST, created_after=middle)
    before = await shop.page(AccountOrder.OLDEST, created_before=middle)

    assert [v.account.id for v in after] == [v.account.id for v in everything[25:]]
    assert [v.account.id for v in before] == [v.account.id for v in everything[:26]]
    assert await shop.page(created_after=datetime(9999, 12, 31, tzinfo=UTC)) == []
    assert await shop.page(created_before=datetime(1, 1, 1, tzinfo=UTC)) == []


async def test_what_is_nobodys_has_an_index_of_its_own(shop: Shop) -> None:
    """After the day's assignment it is next to nothing among all accounts."""
    wanted = AccountFilter(nobody=True)
    query = page_query(
        AccountOrder.NEWEST, wanted, [], keyed=True, position=None, backward=False, limit=51
    ).compile(compile_kwargs={"literal_binds": True})
    async with shop.database.transaction(Tenant.system(shop.north, "test")) as tx:
        for setting in ("enable_seqscan", "enable_sort", "enable_bitmapscan"):
            await tx.session.execute(text(f"SET LOCAL {setting} = off"))
        plan = "\n".join((await tx.session.scalars(text(f"EXPLAIN (COSTS OFF) {query}"))).all())
    assert "ix_account_nobody" in plan
    assert "Sort" not in plan
    assert "Filter: (assigned_to" not in plan


INDEXES_OF_WHAT_IS_ON_THEM: list[tuple[dict[str, Any], str]] = [
    ({"promises": ["kept"]}, "ix_promise_status"),
    ({"right_party": True}, "ix_contact_right_party"),
    ({"owed_back": True}, "ix_posting_owed_back"),
]


@pytest.mark.parametrize(("wanted", "index"), INDEXES_OF_WHAT_IS_ON_THEM, ids=str)
async def test_what_is_on_accounts_is_found_by_an_index_of_it(
    shop: Shop, wanted: dict[str, Any], index: str
) -> None:
    """Whoever asks for what few accounts have: the list of all need not be walked."""
    query = page_query(
        AccountOrder.NEWEST, AccountFilter(**wanted), [], keyed=True, position=None, backward=False, limit=51
    )
    async with shop.database.transaction(Tenant.system(shop.north, "test")) as tx:
        await tx.session.execute(text("SET LOCAL enable_seqscan = off"))
        compiled = query.compile(
            dialect=tx.session.get_bind().dialect, compile_kwargs={"literal_binds": True}
        )
        plan = "\n".join((await tx.session.scalars(text(f"EXPLAIN (COSTS OFF) {compiled}"))).all())
    assert index in plan, plan


AGED = {
    "not_due": (-40, -1),
    "0-30": (0, 30),
    "31-60": (31, 60),
    "61-90": (61, 90),
    "90+": (91, 900),
    "unknown": (),
}
"""Days past due of what is placed for each bucket: its edges."""


@pytest.fixture(scope="module")
async def aged(shop: Shop) -> dict[str, set[str]]:
    """The references in each bucket: past due since the due date, or since the charge-off without one."""
    expected: dict[str, set[str]] = {}
    async with await psycopg.AsyncConnection.connect(shop.owner_url) as connection:
        [(today,)] = await (
            await connection.execute(
                "SELECT (now() AT TIME ZONE time_zone)::date FROM agency WHERE slug = 'north'"
            )
        ).fetchall()
    for bucket, edges in AGED.items():
        expected[bucket] = {f"AGED{off}{day}" for day in edges for off in ("-", "-OFF-")} or {"AGED-"}
        for ref in expected[bucket]:
            day = ref.removeprefix("AGED-").removeprefix("OFF-")
            await shop.place(shop.north, ref=ref, due=today - timedelta(days=int(day)) if day else None)
    async with await psycopg.AsyncConnection.connect(shop.owner_url) as connection:
        await connection.execute(
            "UPDATE account SET charge_off_date = due_date, due_date = NULL"
            " WHERE external_ref LIKE 'AGED-OFF-%'"
        )
        await connection.execute(
            "UPDATE account SET charge_off_date = due_date - 500 WHERE external_ref ~ '^AGED-[-0-9]+$'"
        )
    return expected


@pytest.mark.parametrize("looked_up", [0, AGED_PROBE], ids=["walked", "looked_up"])
@pytest.mark.parametrize("order", [AccountOrder.NEWEST, AccountOrder.DUE_DATE, AccountOrder.PRIORITY_DESC])
async def test_accounts_are_as_old_as_the_figures_count_them(
    shop: Shop,
    aged: dict[str, set[str]],
    order: AccountOrder,
    looked_up: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("db.accounts.AGED_PROBE", looked_up)
    found = {
        bucket: [
            view.account.external_ref
            for view in await shop.page(order, aging=[AgingBucket(bucket)], search="aged-")
        ]
        for bucket in aged
    }
    assert {bucket: set(refs) for bucket, refs in found.items()} == aged
    assert sum(map(len, found.values())) == sum(map(len, aged.values()))

    several = await shop.page(order, aging=[AgingBucket.TO_30, AgingBucket.UNKNOWN], search="aged-")
    assert {view.account.external_ref for view in several} == aged["0-30"] | aged["unknown"]


@pytest.mark.parametrize("looked_up", [0, 3, 4, AGED_PROBE])
async def test_what_is_so_old_is_counted_as_it_is_listed(
    shop: Shop, aged: dict[str, set[str]], looked_up: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.accounts.AGED_PROBE", looked_up)
    async with shop.database.transaction(Tenant.system(shop.north, "test")) as tx:
        for bucket in aged:
            listed = await shop.page(aging=[AgingBucket(bucket)])
            assert await tx.accounts.count(AccountFilter(aging=[AgingBucket(bucket)]), 500) == (
                len(listed),
                False,
            )


@pytest.mark.parametrize("bucket", AgingBucket)
async def test_few_accounts_of_an_age_are_found_without_walking_the_list(
    shop: Shop, bucket: AgingBucket
) -> None:
    query = few_aged([bucket], date(2026, 2, 1), AGED_PROBE)
    async with shop.database.transaction(Tenant.system(shop.north, "test")) as tx:
        for setting in ("enable_seqscan", "enable_sort", "enable_bitmapscan"):
            await tx.session.execute(text(f"SET LOCAL {setting} = off"))
        compiled = query.compile(
            dialect=tx.session.get_bind().dialect, compile_kwargs={"literal_binds": True}
        )
        plan = (await tx.session.scalars(text(f"EXPLAIN (COSTS OFF) {compiled}"))).all()
    assert "ix_account_charged_off" in "".join(plan), plan
    assert bucket is AgingBucket.UNKNOWN or "ix_account_agency_id_due_date_id" in "".join(plan), plan
    conditions = [line for line in plan if "Index Cond" in line]
    assert all("_date" in line for line in conditions), plan
    assert not any("Filter" in line for line in plan), plan
