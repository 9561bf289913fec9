"""The table of roles and rights, spelled out once more, so that no change goes unnoticed."""

from uuid import uuid4

import pytest

from domain.errors import Forbidden, Malformed
from domain.tenancy import Role
from services.access import PLATFORM_AGENCY, Principal, Right, require

ADMIN, COLLECTOR, AUDITOR, PLATFORM = (
    Role.AGENCY_ADMIN,
    Role.COLLECTOR,
    Role.AUDITOR,
    Role.PLATFORM_ADMIN,
)
WHO_MAY = {
    Right.MANAGE_AGENCIES: {PLATFORM},
    Right.READ_SETTINGS: {PLATFORM, ADMIN, AUDITOR},
    Right.MANAGE_SETTINGS: {PLATFORM, ADMIN},
    Right.READ_ACCOUNTS: {PLATFORM, ADMIN, AUDITOR, COLLECTOR},
    Right.CREATE_ACCOUNTS: {PLATFORM, ADMIN},
    Right.WORK_ACCOUNTS: {PLATFORM, ADMIN, COLLECTOR},
    Right.MANAGE_ACCOUNTS: {PLATFORM, ADMIN},
    Right.READ_DEBTORS: {PLATFORM, ADMIN, AUDITOR, COLLECTOR},
    Right.MANAGE_DEBTORS: {PLATFORM, ADMIN},
    Right.CONTACT_DEBTORS: {PLATFORM, ADMIN, COLLECTOR},
    Right.READ_PAYMENTS: {PLATFORM, ADMIN, AUDITOR, COLLECTOR},
    Right.TAKE_PAYMENTS: {PLATFORM, ADMIN, COLLECTOR},
    Right.REFUND_PAYMENTS: {PLATFORM, ADMIN},
    Right.READ_IMPORTS: {PLATFORM, ADMIN, AUDITOR},
    Right.RUN_IMPORTS: {PLATFORM, ADMIN},
    Right.READ_SCORING: {PLATFORM, ADMIN, AUDITOR},
    Right.RUN_SCORING: {PLATFORM, ADMIN},
    Right.READ_ASSIGNMENTS: {PLATFORM, ADMIN, AUDITOR},
    Right.RUN_ASSIGNMENTS: {PLATFORM, ADMIN},
    Right.READ_RECONCILIATIONS: {PLATFORM, ADMIN, AUDITOR},
    Right.RUN_RECONCILIATIONS: {PLATFORM, ADMIN},
    Right.RESOLVE_BREAKS: {PLATFORM, ADMIN},
    Right.EXPORT_LISTS: {PLATFORM, ADMIN, AUDITOR, COLLECTOR},
    Right.READ_SCHEDULES: {PLATFORM, ADMIN, AUDITOR},
    Right.MANAGE_SCHEDULES: {PLATFORM, ADMIN},
    Right.READ_ANALYTICS: {PLATFORM, ADMIN, AUDITOR},
    Right.READ_OWN_ANALYTICS: {PLATFORM, ADMIN, AUDITOR, COLLECTOR},
    Right.REFRESH_ANALYTICS: {PLATFORM, ADMIN},
    Right.DECODE_PAYLOADS: {PLATFORM},
    Right.ENCODE_PAYLOADS: {PLATFORM},
}


@pytest.mark.parametrize("right", Right)
@pytest.mark.parametrize("role", Role)
def test_who_may_do_what(role: Role, right: Right) -> None:
    principal = Principal(uuid4(), "x", role, uuid4())
    assert principal.may(right) is (role in WHO_MAY[right])
    if role in WHO_MAY[right]:
        require(principal, right)
    else:
        with pytest.raises(Forbidden):
            require(principal, right)


def test_an_auditor_changes_nothing() -> None:
    assert not [
        right
        for right in Right
        if right.startswith(("manage", "create", "run", "contact", "take", "refund", "resolve"))
        and AUDITOR in WHO_MAY[right]
    ]


def test_the_platform_needs_to_pick_an_agency() -> None:
    with pytest.raises(Malformed, match="X-Agency"):
        _ = Principal(uuid4(), "p", PLATFORM).tenant
    agency_id = uuid4()
    picked = Principal(uuid4(), "p", PLATFORM, agency_id)
    assert picked.tenant.agency_id == agency_id
    assert picked.own_agency_id is None
    assert Principal(uuid4(), "a", ADMIN, agency_id).own_agency_id == agency_id


def test_audit_records_name_users_by_id_and_operators_by_name() -> None:
    user_id = uuid4()
    user = Principal(user_id, "jane", ADMIN, uuid4(), ip="192.0.2.1").actor
    assert (user.kind, user.name, user.id, user.ip) == ("user", "jane", user_id, "192.0.2.1")
    operator = Principal.operator("operator:root").actor
    assert (operator.kind, operator.name, operator.id) == ("operator", "operator:root", None)
    assert PLATFORM_AGENCY.int == 0
