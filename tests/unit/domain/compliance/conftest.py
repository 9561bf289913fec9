from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from db.rule_files import builtin_rule_sets
from domain.compliance import ContactFacts, RuleSet

Case = Callable[..., ContactFacts]


@pytest.fixture(scope="session")
def federal() -> RuleSet:
    return builtin_rule_sets()["federal"]


@pytest.fixture(scope="session")
def strictest() -> RuleSet:
    return builtin_rule_sets()["strictest-states"]


@pytest.fixture(scope="session")
def case() -> Case:
    """Facts of a call to somebody in Chicago at noon on a Wednesday, with changes."""

    def make(**changes: Any) -> ContactFacts:
        at = changes.pop("at", datetime.fromisoformat("2026-11-18T12:00-06:00"))
        facts = {
            "channel": "call",
            "at": at,
            "now": at,
            "zones": ["America/Chicago"],
            "state": "IL",
            **changes,
        }
        return ContactFacts.model_validate(facts)

    return make
