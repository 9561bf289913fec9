"""A partner's accounts against ours: paired, judged, and what became of earlier breaks."""

from dataclasses import dataclass
from typing import Any

from db import account_matching_sql as sql
from db import account_pairing_sql as pairing
from db.matching_steps import Steps
from domain.partner_rules import PartnerRuleBook, Variants


@dataclass(frozen=True, slots=True)
class Matched:
    """Lines with their account or payment found, those behind what was said before, and by which rule."""

    matched: int
    older: int
    report: dict[str, Any]


async def find(steps: Steps, rules: PartnerRuleBook, *, full: bool) -> Matched:
    """Fill ``pair`` and ``found``: every line with its account, every difference between the two."""
    await steps.run(pairing.PAIR)
    await steps.run("ANALYZE pair")
    for statement in (*pairing.TABLES, sql.FOUND, *pairing.UNREAD):
        await steps.run(statement)
    variants = rules.matching.variants
    if variants is not None and await steps.value("SELECT EXISTS (SELECT FROM unread_reference)"):
        await steps.run(pairing.unread_variants_sql(variants), prefixes=variants.pattern)
    await _fall_back(steps, variants)
    await _dedupe(steps)
    older = await steps.run(sql.OLDER)
    if full:
        await steps.run(pairing.RESTATED)
    matched = (await steps.rows(_COUNTED))[0]
    by_rule = [row._asdict() for row in await steps.rows(_BY_RULE)]
    await steps.run(sql.DIFFERENCES)
    await steps.run(sql.NOT_HERE)
    if await _names_all(steps, full=full):
        await steps.run(sql.NOT_THERE, newest=matched.newest)
    await steps.run("ANALYZE found")
    return Matched(matched.matched, older, {"matched_by": by_rule})


async def keep(steps: Steps) -> None:
    """Keep what the partner has said last of each account."""
    await steps.run(sql.KEEP)


async def gone(steps: Steps, *, full: bool) -> None:
    """Fill ``gone``: open breaks that the statement shows to be no more."""
    await steps.run(sql.GONE, full=await _names_all(steps, full=full))


async def _names_all(steps: Steps, *, full: bool) -> bool:
    """Whether what is not named is missed: there is a file (one without any line is meant to be empty), or
    messages of a partner that sends no files.
    """
    return full and bool(await steps.value(_NAMES_ALL))


async def _fall_back(steps: Steps, variants: Variants | None) -> None:
    if await steps.value(_SEVERAL_CREDITORS):
        await steps.run(pairing.SEVERAL)
    left = await steps.value("SELECT count(*) FROM pair WHERE account_id IS NULL")
    if left:
        async with steps.joining(left):
            await _find_others(steps, variants)


async def _find_others(steps: Steps, variants: Variants | None) -> None:
    await steps.run("ANALYZE pair")
    await steps.run(pairing.BY_DEBTOR)
    await steps.run(pairing.BY_ID)
    if variants is not None:
        await steps.run(pairing.variants_sql(variants), prefixes=variants.pattern)
        await steps.run(pairing.TAKEN_VARIANTS)
    await steps.run("ANALYZE candidate")
    await steps.run(pairing.CHOOSE)
    for statement in pairing.AMBIGUOUS:
        await steps.run(statement)
    await steps.run(pairing.TAKE_CHOSEN)


async def _dedupe(steps: Steps) -> None:
    if await steps.run(sql.TWICE):
        await steps.run(sql.NEWEST_COUNTS)
        await steps.run(sql.DUPLICATES)


_SEVERAL_CREDITORS = "SELECT count(*) > 1 FROM creditor c WHERE c.agency_id = %(agency)s"

_NAMES_ALL = """
    SELECT EXISTS (SELECT FROM statement s
                    WHERE s.agency_id = %(agency)s AND s.id = ANY (%(statements)s) AND s.channel = 'file'
                      AND (s.lines = 0 OR s.lines > s.problems))
           OR EXISTS (SELECT FROM pair)
          AND NOT EXISTS (SELECT FROM statement s
                           WHERE s.agency_id = %(agency)s AND s.partner_id = %(partner)s
                             AND s.channel = 'file' AND s.state IN ('staged', 'closed'))
"""

_COUNTED = """
    SELECT count(p.account_id) FILTER (WHERE p.stated) AS matched,
           COALESCE(max(p.at), (SELECT max(COALESCE(s.newest_at, to_timestamp(s.file_mtime), s.created_at))
                                  FROM statement s
                                 WHERE s.agency_id = %(agency)s AND s.id = ANY (%(statements)s))) AS newest
      FROM pair p
"""

_BY_RULE = """
    SELECT p.rule, count(*) AS count FROM pair p
     WHERE p.account_id IS NOT NULL AND p.stated GROUP BY p.rule ORDER BY p.rule
"""
