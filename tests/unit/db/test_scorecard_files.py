from importlib import resources
from pathlib import Path

import pytest

from db.scorecard_files import BadScorecard, builtin_scorecards, load_scorers, parse_scorer

FOLDER = resources.files("domain.scoring") / "scorecards"
GOOD = (FOLDER / "recovery-v1.yaml").read_text(encoding="utf-8")
EXPECTED = (FOLDER / "expected-recovery.yaml").read_text(encoding="utf-8")


def line_of(text: str, fragment: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), start=1) if fragment in line)


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) >= 1
    return GOOD.replace(old, new, 1)


def refusal(text: str) -> str:
    with pytest.raises(BadScorecard) as refused:
        parse_scorer(text, "mine.yaml")
    return refused.value.message


def test_the_builtin_scorecards_are_named_like_their_files() -> None:
    names = {
        p.name.removesuffix(".yaml") for p in (resources.files("domain.scoring") / "scorecards").iterdir()
    }
    assert set(builtin_scorecards()) == names == {"expected-recovery", "recovery-v1", "recovery-v1-ecoa"}


def test_a_file_is_the_scorecard_it_describes(tmp_path: Path) -> None:
    path = tmp_path / "copy.yaml"
    path.write_text(GOOD.replace("name: recovery-v1", "name: copy"), encoding="utf-8")
    copy = load_scorers(tmp_path)["copy"]
    assert copy.model_copy(update={"name": "recovery-v1"}) == builtin_scorecards()["recovery-v1"]


def test_fractions_stay_exact() -> None:
    card = parse_scorer(
        GOOD.replace("{up_to: 1, points: 2}", "{up_to: 1.1, points: 2}").replace("above: 1,", "above: 1.1,"),
        "mine.yaml",
    )
    assert str(card.model_dump()["factors"][0]["bins"][0]["up_to"]) == "1.1"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("{above: 1, up_to: 3,", "{above: 0.5, up_to: 3,", "overlaps the bin before it, which ends at 1"),
        ("{above: 1, up_to: 3,", "{above: 2, up_to: 3,", "leaves a gap after the bin before it"),
        ("{above: 1, up_to: 3,", "{up_to: 3,", "overlaps the bin before it"),
        ("{above: 3, up_to: 6,", "{above: 3, up_to: 3,", "is empty"),
        ("{above: 3, up_to: 6,", "{above: 3,", "only the last bin may have no upper bound"),
        ("{above: 6, points", "{above: 6, up_to: 9, points", "the last bin must have no upper bound"),
        ("{up_to: 1, points", "{above: 0, up_to: 1, points", "the first bin must have no lower bound"),
        ("{above: 6, points: 10}", "{above: 6, points: ten}", "valid integer"),
        ("weight: 9", "weight: 0", "greater than 0"),
        ("weight: 9", "weight: -9", "greater than 0"),
        ("weight: 9", "weight: 9.5", "valid integer"),
        ("weight: 9", "weight: .inf", "valid integer"),
        ("kind: ratio", "kind: wish", "'category', 'number', 'ratio'"),
        ("fact: employment_status", "fact: shoe_size", "employment_status"),
        ("      RETIRED: 4", "      RETIRED: 11", "the scale ends at 10"),
        ("      RETIRED: 4", "      'x\"); DROP TABLE account': 4", "pattern"),
        ("      RETIRED: 4", "      EMPLOYED: 4", "EMPLOYED is given twice"),
        ("up_to_percent: 60", "up_to_percent: 20", "must end above the level before it"),
        ("maximum: 450", "maximum: 500", "add up to 450, not 500"),
        ("version: 1", "versoin: 1", "Extra inputs are not permitted"),
    ],
)
def test_a_bad_scorecard_is_refused_naming_the_line(old: str, new: str, fault: str) -> None:
    text = changed(old, new)
    message = refusal(text)
    assert fault in message
    place = "- name: employment_status" if "scale ends" in fault else new.strip()
    assert f"mine.yaml, line {line_of(text, place)}: " in message


def test_a_missing_factor_is_refused_naming_the_line() -> None:
    start, end = GOOD.index("  - name: contract_type"), GOOD.index("  - name: industry_sector")
    text = GOOD[:start] + GOOD[end:]
    assert f"line {line_of(text, 'factors:')}: factors: contract_type has no factor" in refusal(text)


def test_a_scorecard_without_factors_is_refused() -> None:
    assert "factors is missing" in refusal(GOOD[: GOOD.index("factors:")])
    assert "at least 1 item" in refusal(GOOD[: GOOD.index("factors:")] + "factors: []\n")


def test_a_factor_without_its_missing_points_is_refused_at_the_factor() -> None:
    text = changed("    missing: 5\n    not_positive", "    not_positive")
    assert f"line {line_of(text, '- name: debt_ratio')}: factors.0: missing is missing" in refusal(text)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("intercept: -200", "intercept: -2.5", "valid integer"),
        ("intercept: -200", "intercept: 10001", "less than or equal to 10000"),
        ("cost_of_work: 25", "cost_of_work: -25", "greater than or equal to 0"),
        ("cost_of_work: 25", "cost_of_work: 25.005", "decimal"),
        ("cost_of_work: 25", "cost_of_labour: 25", "Extra inputs are not permitted"),
        ("maximum: 10000", "maximum: 450", "must be 10000 under expected_recovery"),
        ("points_maximum: 10", "rescaled_from: 460\npoints_maximum: 10", "has no meaning"),
        ("weight: 12", "weight: 0", "greater than 0"),
        ("{above: 1, up_to: 3,", "{above: 0.5, up_to: 3,", "overlaps the bin before it, which ends at 1"),
        ("{above: 1, up_to: 3,", "{above: 2, up_to: 3,", "leaves a gap after the bin before it"),
    ],
)
def test_a_bad_scorecard_of_expected_recovery_is_refused_naming_the_line(
    old: str, new: str, fault: str
) -> None:
    assert EXPECTED.count(old) >= 1
    text = EXPECTED.replace(old, new, 1)
    message = refusal(text)
    assert fault in message
    assert f"mine.yaml, line {line_of(text, new.splitlines()[0])}: " in message


def test_expected_recovery_without_its_cost_or_a_factor_is_refused() -> None:
    text = EXPECTED.replace("  cost_of_work: 25\n", "")
    assert (
        f"line {line_of(text, 'expected_recovery:')}: expected_recovery: cost_of_work is missing"
        in refusal(text)
    )
    start, end = EXPECTED.index("  - name: contract_type"), EXPECTED.index("  - name: industry_sector")
    text = EXPECTED[:start] + EXPECTED[end:]
    assert f"line {line_of(text, 'factors:')}: factors: contract_type has no factor" in refusal(text)


def test_another_kind_of_scorer_is_refused() -> None:
    text = GOOD.replace("version: 1", "version: 1\nkind: oracle")
    assert f"line {line_of(text, 'kind: oracle')}: kind: must be model, or left out" in refusal(text)


def test_every_fault_is_reported_at_once() -> None:
    message = refusal(GOOD.replace("weight: 9", "weight: 0"))
    assert message.count("greater than 0") == 2


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1: a scorecard is a mapping"),
        ("- 1\n", "line 1: a scorecard is a mapping"),
        ("name: a\n  title: [", "line 2: not YAML"),
        ("name: a\ntitle: !!python/object:os.system x\n", "line 2: not YAML"),
        ("name: \x00", "line 1: holds a control character"),
        ("? [a]\n: 1\n", "line 1: not YAML: found unhashable key"),
        ("name: " + "[" * 5_000, "nested too deep"),
        ("name: &a [*a]", "line 1: not YAML: *a is an alias"),
    ],
)
def test_what_is_no_scorecard_at_all_is_refused(text: str, fault: str) -> None:
    assert fault in refusal(text)


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: caf\xe9\n".encode("latin-1"))
    with pytest.raises(BadScorecard, match="not UTF-8"):
        load_scorers(tmp_path)
