"""The example of docs/scoring.md: trained, saved, loaded by its card, asked about accounts."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import polars as pl
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from db.model_scoring import INPUTS, evaluate
from db.scorecard_files import BadScorecard, load_scorers
from domain.scoring import ModelCard
from examples.sklearn_model.scorer import features
from examples.sklearn_model.train import fit, invented_history, save


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for one another at each split take ten times as long as one alone."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def history() -> pl.DataFrame:
    return invented_history(3_000, seed=1)


@pytest.fixture(scope="module")
def model(history: pl.DataFrame) -> Pipeline:
    return fit(history)


@pytest.fixture(scope="module")
def folder(model: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(model, tmp_path_factory.mktemp("scorecards")).parent


def loaded(folder: Path) -> ModelCard:
    card = load_scorers(folder)["payment-boosting"]
    assert isinstance(card, ModelCard)
    return card


def test_the_same_history_makes_the_same_model(history: pl.DataFrame, model: Pipeline) -> None:
    assert invented_history(200, seed=5).equals(invented_history(200, seed=5))
    rows = features(history.rename({"original_amount": "balance"}))
    assert (fit(history).predict_proba(rows) == model.predict_proba(rows)).all()


def test_it_knows_who_pays_among_those_it_has_not_seen(model: Pipeline) -> None:
    others = invented_history(2_000, seed=2).rename({"original_amount": "balance"})
    assert roc_auc_score(others["paid"], model.predict_proba(features(others))[:, 1]) > 0.65


async def test_accounts_are_scored_by_what_the_saved_model_says(folder: Path, model: Pipeline) -> None:
    rows = [
        (str(UUID(int=1)), 500_000, 400_000, 0, "GOVERNMENT_EMPLOYED", "PERMANENT", "GOVERNMENT", None),
        (str(UUID(int=2)), 500_000, 90_000, 9, "UNEMPLOYED", "FREELANCE", "ENTERTAINMENT", None),
        (str(UUID(int=3)), 500_000, None, None, None, None, None, None),
        (str(UUID(int=4)), 0, -100, 0, "ALCHEMIST", "", "MOON", None),
    ]
    inputs = pl.DataFrame(rows, schema=INPUTS, orient="row")
    card = loaded(folder)
    told = await evaluate(card, inputs, Decimal(1000))
    assert told.errors == ()
    seen = inputs.with_columns(pl.col("balance", "monthly_income") / 100)
    payment = model.predict_proba(features(seen))[:, 1]
    assert told.scores["total"].to_list() == [10_000 - round(p * 10_000) for p in payment]
    reliable, doubtful, *_ = told.scores["rank"].to_list()
    assert reliable > doubtful
    assert told.scores["rank"].to_list()[3] == -25_00


def test_a_model_that_was_trained_again_needs_a_new_card(
    history: pl.DataFrame, folder: Path, tmp_path: Path
) -> None:
    for name in ("payment-boosting.yaml", "payment-boosting.joblib"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert loaded(tmp_path).digest == loaded(folder).digest
    save(fit(history, seed=1), tmp_path / "again")
    (tmp_path / "again" / "payment-boosting.joblib").replace(tmp_path / "payment-boosting.joblib")
    with (tmp_path / "payment-boosting.joblib").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BadScorecard, match=r"artifact.sha256: payment-boosting.joblib is another one"):
        load_scorers(tmp_path)
