"""The batch form against the pure form, on a real PostgreSQL."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import cycle, product
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import namedtuple_row

from db.scorecard_files import builtin_scorecards
from db.scorecard_sql import score_sql
from domain.scoring import DebtorFacts, Scorecard
from domain.scoring.factors import CategoryFactor
from domain.scoring.facts import FACT_NAMES
from sandbox.postgres import SUPERUSER, Postgres

CARDS = builtin_scorecards()
CENT = Decimal("0.01")
Row = tuple[DebtorFacts, Decimal]
Connection = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def connection(postgres_server: Postgres) -> Iterator[Connection]:
    with psycopg.connect(
        postgres_server.url(SUPERUSER, "postgres"), row_factory=namedtuple_row
    ) as connection:
        connection.execute(
            """
            CREATE TEMPORARY TABLE facts (
                n integer, balance numeric(14, 2), monthly_income numeric(14, 2), late_payments_count integer,
                employment_status text, contract_type text, industry_sector text, family_situation text)
            """
        )
        yield connection


def batch_scores(
    connection: Connection,
    card: Scorecard,
    rows: Sequence[Row],
    threshold: Decimal | None = None,
) -> list[tuple[Any, ...]]:
    connection.execute("TRUNCATE facts")
    with connection.cursor().copy("COPY facts FROM STDIN") as copy:
        for n, (facts, balance) in enumerate(rows):
            copy.write_row((n, balance, *(getattr(facts, name) for name in FACT_NAMES)))
    expression = score_sql(card, balance="f.balance", debtor="f", threshold=threshold)
    found = connection.execute(
        "SELECT total, level, priority, rank, high_priority, points, rank / 100.0 AS priority_score"  # noqa: S608 (its own text)
        f" FROM facts f CROSS JOIN LATERAL {expression} s ORDER BY n".encode()
    )
    return found.fetchall()


def single_scores(
    card: Scorecard, rows: Sequence[Row], threshold: Decimal | None = None
) -> list[tuple[Any, ...]]:
    scores = [card.score(facts, balance, threshold=threshold) for facts, balance in rows]
    return [
        (s.total, s.level, s.priority, s.rank, s.high_priority, list(s.points), s.priority_score)
        for s in scores
    ]


def categories(card: Scorecard) -> list[list[str | None]]:
    """The categories of each categorical factor, one that it does not know, and none at all."""
    return [[*f.categories, "ALCHEMY", None] for f in card.factors if isinstance(f, CategoryFactor)]


@pytest.mark.parametrize("name", CARDS)
def test_every_combination_of_categories_scores_alike(connection: Connection, name: str) -> None:
    income = Decimal("1333.33")
    debts = cycle(
        [
            *((income, k * income + d) for k in (1, 3, 6) for d in (-CENT, Decimal(0), CENT)),
            *((i, Decimal("99999.99")) for i in (income, Decimal(0), Decimal(-1), None)),
            (income, Decimal(0)),
        ]
    )
    late = cycle([0, 1, 2, 3, 5, 6, 40, None, -1])
    rows = []
    for employment, contract, industry, family in product(*categories(CARDS["recovery-v1"])):
        monthly_income, balance = next(debts)
        facts = DebtorFacts(
            monthly_income=monthly_income,
            late_payments_count=next(late),
            employment_status=employment,
            contract_type=contract,
            industry_sector=industry,
            family_situation=family,
        )
        rows.append((facts, balance))
    assert len(rows) == 8 * 6 * 19 * 10
    expected = single_scores(CARDS[name], rows)
    assert batch_scores(connection, CARDS[name], rows) == expected
    assert {row[2] for row in expected} == {0, 1, 2, 3}
    assert len({row[1] for row in expected}) == 4


amounts = st.one_of(
    st.sampled_from([Decimal(k) + d for k in (1000, 3000, 6000) for d in (-CENT, Decimal(0), CENT)]),
    st.sampled_from([Decimal(0), CENT, Decimal("999999999999.99")]),
    st.decimals(0, Decimal("999999999999.99"), places=2),
    st.decimals(0, 20000, places=2),
)
facts_and_balances = st.tuples(
    st.builds(
        DebtorFacts,
        monthly_income=st.none()
        | st.decimals(-100, 20000, places=2)
        | st.sampled_from([Decimal(1000), Decimal(0), CENT, -CENT]),
        late_payments_count=st.none() | st.integers(-1, 10) | st.integers(0, 2**31 - 1),
        employment_status=st.none() | st.sampled_from(["EMPLOYED", "employed", "UNEMPLOYED", "'", ""]),
        contract_type=st.none() | st.sampled_from(["PERMANENT", "FREELANCE", "\\"]),
        industry_sector=st.none() | st.sampled_from(["ENERGY", "ENTERTAINMENT", "%s"]),
        family_situation=st.none() | st.sampled_from(["MARRIED_DUAL_INCOME", ":family"]),
    ),
    amounts,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(facts_and_balances, min_size=1, max_size=200),
    name=st.sampled_from(sorted(CARDS)),
    threshold=st.none() | amounts,
)
def test_batch_and_single_form_agree(
    connection: Connection, rows: list[Row], name: str, threshold: Decimal | None
) -> None:
    assert batch_scores(connection, CARDS[name], rows, threshold) == single_scores(
        CARDS[name], rows, threshold
    )


def test_the_threshold_itself_is_not_above_the_threshold(connection: Connection) -> None:
    card = CARDS["recovery-v1"]
    rows = [(DebtorFacts(), Decimal("100.00")), (DebtorFacts(), Decimal("100.01"))]
    found = batch_scores(connection, card, rows, threshold=225 * Decimal("100.00"))
    assert [(row.high_priority, row.priority) for row in found] == [(False, 0), (True, 2)]  # type: ignore[attr-defined]


def test_identifiers_are_quoted(connection: Connection) -> None:
    odd = 'f"; DROP TABLE facts; --'
    expression = score_sql(CARDS["recovery-v1"], balance=f"{odd}.balance", debtor=odd)
    quoted = '"' + odd.replace('"', '""') + '"'
    connection.execute("TRUNCATE facts")
    connection.execute("INSERT INTO facts (balance) VALUES (10)")
    found = connection.execute(
        f"SELECT total FROM facts {quoted} CROSS JOIN LATERAL {expression} s".encode()  # noqa: S608 (its own text)
    ).fetchall()
    assert [tuple(row) for row in found] == [(225,)]


def test_the_text_holds_no_placeholder_of_any_driver() -> None:
    for card in CARDS.values():
        assert not set(score_sql(card)) & set("%:?$\\;")
