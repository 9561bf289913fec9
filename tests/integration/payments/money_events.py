"""What happens to the world around accounts: networks, processes and webhooks on a bad day."""

from collections.abc import Sequence

from tests.integration.payments.money_machine import Lives, Step, together

MEANWHILE = {"crash", "reconcile"}
"""What happens while steps are taken; the rest comes before them."""


async def happen(lives: Lives, event: Step) -> None:
    """What comes before the steps of a round; Temporal is back after one."""
    lives.house.nerves.cut = False
    if event[0] not in MEANWHILE:
        await EVENTS[event[0]](lives, *event[1:])


async def within(lives: Lives, event: Step, steps: Sequence[Step]) -> None:
    """The steps of a round, all at once, with what happens meanwhile."""
    meanwhile = [EVENTS[event[0]](lives, *event[1:])] if event[0] in MEANWHILE else []
    await together(*(lives.take(step) for step in steps), *meanwhile)


async def settle(lives: Lives) -> None:
    await lives.settle()


async def nothing(lives: Lives) -> None:
    pass


async def fault(lives: Lives, kind: str, where: tuple[str, str], count: int) -> None:
    method, path = where
    lives.house.office.breaks(kind, path, method=method, count=count)


async def hold(lives: Lives) -> None:
    await lives.control("behaviour", hold_webhooks=True)


async def release(lives: Lives, order: str) -> None:
    await lives.control("webhooks/release", order=order)


async def double(lives: Lives, copies: int) -> None:
    await lives.control("behaviour", duplicates=copies, jitter_s=0.2)


async def resend(lives: Lives, which: int) -> None:
    """One of the last events comes once more."""
    found = (await lives.house.office.caller.get("events", limit=21))["data"]
    if found:
        event = found[which % len(found)]
        await lives.house.office.caller.client.post(f"/sandbox/events/{event['id']}/resend")


async def crash(lives: Lives, after_s: float) -> None:
    await lives.house.crash(after_s)


async def lose(lives: Lives, answers: int) -> None:
    lives.house.nerves.losing += answers


async def door(lives: Lives) -> None:
    """The API that webhooks reach ends, or is there again."""
    if lives.house.door_open:
        await lives.house.shut_door()
    else:
        await lives.house.open_door()


async def cut(lives: Lives) -> None:
    """Temporal is away for the API; what it could not be told, a sweep must find."""
    lives.house.nerves.cut = True
    lives.heard = False


async def reconcile(lives: Lives) -> None:
    await lives.house.office.reconciled()


EVENTS = {
    one.__name__: one
    for one in (settle, nothing, fault, hold, release, double, resend, crash, lose, door, cut, reconcile)
}
