"""Rule files of partners: what cannot be used is refused with its line."""

import pytest

from db.partner_rule_files import BadPartnerRules, read_rules
from domain.partner_rules import PartnerRuleBook


def test_no_rules_are_rules() -> None:
    assert read_rules("  \n") == PartnerRuleBook()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1]", "rules, line 1: partner rules are a mapping"),
        ("fees: [", "not YAML"),
        ("fees: 3", "rules, line 1: fees: Input should be a valid tuple"),
        ("fee: []", "rules, line 1: fee: there is no such rule"),
        ("resolve:\n- {kind: magic}\n", "line 2: resolve.0.kind: Input should be 'timing' or 'fee'"),
        ("matching:\n  payments:\n    window_days: -1\n", "line 3: matching.payments.window_days"),
        (
            "matching:\n  variants: {}\n",
            "line 2: matching.variants: variants are asked for, but none is allowed",
        ),
        (
            "matching:\n  variants:\n    strip_prefixes: [A, A]\n",
            "line 3: matching.variants.strip_prefixes.1: the prefix A is there already",
        ),
        ("fees:\n- {name: a}\n", "line 2: fees.0: the fee a is nothing"),
        (
            "fees:\n- {name: a, fixed: 1}\n- {name: a, fixed: 2}\n",
            "line 3: fees.1.name: the fee a is there already",
        ),
        ("fees:\n- {name: a, fixed: 1.005}\n", "line 2: fees.0.fixed"),
        ("fees:\n- {name: a, fixed: .nan}\n", "line 2: fees.0.fixed"),
        ("resolve:\n- {kind: timing}\n", "line 2: resolve.0: timing needs within_days"),
        ("resolve:\n- {kind: timing, within_days: 1, fee: a}\n", "resolve.0.fee: timing has no fee"),
        ("resolve:\n- {kind: fee}\n", "line 2: resolve.0: there are no fees to resolve"),
        (
            "fees: [{name: a, fixed: 1}]\nresolve:\n- {kind: fee, fee: b}\n",
            "line 3: resolve.0.fee: there is no fee b; known are a",
        ),
        (
            "fees: [{name: a, fixed: 1}]\nresolve:\n- {kind: fee, fee: a, within_days: 3}\n",
            "line 3: resolve.0.within_days: a fee has no days",
        ),
        (
            "resolve:\n- {kind: timing, within_days: 3}\n- {kind: timing, within_days: 5}\n",
            "line 3: resolve.1: another rule resolves this already",
        ),
        (
            "fees: [{name: a, fixed: 1}]\nresolve:\n- {kind: fee, fee: a}\n- {kind: fee}\n",
            "line 4: resolve.1: another rule resolves this already",
        ),
    ],
)
def test_bad_and_contradictory_rules_are_refused_with_their_line(text: str, told: str) -> None:
    with pytest.raises(BadPartnerRules) as refused:
        read_rules(text)
    assert told in refused.value.message


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(BadPartnerRules) as refused:
        read_rules("fees:\n- {name: a}\nresolve:\n- {kind: timing}\n")
    assert refused.value.message.count("line") == 2
