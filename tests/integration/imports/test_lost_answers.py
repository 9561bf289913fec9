"""Every activity does its work twice: the first answer is lost behind its commit."""

import asyncio

from tests.integration.imports.shop import Shop, eventually

FIRST = (
    "external_ref,debtor_name,original_amount,creditor_name,debtor_ssn_last4,due_date\n"
    "A-1,Ana,100.00,Northgate,1111,2026-01-01\n"
    "A-2,Ben,200.00,Northgate,2222,2026-01-02\n"
    "A-3,Cem,-3.00,Southgate,3333,2026-01-03\n"
    "A-1,Ana,100.00,Northgate,1111,2026-01-05\n"
)
SECOND = (
    "external_ref,debtor_name,original_amount,creditor_name,debtor_ssn_last4,due_date\n"
    "A-1,Ana Lucia,100.00,Northgate,9999,2026-02-01\n"
    "A-2,Ben,250.00,Northgate,2222,2026-01-02\n"
    "A-4,Dora,400.00,Westgate,,\n"
)
REFUSED = "external_ref,debtor_name,original_amount\nA-9,Nobody,0\n"


async def take_all(shop: Shop) -> dict[str, list[object]]:
    """A re-import, a file that is refused and one that is known, after a first import."""
    shop.send(SECOND, "second.csv")
    shop.send(REFUSED, "refused.csv")
    await shop.poll()
    await shop.settled(3)
    await shop.scored()
    shop.send(FIRST, "again.csv")
    await shop.poll()
    return await shop.tables()


async def test_no_answer_is_needed_for_work_to_be_done_once(shop: Shop, rival: Shop) -> None:
    await asyncio.gather(shop.import_file(FIRST), rival.import_file(FIRST))
    await asyncio.gather(shop.scored(), rival.scored())
    shop.faults.lose_first_answers_of = shop.agency_id
    shop.faults.attempts.clear()

    lossy, calm = await asyncio.gather(take_all(shop), take_all(rival))

    assert lossy == calm
    assert not await shop.breaches()
    assert shop.waiting() == []

    def repeated() -> set[str]:
        return {name for name, attempt in shop.faults.attempts if attempt == 2}

    async def all_are_repeated() -> bool:
        return repeated() == {name for name, _ in shop.faults.attempts}

    await eventually(all_are_repeated)
    assert {"imports.merge_bucket", "scoring.score_chunk", "admission.admit", "polling.take"} <= repeated()
