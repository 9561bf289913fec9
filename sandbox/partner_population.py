"""Our accounts as a simulated partner would have them."""

import io
from uuid import UUID

import polars as pl

from db.store import Store
from domain.accounts import OPEN_STATUSES
from domain.reconciliation import PAID_REASONS

_SCHEMA = {
    "id": pl.String(),
    "ref": pl.String(),
    "ours": pl.Int64(),
    "original": pl.Int64(),
    "currency": pl.String(),
    "open": pl.Int64(),
    "known": pl.Int64(),
    "stated": pl.Int64(),
    "alone": pl.Int64(),
    "change": pl.Int64(),
    "changed_at": pl.Int64(),
}
_FLAGS = ("open", "known", "stated", "alone")


class PopulationStore(Store):
    """Reads the accounts of one agency; amounts in cents, times in microseconds since the epoch."""

    async def accounts(self, partner_id: UUID, *, changes: bool) -> pl.DataFrame:
        """The accounts that the partner has, else all of the agency; in the order of their references.

        Closed ones only where a partner may call them paid. ``known``: sent to the partner or named by it;
        ``stated``: it has told a balance before; ``alone``: its reference tells it from all others. With
        ``changes``, ``change`` is what the newest journal after the placement did to the balance, at
        ``changed_at``; else both are null.
        """
        values = {
            "agency": self._agency_id,
            "partner": partner_id,
            "open": sorted(status.value for status in OPEN_STATUSES),
            "paid": sorted(PAID_REASONS),
        }
        driver = await self._driver()
        buffer = io.BytesIO()
        async with driver.cursor() as cursor:
            query = _ACCOUNTS.format(changed=_CHANGED if changes else _UNCHANGED)
            async with cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT csv)".encode(), values) as source:
                async for block in source:
                    buffer.write(block)
        if not buffer.tell():
            return pl.DataFrame(schema=_SCHEMA).cast(dict.fromkeys(_FLAGS, pl.Boolean()))
        buffer.seek(0)
        read = pl.read_csv(buffer, has_header=False, schema=_SCHEMA)
        return read.cast(dict.fromkeys(_FLAGS, pl.Boolean()))


_ACCOUNTS = """
    WITH mine AS (
        SELECT EXISTS (SELECT FROM partner_account
                        WHERE agency_id = %(agency)s AND partner_id = %(partner)s) AS has_some),
    shown AS (
        SELECT a.id, a.external_ref, a.balance, a.original_amount, a.currency, a.status, a.closed_reason,
               pa.account_id IS NOT NULL AS known, pa.processed_at IS NOT NULL AS stated,
               count(*) OVER r AS named, count(pa.account_id) OVER r AS named_known
          FROM account a LEFT JOIN partner_account pa
               ON pa.agency_id = %(agency)s AND pa.partner_id = %(partner)s AND pa.account_id = a.id
         WHERE a.agency_id = %(agency)s
        WINDOW r AS (PARTITION BY a.external_ref))
    SELECT a.id, a.external_ref, (a.balance * 100)::bigint, (a.original_amount * 100)::bigint, a.currency,
           (a.status = ANY (%(open)s))::int, a.known::int, a.stated::int,
           (a.named = 1 OR (a.known AND a.named_known = 1))::int, c.change,
           (extract(epoch FROM c.at) * 1000000)::bigint
      FROM shown a CROSS JOIN mine LEFT JOIN {changed} c ON c.account_id = a.id
     WHERE (a.known OR NOT mine.has_some)
       AND (a.status = ANY (%(open)s) OR a.status = 'settled' OR a.closed_reason = ANY (%(paid)s))
     ORDER BY a.external_ref, a.original_amount, a.id
"""

_UNCHANGED = "(SELECT NULL::uuid AS account_id, NULL::bigint AS change, NULL::timestamptz AS at)"

_CHANGED = """
    (SELECT DISTINCT ON (po.account_id) po.account_id, j.created_at AS at,
            (100 * sum(CASE WHEN po.debit = 'receivable' THEN po.amount ELSE -po.amount END))::bigint
                AS change
       FROM posting po JOIN journal j ON j.agency_id = %(agency)s AND j.id = po.journal_id
      WHERE po.agency_id = %(agency)s AND 'receivable' IN (po.debit, po.credit) AND j.kind <> 'placement'
      GROUP BY po.account_id, j.created_at
      ORDER BY po.account_id, j.created_at DESC)
"""
