import pytest

from db.scorecard_files import builtin_scorecards
from domain.scoring import Scorecard


@pytest.fixture(scope="session")
def recovery() -> Scorecard:
    return builtin_scorecards()["recovery-v1"]


@pytest.fixture(scope="session")
def ecoa() -> Scorecard:
    return builtin_scorecards()["recovery-v1-ecoa"]


@pytest.fixture(scope="session")
def expected_recovery() -> Scorecard:
    return builtin_scorecards()["expected-recovery"]
