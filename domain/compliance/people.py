"""Who may be spoken to at all: attorneys, a written cease, opt-outs, death, bankruptcy, service.

Holds are set and released by people, or run out with their last day.
"""

from domain.compliance.calls import is_consented
from domain.compliance.facts import Channel, ContactFacts, Purpose, Recipient
from domain.compliance.ruleset import RuleSet
from domain.compliance.verdicts import POLICY, Refusal, hold_in_force

CEASE_EXCEPTIONS = frozenset({Purpose.CEASE_ACKNOWLEDGEMENT, Purpose.REMEDY_NOTICE, Purpose.INTENDED_REMEDY})
"""12 CFR 1006.6(c)(2): efforts end; remedies ordinarily invoked; one remedy that is intended."""

REQUIRED_NOTICES = frozenset({Purpose.VALIDATION_NOTICE, Purpose.VERIFICATION})
"""What the law requires to be sent (12 CFR 1006.34(a)(1), 1006.38(d)(2)), whatever else is asked for."""

MEDIA = {
    Channel.CALL: "calls",
    Channel.EMAIL: "e-mail",
    Channel.SMS: "text messages",
    Channel.LETTER: "letters",
}


def account_closed(facts: ContactFacts, rules: RuleSet) -> Refusal | None:
    """No contact about a closed account but to say that efforts have ended: agency policy."""
    if facts.status != "closed" or facts.purpose is Purpose.CEASE_ACKNOWLEDGEMENT:
        return None
    return Refusal(POLICY, "The account is closed: there is nothing left to contact anybody about.")


def bankruptcy(facts: ContactFacts, rules: RuleSet) -> Refusal | None:
    """No act to collect while the automatic stay is in force: 11 U.S.C. 362(a)(6)."""
    if (found := hold_in_force(facts, rules, "bankruptcy")) is None:
        return None
    return Refusal(
        "11 U.S.C. 362(a)(6)",
        "A bankruptcy is open: the automatic stay forbids every act to collect.",
        found[1],
    )


def deceased(facts: ContactFacts, rules: RuleSet) -> Refusal | None:
    """Only whoever acts for the estate of a person who has died: 12 CFR 1006.2(e) and 1006.6(a)(4).

    Its attorney, where it has one (hold ``attorney``).
    """
    if (
        facts.recipient is Recipient.REPRESENTATIVE
        or (found := hold_in_force(facts, rules, "deceased")) is None
    ):
        return None
    if facts.recipient is Recipient.ATTORNEY and hold_in_force(facts, rules, "attorney"):
        return None
    return Refusal(
        "12 CFR 1006.6(a)(4)",
        "The person has died: speak only with the executor, administrator or other personal representative.",
        found[1],
    )


def attorney(facts: ContactFacts, rules: RuleSet) -> Refusal | None:
    """Only the attorney who represents the person about the debt: 12 CFR 1006.6(b)(2)."""
    if facts.recipient is Recipient.ATTORNEY or (found := hold_in_force(facts, rules, "attorney")) is None:
        return None
    return Refusal(
        "12 CFR 1006.6(b)(2)",
        "An attorney represents the person about this debt: speak with the attorney.",
        found[1],
    )


def cease(facts: ContactFacts, rules: RuleSet) -> Refusal | None:
    """No further communication after a written refusal or demand to cease: 12 CFR 1006.6(c)(1).

    But the three notices of 1006.6(c)(2), and the person's attorney, who is not the consumer (1006.6(a)).
    """
    if facts.purpose in CEASE_EXCEPTIONS or facts.recipient is Recipient.ATTORNEY:
        return None
    if (found := hold_in_force(facts, rules, "cease")) is None:
        return None
    return Refusal(
        "12 CFR 1006.6(c)(1)",
        "The person demanded in writing that communication cease; only the notices of 1006.6(c)(2) remain.",
        found[1],
    )


def military_service(facts: ContactFacts, rules: RuleSet) -> Refusal | None:
    """No suit while the person is in military service, and no contact that they did not consent to.

    The Servicemembers Civil Relief Act protects against default judgments (50 U.S.C. 3931), lets courts
    stay proceedings (3932) and forbids foreclosure without an order (3953); it does not forbid contact.
    That a suit waits altogether, and contacts without consent with it, is agency policy.
    """
    if (found := hold_in_force(facts, rules, "scra")) is None:
        return None
    if facts.purpose is Purpose.LITIGATION:
        return Refusal(
            "50 U.S.C. 3931", "The person is in military service: no suit, and no threat of one.", found[1]
        )
    if is_consented(facts, rules):
        return None
    return Refusal(
        f"{POLICY} (50 U.S.C. 3901 ff.)",
        "The person is in military service: contact them only with their consent.",
        found[1],
    )


def opted_out(facts: ContactFacts, rules: RuleSet) -> Refusal | None:
    """Not through a medium that the person asked not to be used: 12 CFR 1006.14(h)(1), 1006.6(e).

    A letter that the law requires may still be sent (1006.14(h)(2)(iii)): no other medium is sure to be
    there. The notices after a cease (1006.6(c)(2)) are permitted, not required.
    """
    if facts.channel is Channel.LETTER and facts.purpose in REQUIRED_NOTICES:
        return None
    if (found := hold_in_force(facts, rules, f"opt_out_{facts.channel.value}")) is None:
        return None
    return Refusal(
        "12 CFR 1006.14(h)(1)",
        f"The person asked us not to use {MEDIA[facts.channel]}; use another medium.",
        found[1],
    )
