"""What the debt itself forbids: an unanswered dispute, and its age."""

from domain.compliance.facts import ContactFacts, Purpose
from domain.compliance.ruleset import RuleSet
from domain.compliance.verdicts import Refusal, zones_at


def open_dispute(facts: ContactFacts, rules: RuleSet) -> Refusal | None:
    """No collection of a debt disputed in writing within the validation period until verification was sent.

    12 CFR 1006.38(d)(2)(i); of a duplicative dispute until the notice of it was (ii). What is sent in answer,
    a verification or that notice, and word that efforts end are no collection.
    """
    if facts.dispute_received_on is None or not facts.dispute_in_period or facts.verification_sent:
        return None
    if facts.purpose in {Purpose.VERIFICATION, Purpose.CEASE_ACKNOWLEDGEMENT}:
        return None
    return Refusal(
        "12 CFR 1006.38(d)(2)(i)",
        "The debt was disputed within the validation period: send verification before anything else.",
    )


def time_barred(facts: ContactFacts, rules: RuleSet) -> Refusal | None:
    """No suit, and no threat of one, on a time-barred debt: 12 CFR 1006.26(b).

    From the first moment of ``limitation_on`` in any zone where the person may be.
    """
    if facts.purpose is not Purpose.LITIGATION or facts.limitation_on is None:
        return None
    today = max(facts.at.astimezone(zone).date() for zone in zones_at(facts, rules))
    if today < facts.limitation_on:
        return None
    return Refusal(
        "12 CFR 1006.26(b)",
        f"The debt is time-barred since {facts.limitation_on}: neither sue nor threaten to.",
    )
