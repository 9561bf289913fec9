"""What the mains load before they serve."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.composition import build_services
from db.cipher import ColumnCipher, parse_keys
from db.scorecard_files import BadScorecard
from db.session import Database
from runtime.settings import Settings
from workers.worker import activities_of

OWN = Path(__file__).parents[3] / "domain/scoring/scorecards/recovery-v1.yaml"


@pytest.fixture
def database() -> Database:
    settings = Settings()
    return Database(settings.database_url, ColumnCipher(parse_keys(settings.column_keys.get_secret_value())))


def _worker(settings: Settings, database: Database) -> object:
    return activities_of(settings, database, client=Any, storage=Any, stripe=Any)


def _api(settings: Settings, database: Database) -> object:
    return build_services(settings, database, client=Any)


@pytest.mark.parametrize("start", [_worker, _api])
def test_a_bad_scorecard_is_refused_at_start(
    start: Callable[[Settings, Database], object],
    tmp_path: Path,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "own.yaml").write_text(OWN.read_text().replace("weight: 9", "weight: 0"))
    monkeypatch.setenv("RECOUP_SCORECARDS", str(tmp_path))
    with pytest.raises(BadScorecard, match=r"own\.yaml, line \d+: factors\.0\.weight"):
        start(Settings(), database)
