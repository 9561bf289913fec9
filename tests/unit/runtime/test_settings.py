"""What is derived where a setting is not given."""

from typing import Any

import pytest

from runtime.settings import STRIPE_API, Settings

PRODUCTION = {"env": "production", "jwt_secret": "x" * 40, "column_keys": "a:" + "QUFB" * 10 + "QUE="}


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"stripe_port": 4242}, "http://127.0.0.1:4242"),
        (PRODUCTION, STRIPE_API),
        ({**PRODUCTION, "stripe_url": "http://stripe.test"}, "http://stripe.test"),
    ],
    ids=["development", "production", "given"],
)
def test_stripe_is_a_stand_in_in_development_only(given: dict[str, Any], url: str) -> None:
    assert Settings(_env_file=None, **given).stripe_url == url
