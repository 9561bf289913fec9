"""The hash of a decision covers all that it says, and nothing of how it is written."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from db.compliance_log import GENESIS, NewDecision, entry_hash

AGENCY = UUID(int=1)
DECISION = NewDecision(
    id=UUID(int=2),
    account_id=UUID(int=3),
    rule_set_id=UUID(int=4),
    rule_set="federal@abc",
    inputs={"channel": "call", "zones": ["America/Chicago"], "dispute": None},
    answer={"allowed": False, "explanation": "§ 1006 “so”"},
    decided_at=datetime(2026, 3, 8, 12, 0, 0, 1, tzinfo=UTC),
)


def hashed(decision: NewDecision = DECISION, previous: bytes = GENESIS, **changes: Any) -> bytes:
    values = {"agency_id": AGENCY, "number": 1, "allowed": False, **changes}
    return entry_hash(previous, decision=decision, **values)


@pytest.mark.parametrize(
    "other",
    [
        hashed(previous=b"\1" * 32),
        hashed(agency_id=UUID(int=9)),
        hashed(number=2),
        hashed(allowed=True),
        hashed(replace(DECISION, id=UUID(int=9))),
        hashed(replace(DECISION, account_id=UUID(int=9))),
        hashed(replace(DECISION, rule_set="federal@abd")),
        hashed(replace(DECISION, inputs={**DECISION.inputs, "channel": "sms"})),
        hashed(replace(DECISION, answer={**DECISION.answer, "retry_at": None})),
        hashed(replace(DECISION, decided_at=DECISION.decided_at + timedelta(microseconds=1))),
    ],
    ids=[
        *("previous", "agency", "number", "allowed", "id", "account", "rules", "inputs", "answer", "time"),
    ],
)
def test_every_part_counts(other: bytes) -> None:
    assert other != hashed()


def test_notation_does_not() -> None:
    turned = dict(reversed(DECISION.inputs.items()))
    local = DECISION.decided_at.astimezone(timezone(timedelta(hours=-5)))
    assert hashed(replace(DECISION, inputs=turned, decided_at=local)) == hashed()


def test_the_hash_is_the_one_that_is_documented() -> None:
    written = (
        '{"account_id":"00000000-0000-0000-0000-000000000003","agency_id":"00000000-0000-0000-0000-000000000001",'
        '"allowed":false,"answer":{"allowed":false,"explanation":"§ 1006 “so”"},'
        '"decided_at":"2026-03-08T12:00:00.000001+00:00","id":"00000000-0000-0000-0000-000000000002",'
        '"inputs":{"channel":"call","dispute":null,"zones":["America/Chicago"]},"number":1,'
        '"rule_set":"federal@abc"}'
    )
    assert hashed() == hashlib.sha256(bytes(32) + written.encode()).digest()
