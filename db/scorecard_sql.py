"""The batch form of a scorecard: SQL compiled from the same definition that scores one account.

A million rows are scored where they lie. The text is assembled from a validated ``Scorecard``;
constants are quoted as literals by psycopg and identifiers as identifiers, so it holds no
placeholders and can be put into any statement.
"""

from decimal import Decimal
from typing import LiteralString

from psycopg import sql

from domain.money import cents
from domain.scoring import Scorecard
from domain.scoring.factors import Bin, CategoryFactor, Factor, NumberFactor, RatioFactor
from domain.scoring.recovery import CERTAIN
from domain.scoring.scores import URGENT_LEVELS


def score_sql(
    card: Scorecard, *, balance: str = "a.balance", debtor: str = "d", threshold: Decimal | None = None
) -> str:
    """A parenthesis to join laterally, that gives the score of each row of the query around it.

    ``SELECT a.id, s.total FROM account a JOIN debtor d ON … CROSS JOIN LATERAL {score_sql(card)} s``

    Columns: ``total`` integer, ``level`` text, ``priority`` smallint 0–3, ``rank`` bigint (cents, so
    ``rank / 100.0`` is the priority score), ``high_priority`` boolean, ``points`` smallint[] in the order
    of the factors. They equal ``Scorecard.score`` for every balance of at least zero and at most two
    decimals.

    ``balance`` is the dotted name of a numeric column, never null; ``debtor`` the alias of a
    relation with the columns named in ``domain.scoring.facts``; ``threshold`` replaces the
    scorecard's own, at most two decimals, else ``ValueError``.
    """
    held = sql.Identifier(*balance.split("."))
    limit = cents(card.limit(threshold))
    names = [sql.Identifier(f"p{i}") for i, _ in enumerate(card.factors)]
    points = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(_points(factor, held, debtor), name)
        for factor, name in zip(card.factors, names, strict=True)
    )
    # OFFSET 0 keeps the planner from flattening a level into the next, which would evaluate every
    # factor again for each column made of the total: 2 s became 9 on a million rows.
    body = sql.SQL(
        "(SELECT total, {level} AS level, {priority} AS priority, rank, rank > {limit} AS high_priority,"
        " points"
        " FROM (SELECT total, {rank} AS rank, points"
        " FROM (SELECT {total} AS total, CAST(ARRAY[{names}] AS smallint[]) AS points"
        " FROM (SELECT {facts} OFFSET 0) AS f OFFSET 0) AS t) AS r)"
    ).format(
        level=_level(card),
        priority=_priority(card, limit),
        limit=sql.Literal(limit),
        rank=_rank(card, held),
        total=_total(card, names),
        names=sql.SQL(", ").join(names),
        facts=points,
    )
    return body.as_string()


def _points(factor: Factor, balance: sql.Composable, debtor: str) -> sql.Composed:
    fact = sql.Identifier(debtor, factor.fact)
    match factor:
        case CategoryFactor():
            return _category_points(factor, fact)
        case NumberFactor():
            cases = [_when("{} IS NULL", factor.missing, fact)]
            return _case(cases + [_bin(b, "{fact} <= {bound}", fact=fact) for b in factor.bins])
        case RatioFactor():
            cases = [_when("{} IS NULL", factor.missing, fact), _when("{} <= 0", factor.not_positive, fact)]
            ratio = "{balance} <= {bound} * {fact}"
            return _case(cases + [_bin(b, ratio, fact=fact, balance=balance) for b in factor.bins])


def _category_points(factor: CategoryFactor, fact: sql.Composable) -> sql.Composed:
    """The simple form of CASE: one value compared with each category; a null equals none of them."""
    cases = [
        sql.SQL("WHEN {} THEN {}").format(sql.Literal(category), sql.Literal(points))
        for category, points in factor.categories.items()
    ]
    return sql.SQL("CASE {} {} ELSE {} END").format(
        fact, sql.SQL(" ").join(cases), sql.Literal(factor.missing)
    )


def _bin(held: Bin, condition: LiteralString, **operands: sql.Composable) -> sql.Composed:
    """Bins ascend, so the first whose upper bound holds is the one; the last has none."""
    if held.up_to is None:
        return sql.SQL("ELSE {}").format(sql.Literal(held.points))
    test = sql.SQL(condition).format(bound=sql.Literal(held.up_to), **operands)
    return sql.SQL("WHEN {} THEN {}").format(test, sql.Literal(held.points))


def _when(condition: LiteralString, points: int, *operands: sql.Composable) -> sql.Composed:
    return sql.SQL("WHEN {} THEN {}").format(sql.SQL(condition).format(*operands), sql.Literal(points))


def _case(branches: list[sql.Composed]) -> sql.Composed:
    return sql.SQL("CASE {} END").format(sql.SQL(" ").join(branches))


def _total(card: Scorecard, names: list[sql.Identifier]) -> sql.Composed:
    terms = [
        sql.SQL("{} * {}").format(sql.Literal(factor.weight), name)
        for factor, name in zip(card.factors, names, strict=True)
    ]
    raw = sql.SQL(" + ").join(terms)
    if card.totals is not None:
        table = sql.Literal("{" + ",".join(map(str, card.totals)) + "}")
        return sql.SQL("(CAST({} AS integer[]))[1 + {}]").format(table, raw)
    if card.rescaled_from is None:
        return raw
    return sql.SQL("(2 * ({raw}) * {maximum} + {own}) / (2 * {own})").format(
        raw=raw, maximum=sql.Literal(card.maximum), own=sql.Literal(card.raw_maximum)
    )


def _rank(card: Scorecard, balance: sql.Composable) -> sql.Composed:
    """Whole numbers throughout; a balance is not negative, so dividing them rounds half up."""
    if card.expected_recovery is None:
        return sql.SQL("CAST(total * {} * 100 AS bigint)").format(balance)
    return sql.SQL("(CAST({} * 100 AS bigint) * ({certain} - total) + {half}) / {certain} - {cost}").format(
        balance,
        certain=sql.Literal(CERTAIN),
        half=sql.Literal(CERTAIN // 2),
        cost=sql.Literal(cents(card.expected_recovery.cost_of_work)),
    )


def _level(card: Scorecard) -> sql.Composed:
    """Totals are whole, so each percentage becomes a whole limit: rounded down it divides them alike."""
    cases = [
        sql.SQL("WHEN total <= {} THEN {}").format(
            sql.Literal(band.up_to_percent * card.maximum // 100), sql.Literal(band.level.value)
        )
        for band in card.levels[:-1]
    ]
    return _case([*cases, sql.SQL("ELSE {}").format(sql.Literal(card.levels[-1].level.value))])


def _priority(card: Scorecard, limit_cents: int) -> sql.Composed:
    """The rule of ``domain.scoring.scores``: 2 for the money, 1 for the risk."""
    calm_percent = max(
        (band.up_to_percent for band in card.levels if band.level not in URGENT_LEVELS), default=0
    )
    return sql.SQL(
        "CAST(CASE WHEN rank > {} THEN 2 ELSE 0 END + CASE WHEN total > {} THEN 1 ELSE 0 END AS smallint)"
    ).format(sql.Literal(limit_cents), sql.Literal(calm_percent * card.maximum // 100))
