"""Access tokens: how long they are good, by clocks that differ a little."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain.errors import Unauthenticated
from domain.tenancy import Role
from services.tokens import CLOCK_SKEW, AccessTokens, Claims

LIFETIME = timedelta(minutes=15)
MOMENT = timedelta(seconds=2)


def issued(ago: timedelta) -> tuple[AccessTokens, str, Claims]:
    tokens = AccessTokens("0" * 32, LIFETIME)
    claims = Claims(UUID(int=1), Role.AUDITOR, UUID(int=2), datetime.now(UTC) - ago)
    return tokens, tokens.issue(claims), claims


@pytest.mark.parametrize("ago", [timedelta(0), MOMENT - CLOCK_SKEW, LIFETIME + CLOCK_SKEW - MOMENT])
def test_a_token_is_good_for_its_lifetime_whichever_replica_reads_it(ago: timedelta) -> None:
    tokens, token, claims = issued(ago)
    assert tokens.read(token) == claims


@pytest.mark.parametrize("ago", [-CLOCK_SKEW - MOMENT, LIFETIME + CLOCK_SKEW + MOMENT])
def test_one_from_later_or_long_ago_is_refused(ago: timedelta) -> None:
    tokens, token, _ = issued(ago)
    with pytest.raises(Unauthenticated):
        tokens.read(token)
