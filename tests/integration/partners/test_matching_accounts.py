"""Accounts as a partner states them against ours, on a real PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from db.partner_runs import PartnerReconciliationEnded
from tests.integration.partners.matching_books import NOW, Books, opened, said

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
async def books(module_database: Any) -> AsyncIterator[Books]:
    async with opened(module_database) as made:
        yield made


async def test_what_agrees_is_matched_and_what_differs_is_a_break(books: Books) -> None:
    await books.partner()
    for ref in ("A-1", "A-2", "A-3", "A-4", "A-5"):
        await books.account(ref)
    await books.account("A-6", "0.00", original="500.00", status="closed", closed_reason="paid")
    await books.statement(
        said("A-1", "500.99"),
        said("A-2", "450.00"),
        said("A-3", status="PAID"),
        said("A-4", "-100.00"),
        said("A-5", currency="EUR"),
        said("A-6", "0.00", "PAID"),
        said("A-9", "77.00"),
    )
    figures = await books.match()
    assert await books.told() == [
        ("balance", "A-2", "less_there"),
        ("balance", "A-4", "negative_there"),
        ("currency", "A-5", "other_currency"),
        ("missing_here", "A-9", "unknown_reference"),
        ("status", "A-3", "paid_only_there"),
    ]
    assert (figures.lines, figures.matched, figures.breaks, figures.opened) == (7, 6, 5, 5)
    less = (await books.breaks("account_ref = 'A-2'"))[0]
    assert (less.ours, less.theirs, less.difference, less.value) == (500, 450, -50, 50)
    assert (less.rule, less.run_id, less.line) == ("reference", figures.run_id, 3)
    assert (await books.breaks("account_ref = 'A-4'"))[0].value == 600
    assert (await books.breaks("account_ref = 'A-9'"))[0].value == 77
    assert {k["kind"]: (k["count"], k["value"]) for k in figures.report["kinds"]}["balance"] == (2, "650.00")


async def test_a_run_that_is_repeated_answers_what_it_has_written_down(books: Books) -> None:
    await books.partner()
    await books.account("A-1")
    await books.statement(said("A-1", "1.00"))
    run_id = await books.open_run()
    first = await books.matched(run_id)
    await books.statement(said("A-7"))
    assert await books.matched(run_id) == first
    async with books.db.transaction(books.tenant) as tx:
        await tx.partner_runs.complete(run_id, report={})
    assert len(await books.breaks()) == first["breaks"] == 1
    with pytest.raises(PartnerReconciliationEnded):
        await books.matched(run_id)


async def test_a_dry_run_counts_the_same_and_writes_nothing(books: Books) -> None:
    await books.partner()
    await books.account("A-1")
    await books.statement(said("A-1", "1.00"), said("A-2"))
    dry = await books.match(dry_run=True)
    assert await books.breaks("true") == []
    assert await books.sql("SELECT * FROM partner_account WHERE partner_id = %s", books.partner_id) == []
    real = await books.match()
    assert {**vars(dry), "run_id": None} == {**vars(real), "run_id": None}
    assert real.breaks == len(await books.breaks()) == 2


async def test_the_next_statement_cures_refreshes_and_leaves_alone(books: Books) -> None:
    await books.partner()
    for ref in ("A-1", "A-2", "A-3", "A-4", "A-5"):
        await books.account(ref)
    await books.statement(
        *(said(f"A-{n}", "400.00") for n in range(1, 5)), said("A-5", status="PAID"), said("X", "9.00")
    )
    first = await books.match()
    assert first.breaks == 6
    at = NOW - 30 * HOUR / 60
    await books.statement(
        said("A-1", "500.00", processed_at=at),
        said("A-2", "300.00", processed_at=at),
        said("A-3", None, None, processed_at=at, problem="balance is missing"),
        said("A-4", None, "UNPAID", processed_at=at),
        said("A-5", None, "UNPAID", processed_at=at),
    )
    second = await books.match()
    assert [(b.account_ref, b.theirs, b.version) for b in await books.breaks()] == [
        ("A-2", 300, 2),  # refreshed
        ("A-3", 400, 1),  # its line could not be read: nobody can tell
        ("A-4", 400, 1),  # no balance was stated: nobody can tell
    ]
    assert (second.breaks, second.opened, second.cured, second.problems) == (1, 0, 3, 1)
    cured = await books.breaks("resolution = 'cured'")
    assert [(b.kind, b.account_ref) for b in cured] == [
        ("balance", "A-1"),
        ("missing_here", "X"),
        ("status", "A-5"),
    ]
    audited = await books.sql(
        "SELECT count(*) AS n FROM audit_record WHERE action = 'break.cured' AND entity_id = ANY (%s)",
        [str(b.id) for b in cured],
    )
    assert audited[0].n == 3


async def test_only_what_the_partner_is_known_to_have_can_be_missing_there(books: Books) -> None:
    await books.partner()
    ours = {ref: await books.account(ref) for ref in ("SENT", "NAMED", "OTHER", "SAID")}
    paid = await books.account("PAID", "0.00", original="5.00", status="closed", closed_reason="paid")
    late = await books.account("LATE")
    await books.sent(ours["SENT"], paid)
    await books.sent(late, at=NOW - HOUR / 2)
    await books.statement(said("NAMED", processed_at=NOW - 2 * DAY), said("SAID", processed_at=NOW - 2 * DAY))
    assert (await books.match("messages")).lines == 0
    assert (await books.match()).breaks == 2
    await books.statement(said("SAID"))
    await books.match()
    assert await books.told() == [
        ("missing_there", "NAMED", "not_stated"),
        ("missing_there", "SENT", "never_stated"),
        ("timing", "LATE", "sent_since"),
    ]
    # Closed here in the meantime: nobody misses it any more.
    await books.sql(
        "UPDATE account SET status = 'closed', closed_reason = 'recalled' WHERE id = %s", ours["SENT"]
    )
    await books.statement(said("SAID", processed_at=NOW), said("LATE", processed_at=NOW))
    again = await books.match()
    assert await books.told() == [("missing_there", "NAMED", "not_stated")]
    assert again.cured == 2


async def test_nothing_stated_is_no_statement_that_everything_is_missing(books: Books) -> None:
    await books.partner()
    await books.sent(await books.account("A-1"))
    await books.account("A-2")
    await books.statement(said("A-2", "1.00"))
    assert (await books.match()).breaks == 2
    figures = await books.match()
    assert (figures.lines, figures.breaks, figures.cured) == (0, 0, 0)
    await books.statement(said("A-1", None, None, problem="balance is missing"))
    assert (await books.match()).cured == 0
    assert len(await books.breaks()) == 2


async def test_messages_since_the_last_comparison_of_all_count_as_named(books: Books) -> None:
    await books.partner()
    for ref in ("A-1", "A-2"):
        await books.account(ref)
    await books.statement(said("A-1"), said("A-2"))
    await books.match()
    await books.statement(said("A-1", "300.00", processed_at=NOW - HOUR / 2), channel="messages")
    messages = await books.match("messages")
    assert (messages.breaks, messages.matched) == (1, 1)
    await books.statement(said("A-2", processed_at=NOW))
    full = await books.match()
    assert (full.breaks, full.opened, full.matched) == (1, 0, 1)
    assert await books.told() == [("balance", "A-1", "less_there")]
    await books.statement(said("A-2", processed_at=NOW))
    await books.match()
    assert [kind for kind, *_ in await books.told()] == ["balance", "missing_there"]


async def test_an_older_line_never_stands_against_a_newer_one(books: Books) -> None:
    await books.partner()
    account = await books.account("A-1")
    await books.statement(said("A-1", "300.00", processed_at=NOW - HOUR))
    await books.match()
    await books.statement(said("A-1", "500.00", processed_at=NOW - 2 * HOUR))
    figures = await books.match()
    assert (figures.older, figures.breaks, figures.cured) == (1, 1, 0)
    known = await books.sql("SELECT * FROM partner_account WHERE account_id = %s", account)
    assert [(k.balance, k.processed_at) for k in known] == [(Decimal("300.00"), NOW - HOUR)]


async def test_what_is_too_old_is_stale_and_neither_compared_nor_cured(books: Books) -> None:
    await books.partner(stale_after_days=10)
    for ref in ("A-1", "A-2"):
        await books.account(ref)
    await books.statement(said("A-1", "1.00", processed_at=NOW - 3 * DAY))
    await books.match()
    await books.statement(said("A-2", "1.00", processed_at=NOW - 11 * DAY), said("A-1"))
    await books.match()
    assert await books.told() == [("stale", "A-2", "too_old")]
    await books.statement(said("A-2", processed_at=NOW - 2 * DAY))
    assert (await books.match()).cured == 1


async def test_the_same_account_twice_is_a_duplicate_and_the_newest_counts(books: Books) -> None:
    await books.partner()
    for ref in ("A-1", "A-2", "A-3"):
        await books.account(ref)
    await books.statement(
        said("A-1", "200.00", processed_at=NOW - 2 * HOUR),
        said("A-1", "500.00"),
        said("A-2"),
        said("A-2"),
        said("A-3", "1.00", processed_at=NOW - 3 * HOUR),
    )
    await books.statement(said("A-3", processed_at=NOW - 2 * HOUR))
    figures = await books.match()
    assert await books.told() == [
        ("duplicate", "A-1", "contradicted"),
        ("duplicate", "A-2", "repeated"),
    ]
    assert [(b.theirs, b.value) for b in await books.breaks()] == [(200, 300), (500, 0)]
    assert figures.matched == 6


async def test_later_messages_are_news_and_no_duplicates(books: Books) -> None:
    await books.partner()
    for ref in ("A-1", "A-2"):
        await books.account(ref)
    await books.statement(
        said("A-1", "400.00", processed_at=NOW - 2 * HOUR),
        said("A-1", "500.00"),
        said("A-2", "400.00"),
        said("A-2", "500.00"),
        channel="messages",
    )
    await books.match("messages")
    assert await books.told() == [("duplicate", "A-2", "contradicted")]


async def test_a_reference_of_several_creditors_means_the_partners_own_or_nobodys(books: Books) -> None:
    await books.partner()
    own = await books.account("A-1", creditor="One")
    await books.account("A-1", "900.00", creditor="Two")
    both = [await books.account("A-2", creditor=name) for name in ("One", "Two")]
    await books.account("A-3", creditor="One")
    await books.account("A-3", "900.00", creditor="Two")
    await books.sent(own, *both)
    await books.statement(said("A-1"), said("A-2"), said("A-3"))
    figures = await books.match()
    assert await books.told() == [
        ("ambiguous", "A-2", "several_accounts"),
        ("ambiguous", "A-3", "several_accounts"),
    ]
    assert figures.matched == 1
    known = await books.sql(
        "SELECT * FROM partner_account WHERE partner_id = %s AND balance = 500", books.partner_id
    )
    assert [k.account_id for k in known] == [own]


VARIANTS = """
matching:
  variants:
    strip_prefixes: [NG-, NG]
    ignore_case: true
    ignore_punctuation: true
    ignore_leading_zeros: true
"""


async def test_references_are_read_as_the_partners_rules_say(books: Books) -> None:
    await books.partner(VARIANTS)
    for ref in ("000123", "ab-77", "555", "9-9", "99", "0042"):
        await books.account(ref)
    await books.statement(
        said("NG-123"),
        said("ng AB77", "400.00"),
        said("555"),
        said("NG-0555"),  # another line has 555 exactly
        said("NG99."),  # of 9-9 and 99
        said("42"),
        said("NG-42"),  # two lines for one account
        said("NG-"),  # nothing is left of it
    )
    figures = await books.match()
    assert await books.told() == [
        ("ambiguous", "42", "several_lines"),
        ("ambiguous", "NG-42", "several_lines"),
        ("ambiguous", "NG99.", "several_accounts"),
        ("balance", "ab-77", "less_there"),
        ("missing_here", "NG-", "unknown_reference"),
        ("missing_here", "NG-0555", "resembles_another"),
    ]
    assert figures.report["matched_by"] == [
        {"rule": "reference", "count": 1},
        {"rule": "variant", "count": 2},
    ]


async def test_a_debtor_names_the_only_account_that_the_partner_has_of_them(books: Books) -> None:
    await books.partner()
    first = await books.account("A-1", debtor_ref="D-1")
    second = await books.account("A-2", debtor_ref="D-2")
    debtor = (await books.sql("SELECT debtor_id FROM account WHERE id = %s", first))[0].debtor_id
    other = await books.account("A-3", "900.00")
    await books.sql("UPDATE account SET debtor_id = %s WHERE id = %s", debtor, other)
    await books.sent(first)
    by_id = (await books.sql("SELECT debtor_id FROM account WHERE id = %s", second))[0].debtor_id
    await books.statement(
        said(None, debtor_ref="D-1"), said(None, "499.00", debtor_ref=str(by_id)), said(str(other), "900.00")
    )
    figures = await books.match()
    assert (figures.matched, figures.breaks) == (3, 0)
    assert [r["rule"] for r in figures.report["matched_by"]] == ["debtor", "id"]


async def test_what_was_posted_since_they_wrote_is_timing_and_resolves_itself_in_time(books: Books) -> None:
    rules = "resolve:\n  - {kind: timing, within_days: 3, up_to: 200}\n"
    await books.partner(rules)
    soon, long_ago, large, on_its_way, reversed_ = [
        await books.account(ref, "500.00") for ref in ("SOON", "LONG", "LARGE", "WAY", "BACK")
    ]
    at = NOW - DAY
    await books.post(soon, "100.00")
    await books.post(long_ago, "100.00", at=NOW - 4 * DAY)
    await books.post(large, "500.00")
    await books.sql("UPDATE account SET status = 'settled' WHERE id = %s", large)
    await books.payment(on_its_way, "50.00", status="processing")
    await books.post(reversed_, "-40.00", kind="refund")
    await books.statement(
        said("SOON", processed_at=at),
        said("LONG", processed_at=NOW - 5 * DAY),
        said("LARGE", processed_at=at),
        said("WAY", "450.00", processed_at=at),
        said("BACK", processed_at=at),
    )
    figures = await books.match()
    assert await books.told() == [
        ("timing", "LARGE", "posted_since"),
        ("timing", "LONG", "posted_since"),
    ]
    ruled = await books.breaks("resolution = 'rule'")
    assert [(b.account_ref, b.probable_cause, b.resolution_note) for b in ruled] == [
        ("BACK", "posted_since", "rule: timing within 3 days"),
        ("SOON", "posted_since", "rule: timing within 3 days"),
        ("WAY", "in_transit", "rule: timing within 3 days"),
    ]
    assert (figures.breaks, figures.resolved) == (5, 3)
    audited = await books.sql(
        "SELECT count(*) AS n FROM audit_record WHERE action = 'break.resolved_by_rule' AND agency_id = %s",
        books.tenant.agency_id,
    )
    assert audited[0].n == 3
    # The same differences the day after are the same breaks.
    await books.statement(
        said("SOON", processed_at=at + HOUR), said("BACK", processed_at=at + HOUR), channel="messages"
    )
    again = await books.match("messages")
    assert (again.opened, again.resolved) == (0, 2)
    assert len(await books.breaks("resolution = 'rule'")) == 3


async def test_a_known_fee_explains_a_difference_and_others_do_not(books: Books) -> None:
    rules = """
    fees:
      - {name: monthly, fixed: 5.00}
      - {name: legal, fixed: 10.00, percent: 2.5}
    resolve:
      - {kind: fee, fee: monthly}
    """
    await books.partner(rules)
    for ref in ("A-1", "A-2", "A-3", "A-4"):
        await books.account(ref)
    await books.statement(
        said("A-1", "505.00"), said("A-2", "522.50"), said("A-3", "506.00"), said("A-4", "495.00")
    )
    figures = await books.match()
    assert await books.told() == [
        ("balance", "A-3", "more_there"),
        ("balance", "A-4", "less_there"),
        ("fee", "A-2", "known_fee"),
    ]
    assert [b.account_ref for b in await books.breaks("resolution = 'rule'")] == ["A-1"]
    assert figures.resolved == 1


async def test_what_people_explained_stays_closed_while_both_sides_are_as_then(books: Books) -> None:
    await books.partner()
    await books.account("A-1")
    await books.statement(said("A-1", "300.00"))
    await books.match()
    await books.sql(
        "UPDATE reconciliation_break SET state = 'resolved', resolution = 'explain' WHERE partner_id = %s",
        books.partner_id,
    )
    await books.statement(said("A-1", "300.00", processed_at=NOW))
    same = await books.match()
    assert (same.breaks, same.opened, same.report["left_alone"]) == (0, 0, 1)
    assert await books.breaks() == []
    await books.statement(said("A-1", "299.00", processed_at=NOW))
    assert (await books.match()).opened == 1


async def test_a_proposal_for_a_break_that_cured_itself_is_withdrawn(books: Books) -> None:
    await books.partner()
    for ref in ("A-1", "A-2"):
        await books.account(ref)
    await books.statement(said("A-1", "300.00"), said("A-2", "300.00"))
    await books.match()
    for found in await books.breaks():
        await books.insert(
            "break_proposal",
            break_id=found.id,
            resolution="explain",
            note="-",
            proposed_by=books.tenant.agency_id,
            proposed_by_name="ana",
        )
    await books.sql(
        "UPDATE reconciliation_break SET state = 'proposed' WHERE partner_id = %s", books.partner_id
    )
    await books.statement(said("A-1", processed_at=NOW), said("A-2", "300.00", processed_at=NOW))
    await books.match()
    assert [(b.account_ref, b.state) for b in await books.breaks()] == [("A-2", "proposed")]
    states = await books.sql(
        "SELECT b.account_ref, p.state FROM break_proposal p JOIN reconciliation_break b ON b.id = p.break_id"
        " WHERE b.partner_id = %s ORDER BY 1",
        books.partner_id,
    )
    assert [tuple(row) for row in states] == [("A-1", "withdrawn"), ("A-2", "open")]


async def test_each_partner_has_its_own_record_of_an_account(books: Books) -> None:
    account = await books.account("A-1")
    first = await books.partner()
    await books.statement(said("A-1", "400.00"))
    await books.match()
    second = await books.partner()
    await books.statement(said("A-1", "500.00"))
    assert (await books.match()).breaks == 0
    known = await books.sql(
        "SELECT partner_id, balance FROM partner_account WHERE account_id = %s ORDER BY balance", account
    )
    assert [tuple(row) for row in known] == [(first, 400), (second, 500)]
