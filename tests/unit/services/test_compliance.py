"""Which earlier contacts bear on another under a rule set."""

from db.rule_files import builtin_rule_sets, parse_rule_set
from domain.compliance import Channel
from services.compliance import reach

FEDERAL = builtin_rule_sets()["federal"]
OWN = """
name: own
title: Own
limits:
  - {channels: [call, sms], attempts: 10, days: 30, scope: person, citation: Policy 1}
states:
  NV:
    limits:
      - {channels: [email], attempts: 10, days: 90, citation: Policy 2}
"""


def test_federal_law_looks_at_calls_of_a_week() -> None:
    assert reach(FEDERAL, None) == reach(FEDERAL, "NV") == (frozenset({Channel.CALL}), 7)


def test_limits_of_the_set_and_of_the_person_s_state_reach_further() -> None:
    rules = parse_rule_set(OWN, "own.yaml", FEDERAL)
    assert reach(rules, "OH") == reach(rules, None) == (frozenset({Channel.CALL, Channel.SMS}), 30)
    assert reach(rules, "NV") == (frozenset({Channel.CALL, Channel.SMS, Channel.EMAIL}), 90)
