"""Roles, and the walls between agencies, over every route that the schema names."""

import re
from typing import Any

import pytest

ROLES = ("acme.admin", "acme.collector", "acme.auditor")
NOBODY = "00000000-0000-7000-8000-000000000000"

# Route → the roles of an agency that may call it. A platform administrator may call all of them.
MATRIX = {
    "GET /agencies": {"acme.admin", "acme.auditor"},
    "POST /agencies": set(),
    "GET /agencies/{agency_id}": {"acme.admin", "acme.auditor"},
    "PATCH /agencies/{agency_id}": {"acme.admin"},
    "DELETE /agencies/{agency_id}": set(),
    **{
        f"{method} {path}": {"acme.admin", "acme.auditor"} if method == "GET" else {"acme.admin"}
        for resource, one in (
            ("users", "user"),
            ("collectors", "collector"),
            ("creditors", "creditor"),
            ("sftp-sources", "source"),
        )
        for method, path in (
            ("GET", f"/{resource}"),
            ("POST", f"/{resource}"),
            ("GET", f"/{resource}/{{{one}_id}}"),
            ("PATCH", f"/{resource}/{{{one}_id}}"),
            ("DELETE", f"/{resource}/{{{one}_id}}"),
        )
    },
    "GET /stripe-credentials": {"acme.admin", "acme.auditor"},
    "PUT /stripe-credentials": {"acme.admin"},
    "GET /accounts": {"acme.admin", "acme.collector", "acme.auditor"},
    "POST /accounts": {"acme.admin"},
    "GET /accounts/{account_id}": {"acme.admin", "acme.collector", "acme.auditor"},
    "GET /accounts/{account_id}/scores": {"acme.admin", "acme.collector", "acme.auditor"},
    "GET /accounts/{account_id}/scores/at": {"acme.admin", "acme.collector", "acme.auditor"},
    "GET /accounts/{account_id}/timeline": {"acme.admin", "acme.collector", "acme.auditor"},
    "GET /accounts/{account_id}/workflow": {"acme.admin", "acme.collector", "acme.auditor"},
    **{
        f"GET /accounts/{{account_id}}/{what}": {"acme.admin", "acme.collector", "acme.auditor"}
        for what in ("holds", "disputes", "promises", "offers")
    },
    **{
        f"POST /accounts/{{account_id}}/{what}": {"acme.admin", "acme.collector"}
        for what in (
            "transition",
            "notes",
            "holds",
            "disputes",
            "promises",
            "offers",
            "offers/{offer_id}/accept",
        )
    },
    **{
        f"POST /accounts/{{account_id}}/{what}": {"acme.admin"}
        for what in ("assign", "disputes/{dispute_id}/answer", "recall", "close")
    },
    "DELETE /accounts/{account_id}/holds/{kind}": {"acme.admin"},
    **{
        f"GET {path}": {"acme.admin", "acme.collector", "acme.auditor"}
        for path in (
            "/accounts/{account_id}/contacts",
            "/accounts/{account_id}/contact-check",
            "/accounts/{account_id}/decisions",
            "/debtors/{debtor_id}/contact-preferences",
            "/compliance/rules",
        )
    },
    "POST /accounts/{account_id}/contacts": {"acme.admin", "acme.collector"},
    "PUT /debtors/{debtor_id}/contact-preferences": {"acme.admin", "acme.collector"},
    "GET /worklist": {"acme.admin", "acme.collector", "acme.auditor"},
    "GET /debtors": {"acme.admin", "acme.collector", "acme.auditor"},
    "POST /debtors": {"acme.admin"},
    "GET /debtors/high-risk": {"acme.admin", "acme.collector", "acme.auditor"},
    "GET /debtors/{debtor_id}": {"acme.admin", "acme.collector", "acme.auditor"},
    "PUT /debtors/{debtor_id}": {"acme.admin"},
    "PATCH /debtors/{debtor_id}": {"acme.admin"},
    "GET /debtors/{debtor_id}/score": {"acme.admin", "acme.collector", "acme.auditor"},
    "GET /payments": {"acme.admin", "acme.collector", "acme.auditor"},
    "POST /payments": {"acme.admin", "acme.collector"},
    "GET /payments/{payment_id}": {"acme.admin", "acme.collector", "acme.auditor"},
    "POST /payments/{payment_id}/cancel": {"acme.admin", "acme.collector"},
    "POST /payments/{payment_id}/refund": {"acme.admin"},
    "POST /accounts/{account_id}/credit-balance/apply": {"acme.admin"},
    "POST /accounts/{account_id}/credit-balance/refund": {"acme.admin"},
    "POST /accounts/{account_id}/payment-links": {"acme.admin", "acme.collector"},
    "POST /accounts/{account_id}/plans": {"acme.admin", "acme.collector"},
    "GET /plans": {"acme.admin", "acme.collector", "acme.auditor"},
    "GET /plans/upcoming": {"acme.admin", "acme.collector", "acme.auditor"},
    "GET /plans/{plan_id}": {"acme.admin", "acme.collector", "acme.auditor"},
    **{
        f"POST /plans/{{plan_id}}/{what}": {"acme.admin", "acme.collector"}
        for what in ("pause", "resume", "cancel", "change-date", "pay-early")
    },
    "GET /imports": {"acme.admin", "acme.auditor"},
    "POST /imports": {"acme.admin"},
    "POST /imports/poll": {"acme.admin"},
    "GET /imports/{import_id}": {"acme.admin", "acme.auditor"},
    "GET /imports/{import_id}/errors": {"acme.admin", "acme.auditor"},
    "GET /imports/{import_id}/events": {"acme.admin", "acme.auditor"},
    **{
        route: {"acme.admin", "acme.collector", "acme.auditor"}
        for route in (
            "GET /exports",
            "POST /exports",
            "GET /exports/{export_id}",
            "GET /exports/{export_id}/events",
            "GET /exports/{export_id}/link",
        )
    },
    "GET /scoring/runs": {"acme.admin", "acme.auditor"},
    "POST /scoring/runs": {"acme.admin"},
    "GET /scoring/runs/{run_id}": {"acme.admin", "acme.auditor"},
    "GET /scoring/runs/{run_id}/errors": {"acme.admin", "acme.auditor"},
    "GET /scoring/runs/{run_id}/events": {"acme.admin", "acme.auditor"},
    "GET /scoring/fairness": {"acme.admin", "acme.auditor"},
    "GET /scorecards": {"acme.admin", "acme.auditor"},
    "GET /assignments": {"acme.admin", "acme.auditor"},
    "POST /assignments": {"acme.admin"},
    "GET /assignments/{run_id}": {"acme.admin", "acme.auditor"},
    "GET /assignments/{run_id}/events": {"acme.admin", "acme.auditor"},
    "GET /payments/reconciliations": {"acme.admin", "acme.auditor"},
    "POST /payments/reconciliations": {"acme.admin"},
    "GET /payments/reconciliations/{run_id}": {"acme.admin", "acme.auditor"},
    "GET /payments/breaks": {"acme.admin", "acme.auditor"},
    "GET /breaks": {"acme.admin", "acme.auditor"},
    "GET /breaks/{break_id}": {"acme.admin", "acme.auditor"},
    **{
        f"POST /breaks/{{break_id}}/{what}": {"acme.admin"}
        for what in ("assign", "propose", "approve", "reject", "resolve")
    },
    "GET /payments/inbox": {"acme.admin", "acme.auditor"},
    "POST /payments/inbox/{event_id}/match": {"acme.admin"},
    "GET /partners": {"acme.admin", "acme.auditor"},
    "POST /partners": {"acme.admin"},
    "GET /partners/{partner_id}": {"acme.admin", "acme.auditor"},
    "PATCH /partners/{partner_id}": {"acme.admin"},
    "GET /partners/{partner_id}/rules": {"acme.admin", "acme.auditor"},
    "PUT /partners/{partner_id}/rules": {"acme.admin"},
    "POST /partners/{partner_id}/messages": {"acme.admin"},
    "GET /partners/{partner_id}/syncs": {"acme.admin", "acme.auditor"},
    "POST /partners/{partner_id}/syncs": {"acme.admin"},
    "GET /partners/{partner_id}/statements": {"acme.admin", "acme.auditor"},
    "GET /statements/{statement_id}": {"acme.admin", "acme.auditor"},
    "GET /statements/{statement_id}/problems": {"acme.admin", "acme.auditor"},
    "GET /syncs/{sync_id}": {"acme.admin", "acme.auditor"},
    "POST /syncs/{sync_id}/retry": {"acme.admin"},
    "POST /partners/{partner_id}/reconciliations": {"acme.admin"},
    "GET /reconciliations": {"acme.admin", "acme.auditor"},
    "GET /reconciliations/{run_id}": {"acme.admin", "acme.auditor"},
    "GET /reconciliations/{run_id}/breaks": {"acme.admin", "acme.auditor"},
    "GET /reconciliations/{run_id}/report": {"acme.admin", "acme.auditor"},
    **{
        f"GET /analytics/{what}": {"acme.admin", "acme.auditor"}
        for what in ("dashboard", "payments/trends", "aging-report")
    },
    "GET /analytics/collectors": {"acme.admin", "acme.collector", "acme.auditor"},
    "POST /analytics/refresh": {"acme.admin"},
    "GET /schedules": {"acme.admin", "acme.auditor"},
    "POST /schedules/{schedule_id}/trigger": {"acme.admin"},
    "POST /schedules/{schedule_id}/pause": {"acme.admin"},
    "POST /schedules/{schedule_id}/resume": {"acme.admin"},
}
BODIES: dict[str, Any] = {
    "/contact-preferences": {},
    "/rules": {"rules": "{}"},
    "/messages": [{}],
    "/syncs": {},
    "/reconciliations": {},
}
"""What passes validation, by the end of the address."""

FOR_ANYBODY = {
    "POST /auth/token",
    "POST /auth/token/refresh",
    "GET /auth/me",
    "POST /auth/password",
    "POST /payments/webhook/stripe",
    "POST /payments/webhook/stripe/{agency}",
    "GET /exports/download",
}


def _routes(world: Any) -> set[str]:
    """The API's routes; a schedule's id is a path, so its converter is cut off."""
    return {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, methods in world.app.openapi()["paths"].items()
        if path.startswith("/api/v1")
        for method in methods
    }


async def test_the_matrix_names_every_route(world: Any) -> None:
    assert _routes(world) - FOR_ANYBODY <= set(MATRIX)


async def test_whatever_takes_a_body_of_money_says_that_one_may_be_too_large(world: Any) -> None:
    silent = [
        f"{method} {path}"
        for path, methods in world.app.openapi()["paths"].items()
        for method, described in methods.items()
        if re.search(
            "/(payments|plans|payment-links|payment-plans|credit-balance|stripe-credentials|breaks)", path
        )
        and method in {"post", "put", "patch"}
        and "413" not in described["responses"]
    ]
    assert silent == []


def _body(route: str) -> Any:
    """A body that passes validation, so that the refusal is the role's and not the value's."""
    return {} if route.startswith(("PATCH", "POST", "PUT")) else None


@pytest.mark.parametrize("route", MATRIX)
async def test_the_role_decides(world: Any, route: str) -> None:
    if route not in _routes(world):
        pytest.skip("not served by this build")
    method, path = route.split()
    path = re.sub(r"\{\w+_id\}", NOBODY, path).replace("{kind}", "cease")
    for who in ROLES:
        answer = await world.call(who, method, path, _body(route))
        assert (answer.status_code != 403) is (who in MATRIX[route]), (who, answer.status_code)
        assert answer.status_code not in {401, 500}
    assert (await world.call(None, method, path, _body(route))).status_code == 401
    headers = {"X-Agency": "acme"}
    as_platform = await world.call("platform", method, path, _body(route), **headers)
    assert as_platform.status_code not in {401, 403, 500}
    assert "X-Agency" not in as_platform.text


@pytest.mark.parametrize("route", [route for route in MATRIX if "/agencies" not in route])
async def test_the_platform_has_to_pick_an_agency(world: Any, route: str) -> None:
    if route not in _routes(world):
        pytest.skip("not served by this build")
    method, path = route.split()
    path = re.sub(r"\{\w+_id\}", NOBODY, path)
    answer = await world.call("platform", method, path, _body(route))
    assert answer.status_code in {400, 422}
    if answer.status_code == 400:
        assert "X-Agency" in answer.json()["detail"]


async def test_agencies_are_picked_by_id_or_slug(world: Any) -> None:
    for reference in ("acme", str(world.agencies["acme"])):
        me = await world.call("platform", "GET", "/auth/me", **{"X-Agency": reference})
        assert me.json()["agency_id"] == str(world.agencies["acme"])
    for reference in ("atlantis", NOBODY, "'; DROP TABLE agency; --"):
        assert (await world.call("platform", "GET", "/users", **{"X-Agency": reference})).status_code == 404


async def test_an_agency_s_user_cannot_pick_another(world: Any) -> None:
    own = await world.call("acme.admin", "GET", "/users", **{"X-Agency": "acme"})
    assert own.status_code == 200
    other = await world.call("acme.admin", "GET", "/users", **{"X-Agency": "rival"})
    unknown = await world.call("acme.admin", "GET", "/users", **{"X-Agency": "atlantis"})
    assert other.status_code == unknown.status_code == 404
    assert other.json()["detail"].replace("rival", "atlantis") == unknown.json()["detail"]


async def _things(world: Any, host_key: str) -> dict[str, str]:
    """One of each thing that acme owns: path parameter → id."""

    async def make(path: str, body: dict[str, Any]) -> str:
        answer = await world.call("acme.admin", "POST", path, body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    password = "correct horse battery"
    person = {"username": "walled", "full_name": "W", "role": "collector", "password": password}
    user_id = await make("/users", person)
    source = {"name": "walled", "host": "sftp.example.com", "username": "u", "password": "p"}
    partner_id = await make("/partners", {"name": "walled"})
    rules = await world.call("acme.admin", "PUT", f"/partners/{partner_id}/rules", {"rules": "{}"})
    assert rules.status_code == 200, rules.text
    return {
        "agency_id": str(world.agencies["acme"]),
        "user_id": user_id,
        "collector_id": await make("/collectors", {"user_id": user_id}),
        "creditor_id": await make("/creditors", {"name": "Walled Bank"}),
        "source_id": await make("/sftp-sources", {**source, "host_key": host_key}),
        "partner_id": partner_id,
        "debtor_id": await make("/debtors", {"full_name": "W", "debtor_ref": "walled"}),
    }


async def test_another_agency_s_things_are_not_there(world: Any, host_key: str) -> None:
    things = await _things(world, host_key)
    tried = 0
    for route in sorted(_routes(world)):
        method, path = route.split()
        names = [name for name in things if f"{{{name}}}" in path]
        if not names:
            continue
        for name in names:
            path = path.replace(f"{{{name}}}", things[name])
        if f"GET {route.split()[1]}" in _routes(world):
            own = await world.call("acme.admin", "GET", path)
            assert own.status_code == 200, path
        body = next((body for end, body in BODIES.items() if path.endswith(end)), {"full_name": "X"})
        body = {"PATCH": {}, "PUT": body, "POST": body}.get(method)
        other = await world.call("rival.admin", method, path, body)
        expected = {403} if route.startswith("DELETE /agencies") else {404}
        assert {other.status_code} == expected, (route, other.text)
        if "/agencies/" not in path:
            as_platform = await world.call("platform", method, path, body, **{"X-Agency": "rival"})
            assert as_platform.status_code == 404, route
        tried += 1
    assert tried >= 15
    still = await world.call("acme.admin", "GET", f"/users/{things['user_id']}")
    assert still.json()["active"] is True


async def test_lists_show_one_s_own_only(world: Any) -> None:
    lists = ("/agencies", "/users", "/collectors", "/creditors", "/sftp-sources", "/debtors", "/partners")
    for path in lists:
        mine = (await world.call("acme.admin", "GET", path)).json()["results"]
        theirs = (await world.call("rival.admin", "GET", path)).json()["results"]
        assert not {row["id"] for row in mine} & {row["id"] for row in theirs}, path


async def test_references_to_another_agency_s_things_are_refused(world: Any, host_key: str) -> None:
    users = (await world.call("acme.admin", "GET", "/users")).json()["results"]
    collector = next(row for row in users if row["role"] == "collector")
    answer = await world.call("rival.admin", "POST", "/collectors", {"user_id": collector["id"]})
    assert (answer.status_code, answer.json()["field"]) == (422, "user_id")
    creditor = (await world.call("acme.admin", "GET", "/creditors")).json()["results"][0]
    source = {"name": "cross", "host": "h", "username": "u", "password": "p", "host_key": host_key}
    answer = await world.call(
        "rival.admin", "POST", "/sftp-sources", {**source, "creditor_id": creditor["id"]}
    )
    assert (answer.status_code, answer.json()["field"]) == (422, "creditor_id")
