"""What may happen next: to an account as the model has it, and to the world around it."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from tests.integration.payments.money_machine import Lives, Step
from tests.integration.payments.money_model import METHODS, Account, Payment

CENT, LEAST = Decimal("0.01"), Decimal("0.50")
KINDS = ["timeout_after", "error_after", "reset_after", "timeout_before", "error_before", "unavailable"]
PATHS = [
    ("POST", "/v1/payment_intents"),
    ("POST", "/v1/payment_intents/*/confirm"),
    ("POST", "/v1/refunds"),
    ("GET", "/v1/payment_intents/*"),
]
ORDERS = ["created", "reversed", "shuffled"]


def steps(lives: Lives, number: int) -> st.SearchStrategy[Step]:
    """What may happen to an account."""
    account = lives.accounts[number]
    room = max(account.room, LEAST)
    amounts = st.sampled_from([Decimal(30), Decimal("33.33"), LEAST, Decimal(60), room, room, room + CENT])
    pay = step(
        "pay",
        number,
        st.sampled_from(turned(sorted(METHODS), lives.rounds + number)),
        amounts,
        st.sampled_from([1, 1, 2]),
    )
    likely = [pay] * 3
    if account.payments:
        likely += [step("again", number, st.integers(0, len(account.payments) - 1), st.booleans())]
    for place, payment in enumerate(account.payments):
        if payment.sure:
            likely += of_payment(lives, number, place, payment)
    if account.payments and not account.stale and not lives.house.nerves.cut:
        likely += beside(number, account)
    return st.one_of(turned(likely, lives.rounds * 5 + number * 3))


def turned(options: list[Any], by: int) -> list[Any]:
    """The same in another order: the simplest example, which takes the first each time, is no dull one."""
    by %= len(options)
    return options[by:] + options[:by]


def of_payment(lives: Lives, number: int, place: int, payment: Payment) -> list[st.SearchStrategy[Step]]:
    """What may happen to a payment of which nothing is under way."""
    at, found = st.just(place), []
    left = payment.left
    parts = [(left / 3).quantize(CENT), left, left + CENT]
    if left <= CENT * 3:
        found.append(step("refund", number, at, st.just(Decimal(1)), st.just(1)))
    else:
        found += [step("refund", number, at, st.sampled_from(parts), st.just(1))] * 2
        found.append(step("refund", number, at, st.just((left * 3 / 5).quantize(CENT)), st.just(2)))
        if payment.by_stripe and not refunds_fail(lives):
            found.append(step("there", number, at, st.sampled_from(parts[:2])))
    if payment.state == "requires_action":
        found += [step("answer", number, at, st.booleans())] * 3
    if payment.state == "processing":
        found += [step("bank", number, at, st.booleans())] * 3
    if payment.disputable and len(payment.disputes) < 2:
        found += [step("dispute", number, at, st.sampled_from([False, False, True]))] * 2
    if payment.disputes and payment.disputes[-1].status == "needs_response":
        found += [step("decide", number, at, st.booleans())] * 3
    for which, refund in enumerate(payment.refunds):
        if refund.id and refund.status in {"pending", "succeeded"}:
            yes = st.booleans() if refund.status == "pending" else st.just(False)
            found.append(step("finish", number, at, st.just(which), yes))
    return found


def beside(number: int, account: Account) -> list[st.SearchStrategy[Step]]:
    """What people do to an account."""
    found = []
    if len(account.payments) > 1 and account.books().status != "closed":
        found.append(step("recall", number))
    disputes = [one for payment in account.payments for one in payment.disputes if one.takes]
    if account.held and all(one.status == "lost" for one in disputes):
        found += [step("lift", number)] * 3
    return found


def events(lives: Lives) -> st.SearchStrategy[Step]:
    """What may happen to the world; every third time, all comes to rest."""
    faults = st.tuples(st.just("fault"), st.sampled_from(KINDS), st.sampled_from(PATHS), st.integers(1, 2))
    some: list[st.SearchStrategy[Any]] = [
        faults,
        faults,
        st.just(("hold",)),
        st.tuples(st.just("release"), st.sampled_from(ORDERS)),
        st.tuples(st.just("double"), st.integers(1, 2)),
        st.tuples(st.just("resend"), st.integers(0, 20)),
        st.tuples(st.just("crash"), st.sampled_from([0.0, 0.05, 0.3])),
        st.tuples(st.just("lose"), st.integers(1, 3)),
        st.just(("door",)),
        st.just(("cut",)),
        st.just(("reconcile",)),
    ]
    rest = [st.just(("settle",))] * (len(some) // 2)
    return st.one_of(turned([*rest, *some], lives.rounds * 4))


def refunds_fail(lives: Lives) -> bool:
    """Whether a refund at Stripe would meet a fault that is meant for us."""
    return any(fault.count and fault.path == "/v1/refunds" for fault in lives.house.office.stripe.faults.all)


def step(name: str, number: int, *values: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(name), st.just(number), *values)
