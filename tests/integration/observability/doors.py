"""Each door of the product, through which people come in: with right values and with wrong ones."""

import asyncio
from typing import Any
from uuid import uuid4

import psycopg

from sandbox.processes import until
from tests.integration.observability.planted import (
    CARD,
    EMAIL,
    OTHER,
    PASSWORD,
    PERSON,
    PHONE,
    SSN,
    STREET,
)
from tests.integration.observability.stack import Stack

ADMIN = "acme.admin"
ENDED_WITHIN_S = 60
HEADER = (
    "external_ref,debtor_name,original_amount,debtor_ssn_last4,debtor_email,debtor_phone,address_line1,"
    "due_date\n"
)
GOOD = "".join(f"P-{n},{PERSON},250.00,4329,{EMAIL},{PHONE},{STREET},2026-01-31\n" for n in range(20))
BAD = (
    f"Q-1,{PERSON},{SSN},{SSN},{EMAIL},{PHONE},{STREET},2026-01-31\n"
    f"Q-2,{OTHER},12.00,{CARD},{PERSON},{STREET},{PHONE},{PERSON}\n"
)
REFUSED_BY_THE_DATABASE = f"R-1,{OTHER},99.00,,,,,\n"
FILES = {
    "portfolio.csv": HEADER + GOOD + BAD,
    "headless.csv": GOOD,
    "failing.csv": HEADER + REFUSED_BY_THE_DATABASE,
}


async def plant(stack: Stack, inbox: Any, superuser_url: str) -> None:
    """Send all of it in, and wait until it was dealt with."""
    await _refuse_in_the_database(superuser_url)
    account = await _placed(stack)
    await asyncio.gather(
        _files(stack, inbox),
        _commands(stack, account),
        _payments(stack, account),
        _partner(stack),
        _strangers(stack),
    )


async def _refuse_in_the_database(superuser_url: str) -> None:
    """Rows that nobody has foreseen, whose refusal PostgreSQL words by quoting them."""
    async with await psycopg.AsyncConnection.connect(superuser_url) as link:
        for table, column in (("debtor", "full_name"), ("timeline_event", "description"), ("hold", "reason")):
            refuses = f"ALTER TABLE {table} ADD CONSTRAINT planted CHECK ({column} NOT LIKE 'Vexillia%')"
            await link.execute(refuses.encode())


def _person() -> dict[str, Any]:
    return {
        "full_name": PERSON,
        "debtor_ref": uuid4().hex,
        "ssn_last4": "4329",
        "email": EMAIL,
        "phone": PHONE,
        "address_line1": STREET,
    }


async def _placed(stack: Stack) -> str:
    body = {"external_ref": uuid4().hex, "original_amount": "500.00", "debtor": _person()}
    return str((await stack.done(ADMIN, "POST", "/accounts", body))["id"])


async def _refused(stack: Stack, status: int, *words: Any, **headers: str) -> None:
    answer = await stack.call(*words, **headers)
    assert answer.status_code == status, (words, answer.text)


async def _files(stack: Stack, inbox: Any) -> None:
    """Over SFTP: rows that come in, rows at fault, a header of values, and rows that make the import fail."""
    for name, content in FILES.items():
        (inbox / name).write_text(content)
    await stack.done(ADMIN, "POST", "/imports/poll")

    async def over() -> bool:
        found = (await stack.done(ADMIN, "GET", "/imports"))["results"]
        return len(found) == 3 and all(one["status"] in {"completed", "failed"} for one in found)

    await until(over, within_s=ENDED_WITHIN_S, what="all three files to be over")
    found = (await stack.done(ADMIN, "GET", "/imports"))["results"]
    ended = {one["file_name"]: one["status"] for one in found}
    assert ended == dict(zip(FILES, ("completed", "failed", "failed"), strict=True)), found


async def _commands(stack: Stack, account: str) -> None:
    """Free text of people who work accounts, and values that are refused."""
    told = f"Spoke to {PERSON}, {PHONE}, of {STREET}; SSN {SSN}, card {CARD}, {EMAIL}"
    path = f"/accounts/{account}"
    await stack.done(ADMIN, "POST", f"{path}/notes", {"text": told})
    await _refused(stack, 500, ADMIN, "POST", f"{path}/notes", {"text": f"{OTHER} called"})
    await stack.done(ADMIN, "POST", f"{path}/transition", {"new_status": "assigned", "note": told})
    await _refused(stack, 409, ADMIN, "POST", f"{path}/transition", {"new_status": "settled", "note": told})
    await _refused(stack, 500, ADMIN, "POST", f"{path}/holds", {"kind": "attorney", "reason": OTHER})
    await stack.done(ADMIN, "POST", f"{path}/holds", {"kind": "cease", "reason": told})
    called = {
        "channel": "call",
        "direction": "inbound",
        "connected": True,
        "conversation": True,
        "note": told,
    }
    await stack.done(ADMIN, "POST", f"{path}/contacts", called)
    await _refused(stack, 422, ADMIN, "POST", f"{path}/transition", {"new_status": PERSON, "note": 7})
    await _refused(stack, 422, ADMIN, "POST", f"{path}/notes", {"text": told, PERSON: SSN})
    await _refused(stack, 422, ADMIN, "POST", "/debtors", {**_person(), "ssn_last4": SSN, "email": PERSON})
    await _refused(stack, 500, ADMIN, "POST", "/debtors", {**_person(), "full_name": OTHER})
    await _refused(stack, 400, ADMIN, "POST", "/accounts", b'{"debtor": "' + PERSON.encode() + b'"')
    await _refused(stack, 404, ADMIN, "GET", f"/accounts/{PERSON}/{SSN}")
    for query in (f"search={EMAIL}", f"nobody={PERSON}", f"search={PERSON}&page_size={CARD}"):
        await stack.call(ADMIN, "GET", f"/accounts?{query}")
    debtor = (await stack.done(ADMIN, "GET", path))["debtor"]["id"]
    await stack.done(ADMIN, "PATCH", f"/debtors/{debtor}", {"phone": PHONE, "full_name": f"{PERSON} II"})


async def _payments(stack: Stack, account: str) -> None:
    """Numbers of cards where there must be none, keys and references that tell of people, and cash."""
    asked = {"account_id": account, "amount": "10.00", "currency": "USD", "method": "card"}
    card = {**asked, "payment_method": CARD.replace(" ", ""), "idempotency_key": EMAIL}
    await _refused(stack, 422, ADMIN, "POST", "/payments", card)
    wrong = {**asked, "card": {"number": CARD, "name": PERSON}, "payment_method": "pm_card_visa"}
    await _refused(stack, 422, ADMIN, "POST", "/payments", wrong)
    declined = {**asked, "payment_method": "pm_card_chargeDeclined", "idempotency_key": f"{EMAIL}-declined"}
    await stack.call(ADMIN, "POST", "/payments", declined)
    cash = {**asked, "method": "cash", "idempotency_key": f"{EMAIL}-{SSN}", "reference": PERSON}
    await stack.done(ADMIN, "POST", "/payments", cash)
    await _refused(stack, 400, None, "POST", "/payments/webhook/stripe/acme", _event(), **_signature())


def _event() -> bytes:
    return f'{{"type": "charge.succeeded", "data": {{"name": "{PERSON}", "number": "{CARD}"}}}}'.encode()


def _signature() -> dict[str, str]:
    return {"Stripe-Signature": f"t=1,v1={PERSON.encode().hex()}"}


async def _partner(stack: Stack) -> None:
    """What a partner says, of people and at fault."""
    made = await stack.done(ADMIN, "POST", "/partners", {"name": "northgate"})
    said = {
        "account_ref": PERSON,
        "balance": "1.00",
        "status": "PARTIAL",
        "processed_at": "2026-03-31T14:05:00Z",
    }
    wrong = {"account_ref": EMAIL, "balance": SSN, "status": PERSON, "processed_at": CARD}
    path = f"/partners/{made['id']}"
    taken = await stack.done(ADMIN, "POST", f"{path}/messages", [said, wrong])
    assert (taken["accepted"], taken["refused"]) == (1, 1)
    started = await stack.done(ADMIN, "POST", f"{path}/reconciliations", {"scope": "messages"})

    async def over() -> bool:
        run = await stack.done(ADMIN, "GET", f"/reconciliations/{started['id']}")
        return run["status"] in {"completed", "failed"}

    await until(over, within_s=ENDED_WITHIN_S, what="the reconciliation to end")


async def _strangers(stack: Stack) -> None:
    """Those who may not come in, and what they bring along."""
    for _ in range(6):
        await stack.call(None, "POST", "/auth/token", {"username": EMAIL, "password": PASSWORD})
    await _refused(
        stack, 422, None, "POST", "/auth/token", {"username": [PERSON], "password": {SSN: PASSWORD}}
    )
    await _refused(stack, 401, None, "POST", "/auth/token/refresh", {"refresh": f"{PASSWORD}{EMAIL}"})
    await _refused(stack, 401, None, "GET", "/accounts", Authorization=f"Bearer {PASSWORD}.{SSN}.{CARD}")
    await stack.call(
        ADMIN,
        "GET",
        "/auth/me",
        **{
            "User-Agent": PERSON,
            "Referer": f"https://planted.example/{EMAIL}",
            "Cookie": f"name={PERSON}",
            "X-Request-ID": f"{PERSON}, {SSN}",
            "X-Forwarded-For": PHONE,
            "tracestate": f"vendor={PASSWORD}",
            "traceparent": f"00-{uuid4().hex}-{uuid4().hex[:16]}-01",
            "baggage": f"name={EMAIL}",
        },
    )
