"""Lists of accounts: every order and filter walked page by page, under row-level security."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text

from db.account_lists import AccountFilter, AccountOrder, page_query
from db.accounts import SEARCH_PROBE, AccountView, position_key
from db.cipher import ColumnCipher
from db.keyset import Position
from db.session import Database
from domain.figures import AgingBucket
from domain.tenancy import Tenant

SEED = """
WITH agencies AS (
    INSERT INTO agency (slug, name) VALUES ('north', 'North'), ('south', 'South') RETURNING id
), creditors AS (
    INSERT INTO creditor (agency_id, name, is_default) SELECT id, 'Bank', true FROM agencies
), users AS (
    INSERT INTO app_user (agency_id, username, full_name, role, password_hash)
    SELECT id, 'c-' || id, 'Collector', 'collector', 'x' FROM agencies RETURNING id, agency_id
), collectors AS (
    INSERT INTO collector (agency_id, user_id, full_name) SELECT agency_id, id, 'Collector' FROM users
)
INSERT INTO scorecard (name, definition, sha256, maximum) VALUES ('plain', '{}', 'x', 66)
"""

PLACE = """
WITH d AS (
    INSERT INTO debtor (agency_id, natural_key, full_name, email, phone)
    VALUES (%(agency)s, 'ref:' || %(ref)s, %(name)s, %(email)s, %(phone)s) RETURNING id
), a AS (
    INSERT INTO account (agency_id, creditor_id, debtor_id, external_ref, status, original_amount, balance,
                         due_date, assigned_to)
    SELECT %(agency)s, c.id, d.id, %(ref)s, %(status)s, %(balance)s, %(balance)s, %(due)s,
           CASE WHEN %(assigned)s THEN k.id END
      FROM d, creditor c, collector k WHERE c.agency_id = %(agency)s AND k.agency_id = %(agency)s
    RETURNING id, balance_cents
), s AS (
    INSERT INTO account_search (account_id, agency_id, document)
    SELECT id, %(agency)s,
           lower(concat_ws(E'\\n', %(ref)s, %(name)s, %(email)s::text, %(phone)s::text)) FROM a
)
INSERT INTO account_score
SELECT a.id, %(agency)s, NULL, true, a.balance_cents * %(total)s, %(total)s, %(level)s, %(priority)s,
       false, '{1}', c.id, now(), '', 1, 1
  FROM a, scorecard c WHERE %(total)s::int IS NOT NULL
"""

ON_THEM = """
INSERT INTO promise (agency_id, account_id, amount, currency, due_date, status, made_by)
SELECT a.agency_id, a.id, 5, 'USD', '2026-01-01', s.status, 'somebody'
  FROM account a, unnest(ARRAY['kept', 'kept', 'broken', 'open']) WITH ORDINALITY AS s (status, place)
 WHERE substr(a.external_ref, 5)::int % (s.place + 3) = 0;
INSERT INTO contact (agency_id, account_id, debtor_id, channel, direction, purpose, recipient, place, at,
                     connected, conversation, right_party, consented, consent_given, actor, decision_id)
SELECT a.agency_id, a.id, a.debtor_id, 'call', CASE n.n % 8 WHEN 2 THEN 'inbound' ELSE 'outbound' END,
       'collection', 'debtor', 'home', now(), true, n.n % 8 <> 4, n.n % 8 <> 6, false, false, 'somebody',
       uuidv7()
  FROM account a, LATERAL (SELECT substr(a.external_ref, 5)::int AS n) n, generate_series(1, 2)
 WHERE n.n % 2 = 0;
WITH moved AS MATERIALIZED (
    SELECT a.agency_id, a.id, uuidv7() AS journal, s.* FROM account a,
           (VALUES ('cash', 'credit_balances', 3), ('credit_balances', 'cash', 6), ('cash', 'unapplied', 12),
                   ('cash', 'house', 1)) AS s (debit, credit, by)
     WHERE substr(a.external_ref, 5)::int % s.by = 0
), journals AS (
    INSERT INTO journal (id, agency_id, kind, key, description, occurred_at)
    SELECT journal, agency_id, 'payment', journal::text, '', now() FROM moved)
INSERT INTO posting (agency_id, journal_id, account_id, debit, credit, amount, currency)
SELECT agency_id, journal, id, debit, credit, 10, 'USD' FROM moved;
"""
"""What some of the accounts have that were placed before."""

LEVELS = ("LOW", "MEDIUM", "HIGH", "CRITICAL")
STATUSES = ("new", "assigned", "disputed", "closed")
SEEDED = 65


@dataclass
class Shop:
    """A database with two agencies and the accounts placed in them."""

    database: Database
    owner_url: str
    north: UUID
    south: UUID
    placed: int = 0

    async def place(self, agency: UUID, **given: Any) -> None:
        """Place one account; what is not given is drawn so that keys tie often and are often null."""
        draw = random.Random(self.placed)  # noqa: S311 (test data)
        total = draw.choice((None, 10, 20, 30))
        values = {
            "agency": agency,
            "ref": f"REF-{self.placed:05d}",
            "name": f"Person {self.placed}",
            "email": None,
            "phone": None,
            "status": draw.choice(STATUSES),
            "balance": Decimal(draw.randint(1, 12)) * 100,
            "due": draw.choice((None, date(2026, 1, 1) + timedelta(days=draw.randint(0, 9)))),
            "assigned": draw.random() < 0.3,
            "total": total,
            "level": draw.choice(LEVELS),
            "priority": draw.randint(0, 3),
            **given,
        }
        self.placed += 1
        async with await psycopg.AsyncConnection.connect(self.owner_url) as connection:
            await connection.execute(PLACE, values)

    async def page(
        self,
        order: AccountOrder = AccountOrder.NEWEST,
        position: Position | None = None,
        limit: int = 500,
        *,
        agency: UUID | None = None,
        **wanted: Any,
    ) -> Sequence[AccountView]:
        """One page of an agency's accounts (north's unless said)."""
        async with self.database.transaction(Tenant.system(agency or self.north, "test")) as tx:
            return await tx.accounts.page(AccountFilter(**wanted), order, position, limit)


@pytest.fixture(scope="module")
async def shop(module_database: Any) -> AsyncIterator[Shop]:
    async with await psycopg.AsyncConnection.connect(module_database.owner_url) as connection:
        await connection.execute(SEED)
        rows = await (await connection.execute("SELECT id FROM agency ORDER BY slug")).fetchall()
    database = Database(module_database.app_url, ColumnCipher({"test": b"k" * 32}))
    made = Shop(database, module_database.owner_url, rows[0][0], rows[1][0])
    for number in range(SEEDED):
        await made.place(made.north if number < SEEDED - 5 else made.south)
    async with await psycopg.AsyncConnection.connect(module_database.owner_url) as connection:
        await connection.execute(ON_THEM)
    yield made
    await database.close()


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


async def walk(
    shop: Shop, order: AccountOrder, size: int, *, backward: bool = False, start: Position | None = None
) -> list[AccountView]:
    found: list[AccountView] = []
    position = start
    while page := await shop.page(order, position, size):
        found += page
        assert len(found) <= shop.placed, "the walk does not end"
        position = Position(position_key(page[-1], order), backward)
    return found


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


async def test_accounts_are_as_old_as_the_figures_count_them(shop: Shop) -> None:
    days = {"not_due": (-40, -1), "0-30": (0, 30), "31-60": (31, 60), "61-90": (61, 90), "90+": (91, 900)}
    expected: dict[str, set[str]] = {"unknown": {"AGED-"}}
    async with await psycopg.AsyncConnection.connect(shop.owner_url) as connection:
        [(today,)] = await (
            await connection.execute(
                "SELECT (now() AT TIME ZONE time_zone)::date FROM agency WHERE slug = 'north'"
            )
        ).fetchall()
    for bucket, edges in days.items():
        expected[bucket] = set()
        for day in edges:
            for ref in (f"AGED-{day}", f"AGED-OFF-{day}"):
                await shop.place(shop.north, ref=ref, due=today - timedelta(days=day))
                expected[bucket].add(ref)
    await shop.place(shop.north, ref="AGED-", due=None)
    async with await psycopg.AsyncConnection.connect(shop.owner_url) as connection:
        await connection.execute(
            "UPDATE account SET charge_off_date = due_date, due_date = NULL"
            " WHERE external_ref LIKE 'AGED-OFF-%'"
        )
        await connection.execute(
            "UPDATE account SET charge_off_date = due_date - 500 WHERE external_ref ~ '^AGED-[-0-9]+$'"
        )
    found = {
        bucket: {
            view.account.external_ref for view in await shop.page(aging=[AgingBucket(bucket)], search="aged-")
        }
        for bucket in expected
    }
    assert found == expected
