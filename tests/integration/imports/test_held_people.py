"""Accounts that a file places for somebody who is bankrupt, dead or in service are never worked."""

import pytest

from domain.holds import STOPS_WORK_ON_ALL, HoldKind
from tests.integration.imports.shop import Shop

HEADER = "external_ref,debtor_name,original_amount,debtor_ref\n"


@pytest.fixture
def agencies() -> tuple[str, ...]:
    return ("acme",)


async def test_a_new_account_of_somebody_who_is_held_does_not_come_onto_the_worklist(shop: Shop) -> None:
    kinds = sorted(HoldKind)
    people = [*kinds, "was-released", "nobody"]
    await shop.import_file(HEADER + "".join(f"A-{who},Ada,100.00,D-{who}\n" for who in people), "first.csv")
    await shop.query(
        "INSERT INTO hold (agency_id, account_id, debtor_id, kind, reason, placed_by, released_at)"
        " SELECT a.agency_id, a.id, a.debtor_id, coalesce(k.kind, 'bankruptcy'), 'r', 'x',"
        "        CASE WHEN k.kind IS NULL THEN now() END"
        "   FROM account a LEFT JOIN unnest(%s::text[]) AS k(kind) ON a.external_ref = 'A-' || k.kind"
        "  WHERE a.agency_id = %s AND a.external_ref <> 'A-nobody'",
        [kind.value for kind in kinds],
        shop.agency_id,
    )

    await shop.import_file(HEADER + "".join(f"B-{who},Ada,100.00,D-{who}\n" for who in people), "second.csv")
    await shop.scored()

    rows = await shop.query(
        "SELECT substr(external_ref, 3) AS who, held, queued FROM account a"
        " JOIN account_score s ON s.account_id = a.id WHERE external_ref LIKE 'B-%%' AND a.agency_id = %s",
        shop.agency_id,
    )
    assert {row["who"] for row in rows} == set(people)
    assert {row["who"] for row in rows if row["held"]} == STOPS_WORK_ON_ALL
    assert {row["who"] for row in rows if not row["queued"]} == STOPS_WORK_ON_ALL
