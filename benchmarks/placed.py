"""Accounts that are placed already: what a measurement of later steps begins with."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

Query = Callable[..., Awaitable[Any]]
"""Runs a statement with its values, as somebody whom row-level security does not stop."""


async def place(query: Query, agency_id: UUID, accounts: int) -> None:
    """Give an agency so many debtors with one account each; facts and balances vary, nothing is scored.

    The agency has a default creditor. The planner's statistics are fresh afterwards, as they are after
    an import.
    """
    await query(_DEBTORS, agency_id, accounts)
    await query(_ACCOUNTS, agency_id)
    await query("ANALYZE debtor, account")


_DEBTORS = """
    INSERT INTO debtor (agency_id, natural_key, debtor_ref, full_name, monthly_income, late_payments_count,
                        employment_status, contract_type, industry_sector, family_situation)
    SELECT %s, 'ref:' || n, n::text, 'Debtor ' || n,
           NULLIF(n * 7919 %% 9000, 0), NULLIF(n * 31 %% 13, 12),
           (ARRAY['GOVERNMENT_EMPLOYED', 'EMPLOYED', 'RETIRED', 'SELF_EMPLOYED', 'STUDENT', NULL])
               [1 + n * 37 %% 6],
           (ARRAY['PERMANENT', 'CONTRACT', 'TEMPORARY', 'FREELANCE', NULL])[1 + n * 41 %% 5],
           (ARRAY['GOVERNMENT', 'HEALTHCARE', 'TECHNOLOGY', 'RETAIL', 'HOSPITALITY', 'ENTERTAINMENT', NULL])
               [1 + n * 43 %% 7],
           (ARRAY['MARRIED_DUAL_INCOME', 'SINGLE_NO_DEPENDENTS', 'WIDOWED_WITH_DEPENDENTS', NULL])
               [1 + n * 47 %% 4]
      FROM generate_series(1::bigint, %s) n
"""

_ACCOUNTS = """
    INSERT INTO account (agency_id, creditor_id, debtor_id, external_ref, original_amount, balance)
    SELECT d.agency_id, c.id, d.id, d.debtor_ref, amount, amount
      FROM debtor d
      JOIN creditor c ON c.agency_id = d.agency_id AND c.is_default
      CROSS JOIN LATERAL (
        SELECT (50 * power(500, (hashtext(d.debtor_ref) & 65535) / 65536.0))::numeric(14, 2) AS amount) a
     WHERE d.agency_id = %s
     ORDER BY d.id
"""
