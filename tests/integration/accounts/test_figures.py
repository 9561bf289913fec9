"""Figures are what anybody gets who adds up every account, payment, contact and promise one by one.

Two agencies live a random life side by side: several debts of one debtor, several payments of one debt, money
that is refunded, disputed, won back, paid beyond the debt and put on another one, accounts that change
hands. A plain sum in memory, which joins nothing, must find the same figures.
"""

import asyncio
import random
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from activities.account_messages import Assign, Transition
from activities.figures import refresh_figures
from db.figures import KNOWN_AFTER, Totals
from domain.accounts import AccountStatus
from domain.errors import Conflict
from domain.figures import Days
from sandbox.processes import until
from tests.integration.accounts.desk import Desk
from tests.integration.accounts.plain_figures import DAILY, NOBODY, ZERO, Plain
from tests.integration.accounts.test_applied_credits import apply
from tests.integration.accounts.test_payment_books import Till

ALL_DAYS = Days(date(1970, 1, 1), date(2199, 12, 31))


class Life:
    """What happens at one agency, drawn from a seed."""

    def __init__(self, desk: Desk, seed: int) -> None:
        self.desk, self.till, self.draw = desk, Till(desk), random.Random(seed)  # noqa: S311 - a story, no secret
        self.accounts: list[UUID] = []
        self.siblings: dict[UUID, list[UUID]] = {}
        self.paid: list[tuple[Any, UUID, int]] = []
        self.collectors: list[UUID] = []
        self.disputed: list[tuple[Any, int]] = []

    async def begin(self, zone: str) -> None:
        await self.desk.query("UPDATE agency SET time_zone = %s WHERE id = %s", zone, self.desk.agency_id)
        self.collectors = [await self.desk.hire(f"Collector {n}") for n in range(2)]
        for _ in range(4):
            debtor = await self.desk.debtor()
            debts = [await self.place(debtor) for _ in range(self.draw.randint(1, 3))]
            self.siblings |= dict.fromkeys(debts, debts)
            self.accounts += debts

    async def place(self, debtor: UUID) -> UUID:
        account = await self.desk.place(debtor, f"{self.draw.randint(5_000, 50_000) / 100:.2f}")
        today = datetime.now(UTC).date()
        edges = [edge + more for edge in (0, 31, 61, 91) for more in (-2, -1, 0, 1)]
        due = self.draw.choice([None, *(today - timedelta(days=days) for days in edges)])
        gone = self.draw.choice([None, today - timedelta(days=45)])
        await self.desk.query(
            "UPDATE account SET due_date = %s, charge_off_date = %s WHERE id = %s", due, gone, account
        )
        if self.draw.random() < 0.2:
            await self.desk.query("DELETE FROM account_score WHERE account_id = %s", account)
        return account

    async def step(self) -> None:
        steps = [
            self.pay,
            self.pay,
            self.refund,
            self.dispute,
            self.decide,
            self.assign,
            self.put,
            self.close,
        ]
        await self.draw.choice([*steps, self.contact, self.promise, self.find_break])()

    async def pay(self) -> None:
        account = self.draw.choice(self.accounts)
        cents = self.draw.randint(1_000, 40_000)
        self.paid.append((await self.till.paid(account, f"{cents / 100:.2f}"), account, cents))

    async def refund(self) -> None:
        if self.paid:
            ref, _, cents = self.draw.choice(self.paid)
            amount, name = f"{self.draw.randint(1, cents) / 100:.2f}", f"re_{uuid4().hex}"
            await self.till.refund(ref, amount, "succeeded", name)
            if self.draw.random() < 0.3:
                await self.till.refund(ref, amount, "failed", name)

    async def dispute(self) -> None:
        if self.paid:
            ref, _, cents = self.draw.choice(self.paid)
            await self.till.dispute(ref, f"{cents / 100:.2f}", "needs_response")
            self.disputed.append((ref, cents))

    async def decide(self) -> None:
        if self.disputed:
            ref, cents = self.draw.choice(self.disputed)
            await self.till.dispute(ref, f"{cents / 100:.2f}", self.draw.choice(["won", "lost"]))

    async def assign(self) -> None:
        account = self.draw.choice(self.accounts)
        with suppress(Conflict):
            await self.desk.tell(Assign, account, collector_id=self.draw.choice(self.collectors))

    async def put(self) -> None:
        """Money that is owed back goes on another debt of the same person."""
        account = self.draw.choice(self.accounts)
        async with self.desk.db.transaction(self.desk.tenant) as tx:
            free = sum(source.free for source in await tx.credits.sources(account))
        debt = self.draw.choice(self.siblings[account])
        room = min(free, (await self.desk.account(debt))["balance"])
        if room > 0:
            await apply(self.till, account, debt, f"{room / 2:.2f}" if room > 1 else f"{room:.2f}")

    async def close(self) -> None:
        with suppress(Conflict):
            await self.desk.tell(Transition, self.draw.choice(self.accounts), new_status=AccountStatus.CLOSED)

    async def names(self) -> list[str]:
        rows = await self.desk.query(
            "SELECT username FROM app_user WHERE agency_id = %s ORDER BY id", self.desk.agency_id
        )
        return [*(row["username"] for row in rows), "somebody.else"]

    async def contact(self) -> None:
        account = await self.desk.account(self.draw.choice(self.accounts))
        talked = self.draw.random() < 0.5
        await self.desk.query(
            "INSERT INTO contact (agency_id, account_id, debtor_id, channel, direction, purpose, recipient,"
            " place, connected, conversation, right_party, consented, consent_given, at, actor, decision_id)"
            " VALUES (%s, %s, %s, 'call', %s, 'general', 'consumer', 'unknown', true, %s, %s, false, false,"
            " %s, %s, %s)",
            *(self.desk.agency_id, account["id"], account["debtor_id"]),
            *(self.draw.choice(["outbound", "outbound", "inbound"]), talked, self.draw.random() < 0.5),
            *(self.moment(), self.draw.choice(await self.names()), uuid4()),
        )

    async def promise(self) -> None:
        status = self.draw.choice(["kept", "broken", "cancelled"])
        await self.desk.query(
            "INSERT INTO promise (agency_id, account_id, amount, currency, due_date, status, made_by,"
            " resolved_at) VALUES (%s, %s, 10, 'USD', '2026-01-01', %s, %s, %s)",
            *(self.desk.agency_id, self.draw.choice(self.accounts), status),
            *(self.draw.choice(await self.names()), self.moment()),
        )

    async def find_break(self) -> None:
        await self.desk.query(
            "INSERT INTO reconciliation_break (agency_id, kind, subject, state, resolution, value, currency,"
            " probable_cause) VALUES (%s, 'balance', %s, %s, %s, 12.34, %s, '')",
            *(self.desk.agency_id, uuid4().hex),
            *self.draw.choice([("open", None), ("proposed", None), ("resolved", "cured")]),
            self.draw.choice(["USD", "USD", "EUR"]),
        )

    def moment(self) -> datetime:
        """Some time within the last days, often near midnight somewhere."""
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight - timedelta(days=self.draw.randint(0, 40), hours=self.draw.choice([0, 1, 5, 8, 12]))

    async def spread(self) -> None:
        """Journals are of days within the last weeks, as if they had come in then."""
        for row in await self.desk.query(
            "SELECT id FROM journal WHERE agency_id = %s AND kind <> 'placement'", self.desk.agency_id
        ):
            await self.desk.query(
                "UPDATE journal SET occurred_at = %s WHERE id = %s", self.moment(), row["id"]
            )


async def counted(desk: Desk) -> Any:
    """The figures, after a refresh."""
    standing = await refresh_figures(desk.db, desk.tenant)
    assert standing is not None
    return desk.db.readings(desk.tenant).figures


async def assert_figures_are_plain(desk: Desk, zone: str) -> Totals:
    figures, plain = await counted(desk), Plain(desk)
    totals, slices = await figures.accounts()
    shown = await plain.totals()
    assert {name: getattr(totals, name) for name in shown} == shown
    wanted = await plain.slices(datetime.now(ZoneInfo(zone)).date())
    assert {(one.respect, one.part): list(one[2:]) for one in slices} == {
        key: values for key, values in wanted.items() if key[0] != "collector"
    }
    days = await plain.days(ZoneInfo(zone))
    rows = await desk.query("SELECT * FROM daily_figure WHERE agency_id = %s", desk.agency_id)
    kept = {(row["day"], row["collector_id"]): {name: row[name] for name in DAILY} for row in rows}
    assert {key: values for key, values in kept.items() if values != ZERO} == days
    _, by_day = await figures.by_day(ALL_DAYS)
    assert {one.key: one._asdict() for one in by_day if any(one[1:])} == {
        day: {"key": day} | {name: sum(v[name] for (d, _), v in days.items() if d == day) for name in DAILY}
        for day, _ in days
    }
    _, by_collector = await figures.by_collector(ALL_DAYS, None)
    for person, held, happened in by_collector:
        who = person.id if person else NOBODY
        assert list(held[2:]) == wanted.get(("collector", str(who)), [0, 0, 0])
        assert {name: getattr(happened, name) for name in DAILY} == {
            name: sum(values[name] for (_, whose), values in days.items() if whose == who) for name in DAILY
        }
    found: Totals = totals
    return found


@pytest.mark.parametrize("seed", range(2))
async def test_figures_are_what_single_rows_add_up_to(desk: Desk, seed: int) -> None:
    other = Desk(desk.db, desk.superuser_url)
    await other.open()
    lives = [(Life(desk, seed), "Pacific/Auckland"), (Life(other, seed + 100), "America/Los_Angeles")]
    for life, zone in lives:
        await life.begin(zone)
    for round_ in range(2):
        for _ in range(18):
            await asyncio.gather(*(life.step() for life, _ in lives))
        for life, zone in lives:
            if round_:
                await life.spread()
            await assert_figures_are_plain(life.desk, zone)


async def test_what_is_applied_is_theirs_who_had_the_debt_then_also_when_it_is_taken_back(desk: Desk) -> None:
    """Three hands, one debt: it is given on after the payment came, and again after it was put on it."""
    debtor, till = await desk.debtor(), Till(desk)
    account, debt = [await desk.place(debtor, amount, status="negotiating") for amount in ("100.00", "50.00")]
    first, second, third = [await desk.hire(name) for name in ("A", "B", "C")]
    await desk.tell(Assign, debt, collector_id=first)
    ref = await till.paid(account, "130.00")
    await desk.tell(Assign, debt, collector_id=second)
    await apply(till, account, debt, "30.00")

    async def collected() -> dict[str | None, int]:
        _, found = await (await counted(desk)).by_collector(ALL_DAYS, None)
        return {person and person.full_name: int(happened.collected) for person, _, happened in found}

    assert await collected() == {"A": 0, "B": 30, "C": 0, None: 100}
    await desk.tell(Assign, debt, collector_id=third)
    await till.dispute(ref, "130.00", "needs_response")
    assert await collected() == {"A": 0, "B": 0, "C": 0, None: 0}
    await assert_figures_are_plain(desk, "UTC")


async def test_an_agency_without_anything_has_figures_of_nothing(desk: Desk) -> None:
    figures = desk.db.readings(desk.tenant).figures
    assert (await figures.totals(), await figures.accounts(), await figures.by_day(ALL_DAYS)) == (None,) * 3
    assert await figures.by_collector(ALL_DAYS, None) is None
    totals = await assert_figures_are_plain(desk, "UTC")
    assert (totals.collected, totals.payments, totals.breaks) == (0, 0, 0)


async def test_figures_of_what_is_gone_are_gone(desk: Desk) -> None:
    account = await desk.place(amount="100.00")
    await Till(desk).paid(account, "40.00")
    assert (await assert_figures_are_plain(desk, "UTC")).collected == 40
    await desk.query("UPDATE journal SET occurred_at = '2025-05-05' WHERE agency_id = %s", desk.agency_id)
    await assert_figures_are_plain(desk, "UTC")
    [row] = await desk.query("SELECT day FROM daily_figure WHERE agency_id = %s", desk.agency_id)
    assert row["day"] == date(2025, 5, 5)


async def test_what_is_the_same_is_not_written_again(desk: Desk) -> None:
    await Till(desk).paid(await desk.place(amount="100.00"), "40.00")
    written = "SELECT xmin, slice, part FROM account_figure WHERE agency_id = %s ORDER BY slice, part"
    await counted(desk)
    before = await desk.query(written, desk.agency_id)
    await counted(desk)
    assert await desk.query(written, desk.agency_id) == before


async def test_only_one_counts_at_a_time_and_the_other_does_not_wait(desk: Desk) -> None:
    changes = await desk.db.readings(desk.tenant).figures.changes()
    async with desk.db.transaction(desk.tenant, snapshot=True) as tx:
        assert await tx.figures.refresh(changes, if_changed=False) is not None
        assert await refresh_figures(desk.db, desk.tenant) is None
    assert await refresh_figures(desk.db, desk.tenant) is not None


async def test_nothing_is_counted_while_nothing_has_changed(desk: Desk) -> None:
    account = await desk.place(amount="100.00")

    async def age_of_counting() -> timedelta:
        before = await desk.query("SELECT xmin, took_ms FROM figures WHERE agency_id = %s", desk.agency_id)
        standing = await refresh_figures(desk.db, desk.tenant, if_changed=True)
        assert standing is not None
        assert before is not None
        return datetime.now(UTC) - standing.as_of

    # Statistics tell of a change some seconds after it; until then each time is a first time.
    async def left_alone() -> bool:
        await desk.query(
            "UPDATE figures SET as_of = as_of - interval '1 hour' WHERE agency_id = %s", desk.agency_id
        )
        return await age_of_counting() > timedelta(seconds=50)

    await counted(desk)
    await until(left_alone, within_s=60, what="figures that hold still")
    assert KNOWN_AFTER <= await age_of_counting() < KNOWN_AFTER + timedelta(minutes=1)

    await Till(desk).paid(account, "40.00")

    async def noticed() -> bool:
        return await age_of_counting() < KNOWN_AFTER

    await until(noticed, within_s=60, what="the payment to be counted")
    assert (await desk.db.readings(desk.tenant).figures.totals()).collected == 40


async def test_a_new_day_is_counted_though_nothing_has_changed(desk: Desk) -> None:
    await counted(desk)
    changes = await desk.db.readings(desk.tenant).figures.changes()
    await desk.query(
        "UPDATE figures SET changes = %s, today = today - 1 WHERE agency_id = %s", changes, desk.agency_id
    )
    async with desk.db.transaction(desk.tenant, snapshot=True) as tx:
        standing = await tx.figures.refresh(changes, if_changed=True)
        assert standing is not None
        assert standing.as_of == tx.began_at
