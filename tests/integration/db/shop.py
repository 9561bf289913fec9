"""Accounts of two agencies, placed so that lists of them have ties, gaps and a little of everything."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg

from db.account_lists import AccountFilter, AccountOrder
from db.accounts import AccountView, position_key
from db.keyset import Position
from db.session import Database
from domain.tenancy import Tenant

SEED = """
WITH agencies AS (
    INSERT INTO agency (slug, name) VALUES ('north', 'North'), ('south', 'South') RETURNING id
), creditors AS (
    INSERT INTO creditor (agency_id, name, is_default) SELECT id, 'Bank', true FROM agencies
), users AS (
    INSERT INTO app_user (agency_id, username, full_name, role, password_hash)
    SELECT id, 'c-' || id, 'Collector', 'collector', 'x' FROM agencies RETURNING id, agency_id
), collectors AS (
    INSERT INTO collector (agency_id, user_id, full_name) SELECT agency_id, id, 'Collector' FROM users
)
INSERT INTO scorecard (name, definition, sha256, maximum) VALUES ('plain', '{}', 'x', 66)
"""

PLACE = """
WITH d AS (
    INSERT INTO debtor (agency_id, natural_key, full_name, email, phone)
    VALUES (%(agency)s, 'ref:' || %(ref)s, %(name)s, %(email)s, %(phone)s) RETURNING id
), a AS (
    INSERT INTO account (agency_id, creditor_id, debtor_id, external_ref, status, original_amount, balance,
                         due_date, assigned_to)
    SELECT %(agency)s, c.id, d.id, %(ref)s, %(status)s, %(balance)s, %(balance)s, %(due)s,
           CASE WHEN %(assigned)s THEN k.id END
      FROM d, creditor c, collector k WHERE c.agency_id = %(agency)s AND k.agency_id = %(agency)s
    RETURNING id, balance_cents
), s AS (
    INSERT INTO account_search (account_id, agency_id, document)
    SELECT id, %(agency)s,
           lower(concat_ws(E'\\n', %(ref)s, %(name)s, %(email)s::text, %(phone)s::text)) FROM a
)
INSERT INTO account_score
SELECT a.id, %(agency)s, NULL, true, a.balance_cents * %(total)s, %(total)s, %(level)s, %(priority)s,
       false, '{1}', c.id, now(), '', 1, 1
  FROM a, scorecard c WHERE %(total)s::int IS NOT NULL
"""

ON_THEM = """
INSERT INTO promise (agency_id, account_id, amount, currency, due_date, status, made_by)
SELECT a.agency_id, a.id, 5, 'USD', '2026-01-01', s.status, 'somebody'
  FROM account a, unnest(ARRAY['kept', 'kept', 'broken', 'open']) WITH ORDINALITY AS s (status, place)
 WHERE substr(a.external_ref, 5)::int % (s.place + 3) = 0;
INSERT INTO contact (agency_id, account_id, debtor_id, channel, direction, purpose, recipient, place, at,
                     connected, conversation, right_party, consented, consent_given, actor, decision_id)
SELECT a.agency_id, a.id, a.debtor_id, 'call', CASE n.n % 8 WHEN 2 THEN 'inbound' ELSE 'outbound' END,
       'collection', 'debtor', 'home', now(), true, n.n % 8 <> 4, n.n % 8 <> 6, false, false, 'somebody',
       uuidv7()
  FROM account a, LATERAL (SELECT substr(a.external_ref, 5)::int AS n) n, generate_series(1, 2)
 WHERE n.n % 2 = 0;
WITH moved AS MATERIALIZED (
    SELECT a.agency_id, a.id, uuidv7() AS journal, s.* FROM account a,
           (VALUES ('cash', 'credit_balances', 3), ('credit_balances', 'cash', 6), ('cash', 'unapplied', 12),
                   ('cash', 'house', 1)) AS s (debit, credit, by)
     WHERE substr(a.external_ref, 5)::int % s.by = 0
), journals AS (
    INSERT INTO journal (id, agency_id, kind, key, description, occurred_at)
    SELECT journal, agency_id, 'payment', journal::text, '', now() FROM moved)
INSERT INTO posting (agency_id, journal_id, account_id, debit, credit, amount, currency)
SELECT agency_id, journal, id, debit, credit, 10, 'USD' FROM moved;
"""
"""What some of the accounts have that were placed before."""

LEVELS = ("LOW", "MEDIUM", "HIGH", "CRITICAL")
STATUSES = ("new", "assigned", "disputed", "closed")
SEEDED = 65


@dataclass
class Shop:
    """A database with two agencies and the accounts placed in them."""

    database: Database
    owner_url: str
    north: UUID
    south: UUID
    placed: int = 0

    async def place(self, agency: UUID, **given: Any) -> None:
        """Place one account; what is not given is drawn so that keys tie often and are often null."""
        draw = random.Random(self.placed)  # noqa: S311 (test data)
        total = draw.choice((None, 10, 20, 30))
        values = {
            "agency": agency,
            "ref": f"REF-{self.placed:05d}",
            "name": f"Person {self.placed}",
            "email": None,
            "phone": None,
            "status": draw.choice(STATUSES),
            "balance": Decimal(draw.randint(1, 12)) * 100,
            "due": draw.choice((None, date(2026, 1, 1) + timedelta(days=draw.randint(0, 9)))),
            "assigned": draw.random() < 0.3,
            "total": total,
            "level": draw.choice(LEVELS),
            "priority": draw.randint(0, 3),
            **given,
        }
        self.placed += 1
        async with await psycopg.AsyncConnection.connect(self.owner_url) as connection:
            await connection.execute(PLACE, values)

    async def page(
        self,
        order: AccountOrder = AccountOrder.NEWEST,
        position: Position | None = None,
        limit: int = 500,
        *,
        agency: UUID | None = None,
        **wanted: Any,
    ) -> Sequence[AccountView]:
        """One page of an agency's accounts (north's unless said)."""
        async with self.database.transaction(Tenant.system(agency or self.north, "test")) as tx:
            return await tx.accounts.page(AccountFilter(**wanted), order, position, limit)


async def walk(
    shop: Shop, order: AccountOrder, size: int, *, backward: bool = False, start: Position | None = None
) -> list[AccountView]:
    found: list[AccountView] = []
    position = start
    while page := await shop.page(order, position, size):
        found += page
        assert len(found) <= shop.placed, "the walk does not end"
        position = Position(position_key(page[-1], order), backward)
    return found
