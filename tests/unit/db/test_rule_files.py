"""Rule sets as files: what they say counts, and what is wrong or too lax is refused with its line."""

from datetime import time
from importlib import resources
from pathlib import Path

import pytest

from db.rule_files import BadRuleSet, builtin_rule_sets, load_rule_sets, parse_rule_set
from domain.compliance import DebtType, RuleSet

FEDERAL = builtin_rule_sets()["federal"]
GOOD = """\
name: mine
title: What our counsel wants
calls:
  attempts: 3
  days: 7
  after_conversation_days: 10
  citation: Counsel's memo of 2026-02-03
hours:
  opens: "09:00"
  closes: 20:30
  citation: Counsel's memo of 2026-02-03
limits:
  - channels: [email, sms]
    attempts: 4
    days: 30
    scope: person
    citation: Counsel's memo of 2026-02-03
states:
  NV:
    hours:
      opens: "10:00"
      closes: "17:00"
      citation: An example
limitation:
  OH:
    written: {years: 4, citation: An example}
account_types:
  gym: {debt_types: [written]}
"""


def mine(text: str = GOOD) -> RuleSet:
    return parse_rule_set(text, "mine.yaml", FEDERAL)


def refusal(text: str) -> str:
    with pytest.raises(BadRuleSet) as refused:
        mine(text)
    return refused.value.message


def line_of(text: str, fragment: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), start=1) if fragment in line)


def test_the_rule_sets_of_the_product() -> None:
    names = {file.name for file in (resources.files("domain.compliance") / "rules").iterdir()}
    assert names == {"federal.yaml", "strictest-states.yaml", "limitation.yaml"}
    assert set(builtin_rule_sets()) == {"federal", "strictest-states"}
    assert list(builtin_rule_sets()["strictest-states"].faults_against(FEDERAL)) == []


def test_the_federal_numbers() -> None:
    calls, hours = FEDERAL.calls, FEDERAL.hours
    assert (calls.attempts, calls.days, calls.after_conversation_days, calls.consent_days) == (7, 7, 7, 7)
    assert (hours.opens, hours.closes) == (time(8), time(21))
    assert FEDERAL.states == {}
    assert FEDERAL.limits == ()


def test_a_file_says_what_differs_and_takes_the_rest_from_federal_law() -> None:
    rules = mine()
    assert (rules.calls.attempts, rules.calls.consent_days) == (3, 7)
    assert rules.hours.closes == time(20, 30), "21:00 without quotes is a time, too"
    assert rules.zones_when_unknown == FEDERAL.zones_when_unknown
    assert rules.limitation["OH"][DebtType.WRITTEN].years == 4
    assert rules.limitation["OH"][DebtType.ORAL] == FEDERAL.limitation["OH"][DebtType.ORAL]
    assert set(rules.account_types) == {*FEDERAL.account_types, "gym"}
    assert rules.version != FEDERAL.version


def test_the_version_is_of_the_meaning_not_of_the_notation() -> None:
    turned = GOOD.replace("  attempts: 3\n  days: 7\n", "  days: 7\n  attempts: 3\n").replace(
        "20:30", '"20:30"'
    )
    assert turned != GOOD
    assert mine(turned).version == mine().version
    assert mine(GOOD.replace("attempts: 3", "attempts: 4")).version != mine().version


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("  attempts: 3", "  attempts: 8", "calls.attempts: 8 is looser than 7; must be 7 or less"),
        ("  days: 7", "  days: 6", "calls.days: 6 is looser than 7; must be 7 or more"),
        (
            "after_conversation_days: 10",
            "after_conversation_days: 6",
            "6 is looser than 7; must be 7 or more",
        ),
        ("  attempts: 3", "  consent_days: 8", "calls.consent_days: 8 is looser than 7; must be 7 or less"),
        ('  opens: "09:00"', '  opens: "07:30"', "hours.opens: 07:30 is looser; must be 08:00 or later"),
        ("  closes: 20:30", "  closes: 21:30", "hours.closes: 21:30 is looser; must be 21:00 or earlier"),
        ('      closes: "17:00"', '      closes: "22:00"', "states.NV.hours.closes: 22:00 is looser"),
        ("written: {years: 4,", "written: {years: 7,", "limitation.OH.written.years: 7 is looser than 6"),
        ("  gym: {", "  medical: {", "account_types.medical: lets a debt be sued for longer"),
        ("  attempts: 3", "  attempts: three", "calls.attempts: Input should be a valid integer"),
        ("  attempts: 3", "  attempts: 0", "greater than or equal to 1"),
        ("  attempts: 3", "  attemps: 3", "calls.attemps: Extra inputs are not permitted"),
        ("limits:", "limit:", "limit: Extra inputs are not permitted"),
        ("    scope: person", "    scope: everybody", "limits.0.scope: Input should be 'debt' or 'person'"),
        ("[email, sms]", "[email, fax]", "limits.0.channels"),
        ("  NV:", "  XX:", "XX is no state; write its two letters"),
        ('  opens: "09:00"', '  opens: "21:15"', "hours: must open before it closes"),
        ("    written: {", "    verbal: {", "'written', 'open_account'"),
        ("title: What", "name: What", "name is given twice"),
        ("title: What", "title: [What", "not YAML"),
    ],
)
def test_a_bad_or_lax_rule_set_is_refused_naming_the_line(old: str, new: str, fault: str) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    message = refusal(text)
    assert fault in message
    assert message.startswith("mine.yaml, line ")
    if "YAML" not in fault and "must open" not in fault:
        assert f"line {line_of(text, new.strip())}: " in message


def test_a_limit_that_only_looks_strict_is_refused() -> None:
    lax = "name: lax\ntitle: Lax\nlimits:\n  - {channels: [call], attempts: 36, days: 30, citation: none}\n"
    assert "line 4: limits.0.attempts: 36 is looser than the 35 in 30 days" in refusal(lax)
    parse_rule_set(lax.replace("36", "35"), "lax.yaml", FEDERAL)


def test_the_zones_to_assume_may_only_grow() -> None:
    text = "name: near\ntitle: Near\nzones_when_unknown: [America/New_York]\n"
    assert "line 3: zones_when_unknown: must keep America/Chicago, America/Denver" in refusal(text)
    assert "is no time zone" in refusal(text.replace("New_York", "New_Yrok"))


def test_a_stricter_number_says_where_it_is_from() -> None:
    without = GOOD.replace("  citation: Counsel's memo of 2026-02-03\nhours", "hours")
    assert refusal(without) == (
        "mine.yaml, line 3: calls: citation is missing; say where the stricter limit is from"
    )
    assert "citation is missing" in refusal(GOOD.replace("    citation: Counsel's memo of 2026-02-03\n", ""))


@pytest.mark.parametrize("text", ["", "- name: mine", "mine"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    assert refusal(text) == "mine.yaml, line 1: a rule set is a mapping that starts with name and title"


def test_every_fault_is_told() -> None:
    message = refusal(GOOD.replace("attempts: 3", "attempts: 9").replace("20:30", "22:00"))
    assert message.count("mine.yaml, line ") == 2


def test_a_folder_of_rule_sets(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
    assert set(load_rule_sets(tmp_path)) == {"federal", "strictest-states", "mine"}
    assert load_rule_sets(None) == builtin_rule_sets()


@pytest.mark.parametrize("name", ["federal", "strictest-states", "mine"])
def test_a_name_is_given_once(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "b.yaml").write_text(GOOD.replace("name: mine", f"name: {name}"), encoding="utf-8")
    with pytest.raises(BadRuleSet, match=rf"b\.yaml, line 1: name: {name} is taken by "):
        load_rule_sets(tmp_path)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRuleSet, match="is no folder"):
        load_rule_sets(tmp_path / "nowhere")
    (tmp_path / "a.yaml").write_bytes(b"name: \xff")
    with pytest.raises(BadRuleSet, match=r"a\.yaml: not UTF-8"):
        load_rule_sets(tmp_path)
