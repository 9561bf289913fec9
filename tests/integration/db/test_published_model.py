"""The batch form against the published models, written out once more as tables to join.

Every combination of the categories, each with every boundary of the debt ratio and of the late payments.
"""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import namedtuple_row

from db.scorecard_files import builtin_scorecards
from db.scorecard_sql import score_sql
from sandbox.postgres import SUPERUSER, Postgres

Connection = psycopg.Connection[Any]

PRODUCT = """
    CREATE TEMPORARY TABLE product AS
    SELECT employment_status, contract_type, industry_sector, family_situation,
           CAST(monthly_income AS numeric(14, 2)), CAST(balance AS numeric(14, 2)), late_payments_count,
           employment, contract, industry, family, ratio, late
      FROM (VALUES ('GOVERNMENT_EMPLOYED', 1), ('EMPLOYED', 2), ('RETIRED', 4), ('SELF_EMPLOYED', 5),
                   ('STUDENT', 7), ('UNEMPLOYED', 9)) e(employment_status, employment),
           (VALUES ('PERMANENT', 2), ('CONTRACT', 5), ('TEMPORARY', 7), ('FREELANCE', 8))
                   c(contract_type, contract),
           (VALUES ('GOVERNMENT', 1), ('HEALTHCARE', 2), ('UTILITIES', 2), ('EDUCATION', 2),
                   ('INSURANCE', 3), ('TECHNOLOGY', 3), ('FINANCE', 4), ('PROFESSIONAL_SERVICES', 4),
                   ('TELECOMMUNICATIONS', 4), ('MANUFACTURING', 5), ('TRANSPORTATION', 5), ('ENERGY', 6),
                   ('RETAIL', 7), ('REAL_ESTATE', 7), ('HOSPITALITY', 8), ('CONSTRUCTION', 8),
                   ('ENTERTAINMENT', 9)) i(industry_sector, industry),
           (VALUES ('MARRIED_DUAL_INCOME', 1), ('MARRIED_SINGLE_INCOME', 3), ('SINGLE_NO_DEPENDENTS', 4),
                   ('UNMARRIED_LIVING_TOGETHER', 5), ('DIVORCED_NO_DEPENDENTS', 5),
                   ('SINGLE_WITH_DEPENDENTS', 8), ('DIVORCED_WITH_DEPENDENTS', 9),
                   ('WIDOWED_WITH_DEPENDENTS', 9)) f(family_situation, family),
           (VALUES (1333.33, 0.00, 2), (1333.33, 1333.32, 2), (1333.33, 1333.33, 2), (1333.33, 1333.34, 5),
                   (1333.33, 3999.98, 5), (1333.33, 3999.99, 5), (1333.33, 4000.00, 7),
                   (1333.33, 7999.97, 7), (1333.33, 7999.98, 7), (1333.33, 7999.99, 10),
                   (0.01, 0.01, 2), (0.01, 0.02, 5), (0.01, 0.03, 5), (0.01, 0.04, 7), (0.01, 0.06, 7),
                   (0.01, 0.07, 10), (166666666666.66, 999999999999.96, 7),
                   (166666666666.66, 999999999999.97, 10), (0.00, 250.00, 10), (0.00, 0.00, 10),
                   (-10.00, 250.00, 10), (NULL, 250.00, 5)) d(monthly_income, balance, ratio),
           (VALUES (0, 1), (1, 4), (2, 4), (3, 7), (5, 7), (6, 10), (40, 10), (NULL, 5))
                   l(late_payments_count, late)
"""
ROWS = 6 * 4 * 17 * 8 * 22 * 8

WITHOUT_FAMILY = "9 * ratio + 9 * late + 8 * employment + 7 * contract + 6 * industry"
LOG_ODDS = "(-200 + 12 * ratio + 14 * late + 10 * employment + 6 * contract + 4 * industry) / 100.0"
FACTORS = "ratio, late, employment, contract, industry"


class Published:
    """A model as it is published: total, maximum, rank in cents, threshold in cents, points."""

    def __init__(self, total: str, maximum: int, rank: str, threshold: int, points: str = FACTORS) -> None:
        self.total = total
        self.maximum = maximum
        self.rank = rank
        self.threshold = threshold
        self.points = points


MODELS = {
    "recovery-v1": Published(
        f"{WITHOUT_FAMILY} + 6 * family", 450, "total * balance * 100", 50_000_000, f"{FACTORS}, family"
    ),
    "recovery-v1-ecoa": Published(
        f"round(({WITHOUT_FAMILY}) * 450 / 390.0)", 450, "total * balance * 100", 50_000_000
    ),
    "expected-recovery": Published(
        f"round(CAST(10000 / (1 + exp(CAST(-{LOG_ODDS} AS float8))) AS numeric))",
        10_000,
        "round(balance * (10000 - total) / 100) - 2500",
        100_000,
    ),
}


@pytest.fixture(scope="module")
def connection(postgres_server: Postgres) -> Iterator[Connection]:
    url = postgres_server.url(SUPERUSER, "postgres")
    with psycopg.connect(url, row_factory=namedtuple_row) as connection:
        connection.execute(PRODUCT)
        yield connection


def test_each_builtin_scorecard_is_published_here() -> None:
    assert set(MODELS) == set(builtin_scorecards())


@pytest.mark.parametrize("name", MODELS)
def test_every_combination_scores_as_published(connection: Connection, name: str) -> None:
    model = MODELS[name]
    share = f"total * 100 / {model.maximum}.0"
    urgent = "CASE WHEN level IN ('HIGH', 'CRITICAL') THEN 1 ELSE 0 END"
    expected = f"""
        SELECT *, CASE WHEN rank > {model.threshold} THEN 2 ELSE 0 END + {urgent} AS priority
          FROM (SELECT *, {model.rank} AS rank,
                       CASE WHEN {share} <= 30 THEN 'LOW' WHEN {share} <= 60 THEN 'MEDIUM'
                            WHEN {share} <= 80 THEN 'HIGH' ELSE 'CRITICAL' END AS level
                  FROM (SELECT *, {model.total} AS total FROM product OFFSET 0) t) r"""  # noqa: S608 (its own text)
    scored = score_sql(builtin_scorecards()[name], balance="p.balance", debtor="p")
    found = connection.execute(
        f"""
        SELECT count(*) AS rows,
               count(*) FILTER (
                   WHERE s.total <> p.total OR s.level <> p.level OR s.rank <> p.rank
                      OR s.priority <> p.priority OR s.high_priority <> (p.rank > {model.threshold})
                      OR s.points <> ARRAY[{model.points}]::smallint[]) AS different,
               count(DISTINCT s.level) AS levels, count(DISTINCT s.priority) AS priorities
          FROM ({expected}) p CROSS JOIN LATERAL {scored} s
        """.encode()  # noqa: S608 (its own text)
    ).fetchone()
    assert found == (ROWS, 0, 4, 4)
