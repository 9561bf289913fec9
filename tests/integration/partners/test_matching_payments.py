"""Payments as a bank states them against ours, on a real PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from db.payment_lines_sql import name_key as name_key_sql
from domain.reconciliation import name_key
from tests.integration.partners.matching_books import NOW, TODAY, Books, bank, opened_in_utc, paid, sums

DAY = timedelta(days=1)


@pytest.fixture
async def books(module_database: Any) -> AsyncIterator[Books]:
    async with opened_in_utc(module_database) as made:
        yield made


async def test_every_reference_of_a_payment_finds_it(books: Books) -> None:
    await bank(books)
    account = await books.account("A-1", "1000.00")
    await books.payment(account, "10.00", processor_ref="pi_1")
    await books.payment(account, "20.00", processor_ref="pi_2", charge_ref="ch_2")
    await books.payment(account, "30.00", method="check", reference="1001", received_on=TODAY)
    by_id = await books.payment(account, "40.00", method="cash")
    refunded = await books.payment(account, "50.00", processor_ref="pi_5")
    journal = await books.post(account, "-15.00", kind="refund")
    await books.insert(
        "refund",
        payment_id=refunded,
        origin="request",
        amount="15.00",
        currency="USD",
        status="succeeded",
        processor_ref="re_5",
        requested_by="test",
        journal_id=journal,
    )
    await books.statement(
        paid("pi_1", "10.00"),
        paid("ch_2", "20.00"),
        paid("1001", "30.00"),
        paid(str(by_id), "40.00"),
        paid("pi_5", "50.00"),
        paid("re_5", "-15.00"),
        paid("nothing", "10.00"),
    )
    figures = await books.match()
    assert await sums(books) == [("missing_here", "unknown_reference", None, 10)]
    assert (figures.matched, figures.breaks) == (6, 1)
    assert figures.report["three_way"] == {"all_three": 6, "processor_differs": 0, "not_on_ledger": 0}


async def test_an_amount_alone_is_no_match(books: Books) -> None:
    await bank(books)
    account = await books.account("A-1", "1000.00", name="Ana Lima")
    await books.payment(account, "123.45")
    await books.statement(
        paid("unknown", "123.45"),
        paid(None, "123.45", payer="Rui Costa"),
        paid(None, "123.45", account_ref="A-2"),
        paid(None, "123.45", TODAY - 9 * DAY, payer="Ana Lima"),
        paid(None, "-123.45", payer="Ana Lima"),
        paid(None, "123.45", payer="Ana Lima", currency="EUR"),
    )
    figures = await books.match()
    assert figures.matched == 0
    assert {kind for kind, *_ in await sums(books)} == {"missing_here", "timing"}
    assert figures.breaks == 7


async def test_account_or_payer_with_amount_and_date_find_what_no_reference_tells(books: Books) -> None:
    await bank(books)
    ana = await books.account("A-1", "1000.00", name="Ana Lima")
    rui = await books.account("A-2", "1000.00", name="Rui da Costa")
    await books.payment(ana, "100.00", created_at=NOW - 2 * DAY)
    await books.payment(rui, "100.00", created_at=NOW - DAY)
    # Equal payments of one debtor, as instalments are.
    await books.payment(rui, "75.00", created_at=NOW - 30 * DAY)
    for _ in range(2):
        await books.payment(rui, "75.00")
    await books.statement(
        paid("BANK-1", "100.00", account_ref="A-1"),
        paid(None, "100.00", payer="COSTA, Rui da"),
        paid(None, "75.00", payer="rui da costa"),
        paid(None, "75.00", payer="rui da costa"),
    )
    figures = await books.match()
    assert await sums(books) == []
    assert figures.report["matched_by"] == [
        {"rule": "account_amount_date", "count": 1},
        {"rule": "payer_amount_date", "count": 3},
    ]


async def test_namesakes_make_a_line_ambiguous_until_somebody_can_tell(books: Books) -> None:
    await bank(books)
    first, second = [await books.account(ref, name="Ana Lima") for ref in ("A-1", "A-2")]
    for account in (first, second):
        await books.payment(account, "100.00", created_at=NOW - 8 * DAY)
    await books.statement(paid(None, "100.00", TODAY - 8 * DAY, payer="Ana Lima"), paid("x", "1.00"))
    figures = await books.match()
    assert (figures.matched, await sums(books)) == (
        0,
        [("ambiguous", "several_payments", None, 100), ("missing_here", "unknown_reference", None, 1)],
    )
    # The one of the two is stated by its account: then the other line can only be the other payment.
    await books.statement(paid(None, "100.00", TODAY - 8 * DAY, account_ref="A-1"))
    again = await books.match()
    assert (again.matched, again.cured) == (1, 1)
    matches = await books.sql("SELECT * FROM payment_match WHERE partner_id = %s", books.partner_id)
    assert sorted(m.rule for m in matches) == ["account_amount_date", "payer_amount_date"]


async def test_a_payment_split_over_lines_is_one(books: Books) -> None:
    await bank(books)
    account = await books.account("A-1", "2000.00", name="Ana Lima")
    other = await books.account("A-2", "2000.00", name="Rui Costa")
    await books.payment(account, "100.00", processor_ref="pi_1")
    await books.payment(account, "90.00")
    await books.payment(other, "80.00")
    await books.payment(other, "70.00", processor_ref="pi_4")
    await books.payment(other, "60.00", processor_ref="pi_5")
    await books.payment(await books.account("A-3"), "55.00")
    await books.statement(
        paid("pi_1", "60.00"),
        paid("pi_1", "40.00"),
        paid(None, "45.00", account_ref="A-1"),
        paid(None, "45.00", TODAY - DAY, account_ref="A-1"),
        paid(None, "50.00", payer="Rui Costa"),
        paid(None, "30.00", payer="Rui Costa"),
        paid("pi_4", "30.00"),
        paid("pi_4", "20.00"),
        paid("pi_5", "25.00"),
        # These do not add up to anything.
        paid(None, "1.00", account_ref="A-3"),
        paid(None, "2.00", account_ref="A-3"),
    )
    figures = await books.match()
    assert [kind for kind, *_ in await sums(books)].count("missing_here") == 2
    assert (await sums(books))[:2] == [
        ("balance", "other_amount", 60, 25),
        ("balance", "other_amount", 70, 50),
    ]
    assert figures.report["matched_by"] == [{"rule": "reference", "count": 1}, {"rule": "split", "count": 8}]
    # The rest comes with the next statement.
    await books.statement(paid("pi_4", "20.00", TODAY + DAY))
    assert (await books.match()).cured == 1
    assert (await sums(books))[0] == ("balance", "other_amount", 60, 25)


async def test_what_the_bank_books_twice_is_a_duplicate(books: Books) -> None:
    await bank(books)
    account = await books.account("A-1", "2000.00")
    await books.payment(account, "100.00", processor_ref="pi_1")
    await books.payment(account, "50.00", processor_ref="pi_2")
    await books.statement(
        paid("pi_1", "100.00"), paid("pi_1", "100.00"), paid("pi_2", "7.00"), paid("pi_2", "50.00")
    )
    assert (await books.match()).matched == 2
    assert await sums(books) == [
        ("duplicate", "contradicted", 50, 7),
        ("duplicate", "repeated", 100, 100),
    ]
    await books.statement(paid("pi_1", "100.00", TODAY))
    figures = await books.match()
    # All of an item in question is looked at again, and none of it is taken for new.
    assert figures.breaks == 3
    causes = sorted(cause for _, cause, *_ in await sums(books))
    assert causes == ["contradicted", "repeated", "repeated"]


async def test_a_payment_of_an_earlier_statement_is_booked_before(books: Books) -> None:
    await bank(books)
    await books.payment(await books.account("A-1"), "100.00", processor_ref="pi_1")
    await books.statement(paid("pi_1", "100.00"))
    assert (await books.match()).breaks == 0
    await books.statement(paid("pi_1", "100.00", TODAY + DAY))
    assert (await books.match()).breaks == 1
    assert await sums(books) == [("duplicate", "booked_before", 100, 100)]


async def test_what_a_later_statement_states_again_adds_nothing(books: Books) -> None:
    """Whatever amount it was: exact, tolerated, less a fee, a part; however it was found."""
    rules = """
    matching: {payments: {window_days: 3, by_account: true, by_name: true, splits: true}}
    fees: [{name: f, percent: 5}]
    resolve: [{kind: fee, fee: f}]
    """
    await bank(books, rules)
    for n in range(1, 6):
        await books.payment(await books.account(f"A-{n}"), "100.00", processor_ref=f"pi_{n}")
    for ref, name in (("B-1", "Ana Lima"), ("B-2", "Rui Costa")):
        account = await books.account(ref, "1000.00", name=name)
        for days in (2, 1, 0):
            await books.payment(account, "75.00", created_at=NOW - days * DAY)
    lines = [
        paid("pi_1", "95.00"),
        paid("pi_2", "99.50"),
        paid("pi_3", "90.00"),
        paid("pi_4", "50.00"),
        paid("pi_4", "50.00"),
        paid("pi_5", "40.00"),
        paid(None, "75.00", TODAY - 2 * DAY, account_ref="B-1"),
        paid(None, "75.00", TODAY - 2 * DAY, payer="Rui Costa"),
        paid(None, "75.00", TODAY - 2 * DAY, payer="Rui Costa"),
    ]
    await books.statement(*lines)
    assert (await books.match()).matched == 9
    before = [("balance", "other_amount", 100, 40), ("balance", "other_amount", 100, 90)]
    ours = [row for row in await sums(books) if row[0] == "balance"]
    assert ours == before
    for _ in range(2):
        # Again, and then nothing new: the repetitions of both stay what they are.
        await books.statement(*lines)
        await books.match()
        kinds = [kind for kind, *_ in await sums(books)]
        assert [row for row in await sums(books) if row[0] == "balance"] == before
        assert kinds.count("missing_here") == kinds.count("ambiguous") == 0
    assert kinds.count("duplicate") == 2 * len(lines)
    [taken] = await books.sql("SELECT count(*) FROM payment_match WHERE partner_id = %s", books.partner_id)
    assert taken.count == 9
    await books.statement(paid("pi_5", "60.00"), paid(None, "75.00", TODAY - DAY, account_ref="B-1"))
    assert (await books.match()).matched == 2


async def test_two_files_of_one_run_that_overlap_are_one(books: Books) -> None:
    await bank(books, "matching: {payments: {by_account: true, window_days: 3}}")
    account = await books.account("A-1", "1000.00")
    for _ in range(3):
        await books.payment(account, "75.00")
    for _ in range(2):
        await books.statement(paid(None, "75.00", account_ref="A-1"), paid("x", "1.00"))
    figures = await books.match()
    kinds = [kind for kind, *_ in await sums(books)]
    assert (figures.matched, kinds.count("duplicate"), kinds.count("missing_here")) == (1, 1, 2)


async def test_of_lines_that_go_beyond_a_payment_one_counts(books: Books) -> None:
    await bank(books, "fees: [{name: f, percent: 5}]")
    await books.payment(await books.account("A-1"), "100.00", processor_ref="pi_1")
    await books.payment(await books.account("A-2"), "100.00", processor_ref="pi_2")
    await books.statement(
        paid("pi_1", "95.00"), paid("pi_1", "95.00"), paid("pi_2", "120.00"), paid("pi_2", "30.00")
    )
    await books.match()
    assert await sums(books) == [
        ("balance", "other_amount", 100, 30),
        ("duplicate", "contradicted", 100, 120),
        ("duplicate", "repeated", 100, 95),
        ("fee", "known_fee", 100, 95),
    ]


async def test_amounts_fees_currencies_and_the_ledger_are_compared(books: Books) -> None:
    rules = """
    fees: [{name: card, fixed: 0.30, percent: 2.9}]
    resolve: [{kind: fee, fee: card}, {kind: timing, within_days: 2}]
    """
    await bank(books, rules)
    account = await books.account("A-1", "5000.00")
    for n, status in enumerate(["succeeded", "succeeded", "succeeded", "failed", "processing", "succeeded"]):
        await books.payment(account, "100.00", processor_ref=f"pi_{n}", status=status)
    payment = (
        await books.sql(
            "SELECT id FROM payment WHERE processor_ref = 'pi_5' AND agency_id = %s", books.tenant.agency_id
        )
    )[0].id
    await books.insert(
        "reconciliation_break",
        kind="balance",
        subject="pi_5",
        payment_id=payment,
        currency="USD",
        probable_cause="Stripe has another amount",
    )
    await books.statement(
        paid("pi_0", "96.80"),
        paid("pi_1", "90.00"),
        paid("pi_2", "100.00", currency="EUR"),
        paid("pi_3", "100.00"),
        paid("pi_4", "100.00"),
        paid("pi_5", "80.00"),
    )
    figures = await books.match()
    assert await sums(books) == [
        ("balance", "other_amount", 100, 90),
        ("balance", "processor_differs", 100, 80),
        ("currency", "other_currency", 100, 100),
        ("status", "not_on_ledger", 100, 100),
    ]
    ruled = await books.breaks("resolution = 'rule'")
    assert [(b.kind, b.difference) for b in ruled] == [("fee", Decimal("-3.20")), ("timing", 0)]
    assert (figures.matched, figures.resolved) == (6, 2)
    assert figures.report["three_way"] == {"all_three": 3, "processor_differs": 1, "not_on_ledger": 2}
    # It reaches the ledger in the end.
    journal = await books.post(account, "100.00")
    await books.sql(
        "UPDATE payment SET status = 'succeeded', journal_id = %s WHERE processor_ref = 'pi_3'"
        " AND agency_id = %s",
        journal,
        books.tenant.agency_id,
    )
    await books.statement(paid("other", "1.00"))
    assert (await books.match()).cured == 1


async def test_a_payment_that_is_recorded_later_cures_its_line(books: Books) -> None:
    await bank(books, "matching: {variants: {ignore_punctuation: true, strip_prefixes: [CHK]}}")
    account = await books.account("A-1", "5000.00")
    await books.statement(paid("CHK 10-01", "100.00"))
    assert (await books.match()).breaks == 1
    await books.payment(account, "100.00", method="check", reference="1001", received_on=TODAY)
    await books.statement(paid("x", "5.00"))
    figures = await books.match()
    assert (figures.cured, figures.matched) == (1, 0)
    assert [
        m.rule
        for m in await books.sql("SELECT rule FROM payment_match WHERE partner_id = %s", books.partner_id)
    ] == ["variant"]


@pytest.mark.parametrize(
    "name", ["Ana Lima", "LIMA, Ana", "  ana--lima ", "Ana O'Neil 3rd", "José_Sá", "", "-"]
)
async def test_names_are_read_alike(books: Books, name: str) -> None:
    statement = f"SELECT {name_key_sql('t.x')} AS key FROM (VALUES (%s::text)) AS t (x)"  # noqa: S608
    assert ((await books.sql(statement, name))[0].key or "") == name_key(name)
