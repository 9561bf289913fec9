"""What a matching has found, kept as breaks: opened, seen again, resolved by rules, cured."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from db.matching_steps import Steps
from domain.partner_rules import PartnerRuleBook, ResolvableKind, ResolveRule
from domain.reconciliation import BreakKind

Json = dict[str, Any]

LISTED_RUNS = 100
"""Of so many earlier runs of a partner it is kept what they found."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a matching came to in breaks; ``found`` are all that stand or were resolved by its rules."""

    found: int
    opened: int
    resolved: int
    cured: int
    left_alone: int


async def mark_resolvable(steps: Steps, rules: PartnerRuleBook, now: datetime) -> None:
    """Mark what the rules resolve: each difference by the first rule that names its cause."""
    for rule in rules.resolve:
        condition, values = _condition(rules, rule, now)
        statement = f"""
            UPDATE found f SET resolves = %(label)s
             WHERE f.resolves IS NULL AND f.kind = %(kind)s AND {condition}
               AND (%(up_to)s::numeric IS NULL
                    OR f.value <= %(up_to)s)
        """
        await steps.run(
            statement, kind=rule.kind.value, label=f"rule: {rule.label}", up_to=rule.up_to, **values
        )


def _condition(rules: PartnerRuleBook, rule: ResolveRule, now: datetime) -> tuple[str, Json]:
    if rule.kind is ResolvableKind.TIMING:
        return "f.theirs_at >= %(since)s", {"since": now - timedelta(days=rule.within_days or 0)}
    fees = [fee for fee in rules.known_fees() if rule.fee in {None, fee.name}]
    condition = """
        EXISTS (SELECT FROM unnest(%(fixed)s::numeric[], %(rate)s::numeric[]) AS x (fixed, rate)
                 WHERE abs(f.theirs - f.ours) = round(x.fixed + x.rate * abs(f.ours) / 100, 2))
    """
    return condition, {"fixed": [fee.fixed for fee in fees], "rate": [fee.percent for fee in fees]}


async def lock(steps: Steps) -> None:
    """Lock the partner's open breaks: until the matching has ended nobody resolves one.

    Done first, so that what people decide is in what the matching sees, or waits for what it writes.
    """
    await steps.run(_LOCK)


async def write(steps: Steps) -> Written:
    """Write what was found (table ``found``) and what is gone (table ``gone``) to the partner's breaks."""
    await steps.run(_TAKEN)
    if await steps.value(_ANY_BREAK):
        await steps.run(_REFRESH)
        await steps.run(_RESOLVED_BEFORE)
        await steps.run(_EXPLAINED)
        await steps.run("ANALYZE taken")
        await steps.run(_CURE)
    await steps.run(_OPEN)
    await steps.run(_WITHDRAW)
    await steps.run(_AUDIT)
    await steps.run(_FORGET, listed=LISTED_RUNS)
    counted = (await steps.rows(_COUNTED))[0]
    return Written(
        found=counted.found,
        opened=counted.opened,
        resolved=counted.resolved,
        cured=counted.cured,
        left_alone=counted.left_alone,
    )


async def report(steps: Steps) -> Json:
    """What was found, by kind and by cause; amounts as texts, per currency."""
    return {
        "kinds": [row._asdict() for row in await steps.rows(_BY.format(what="f.kind", name="kind"))],
        "causes": [row._asdict() for row in await steps.rows(_BY.format(what="f.cause", name="cause"))],
    }


_TAKEN = """
    CREATE TEMPORARY TABLE taken (kind text, subject text, how text, PRIMARY KEY (kind, subject))
        ON COMMIT DROP
"""

_ANY_BREAK = """
    SELECT EXISTS (SELECT FROM reconciliation_break b
                    WHERE b.agency_id = %(agency)s AND b.partner_id = %(partner)s AND b.source = 'partner')
"""

_LOCK = """
    SELECT count(*) FROM (
        SELECT FROM reconciliation_break b
         WHERE b.agency_id = %(agency)s AND b.partner_id = %(partner)s AND b.source = 'partner'
           AND b.state <> 'resolved' FOR UPDATE) locked
"""

_SIDES = "({0}.ours, {0}.theirs, {0}.ours_status, {0}.theirs_status)"
_SAME = f"{_SIDES.format('b')} IS NOT DISTINCT FROM {_SIDES.format('f')}"

# A difference in an amount is one break as long as it is there, whatever explains it by now; so is what they
# do not name.
_AMOUNTS = f"'{BreakKind.BALANCE}', '{BreakKind.TIMING}', '{BreakKind.FEE}'"
_SAME_MATTER = f"""
    (b.kind = f.kind
     OR CASE WHEN 'not_named' IN (b.rule, f.rule) THEN b.rule = f.rule
             ELSE b.kind IN ({_AMOUNTS}) AND f.kind IN ({_AMOUNTS}) END)
"""

# What a run has found is listed with it, whatever later runs find again.
_LIST = """
    INSERT INTO partner_run_break (run_id, break_id, agency_id)
    SELECT %(run)s, id, %(agency)s FROM {what}
"""
_LISTED = f"listed AS ({_LIST})"

# What runs long ago have found is forgotten, a few runs at a time; breaks know who opened them.
_FORGET = """
    DELETE FROM partner_run_break l
     USING (SELECT r.id FROM partner_reconciliation r
             WHERE r.agency_id = %(agency)s AND r.partner_id = %(partner)s AND r.status = 'completed'
             ORDER BY r.created_at DESC, r.id DESC OFFSET %(listed)s LIMIT 3) r
     WHERE l.agency_id = %(agency)s AND l.run_id = r.id
"""

_REFRESH = f"""
    WITH refreshed AS (
        UPDATE reconciliation_break b
           SET kind = f.kind, seen_at = now(), seen_run_id = %(run)s, account_ref = f.account_ref,
               statement_id = f.statement_id, line = f.line, ours = f.ours, theirs = f.theirs,
               ours_status = f.ours_status, theirs_status = f.theirs_status, theirs_at = f.theirs_at,
               difference = COALESCE(f.theirs, 0) - COALESCE(f.ours, 0), value = f.value,
               currency = f.currency, rule = f.rule, probable_cause = f.cause,
               version = b.version
                       + CASE WHEN {_SAME} AND b.kind = f.kind AND f.resolves IS NULL THEN 0 ELSE 1 END,
               state = CASE WHEN f.resolves IS NULL THEN b.state ELSE 'resolved' END,
               resolution = CASE WHEN f.resolves IS NOT NULL THEN 'rule' END,
               resolution_note = f.resolves,
               resolved_by = CASE WHEN f.resolves IS NOT NULL THEN %(actor)s END,
               resolved_at = CASE WHEN f.resolves IS NOT NULL THEN now() END
          FROM found f
         WHERE b.agency_id = %(agency)s AND b.partner_id = %(partner)s AND b.source = 'partner'
           AND b.state <> 'resolved' AND b.subject = f.subject AND {_SAME_MATTER}
        RETURNING b.id, b.kind, b.subject, b.resolution),
    {_LISTED.format(what="refreshed")}
    INSERT INTO taken
    SELECT kind, subject, CASE WHEN resolution IS NULL THEN 'seen' ELSE 'ruled' END FROM refreshed
"""

# The same difference, resolved by a rule before, is the same break: it is not counted up day by day.
_RESOLVED_BEFORE = f"""
    WITH latest AS (
        SELECT DISTINCT ON (b.kind, b.subject) b.id, b.kind, b.subject
          FROM found f
          JOIN reconciliation_break b
            ON b.agency_id = %(agency)s AND b.partner_id = %(partner)s AND b.source = 'partner'
           AND b.kind = f.kind AND b.subject = f.subject AND b.resolution = 'rule' AND {_SAME}
          LEFT JOIN taken t ON t.kind = f.kind AND t.subject = f.subject
         WHERE f.resolves IS NOT NULL AND t.kind IS NULL
         ORDER BY b.kind, b.subject, b.id DESC),
    again AS (
        UPDATE reconciliation_break b SET seen_at = now(), seen_run_id = %(run)s
          FROM latest l WHERE b.agency_id = %(agency)s AND b.id = l.id
        RETURNING b.id, b.kind, b.subject),
    {_LISTED.format(what="again")}
    INSERT INTO taken SELECT kind, subject, 'again' FROM again
"""

# What people have explained is not opened again while both sides are as they were then.
_EXPLAINED = f"""
    INSERT INTO taken
    SELECT DISTINCT f.kind, f.subject, 'left'
      FROM found f
      JOIN reconciliation_break b
        ON b.agency_id = %(agency)s AND b.partner_id = %(partner)s AND b.source = 'partner'
       AND b.kind = f.kind AND b.subject = f.subject AND b.resolution = 'explain' AND {_SAME}
    ON CONFLICT DO NOTHING
"""

_OPEN = f"""
    WITH opened AS (
        INSERT INTO reconciliation_break (
               agency_id, source, kind, subject, partner_id, run_id, seen_run_id, account_id, account_ref,
               payment_id, statement_id, line, ours, theirs, ours_status, theirs_status, theirs_at,
               difference, value, currency, rule, probable_cause, state, resolution, resolution_note,
               resolved_by, resolved_at, approval_limit)
        SELECT %(agency)s, 'partner', f.kind, f.subject, %(partner)s, %(run)s, %(run)s, f.account_id,
               f.account_ref, f.payment_id, f.statement_id, f.line, f.ours, f.theirs, f.ours_status,
               f.theirs_status, f.theirs_at, COALESCE(f.theirs, 0) - COALESCE(f.ours, 0), f.value,
               f.currency, f.rule, f.cause, CASE WHEN f.resolves IS NULL THEN 'open' ELSE 'resolved' END,
               CASE WHEN f.resolves IS NOT NULL THEN 'rule' END, f.resolves,
               CASE WHEN f.resolves IS NOT NULL THEN %(actor)s END,
               CASE WHEN f.resolves IS NOT NULL THEN now() END,
               (SELECT p.approval_limit FROM partner p
                 WHERE p.agency_id = %(agency)s AND p.id = %(partner)s)
          FROM found f
          LEFT JOIN taken t ON t.kind = f.kind AND t.subject = f.subject
         WHERE t.kind IS NULL
         ORDER BY f.kind, f.subject
        RETURNING id)
    {_LIST.format(what="opened")}
"""

# What this run has found again is not gone, though its kind be another.
_CURE = """
    UPDATE reconciliation_break b
       SET state = 'resolved', resolution = 'cured', resolution_note = 'the next statement agrees',
           resolved_by = %(actor)s, resolved_at = now(), seen_run_id = %(run)s, version = b.version + 1
      FROM gone g
     WHERE b.agency_id = %(agency)s AND b.id = g.id AND b.state <> 'resolved'
       AND b.seen_run_id IS DISTINCT FROM %(run)s
"""

_WITHDRAW = """
    UPDATE break_proposal p SET state = 'withdrawn', decided_at = now()
      FROM reconciliation_break b
     WHERE p.agency_id = %(agency)s AND p.state = 'open' AND b.agency_id = %(agency)s AND b.id = p.break_id
       AND b.state = 'resolved' AND b.seen_run_id = %(run)s AND b.partner_id = %(partner)s
"""

_AUDIT = """
    INSERT INTO audit_record (agency_id, actor_kind, actor, action, entity, entity_id, new)
    SELECT b.agency_id, 'system', %(actor)s,
           CASE b.resolution WHEN 'rule' THEN 'break.resolved_by_rule' ELSE 'break.cured' END,
           'reconciliation_break', b.id::text,
           jsonb_build_object('run_id', %(run)s, 'kind', b.kind, 'note', b.resolution_note,
                              'ours', b.ours::text, 'theirs', b.theirs::text)
      FROM reconciliation_break b
     WHERE b.agency_id = %(agency)s AND b.partner_id = %(partner)s AND b.seen_run_id = %(run)s
       AND b.state = 'resolved' AND b.resolution IN ('rule', 'cured') AND b.resolved_at = now()
"""

_COUNTED = """
    SELECT count(f.kind) FILTER (WHERE t.how IS DISTINCT FROM 'left') AS found,
           count(f.kind) FILTER (WHERE t.how IS NULL) AS opened,
           count(f.kind) FILTER (WHERE f.resolves IS NOT NULL AND t.how IS DISTINCT FROM 'left') AS resolved,
           count(f.kind) FILTER (WHERE t.how = 'left') AS left_alone,
           (SELECT count(*) FROM reconciliation_break b
             WHERE b.agency_id = %(agency)s AND b.partner_id = %(partner)s AND b.seen_run_id = %(run)s
               AND b.resolution = 'cured') AS cured
      FROM found f LEFT JOIN taken t ON t.kind = f.kind AND t.subject = f.subject
"""

_BY = """
    SELECT {what} AS {name}, f.currency, count(*) AS count, sum(f.value)::text AS value
      FROM found f LEFT JOIN taken t ON t.kind = f.kind AND t.subject = f.subject
     WHERE t.how IS DISTINCT FROM 'left'
     GROUP BY 1, 2 ORDER BY 1, 2
"""
