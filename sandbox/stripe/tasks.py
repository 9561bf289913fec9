"""What happens by itself when its time has come: debits settle, disputes open, sessions expire."""

from collections.abc import Callable, Mapping
from typing import Final

from sandbox.stripe import attempts, checkout, disputes, refunds
from sandbox.stripe.outcomes import Decline
from sandbox.stripe.store import Json, Task
from sandbox.stripe.world import World


def settle(world: World, intent: Json, decline: Decline | None = None) -> None:
    """A bank debit ends, as its test account says or with ``decline``."""
    if intent["status"] == "processing":
        checkout.settled(world, attempts.settled(world, intent, decline=decline))


def _dispute(world: World, charge: Json) -> None:
    if not charge["disputed"] and charge["amount_refunded"] < charge["amount"]:
        disputes.opened(world, charge)


def _refund_succeeds(world: World, refund: Json) -> None:
    refunds.finished(world, refund, succeeds=True)


def _refund_fails(world: World, refund: Json) -> None:
    refunds.finished(world, refund, succeeds=False)


def _expire(world: World, session: Json) -> None:
    checkout.expired(world, session)


_TASKS: Final[Mapping[str, tuple[str, Callable[[World, Json], None]]]] = {
    "settle": ("payment_intent", settle),
    "dispute": ("charge", _dispute),
    "refund_succeeds": ("refund", _refund_succeeds),
    "refund_fails": ("refund", _refund_fails),
    "expire_session": ("checkout.session", _expire),
}


def carry_out(world: World, task: Task) -> None:
    """Do a task that is due, and strike it out, in the caller's transaction."""
    kind, work = _TASKS[task.name]
    world.store.drop_task(task.seq)
    work(world, world.get(kind, task.object_id))
