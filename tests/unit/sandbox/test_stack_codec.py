"""The sandbox has a codec endpoint where it has payload keys, and only there."""

from pathlib import Path

import pytest

from runtime.settings import Settings
from sandbox.stack import Stack, product


@pytest.mark.parametrize("keys", ["", "k1:" + "QkJC" * 10 + "QkI="], ids=["in-the-clear", "encrypted"])
def test_the_web_ui_is_led_to_the_codec_endpoint_that_runs(keys: str, tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path, payload_keys=keys, codec_port=8299)
    stack = Stack(settings, migrate=print, apps=product(settings), report=print)
    assert ("codec" in stack.apps) is bool(keys)
    assert ("RECOUP_CODEC_PORT" in {port.variable for port in stack.ports}) is bool(keys)
    options = stack.temporal._options()
    assert ("http://127.0.0.1:8299/codec" in options) is bool(keys)
