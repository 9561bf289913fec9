"""Train the model and write what Recoup loads: the saved model and its card.

    python -m examples.sklearn_model.train scorecards --history history.csv

``history.csv`` is a portfolio file of accounts that are over, with a column ``paid`` (1 or 0) more. Without
one, a history is invented, to try the example.
"""

import hashlib
from io import BytesIO
from pathlib import Path
from typing import Annotated

import joblib
import numpy as np
import polars as pl
import typer
import yaml
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from examples.sklearn_model.scorer import CATEGORIES, NUMBERS, features
from sandbox.portfolios import write_portfolio

FACTS = {
    "original_amount": pl.Float64,
    "monthly_income": pl.Float64,
    "late_payments_count": pl.Int64,
    **dict.fromkeys(CATEGORIES, pl.String),
}
CARD = {
    "kind": "model",
    "name": "payment-boosting",
    "version": 1,
    "title": "Probability of payment by gradient boosting",
    "predict": "examples.sklearn_model.scorer:load",
    "uses": ["monthly_income", "late_payments_count", *CATEGORIES],
    "leaves_out": {
        "family_situation": "Regulation B (12 CFR 1002) forbids taking marital status into account.",
    },
    "cost_of_work": 25,
    "high_priority_above": 1000,
    "levels": [
        {"level": "LOW", "up_to_percent": 30},
        {"level": "MEDIUM", "up_to_percent": 60},
        {"level": "HIGH", "up_to_percent": 80},
        {"level": "CRITICAL", "up_to_percent": 100},
    ],
}


def invented_history(rows: int, seed: int) -> pl.DataFrame:
    """Invented accounts and whether they were paid: less often the more a debtor owes and was late."""
    file = BytesIO()
    write_portfolio(file, rows=rows, seed=seed)
    facts = pl.read_csv(file.getvalue(), columns=list(FACTS), schema_overrides=FACTS)
    ratio = facts["original_amount"] / facts["monthly_income"].fill_null(2500).clip(lower_bound=100)
    late = facts["late_payments_count"].fill_null(3)
    odds = 1.2 - 0.35 * late - 0.25 * ratio.clip(upper_bound=10)
    odds -= 1.0 * (facts["employment_status"] == "UNEMPLOYED").fill_null(value=False)
    chance = np.random.default_rng(seed).random(rows)
    return facts.with_columns(paid=pl.Series(chance < 1 / (1 + np.exp(-odds.to_numpy()))).cast(pl.Int8))


def fit(history: pl.DataFrame, seed: int = 0) -> Pipeline:
    """A model of ``paid`` by the facts as they were when the account came in."""
    unknown = {"handle_unknown": "use_encoded_value", "unknown_value": np.nan}
    numbers, categories = len(NUMBERS), len(CATEGORIES)
    columns = ColumnTransformer(
        [("categories", OrdinalEncoder(**unknown), list(range(numbers, numbers + categories)))],
        remainder="passthrough",
    )
    model = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=80, random_state=seed))
    return model.fit(features(history.rename({"original_amount": "balance"})), history["paid"].to_numpy())


def save(model: Pipeline, folder: Path) -> Path:
    """Write the saved model and its card into ``folder``; the path of the card."""
    folder.mkdir(parents=True, exist_ok=True)
    artifact = folder / f"{CARD['name']}.joblib"
    joblib.dump(model, artifact)
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    card = CARD | {"artifact": {"file": artifact.name, "sha256": digest}}
    path = folder / f"{CARD['name']}.yaml"
    path.write_text(yaml.safe_dump(card, sort_keys=False), encoding="utf-8")
    return path


def main(
    folder: Path,
    history: Annotated[Path | None, typer.Option(help="Portfolio file with a column paid (1 or 0).")] = None,
) -> None:
    """Train on a history (without one, on an invented one) and write model and card into FOLDER."""
    if history is None:
        outcomes = invented_history(20_000, seed=1)
    else:
        outcomes = pl.read_csv(history, columns=[*FACTS, "paid"], schema_overrides=FACTS)
    typer.echo(f"wrote {save(fit(outcomes), folder)}")


if __name__ == "__main__":
    typer.run(main)
