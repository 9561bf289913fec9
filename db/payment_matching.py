"""A bank's lines about money against our payments, and the processor's books beside both."""

from db import payment_breaks_sql as breaks
from db import payment_lines_sql as lines
from db import payment_matching_sql as sql
from db.account_matching import Matched
from db.account_matching_sql import FOUND
from db.matching_steps import Steps
from domain.partner_rules import PartnerRuleBook, PaymentMatching


async def find(steps: Steps, rules: PartnerRuleBook, *, full: bool) -> Matched:
    """Fill ``matched`` and ``found``: every line with its payment, every difference between the two."""
    matching = rules.matching.payments
    steps.values |= {"window": matching.window_days, "methods": [m.value for m in matching.methods]}
    for statement in (
        lines.STATED,
        sql.ITEM,
        *sql.TABLES,
        lines.KNOWN,
        lines.REPEATS,
        *lines.SET_ASIDE,
        FOUND,
    ):
        await steps.run(statement)
    await _by_reference(steps, rules)
    await _without_reference(steps, matching)
    for statement in lines.TELL_REPEATS:
        await steps.run(statement)
    await steps.run("ANALYZE matched, candidate, untold")
    await steps.run(breaks.DIFFERENCES)
    await steps.run(breaks.LINES)
    await steps.run(breaks.UNREAD)
    newest = await steps.value(breaks.NEWEST) if full else None
    if newest is not None:
        await steps.run(breaks.NOT_THERE, newest=newest, since=await steps.value(breaks.SINCE))
    await steps.run("ANALYZE found")
    by_rule = [row._asdict() for row in await steps.rows(_BY_RULE)]
    three_way = (await steps.rows(breaks.THREE_WAY))[0]._asdict()
    return Matched(sum(row["count"] for row in by_rule), 0, {"matched_by": by_rule, "three_way": three_way})


async def keep(steps: Steps) -> None:
    """Keep which line is which payment."""
    for statement in breaks.KEEP:
        await steps.run(statement)


async def gone(steps: Steps, *, full: bool) -> None:
    """Fill ``gone``: open breaks that the comparison, made anew, has not found again."""
    await steps.run(breaks.GONE, full=full)


async def _by_reference(steps: Steps, rules: PartnerRuleBook) -> None:
    await steps.run(sql.BY_REFERENCE)
    variants = rules.matching.variants
    if variants is not None:
        await steps.run(sql.variants_sql(variants), prefixes=variants.pattern)
    await steps.run(sql.NARROW)
    await steps.run(sql.SEVERAL)
    await steps.run(sql.TAKE_REFERENCES)
    await steps.run("ANALYZE matched")


async def _without_reference(steps: Steps, matching: PaymentMatching) -> None:
    rules = ["account_amount_date"] if matching.by_account else []
    if matching.by_name and await steps.value(sql.UNNAMED):
        await steps.run(sql.NAMES)
        await steps.run("ANALYZE item")
        rules.append("payer_amount_date")
    for rule in rules:
        await steps.run(sql.fallback_sql(rule))
        if matching.splits:
            await steps.run(sql.splits_sql(rule))


_BY_RULE = """
    SELECT m.rule, count(*) AS count FROM matched m
      JOIN stated s ON s.statement_id = m.statement_id AND s.line = m.line
     WHERE s.new GROUP BY m.rule ORDER BY m.rule
"""
