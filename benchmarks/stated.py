"""A partner's statement about accounts that are placed: what a reconciliation is measured with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

Query = Callable[..., Awaitable[list[dict[str, Any]]]]
"""Runs a statement with its values, as somebody whom row-level security does not stop."""

OTHER_BALANCE = 10
OTHER_STATUS = 50
NOT_NAMED = 100
UNKNOWN = 100
"""One in so many lines: with another balance, with another status, left out, about nothing that is here."""


@dataclass(frozen=True, slots=True)
class Stated:
    """A partner that has a statement, with as many lines as there are accounts."""

    partner_id: UUID
    lines: int


async def partner(query: Query, agency_id: UUID) -> UUID:
    """A partner that was sent the accounts that its statement will leave out."""
    [made] = await query("INSERT INTO partner (agency_id, name) VALUES (%s, 'bench') RETURNING id", agency_id)
    await query(_SENT, made["id"], agency_id)
    return UUID(str(made["id"]))


async def stage(query: Query, agency_id: UUID, partner_id: UUID) -> Stated:
    """A staged statement about all accounts, in no order: most agree, some differ in one way or another."""
    [made] = await query(_STATEMENT, agency_id, partner_id)
    await query(_LINES, made["id"], agency_id)
    [counted] = await query(_COUNTED, made["id"], made["id"])
    await query("ANALYZE statement_line, partner_account")
    return Stated(partner_id, int(counted["lines"]))


_SENT = f"""
    INSERT INTO partner_account (partner_id, account_id, agency_id, sent_at)
    SELECT %s, a.id, a.agency_id, now() - interval '1 day' FROM account a
     WHERE a.agency_id = %s AND a.external_ref::int %% {NOT_NAMED} = 1
"""

_STATEMENT = """
    INSERT INTO statement (agency_id, partner_id, channel, state, name)
    VALUES (%s, %s, 'file', 'staged', 'bench.csv') RETURNING id
"""

_LINES = f"""
    INSERT INTO statement_line (statement_id, line, agency_id, account_ref, balance, status, currency,
                                processed_at)
    SELECT %s, 1 + row_number() OVER (ORDER BY hashtext(n::text), n), a.agency_id,
           CASE WHEN n %% {UNKNOWN} = 2 THEN 'U-' ELSE '' END || a.external_ref,
           CASE WHEN n %% {OTHER_BALANCE} = 3 THEN round(a.balance * 1.1, 2) + 5 ELSE a.balance END,
           CASE WHEN n %% {OTHER_STATUS} = 4 THEN 'PAID' ELSE 'UNPAID' END, 'USD',
           now() + interval '1 microsecond'
      FROM (SELECT a.*, a.external_ref::int AS n FROM account a) a
     WHERE a.agency_id = %s AND n %% {NOT_NAMED} <> 1
"""

_COUNTED = """
    UPDATE statement SET newest_at = now(), lines = (
        SELECT count(*) FROM statement_line WHERE statement_id = %s) WHERE id = %s RETURNING lines
"""
