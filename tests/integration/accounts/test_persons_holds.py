"""What holds a person holds all their accounts: those that come later, those whose neighbours are closed."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import psycopg
import pytest
from temporalio.testing import ActivityEnvironment

from activities.account_messages import Close, PlaceHold, Recall, ReleaseHold
from activities.notices import DeliveryRequest, NoticeActivities
from db.keyset import Position
from db.notices import Notice
from domain.errors import Conflict, NotFound
from domain.holds import STOPS_WORK_ON_ALL, HoldKind
from sandbox.processes import until
from services.placing import PlacementForm, place_account
from tests.integration.accounts.desk import SCORERS, Desk

DAY = timedelta(days=1)


def today() -> date:
    return datetime.now(UTC).date()


async def place_by_hand(desk: Desk, debtor_ref: str) -> UUID:
    """As the API places an account."""
    form = PlacementForm.model_validate(
        {
            "external_ref": uuid4().hex,
            "original_amount": Decimal("100.00"),
            "debtor": {"debtor_ref": debtor_ref, "full_name": "Ada Owes"},
        }
    )
    async with desk.db.transaction(desk.tenant) as tx:
        return await place_account(tx, form, SCORERS)


async def worklist(desk: Desk, account: UUID) -> tuple[bool, bool]:
    """Whether an account is held, and whether it is on the worklist."""
    row = await desk.account(account)
    return row["held"], row["queued"]


@pytest.mark.parametrize("kind", sorted(HoldKind))
async def test_an_account_that_comes_later_is_held_by_what_holds_the_person(
    desk: Desk, kind: HoldKind
) -> None:
    first = await place_by_hand(desk, "D-1")
    await desk.tell(PlaceHold, first, kind=kind, reason="we were told")
    later = await place_by_hand(desk, "D-1")
    stranger = await place_by_hand(desk, "D-2")

    held = kind in STOPS_WORK_ON_ALL
    assert await worklist(desk, later) == (held, not held)
    assert await worklist(desk, stranger) == (False, True)

    await desk.tell(ReleaseHold, first, kind=kind)
    assert await worklist(desk, later) == (False, True)
    assert await worklist(desk, await place_by_hand(desk, "D-1")) == (False, True), "it is over"


async def test_a_release_ends_what_holds_the_person_wherever_it_was_placed(desk: Desk) -> None:
    debtor = await desk.debtor()
    one, other, third = [await desk.place(debtor) for _ in range(3)]
    await desk.tell(PlaceHold, one, kind=HoldKind.BANKRUPTCY, reason="petition filed")
    # Two of a kind are of the days when each account could have its own.
    await desk.query(
        "INSERT INTO hold (agency_id, account_id, debtor_id, kind, reason, placed_by)"
        " VALUES (%s, %s, %s, 'bankruptcy', 'petition filed', 'test')",
        desk.agency_id,
        other,
        debtor,
    )
    await desk.tell(PlaceHold, one, kind=HoldKind.SCRA, reason="deployed")

    answer = await desk.ask(ReleaseHold, other, kind=HoldKind.BANKRUPTCY)

    assert answer["account_id"] == str(other), "of several, its own"
    assert await desk.events(one) == [
        ("hold", None, "bankruptcy"),
        ("hold", None, "scra"),
        ("hold", "bankruptcy", None),
    ]
    assert await desk.events(other) == [("hold", "bankruptcy", None)]
    for account in (one, other):
        [record] = [r for r in await desk.audit(account) if r["action"] == "hold.released"]
        assert record["new"] == {"account_id": str(account), "kind": "bankruptcy"}
    with pytest.raises(NotFound):
        await desk.tell(ReleaseHold, one, kind=HoldKind.BANKRUPTCY)
    assert [await worklist(desk, account) for account in (one, other, third)] == [(True, False)] * 3

    await desk.tell(ReleaseHold, third, kind=HoldKind.SCRA)
    assert await desk.events(third) == [("hold", "scra", None)], "who was told has it on record, too"
    assert (await desk.events(one))[-1] == ("hold", "scra", None)
    assert [await worklist(desk, account) for account in (one, other, third)] == [(False, True)] * 3


async def test_what_holds_the_person_already_is_not_placed_on_another_account_of_theirs(desk: Desk) -> None:
    debtor = await desk.debtor()
    one, other = await desk.place(debtor), await desk.place(debtor)
    placed = await desk.ask(PlaceHold, one, kind=HoldKind.OPT_OUT_SMS, reason="asked us to stop")
    await desk.tell(PlaceHold, one, kind=HoldKind.CEASE, reason="a letter")

    with pytest.raises(Conflict, match="placed on another account of the person") as refused:
        await desk.tell(PlaceHold, other, kind=HoldKind.OPT_OUT_SMS, reason="again")
    assert refused.value.details == {"field": "kind", "hold_id": placed["id"], "account_id": str(one)}
    await desk.tell(PlaceHold, other, kind=HoldKind.CEASE, reason="of this debt")

    await desk.tell(ReleaseHold, other, kind=HoldKind.OPT_OUT_SMS)
    await desk.tell(PlaceHold, other, kind=HoldKind.OPT_OUT_SMS, reason="once more")


async def test_of_two_holds_of_the_person_at_once_on_two_accounts_one_is_placed(desk: Desk) -> None:
    debtor = await desk.debtor()
    accounts = [await desk.place(debtor) for _ in range(6)]

    outcomes = await asyncio.gather(
        *(desk.tell(PlaceHold, account, kind=HoldKind.SCRA, reason="deployed") for account in accounts),
        return_exceptions=True,
    )

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AccountSnapshot"] + ["Conflict"] * 5
    assert len(await desk.query("SELECT id FROM hold WHERE debtor_id = %s", debtor)) == 1


async def test_the_holds_of_an_account_are_its_own_and_the_person_s_in_pages(desk: Desk) -> None:
    debtor = await desk.debtor()
    one, other, strangers = await desk.place(debtor), await desk.place(debtor), await desk.place()
    for account, kind in (
        (one, HoldKind.SCRA),
        (one, HoldKind.CEASE),
        (other, HoldKind.WORKPLACE),
        (other, HoldKind.ATTORNEY),
        (strangers, HoldKind.DECEASED),
        (one, HoldKind.BANKRUPTCY),
    ):
        await desk.tell(PlaceHold, account, kind=kind, reason="we were told")
    await desk.tell(ReleaseHold, other, kind=HoldKind.SCRA)

    async with desk.db.transaction(desk.tenant) as tx:
        first = await tx.holds.page(other, None, 2)
        rest = await tx.holds.page(other, Position((first[-1].id,)), 10)
        back = await tx.holds.page(other, Position((rest[0].id,), backward=True), 10)

    shown = [(hold.kind, hold.account_id, hold.released_at is None) for hold in (*first, *rest)]
    assert shown == [
        ("bankruptcy", one, True),
        ("attorney", other, True),
        ("workplace", other, True),
        ("scra", one, False),
    ]
    assert [hold.id for hold in back] == [hold.id for hold in reversed(first)]


async def sweep(desk: Desk) -> None:
    """What is done every few minutes; nobody hears of the notices, which stay."""

    async def signal(notices: Sequence[Notice]) -> Sequence[Notice]:
        return []

    request = DeliveryRequest(agency_id=desk.agency_id)
    await ActivityEnvironment().run(NoticeActivities(desk.db, SCORERS, signal).deliver, request)


async def notices(desk: Desk) -> set[UUID]:
    rows = await desk.query("SELECT account_id FROM lifecycle_notice WHERE agency_id = %s", desk.agency_id)
    return {row["account_id"] for row in rows}


@pytest.mark.parametrize("end", [Close, Recall])
async def test_a_hold_ends_for_the_others_though_its_own_account_is_closed(
    desk: Desk, end: type[Close | Recall]
) -> None:
    """No lifecycle is left to end it: the sweep does, when its last day is over everywhere, and once."""
    debtor = await desk.debtor()
    closed, other = await desk.place(debtor), await desk.place(debtor)
    await desk.tell(PlaceHold, closed, kind=HoldKind.SCRA, reason="deployed", until=today() + DAY)
    await desk.tell(PlaceHold, other, kind=HoldKind.WORKPLACE, reason="no calls")
    await desk.tell(end, closed, reason="too small")
    await desk.query("DELETE FROM lifecycle_notice WHERE agency_id = %s", desk.agency_id)
    last_zone = (datetime.now(UTC) - timedelta(hours=12)).date()

    await desk.query("UPDATE hold SET until = %s WHERE kind = 'scra' AND account_id = %s", last_zone, closed)
    await sweep(desk)
    assert await worklist(desk, other) == (True, False), "its last day is not over everywhere"

    await desk.query("UPDATE hold SET until = until - 1 WHERE kind = 'scra' AND account_id = %s", closed)
    await sweep(desk)
    await sweep(desk)
    assert await worklist(desk, other) == (False, True)
    assert await notices(desk) == {closed, other}
    assert (await desk.steps.load(desk.ref(other))).holds == ("workplace",)
    assert [event for event in await desk.events(closed) if event[0] == "hold"] == [
        ("hold", None, "scra"),
        ("hold", "scra", None),
    ]
    [record] = [r for r in await desk.audit(closed) if r["action"] == "hold.released"]
    assert record["new"] == {
        "account_id": str(closed),
        "kind": "scra",
        "until": (last_zone - DAY).isoformat(),
    }
    assert record["actor"] == "notice-delivery"


async def test_an_account_that_slipped_past_a_hold_is_held_by_the_next_sweep(desk: Desk) -> None:
    """A file places it in the moment in which the hold is put in force: neither sees the other."""
    debtor = await desk.debtor()
    first = await desk.place(debtor)
    await desk.tell(PlaceHold, first, kind=HoldKind.DECEASED, reason="a certificate")
    slipped, stranger = await desk.place(debtor), await desk.place()
    assert await worklist(desk, slipped) == (False, True)

    await sweep(desk)

    assert await worklist(desk, slipped) == (True, False)
    assert await worklist(desk, stranger) == (False, True)
    assert (await desk.audit(slipped))[-1]["action"] == "account.held"


async def test_who_locks_accounts_by_their_ids_never_waits_in_a_circle_with_a_hold(desk: Desk) -> None:
    debtor = await desk.debtor()
    low, high = sorted([await desk.place(debtor), await desk.place(debtor)])
    async with await psycopg.AsyncConnection.connect(desk.superuser_url) as chunk:
        await chunk.execute("SELECT FROM account WHERE id = %s FOR NO KEY UPDATE", [low])
        placing = asyncio.create_task(
            desk.tell(PlaceHold, high, kind=HoldKind.BANKRUPTCY, reason="petition filed")
        )

        async def waits() -> bool:
            found = await desk.query(
                "SELECT pid FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))",
                chunk.info.backend_pid,
            )
            return bool(found)

        await until(waits, within_s=60, what="the hold to wait for the other account")
        await chunk.execute("SELECT FROM account WHERE id = %s FOR NO KEY UPDATE NOWAIT", [high])
    await placing
    assert [await worklist(desk, account) for account in (low, high)] == [(True, False)] * 2


async def test_a_hold_of_the_debt_leaves_the_person_s_other_accounts_alone(desk: Desk) -> None:
    debtor = await desk.debtor()
    ours, other = await desk.place(debtor), await desk.place(debtor)
    before = await desk.account(other)
    for kind in (HoldKind.CEASE, HoldKind.ATTORNEY, HoldKind.CHARGEBACK):
        await desk.tell(PlaceHold, ours, kind=kind, reason="of this debt")
        await desk.tell(ReleaseHold, ours, kind=kind)
    assert await desk.account(other) == before
    assert await notices(desk) == set()
