import csv
import hashlib
import io
from collections import Counter, defaultdict
from datetime import date
from decimal import Decimal
from statistics import mean

import phonenumbers
import pytest

from db.scorecard_files import builtin_scorecards
from domain.import_profiles import FIELDS, ImportProfile
from domain.placements import PlacementRow, judge_row
from domain.scoring import DebtorFacts, RiskLevel
from domain.scoring.facts import FACT_NAMES
from sandbox.portfolio_tables import CARDS, SHARES, Distribution
from sandbox.portfolios import AS_OF, CHUNK_ROWS, DEFECTS, Written, write_portfolio

PROFILE = ImportProfile()
PUBLISHED_SHA256 = "3d948a08d81d4cd5aab253072a973b41e57c00e34c77ca65db06955e7d4455d0"
SCORECARD = builtin_scorecards()["recovery-v1"]


def portfolio(rows: int, seed: int = 7, **options: object) -> tuple[bytes, Written]:
    buffer = io.BytesIO()
    written = write_portfolio(buffer, rows=rows, seed=seed, **options)  # type: ignore[arg-type]
    return buffer.getvalue(), written


def records(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def placements(content: bytes) -> list[PlacementRow]:
    judged = [judge_row(cells, PROFILE, line=n) for n, cells in enumerate(records(content), start=2)]
    assert [problems for _, problems in judged if problems] == []
    return [row for row, _ in judged if row]


def score(row: PlacementRow) -> tuple[int, RiskLevel]:
    facts = DebtorFacts(**{name: getattr(row, name) for name in FACT_NAMES})
    found = SCORECARD.score(facts, row.original_amount)
    return found.total, found.level


def test_the_same_arguments_make_the_same_bytes() -> None:
    first, _ = portfolio(1_000, bad_rows=20)
    assert portfolio(1_000, bad_rows=20)[0] == first
    assert portfolio(1_000, seed=8, bad_rows=20)[0] != first
    assert portfolio(1_000, bad_rows=20, distribution=Distribution.LOW_RISK)[0] != first


def test_the_bytes_do_not_change_from_one_release_to_the_next() -> None:
    content, _ = portfolio(500, seed=42, bad_rows=26)
    assert hashlib.sha256(content).hexdigest() == PUBLISHED_SHA256


@pytest.mark.parametrize("distribution", Distribution)
def test_every_row_is_a_placement_without_warnings(distribution: Distribution) -> None:
    content, written = portfolio(3_000, distribution=distribution)
    rows = placements(content)
    assert len(rows) == written.rows == 3_000
    assert written.bad == {}
    assert len({row.external_ref for row in rows}) == 3_000
    assert set(records(content)[0]) == set(FIELDS) - {"record_type"}, "nothing but placements"


def test_bad_rows_are_counted_and_each_is_refused_for_its_own_reason() -> None:
    content, written = portfolio(2_000, bad_rows=3 * len(DEFECTS))
    assert written.bad == dict.fromkeys(DEFECTS, 3)
    refused = Counter[str]()
    for n, cells in enumerate(records(content), start=2):
        row, problems = judge_row(cells, PROFILE, line=n)
        if row is None:
            (problem,) = problems
            refused[problem.column] += 1
    assert refused == Counter(d.column for d in DEFECTS.values() for _ in range(3))


def test_all_rows_may_be_bad() -> None:
    content, written = portfolio(13, bad_rows=13)
    assert sum(written.bad.values()) == 13
    assert all(
        judge_row(cells, PROFILE, line=n)[0] is None for n, cells in enumerate(records(content), start=2)
    )


def test_risk_follows_the_distribution() -> None:
    totals = {}
    levels = {}
    for distribution in Distribution:
        scores = [score(row) for row in placements(portfolio(3_000, distribution=distribution)[0])]
        totals[distribution] = mean(total for total, _ in scores)
        levels[distribution] = Counter(level for _, level in scores)
    low, balanced, high = (
        totals[d] for d in (Distribution.LOW_RISK, Distribution.BALANCED, Distribution.HIGH_RISK)
    )
    assert low + 40 < balanced < high - 40
    assert levels[Distribution.HIGH_RISK].most_common(1)[0][0] in (RiskLevel.HIGH, RiskLevel.CRITICAL)
    assert levels[Distribution.LOW_RISK].most_common(1)[0][0] == RiskLevel.LOW
    assert set(levels[Distribution.BALANCED]) == set(RiskLevel)


def test_every_category_occurs_in_the_scorecard() -> None:
    known = {f.fact: f.categories for f in SCORECARD.factors if f.kind == "category"}
    for mix in SHARES[Distribution.BALANCED]:
        for fact, categories in known.items():
            assert set(getattr(mix, fact)) - {None} <= set(categories)


def test_a_debtor_has_one_set_of_facts_and_some_owe_more_than_once() -> None:
    by_ref = defaultdict[str, list[PlacementRow]](list)
    for row in placements(portfolio(3_000)[0]):
        if row.debtor_ref:
            by_ref[row.debtor_ref].append(row)
    same = ("debtor_name", "debtor_email", "debtor_ssn_last4", "address_line1", *FACT_NAMES)
    for rows in by_ref.values():
        assert len({tuple(getattr(row, name) for name in same) for row in rows}) == 1
    shared = sum(len(rows) > 1 for rows in by_ref.values())
    assert 0.05 < shared / len(by_ref) < 0.25
    assert 0.4 < sum(map(len, by_ref.values())) / 3_000 < 0.7


def test_nobody_can_be_reached_by_mistake() -> None:
    rows = placements(portfolio(2_000)[0])
    for row in rows:
        if row.debtor_email:
            assert row.debtor_email.rpartition("@")[2] in ("example.com", "example.net", "example.org")
        if row.debtor_phone:
            assert row.debtor_phone[5:10] == "55501"
            assert phonenumbers.is_valid_number(phonenumbers.parse(row.debtor_phone))
    assert any(row.debtor_email for row in rows)
    assert any(row.debtor_phone for row in rows)


def test_dates_are_in_the_order_of_events() -> None:
    for row in placements(portfolio(2_000)[0]):
        assert row.due_date
        assert row.itemization_date
        assert row.due_date < AS_OF
        assert row.charge_off_date is None or row.due_date < row.charge_off_date < AS_OF
        assert row.last_payment_date is None or row.last_payment_date < row.due_date
        assert row.itemization_date <= AS_OF


def test_options_of_a_creditor() -> None:
    content, _ = portfolio(200, prefix="NL", creditors=(CARDS,), as_of=date(2020, 3, 1))
    rows = placements(content)
    assert rows[0].external_ref == "NL-0000001"
    assert {row.creditor_name for row in rows} == {CARDS.name}
    assert all(CARDS.low <= row.original_amount <= CARDS.high for row in rows)
    assert len({row.original_amount % 1 for row in rows}) > 50
    assert all(row.due_date and row.due_date < date(2020, 3, 1) for row in rows)


def test_chunks_leave_no_seam() -> None:
    rows = CHUNK_ROWS + 10
    steps: list[int] = []
    content, _ = portfolio(rows, on_rows=steps.append)
    found = records(content)
    assert [r["external_ref"] for r in found] == [f"RCP-{n:07d}" for n in range(1, rows + 1)]
    assert steps == [CHUNK_ROWS, rows]
    assert content.count(b"external_ref") == 1


def test_no_rows_are_a_header() -> None:
    content, written = portfolio(0)
    assert content.count(b"\n") == 1
    assert set(content.decode().strip().split(",")) == set(FIELDS) - {"record_type"}
    assert written == Written(0, {})


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"rows": -1}, "rows must be"),
        ({"rows": 1, "bad_rows": 2}, "bad_rows between"),
        ({"rows": 1, "bad_rows": -1}, "bad_rows between"),
        ({"rows": 1, "prefix": "a,b"}, "prefix must be"),
        ({"rows": 1, "prefix": "{}"}, "prefix must be"),
    ],
)
def test_impossible_orders_are_refused(options: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        portfolio(**options)  # type: ignore[arg-type]


def test_debts_are_mostly_small() -> None:
    amounts = sorted(row.original_amount for row in placements(portfolio(2_000)[0]))
    assert amounts[1_000] < mean(amounts)
    assert amounts[0] > Decimal(0)
