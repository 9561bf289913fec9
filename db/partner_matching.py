"""The matching of one reconciliation with a partner: everything in one transaction, in the database."""

from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import select

from db import account_matching, account_pairing_sql, break_writing, payment_matching
from db.matching_steps import Steps
from db.models import Agency, Partner, PartnerReconciliationRun, PartnerRules
from db.partner_rule_files import read_rules
from db.partner_runs import PartnerRunStore
from db.partner_statements import Scope, StatementStore
from db.store import Store
from domain.errors import NotFound
from domain.partner_rules import PartnerRuleBook

Run = PartnerReconciliationRun
Figures = dict[str, Any]

ACTOR = "partner-reconciliation"
_DONE = "matching"


class MatchStore(Store):
    """Matches the statements of a run with the books of one agency."""

    async def match(self, run_id: UUID) -> Figures:
        """Match, classify, resolve by rules, write breaks; the figures of ``activities.partner_messages``.

        In a transaction with a snapshot: what is posted or resolved meanwhile is in all of it or in none,
        ``Unavailable`` where what it is to write was changed since.

        The run must be at work. Its statements are closed for it first, but not by a dry run, of which
        nothing but the figures is kept. A repetition gives what the first has written down.
        """
        run = await PartnerRunStore(self._session, self._tenant).going(run_id, lock=True)
        if _DONE in run.report:
            return dict(run.report[_DONE])
        partner, rules = await self._terms(run)
        statements = StatementStore(self._session, self._tenant)
        closing = await statements.close_for(run.id, cast("Scope", run.scope), dry_run=run.dry_run)
        driver = await self._driver()
        steps = Steps(driver, await self._values(run, partner, rules, closing.statement_ids))
        figures: Figures = {"lines": closing.lines, "problems": closing.problems}
        async with driver.transaction(force_rollback=run.dry_run):
            await steps.prepare(closing.lines)
            figures |= await self._compare(steps, run, partner, rules)
        await PartnerRunStore(self._session, self._tenant).note(
            run.id, lines=closing.lines, problems=closing.problems, report={**run.report, _DONE: figures}
        )
        return figures

    async def _compare(self, steps: Steps, run: Run, partner: Partner, rules: PartnerRuleBook) -> Figures:
        # What is missed may stand in a file that could not be taken.
        full = run.scope == "full" and run.report.get("whole", True)
        await break_writing.lock(steps)
        kind = payment_matching if partner.kind == "bank" else account_matching
        matched = await kind.find(steps, rules, full=full)
        await break_writing.mark_resolvable(steps, rules, run.started_at or run.created_at)
        await kind.gone(steps, full=full)
        await kind.keep(steps)
        written = await break_writing.write(steps)
        return {
            "matched": matched.matched,
            "older": matched.older,
            "breaks": written.found,
            "opened": written.opened,
            "resolved": written.resolved,
            "cured": written.cured,
            "report": {
                **matched.report,
                **await break_writing.report(steps),
                "older": matched.older,
                "left_alone": written.left_alone,
            },
        }

    async def _terms(self, run: Run) -> tuple[Partner, PartnerRuleBook]:
        partner = await self._session.scalar(
            select(Partner).where(Partner.agency_id == self._agency_id, Partner.id == run.partner_id)
        )
        if partner is None:
            raise NotFound("there is no such partner")
        if run.rules_version is None:
            return partner, PartnerRuleBook()
        body = await self._session.scalar(
            select(PartnerRules.body).where(
                PartnerRules.agency_id == self._agency_id,
                PartnerRules.partner_id == run.partner_id,
                PartnerRules.version == run.rules_version,
            )
        )
        return partner, read_rules(body or "")

    async def _values(
        self, run: Run, partner: Partner, rules: PartnerRuleBook, statements: list[UUID]
    ) -> dict[str, Any]:
        now = run.started_at or run.created_at
        fees = rules.known_fees()
        currency = await self._session.scalar(select(Agency.currency).where(Agency.id == self._agency_id))
        return {
            "agency": self._agency_id,
            "partner": partner.id,
            "run": run.id,
            "actor": ACTOR,
            "uuid": account_pairing_sql.UUID,
            "statements": statements,
            "now": now,
            "asked_at": run.created_at,
            "currency": currency,
            "tolerance": partner.tolerance_absolute,
            "percent": partner.tolerance_percent,
            "stale_before": now - timedelta(days=partner.stale_after_days),
            "fee_fixed": [fee.fixed for fee in fees],
            "fee_percent": [fee.percent for fee in fees],
        }
