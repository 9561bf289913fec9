"""Records histories of the cases of breaks that ``tests/replay`` replays.

``python -m pytest tests/integration/partners/record_break_histories.py`` writes them anew; commit them after
a change of workflow code that is meant to break with running workflows, and never to silence a replay.
"""

import pytest

from tests.integration.accounts.record_histories import save
from tests.integration.partners.office import Json, PartnerOffice
from tests.integration.partners.queue_desk import FIRST, SECOND, QueueDesk
from workflows.break_case import BreakCase


@pytest.fixture(scope="module")
async def queue(office: PartnerOffice) -> QueueDesk:
    return await QueueDesk.opened(office)


async def worked(queue: QueueDesk, partner: Json) -> Json:
    """A break that somebody has taken, its case begun."""
    broken = await queue.found(partner, await queue.office.account())
    await queue.tell(broken, "assign", owner=FIRST)
    return await queue.becomes(broken, "its case to begin", workflow_id=f"break/{broken['id']}")


async def test_record_one_that_is_escalated_and_resolved(queue: QueueDesk, partner: Json) -> None:
    broken = await worked(queue, partner)
    await queue.propose(broken, "accept_theirs")
    await queue.case(broken).signal(BreakCase.answered)
    await queue.alter(broken, "answer_due_at = now() - interval '1 minute'")
    await queue.case(broken).signal(BreakCase.changed)

    async def escalated() -> bool:
        return (await queue.get(broken))["escalated_at"] is not None

    await queue.until(escalated, "the break to be escalated")
    await queue.tell(broken, "approve", SECOND)
    await queue.case(broken).result()
    await save(queue.case(broken), "break-case-escalated")


async def test_record_one_that_tells_the_partner(queue: QueueDesk) -> None:
    partner = await queue.office.partner(delivery="sftp")
    broken = await worked(queue, partner)
    await queue.agreed(broken, "keep_ours")

    async def delivered() -> bool:
        return (await queue.get(broken))["message"]["state"] == "delivered"

    await queue.until(delivered, "word to be delivered")
    await queue.resolve(broken, "explain")
    await queue.case(broken).result()
    await save(queue.case(broken), "break-case-partner-told")


async def test_record_one_whose_partner_cannot_be_told(queue: QueueDesk) -> None:
    partner = await queue.office.partner(delivery="sftp")
    broken = await queue.found(partner, await queue.office.account())
    await queue.propose(broken, "keep_ours")
    async with queue.transaction() as tx:
        row = await tx.breaks.get(broken["id"])
        await tx.breaks.tell(row.broken, balance=None, status=None)
        await tx.partners.change(row.broken.partner_id, {"active": False}, {})
    await queue.case(broken).signal(BreakCase.changed)

    async def given_up() -> bool:
        return (await queue.get(broken))["message"]["state"] == "failed"

    await queue.until(given_up, "word to be given up")
    await queue.resolve(broken, "explain")
    await queue.case(broken).result()
    await save(queue.case(broken), "break-case-partner-not-told")


async def test_record_one_that_is_left_and_one_that_waits(queue: QueueDesk, partner: Json) -> None:
    left = await worked(queue, partner)
    await queue.tell(left, "assign", owner=None)
    await queue.case(left).result()
    await save(queue.case(left), "break-case-left")
    waiting = await worked(queue, partner)
    await save(queue.case(waiting), "break-case-waiting")
