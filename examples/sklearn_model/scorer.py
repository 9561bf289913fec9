"""What the card names: makes the callable from the saved model, when Recoup starts."""

from collections.abc import Callable
from io import BytesIO

import joblib
import numpy as np
import polars as pl
from numpy.typing import NDArray

NUMBERS = ("balance", "monthly_income", "late_payments_count")
CATEGORIES = ("employment_status", "contract_type", "industry_sector")
Probabilities = NDArray[np.float64]


def features(frame: pl.DataFrame) -> NDArray[np.object_]:
    """The model's columns: numbers, NaN where not known, then categories, empty where not known."""
    numbers = frame.select(pl.col(NUMBERS).cast(pl.Float64).fill_null(float("nan")))
    categories = frame.select(pl.col(CATEGORIES).fill_null(""))
    return np.hstack([numbers.to_numpy().astype(object), categories.to_numpy().astype(object)])


def load(content: bytes) -> Callable[[pl.DataFrame], Probabilities]:
    """The callable of a model that ``train`` has saved.

    A saved model is code, as every pickle is: Recoup has compared its SHA-256 with the card before.
    """
    model = joblib.load(BytesIO(content))

    def predict(frame: pl.DataFrame) -> Probabilities:
        paid: Probabilities = model.predict_proba(features(frame))[:, 1]
        return paid

    return predict
