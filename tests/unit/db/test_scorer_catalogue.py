"""The scorers of an installation: those that come with the product, and a folder of one's own."""

import hashlib
import sys
from pathlib import Path

import polars as pl
import pytest

from db.scorecard_files import BadScorecard, builtin_scorecards, load_scorers
from domain.scoring import ModelCard, Scorecard

CARD = """\
kind: model
name: payment-model
version: 1
title: Payment model
predict: our_models:even
uses: [monthly_income, late_payments_count, employment_status, contract_type, industry_sector]
leaves_out:
  family_situation: Regulation B
cost_of_work: 12.50
high_priority_above: 750
levels:
  - {level: LOW, up_to_percent: 30}
  - {level: MEDIUM, up_to_percent: 60}
  - {level: HIGH, up_to_percent: 80}
  - {level: CRITICAL, up_to_percent: 100}
"""
MODULE = """\
NUMBER = 7

def even(frame):
    return [0.5] * frame.height

async def later(frame):
    return [0.5] * frame.height

def read(content):
    answer = float(content)
    return lambda frame: [answer] * frame.height

def empty(content):
    return None
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "our_models.py").write_text(MODULE)
    (tmp_path / "cards").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "our_models", raising=False)
    return tmp_path / "cards"


def refusal(folder: Path) -> str:
    with pytest.raises(BadScorecard) as refused:
        load_scorers(folder)
    return refused.value.message


def line_of(text: str, fragment: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), start=1) if fragment in line)


def test_without_a_folder_there_are_those_of_the_product() -> None:
    assert load_scorers(None) == builtin_scorecards()


def test_a_folder_adds_its_scorecards_and_models(folder: Path) -> None:
    own = (Path(__file__).parents[3] / "domain/scoring/scorecards/recovery-v1.yaml").read_text()
    (folder / "own.yaml").write_text(own.replace("name: recovery-v1", "name: own"))
    (folder / "model.yml").write_text(CARD)
    (folder / "notes.txt").write_text("no scorecard")
    scorers = load_scorers(folder)
    assert set(scorers) == {*builtin_scorecards(), "own", "payment-model"}
    assert isinstance(scorers["own"], Scorecard)
    model = scorers["payment-model"]
    assert isinstance(model, ModelCard)
    assert model.predictor(pl.DataFrame({"balance": [1.0, 2.0]})) == [0.5, 0.5]
    assert model.used_facts == (
        "monthly_income",
        "late_payments_count",
        "employment_status",
        "contract_type",
        "industry_sector",
    )


def test_a_folder_that_is_not_there_is_refused(folder: Path) -> None:
    assert "RECOUP_SCORECARDS" in refusal(folder / "missing")


@pytest.mark.parametrize("taken", ["recovery-v1", "expected-recovery"])
def test_a_name_of_the_product_cannot_be_taken(folder: Path, taken: str) -> None:
    (folder / "mine.yaml").write_text(CARD.replace("payment-model", taken))
    assert f"mine.yaml, line 2: name: {taken} is taken by a scorecard that comes with" in refusal(folder)


def test_a_name_used_twice_is_refused_naming_both_files(folder: Path) -> None:
    (folder / "a.yaml").write_text(CARD)
    (folder / "b.yaml").write_text(f"# a second one\n{CARD}")
    assert "b.yaml, line 3: name: payment-model is taken by a.yaml" in refusal(folder)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("our_models:even", "no_such_module:even", "cannot be imported (ModuleNotFoundError"),
        ("our_models:even", "our_models:odd", "cannot be imported (AttributeError"),
        ("our_models:even", "our_models:NUMBER", "is no callable but int"),
        ("our_models:even", "our_models:later", "must be a plain function"),
        ("our_models:even", "our_models.even", "pattern"),
        ("our_models:even", "os:system('id')", "pattern"),
        ("version: 1", "version: 0", "greater than or equal to 1"),
        ("uses: [monthly_income,", "uses: [monthly_income, monthly_income,", "monthly_income is named twice"),
        ("uses: [monthly_income,", "uses: [", "monthly_income is not used"),
        ("uses: [monthly_income,", "uses: [family_situation, monthly_income,", "is used, yet left out"),
        ("uses: [monthly_income,", "uses: [shoe_size, monthly_income,", "monthly_income"),
        ("cost_of_work: 12.50", "cost_of_work: -1", "greater than or equal to 0"),
        ("cost_of_work: 12.50", "cost_of_labour: 1", "Extra inputs are not permitted"),
        ("up_to_percent: 60", "up_to_percent: 20", "must end above the level before it"),
    ],
)
def test_a_bad_model_card_is_refused_naming_the_line(folder: Path, old: str, new: str, fault: str) -> None:
    text = CARD.replace(old, new)
    (folder / "mine.yaml").write_text(text)
    message = refusal(folder)
    assert fault in message
    assert f"mine.yaml, line {line_of(text, new)}: " in message


def test_a_model_is_made_from_its_artifact(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"0.25")
    digest = hashlib.sha256(b"0.25").hexdigest()
    text = CARD.replace("our_models:even", "our_models:read")
    (folder / "mine.yaml").write_text(f"{text}artifact: {{file: model.bin, sha256: {digest}}}\n")
    model = load_scorers(folder)["payment-model"]
    assert isinstance(model, ModelCard)
    assert model.predictor(pl.DataFrame({"balance": [1.0]})) == [0.25]


@pytest.mark.parametrize(
    ("content", "predict", "fault"),
    [
        (b"0.75", "read", "artifact.sha256: model.bin is another one"),
        (None, "read", "artifact.file: model.bin cannot be read (No such file or directory)"),
        (b"0.25", "empty", "predict: our_models:empty must answer a callable"),
        (b"a word", "read", "artifact.file: our_models:read cannot read model.bin: ValueError"),
    ],
)
def test_an_artifact_that_does_not_fit_is_refused(
    folder: Path, content: bytes | None, predict: str, fault: str
) -> None:
    if content is not None:
        (folder / "model.bin").write_bytes(content)
    wanted = hashlib.sha256(b"a word" if content == b"a word" else b"0.25").hexdigest()
    text = CARD.replace("our_models:even", f"our_models:{predict}")
    text += f"artifact:\n  file: model.bin\n  sha256: {wanted}\n"
    (folder / "mine.yaml").write_text(text)
    field = fault.split(":", 1)[0].rsplit(".", 1)[-1]
    assert f"mine.yaml, line {line_of(text, f'{field}:')}: {fault}" in refusal(folder)


def test_an_artifact_elsewhere_cannot_be_named(folder: Path) -> None:
    (folder / "mine.yaml").write_text(f"{CARD}artifact: {{file: ../secret, sha256: {'0' * 64}}}\n")
    assert "artifact.file: String should match pattern" in refusal(folder)
