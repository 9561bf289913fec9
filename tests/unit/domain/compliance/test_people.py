"""Whom: attorneys, cease, opt-outs, bankruptcy, death, military service, closed accounts."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from domain.compliance import Channel, ContactFacts, Denied, Place, Purpose, Recipient, RuleSet, check_contact
from domain.compliance.people import CEASE_EXCEPTIONS

Case = Callable[..., ContactFacts]
SINCE = datetime(2026, 11, 1, tzinfo=UTC)
NOON = datetime(2026, 11, 18, 18, tzinfo=UTC)


def hold(kind: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "since": SINCE, **more}


def denied(facts: ContactFacts, rules: RuleSet) -> Denied:
    decision = check_contact(facts, rules)
    assert isinstance(decision, Denied)
    return decision


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("recipient", Recipient)
@pytest.mark.parametrize("channel", Channel)
def test_bankruptcy_stays_everything(
    channel: Channel, recipient: Recipient, purpose: Purpose, federal: RuleSet, case: Case
) -> None:
    facts = case(channel=channel, recipient=recipient, purpose=purpose, holds=[hold("bankruptcy")])
    answer = denied(facts, federal)
    assert (answer.rule, answer.citation, answer.retry_at) == ("bankruptcy", "11 U.S.C. 362(a)(6)", None)


def test_only_the_representative_of_the_deceased(federal: RuleSet, case: Case) -> None:
    holds = [hold("deceased")]
    assert denied(case(holds=holds), federal).citation == "12 CFR 1006.6(a)(4)"
    assert denied(case(holds=holds, recipient="attorney"), federal).rule == "deceased"
    assert check_contact(case(holds=holds, recipient="representative"), federal).allowed


def test_the_attorney_of_an_estate_is_the_one_to_speak_with(federal: RuleSet, case: Case) -> None:
    holds = [hold("deceased"), hold("attorney")]
    allowed = [r for r in Recipient if check_contact(case(holds=holds, recipient=r), federal).allowed]
    assert allowed == [Recipient.ATTORNEY]


def test_only_the_attorney_of_a_represented_person(federal: RuleSet, case: Case) -> None:
    allowed = [
        r for r in Recipient if check_contact(case(holds=[hold("attorney")], recipient=r), federal).allowed
    ]
    assert allowed == [Recipient.ATTORNEY]
    answer = denied(case(holds=[hold("attorney")]), federal)
    assert (answer.rule, answer.citation) == ("attorney", "12 CFR 1006.6(b)(2)")


def test_after_a_written_cease_the_three_notices_remain(federal: RuleSet, case: Case) -> None:
    facts = {"channel": "letter", "holds": [hold("cease")]}
    allowed = {p for p in Purpose if check_contact(case(purpose=p, **facts), federal).allowed}
    assert allowed == CEASE_EXCEPTIONS
    assert len(allowed) == 3
    answer = denied(case(**facts), federal)
    assert (answer.rule, answer.citation) == ("cease", "12 CFR 1006.6(c)(1)")
    assert check_contact(case(recipient="attorney", **facts), federal).allowed


def test_in_military_service_no_suit_and_no_contact_but_a_consented_one(federal: RuleSet, case: Case) -> None:
    holds = [hold("scra")]
    assert denied(case(holds=holds, purpose="litigation"), federal).citation == "50 U.S.C. 3931"
    policy = denied(case(holds=holds), federal)
    assert (policy.rule, policy.citation) == ("military_service", "Agency policy (50 U.S.C. 3901 ff.)")
    assert denied(case(holds=holds, purpose="consented"), federal).rule == "military_service"
    consented = case(holds=holds, purpose="consented", consent_at=datetime(2026, 11, 16, tzinfo=UTC))
    assert check_contact(consented, federal).allowed


@pytest.mark.parametrize("channel", Channel)
def test_a_medium_is_closed_by_itself(channel: Channel, federal: RuleSet, case: Case) -> None:
    holds = [hold(f"opt_out_{channel.value}")]
    refused = [c for c in Channel if not check_contact(case(channel=c, holds=holds), federal).allowed]
    assert refused == [channel]
    assert denied(case(channel=channel, holds=holds), federal).citation == "12 CFR 1006.14(h)(1)"


def test_letters_that_the_law_demands_go_out_in_spite_of_an_opt_out(federal: RuleSet, case: Case) -> None:
    holds = [hold("opt_out_letter"), hold("opt_out_email")]
    for purpose in ("validation_notice", "verification"):
        assert check_contact(case(channel="letter", purpose=purpose, holds=holds), federal).allowed
    # Permitted by 1006.6(c)(2), but not required.
    for purpose in ("cease_acknowledgement", "remedy_notice", "intended_remedy"):
        assert not check_contact(case(channel="letter", purpose=purpose, holds=holds), federal).allowed
    assert not check_contact(case(channel="letter", purpose="reminder", holds=holds), federal).allowed
    assert not check_contact(case(channel="email", purpose="validation_notice", holds=holds), federal).allowed


def test_nothing_is_said_about_a_closed_account_but_that_it_is(federal: RuleSet, case: Case) -> None:
    assert denied(case(status="closed"), federal).citation == "Agency policy"
    assert check_contact(case(status="closed", purpose="cease_acknowledgement"), federal).allowed


@pytest.mark.parametrize("kind", ["bankruptcy", "deceased", "attorney", "cease", "scra", "opt_out_call"])
def test_a_hold_counts_from_its_beginning_to_the_end_of_its_last_day(
    kind: str, federal: RuleSet, case: Case
) -> None:
    assert check_contact(case(holds=[{"kind": kind, "since": NOON}], at=NOON), federal).allowed is False
    before = case(holds=[{"kind": kind, "since": NOON.replace(minute=1)}], at=NOON)
    assert check_contact(before, federal).allowed
    today = denied(case(holds=[hold(kind, until=date(2026, 11, 18))], at=NOON), federal)
    assert today.retry_at == datetime(2026, 11, 19, 14, tzinfo=UTC), "the next morning at eight"
    assert check_contact(case(holds=[hold(kind, until=date(2026, 11, 17))], at=NOON), federal).allowed


def test_a_holds_last_day_ends_where_it_ends_last(federal: RuleSet, case: Case) -> None:
    zones = ["America/New_York", "Pacific/Honolulu"]
    facts = case(channel="letter", holds=[hold("cease", until=date(2026, 11, 18))], zones=zones)
    assert denied(facts, federal).retry_at == datetime(2026, 11, 19, 10, tzinfo=UTC), "midnight in Honolulu"


def test_of_two_holds_of_a_kind_the_longer_counts(federal: RuleSet, case: Case) -> None:
    both = [hold("cease", until=date(2026, 11, 20)), hold("cease", until=date(2026, 11, 25))]
    for holds in (both, both[::-1]):
        assert denied(case(holds=holds), federal).retry_at == datetime(2026, 11, 26, 14, tzinfo=UTC)
    assert denied(case(holds=[*both, hold("cease")]), federal).retry_at is None


@pytest.mark.parametrize(
    "holds", [[], [hold("bankruptcy")], [hold("cease"), hold("opt_out_call")]], ids=["none", "stay", "cease"]
)
def test_who_calls_us_is_spoken_with(holds: list[dict[str, Any]], federal: RuleSet, case: Case) -> None:
    midnight = datetime(2026, 11, 18, 6, tzinfo=UTC)
    facts = case(direction="inbound", holds=holds, at=midnight, place=Place.WORK)
    assert check_contact(facts, federal).allowed
