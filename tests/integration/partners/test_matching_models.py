"""The set-based forms of the matching against plain Python, over random data."""

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from db.account_matching_sql import JUDGED
from db.account_pairing_sql import key_sql
from domain.accounts import OPEN_STATUSES, AccountStatus
from domain.partner_rules import Variants
from domain.reconciliation import Fee, OurAccount, Terms, TheirAccount, Tolerance, judge
from sandbox.postgres import SUPERUSER, Postgres
from tests.integration.partners.matching_books import NOW, Books, opened, said

CENT = Decimal("0.01")
THEN = datetime(2026, 11, 1, 12, tzinfo=UTC)
FEES = (Fee("fixed", Decimal("2.50")), Fee("both", Decimal("0.30"), Decimal("2.9")))
PAIR = """
    CREATE TEMPORARY TABLE pair (
        line integer, account_id integer, theirs numeric(14, 2), theirs_status text, theirs_currency text,
        at timestamptz, ours numeric(14, 2), original_amount numeric(14, 2), currency text, status text,
        closed_reason text, posted_since numeric(14, 2), in_transit numeric(14, 2), counts boolean)
"""


@pytest.fixture(scope="module")
def link(postgres_server: Postgres) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(
        postgres_server.url(SUPERUSER, "postgres"), cursor_factory=psycopg.ClientCursor
    ) as connection:
        connection.execute(PAIR)
        yield connection


ours_amounts = st.sampled_from(["0", "0.01", "1.00", "10.00", "100.00", "100.01", "500.00", "12345.67"]).map(
    Decimal
)
amounts = st.one_of(ours_amounts, st.decimals(-1000, 1000, places=2))
near = st.sampled_from([Decimal(n) * CENT for n in (-102, -101, -100, -99, -1, 0, 1, 99, 100, 101, 250, 320)])


@st.composite
def pairs(draw: st.DrawFn) -> tuple[OurAccount, TheirAccount]:
    ours = draw(ours_amounts)
    posted = draw(st.sampled_from([Decimal(0), Decimal(50), Decimal(-50), Decimal("0.01")]))
    transit = draw(st.sampled_from([Decimal(0), Decimal(50), CENT]))
    fee = draw(st.sampled_from([Decimal(0), *(fee.of(ours) for fee in FEES)]))
    told = st.one_of(
        st.none(),
        amounts,
        near.map(lambda d: ours + d),
        near.map(lambda d: ours - posted + d),
        st.just(ours - transit),
        st.just(ours + fee),
        st.just(ours * 100),
        st.just((ours * Decimal("1.01")).quantize(CENT)),
        st.just(-ours),
    )
    status = draw(st.sampled_from(AccountStatus))
    reasons = ["paid", "settled_for_less", "recalled", None]
    account = OurAccount(
        balance=ours,
        original_amount=draw(st.sampled_from([ours, ours + 100])),
        currency="USD",
        status=status,
        closed_reason=draw(st.sampled_from(reasons)) if status is AccountStatus.CLOSED else None,
        posted_since=posted,
        in_transit=transit,
    )
    theirs = TheirAccount(
        balance=draw(told),
        status=draw(st.sampled_from([None, "UNPAID", "PARTIAL", "PAID", "paid", "OPEN"])),
        currency=draw(st.sampled_from([None, "USD", "USD", "EUR"])),
        processed_at=THEN
        - draw(st.sampled_from([timedelta(0), timedelta(days=45), timedelta(days=45, seconds=1)])),
    )
    return account, theirs


EDGE = (
    OurAccount(Decimal("100.00"), Decimal("100.00"), "USD", AccountStatus.NEW),
    TheirAccount(Decimal("101.00"), None, None, THEN),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(rows=[EDGE], absolute=Decimal("1000.00"), percent=Decimal("1.00"), fees=())
@example(rows=[EDGE], absolute=Decimal("1.00"), percent=Decimal("100.00"), fees=())
@given(
    rows=st.lists(pairs(), min_size=1, max_size=60),
    absolute=st.sampled_from(["0.00", "1.00", "2.00", "1000.00"]).map(Decimal),
    percent=st.sampled_from(["0.00", "1.00", "0.33", "100.00"]).map(Decimal),
    fees=st.sampled_from([(), FEES[:1], FEES]),
)
def test_a_million_accounts_are_judged_as_one_is(
    link: psycopg.Connection[Any],
    rows: list[tuple[OurAccount, TheirAccount]],
    absolute: Decimal,
    percent: Decimal,
    fees: tuple[Fee, ...],
) -> None:
    link.execute("TRUNCATE pair")
    with psycopg.Cursor(link) as cursor, cursor.copy("COPY pair FROM STDIN") as copy:
        for n, (a, t) in enumerate(rows):
            # As the pairing leaves them: null where there is nothing.
            moved = (a.posted_since or None, a.in_transit or None, True)
            stated = (n, n, t.balance, t.status, t.currency, t.processed_at)
            copy.write_row(
                (*stated, a.balance, a.original_amount, a.currency, a.status, a.closed_reason, *moved)
            )
    terms = Terms(THEN, Tolerance(absolute, percent), stale_after_days=45, fees=fees)
    values = {
        "tolerance": absolute,
        "percent": percent,
        "stale_before": THEN - timedelta(days=45),
        "fee_fixed": [fee.fixed for fee in fees],
        "fee_percent": [fee.percent for fee in fees],
    }
    judged = f"SELECT line, kind, cause FROM ({JUDGED}) j"  # noqa: S608 (constants of the product)
    found = link.execute(judged.encode(), values).fetchall()
    expected = [(n, d.kind, d.cause) for n, (a, t) in enumerate(rows) for d in judge(a, t, terms)]
    assert sorted(found) == sorted(expected)


references = st.text(alphabet="NGng0019aZ-./ é", max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(references, min_size=1, max_size=40),
    variants=st.builds(
        Variants,
        strip_prefixes=st.sampled_from([(), ("NG-",), ("N", "NG", "ng-"), (".",)]),
        ignore_case=st.booleans(),
        ignore_punctuation=st.booleans(),
        ignore_leading_zeros=st.booleans(),
    ),
)
def test_references_are_read_alike(
    link: psycopg.Connection[Any], texts: list[str], variants: Variants
) -> None:
    key = key_sql(variants, "t.x")
    read = f"SELECT {key} FROM unnest(%(texts)s::text[]) WITH ORDINALITY AS t (x, n) ORDER BY n"  # noqa: S608
    found = link.execute(read.encode(), {"texts": texts, "prefixes": variants.pattern}).fetchall()
    assert [key for (key,) in found] == [variants.key(text) or None for text in texts]


@pytest.fixture
async def books(module_database: Any) -> AsyncIterator[Books]:
    async with opened(module_database) as made:
        yield made


async def _random_world(books: Books, draw: random.Random) -> tuple[dict[str, list[Any]], set[str]]:
    """Accounts by reference, and those that were sent; a few references are of two creditors."""
    accounts: dict[str, list[Any]] = defaultdict(list)
    sent = set()
    for n in range(25):
        for creditor in ("One", "Two") if draw.random() < 0.1 else ("One",):
            balance = draw.choice(["0.00", "100.00", "250.50"])
            status = draw.choice(["new", "assigned", "disputed", "settled", "closed"])
            reason = draw.choice(["paid", "recalled"]) if status == "closed" else None
            made = await books.account(
                f"R-{n}", balance, original="300.00", creditor=creditor, status=status, closed_reason=reason
            )
            accounts[f"R-{n}"].append((made, Decimal(balance), status, reason))
            if draw.random() < 0.4:
                await books.sent(made)
                sent.add(str(made))
    return accounts, sent


def _lines(draw: random.Random) -> list[dict[str, Any]]:
    return [
        said(
            f"R-{draw.randrange(32)}",
            draw.choice(["0.00", "100.00", "100.99", "101.01", "250.50", "-100.00", None]),
            draw.choice(["UNPAID", "PARTIAL", "PAID", None]),
            processed_at=NOW - timedelta(hours=draw.randrange(1, 60)),
            problem="cannot be read" if draw.random() < 0.1 else None,
        )
        for _ in range(30)
    ]


class Model:
    """What runs in plain Python would find: every line at once, nothing clever."""

    def __init__(self, accounts: dict[str, list[Any]], sent: set[str]) -> None:
        self.by_id = {str(a[0]): a for found in accounts.values() for a in found}
        self.accounts, self.known = accounts, dict.fromkeys(sent)

    def find(self, lines: list[dict[str, Any]]) -> set[tuple[str, str]]:
        told: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        found, unread = set(), set()
        for number, line in enumerate(lines):
            candidates = [str(a[0]) for a in self.accounts.get(line["account_ref"], [])]
            own = [c for c in candidates if c in self.known]
            if line["problem"]:
                unread.update(candidates)
            elif not candidates:
                found.add(("missing_here", line["account_ref"]))
            elif len(candidates) == 1 or len(own) == 1:
                told[(own if len(own) == 1 else candidates)[0]].append((number, line))
            else:
                found.add(("ambiguous", line["account_ref"]))
                unread.update(candidates)
        for account, several in told.items():
            number, newest = max(several, key=lambda x: (x[1]["processed_at"], x[0]))
            if len(several) > 1:
                found.add(("duplicate", account))
            before = self.known.get(account)
            if before is None or before["processed_at"] <= newest["processed_at"]:
                self.known[account] = newest
            found |= {(d.kind.value, account) for d in self._judge(account, self.known[account])}
        for account in set(self.known) - set(told) - unread:
            if told and self.by_id[account][2] in OPEN_STATUSES:
                found.add(("missing_there", account))
        return found

    def _judge(self, account: str, line: dict[str, Any]) -> list[Any]:
        _, balance, status, reason = self.by_id[account]
        ours = OurAccount(balance, Decimal(300), "USD", AccountStatus(status), reason)
        stated = None if line["balance"] is None else Decimal(line["balance"])
        theirs = TheirAccount(stated, line["status"], None, line["processed_at"])
        return judge(ours, theirs, Terms(NOW))


@pytest.mark.parametrize("seed", range(6))
async def test_runs_find_what_plain_python_finds(books: Books, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 (no secrets)
    await books.partner()
    accounts, sent = await _random_world(books, draw)
    model = Model(accounts, sent)
    for _ in range(3):
        lines = _lines(draw)
        expected = model.find(lines)
        await books.statement(*lines)
        figures = await books.match()
        now_seen = await books.breaks(f"state <> 'resolved' AND seen_run_id = '{figures.run_id}'")
        assert {(b.kind, b.subject) for b in now_seen} == expected
        assert figures.breaks == len(now_seen)
