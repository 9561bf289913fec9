"""Children of the sandbox read the very settings that their supervisor has."""

from pathlib import Path

import pytest

from runtime.settings import Settings
from sandbox.stack import environment


def test_settings_survive_the_way_through_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(
        home=tmp_path / "home",
        api_port=18_000,
        postgres_port=15_433,
        log_json=True,
        lifecycle_capacity=7,
        jwt_secret="a secret of its own",
    )

    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)

    assert Settings() == settings
