"""What every request gets, whatever its route: problems, headers, limits, metrics, logs."""

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import structlog
from fastapi import APIRouter
from httpx import ASGITransport, AsyncClient
from temporalio.client import Client

from api.app import create_app
from api.composition import build_services, open_database
from runtime.settings import Settings
from sandbox.ports import free_port

ROOT = "http://test"


class SecretSpilled(RuntimeError):
    """An unexpected failure whose message nobody must see."""


@pytest.fixture(scope="module")
def breakable(world: Any) -> Any:
    """The application with a route that fails."""
    router = APIRouter()

    @router.get("/api/v1/broken/{thing_id}", include_in_schema=False)
    async def broken(thing_id: str) -> None:
        raise SecretSpilled(f"password of {thing_id} is hunter2")

    world.app.include_router(router)
    return world


async def test_errors_are_problems(world: Any) -> None:
    cases = [
        (await world.call("acme.admin", "GET", "/nowhere"), 404, "not-found"),
        (await world.call("acme.admin", "PUT", "/users"), 405, "method-not-allowed"),
        (await world.call(None, "GET", "/users"), 401, "unauthenticated"),
        (await world.call("acme.collector", "GET", "/users"), 403, "forbidden"),
        (await world.call("acme.admin", "GET", "/users/not-an-id"), 422, "invalid"),
        (await world.call("platform", "GET", "/users"), 400, "malformed"),
    ]
    for answer, status, slug in cases:
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert (answer.status_code, problem["status"]) == (status, status)
        assert problem["type"] == f"urn:recoup:problem:{slug}"
        assert problem["instance"] == answer.request.url.path
        assert problem["title"]
        assert problem["detail"]
    assert cases[1][0].headers["allow"] == "GET, HEAD, POST"


ACCOUNT = "/accounts/0199a3c2-7d1e-7c55-8a41-5a1b7c6d0e2f"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", f"{ACCOUNT}/holds", "GET, HEAD, POST"),
        ("GET", f"{ACCOUNT}/holds/cease", "DELETE"),
        ("PATCH", f"{ACCOUNT}/disputes", "GET, HEAD, POST"),
        ("POST", ACCOUNT, "GET, HEAD"),
        ("HEAD", f"{ACCOUNT}/transition", "POST"),
        ("OPTIONS", "/creditors", "GET, HEAD, POST"),
    ],
)
async def test_an_address_names_all_its_methods(world: Any, method: str, path: str, allowed: str) -> None:
    answer = await world.call("acme.admin", method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


async def test_head_is_get_without_its_body(world: Any) -> None:
    for who, path in (
        ("acme.admin", "/users"),
        ("acme.admin", "/nowhere"),
        ("acme.collector", "/users"),
        (None, "/docs/start.js"),
        (None, "/schema"),
    ):
        got = await world.call(who, "GET", path)
        headed = await world.call(who, "HEAD", path)
        assert (headed.status_code, headed.content) == (got.status_code, b""), path
        for header in ("content-type", "content-length", "cache-control"):
            assert headed.headers[header] == got.headers[header], (path, header)
    seen = await world.call(None, "GET", "http://test/metrics")
    assert 'method="HEAD",route="/users"' in seen.text


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "told"),
    [
        ("GET", "/accounts/12", None, "account_id", "must be an id such as "),
        ("POST", "/assign", {"collector_id": 7}, "collector_id", "must be an id such as "),
        ("PUT", "/contact-preferences", {"inconvenient": "never"}, "inconvenient", "must be a list"),
        ("PUT", "/contact-preferences", {"inconvenient": ["never"]}, "inconvenient[0]", "must be an object"),
        ("POST", "/notes", [], "body", "must be an object"),
        (
            "PUT",
            "/contact-preferences",
            {"inconvenient_places": ["home", "work", "home"]},
            "inconvenient_places",
            "List should have at most 2 items after validation, not 3",
        ),
    ],
)
async def test_what_is_wrong_is_said_in_the_words_of_the_api(
    world: Any, method: str, path: str, body: Any, field: str, told: str
) -> None:
    of = ACCOUNT.replace("accounts", "debtors") if path == "/contact-preferences" else ACCOUNT
    answer = await world.call("acme.admin", method, path if body is None else f"{of}{path}", body)
    assert answer.status_code == 422, answer.text
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert error["message"].startswith(told)


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000], ids=lambda body: body[:3])
async def test_a_body_that_cannot_be_read(world: Any, body: bytes) -> None:
    async with world.client("acme.admin", **{"Content-Type": "application/json"}) as client:
        key = {"Idempotency-Key": uuid4().hex}
        answers = [
            await client.post("/auth/token", content=body),
            await client.post("/creditors", content=body, headers=key),
            await client.request("POST", "/imports/poll", content=body, headers=key),
        ]
    for answer in answers:
        assert (answer.status_code, answer.json()["detail"]) == (400, "the body is not valid JSON")
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_json_has_to_be_said_to_be_json(world: Any, media_type: str | None) -> None:
    async with world.client(None, **({"Content-Type": media_type} if media_type else {})) as client:
        answer = await client.post("/auth/token", content=b'{"username": "u", "password": "p"}')
    assert answer.status_code == 415
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "send JSON with content-type: application/json"


USER = {"username": "sound", "full_name": "Sound", "role": "auditor", "password": "long enough"}


@pytest.mark.parametrize("bad", ["\ud800", "\udc00x", "a\x00b"], ids=ascii)
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/auth/token", lambda bad: {"username": "u", "password": bad}, "password"),
        ("/auth/token", lambda bad: {"username": bad, "password": "p"}, "username"),
        ("/auth/token/refresh", lambda bad: {"refresh": bad}, "refresh"),
        ("/users", lambda bad: {**USER, "password": f"long enough {bad}"}, "password"),
        ("/users", lambda bad: {**USER, "email": f"{bad}@example.com"}, "email"),
        ("/sftp-sources", lambda bad: {"profile": {"columns": {bad: "debtor_name"}}}, "profile.columns"),
        ("/sftp-sources", lambda bad: {"profile": {"default_creditor": bad}}, "profile.default_creditor"),
        ("/sftp-sources", lambda bad: {"profile": {"x": ["", {"y": bad}]}}, "profile.x[1].y"),
        ("/schedules/poll/pause", lambda bad: {"note": bad}, "note"),
        ("/creditors", lambda bad: {bad: 1}, "body"),
    ],
)
async def test_text_that_cannot_be_stored_is_named(
    world: Any, path: str, body: Callable[[str], dict[str, Any]], field: str, bad: str
) -> None:
    answer = await world.call("acme.admin", "POST", path, body(bad), **{"Idempotency-Key": uuid4().hex})
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field
    assert answer.json()["detail"] == f"{field}: must not contain NUL characters or lone surrogates"


async def test_every_bad_field_is_named(world: Any) -> None:
    body = {
        "name": "",
        "host": "h",
        "username": "u",
        "port": "x",
        "host_key": "k",
        "profile": {"columns": {"a": 1}},
    }
    answer = await world.call("acme.admin", "POST", "/sftp-sources", body)
    assert {error["field"] for error in answer.json()["errors"]} == {"name", "port", "profile.columns.a"}


async def test_an_unexpected_failure_tells_nothing_but_its_number(breakable: Any) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = await breakable.call("acme.admin", "GET", "/broken/thing-7")
    assert answer.status_code == 500
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    incident = answer.json()["incident"]
    [logged] = [event for event in logs if event.get("incident") == incident]
    assert any(name.endswith("SecretSpilled") for name in logged["error"])
    assert any("test_edge.py" in frame for frame in logged["frames"])
    assert "hunter2" not in answer.text + str(logs)
    assert "SecretSpilled" not in answer.text


async def test_a_database_that_is_away_is_503(world: Any, temporal_client: Client) -> None:
    settings = world.settings.model_copy(
        update={"database_url": f"postgresql://nobody@127.0.0.1:{free_port()}/none"}
    )
    async with open_database(settings, "recoup-test") as away:
        app = create_app(settings, services=build_services(settings, away, temporal_client))
        async with AsyncClient(transport=ASGITransport(app), base_url=ROOT) as client:
            answer = await client.post("/api/v1/auth/token", json={"username": "jane", "password": "p"})
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:recoup:problem:unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "nobody" not in answer.text


async def test_logs_name_routes_and_no_values(world: Any) -> None:
    with structlog.testing.capture_logs() as logs:
        await world.call("acme.admin", "GET", "/accounts?page_size=7&search=jane.doe")
    [event] = [event for event in logs if event["event"] == "request"]
    assert (event["method"], event["route"], event["status"]) == ("GET", "/accounts", 200)
    assert event["duration_ms"] > 0
    assert "jane" not in str(logs)


async def test_requests_have_ids(world: Any) -> None:
    made = (await world.call(None, "GET", f"{ROOT}/health/live")).headers["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", made)
    given = await world.call(None, "GET", f"{ROOT}/health/live", **{"X-Request-ID": "order-66-please"})
    assert given.headers["X-Request-ID"] == "order-66-please"
    forged = await world.call(None, "GET", f"{ROOT}/health/live", **{"X-Request-ID": 'x" admin="true'})
    assert "admin" not in forged.headers["X-Request-ID"]


async def test_answers_carry_security_headers(world: Any) -> None:
    for path in ("/users", "/nowhere", f"{ROOT}/health/live", "/docs"):
        headers = (await world.call("acme.admin", "GET", path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert (await world.call("acme.admin", "GET", "/users")).headers["Cache-Control"] == "no-store"


async def test_a_large_body_is_refused_declared_or_not(world: Any) -> None:
    body = b'{"username": "' + b"x" * (1 << 20) + b'", "password": "p"}'

    async def undeclared() -> Any:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    async with world.client(None, **{"Content-Type": "application/json"}) as client:
        for content in (body, undeclared()):
            answer = await client.post("/auth/token", content=content)
            assert answer.status_code == 413
            assert answer.headers["content-type"] == "application/problem+json"
            assert "1048576" in answer.json()["detail"]
        fits = await client.post("/auth/token", content=b"x" * 65_536)
    assert fits.status_code == 400


async def test_paths_work_with_and_without_the_slash(world: Any) -> None:
    for path in ("/users", "/auth/me", "/docs", "/schema"):
        plain = await world.call("acme.admin", "GET", path)
        slashed = await world.call("acme.admin", "GET", f"{path}/")
        assert plain.status_code == slashed.status_code == 200, path
        assert plain.content == slashed.content
    made = await world.call("acme.admin", "POST", "/creditors/", {"name": "Slashed Bank"})
    assert made.status_code == 201


async def test_the_start_page_leads_to_the_documentation(world: Any) -> None:
    async with world.client() as client:
        page = await client.get(f"{ROOT}/", follow_redirects=True)
    assert page.url.path == "/api/v1/docs"


async def test_the_documentation_needs_no_other_server(world: Any) -> None:
    page = await world.call(None, "GET", "/docs")
    assets = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert len(assets) == 3
    for asset in assets:
        answer = await world.call(None, "GET", f"{ROOT}{asset}")
        assert answer.status_code == 200, asset
        assert len(answer.content) > 100
    assert "http://" not in page.text + (await world.call(None, "GET", "/docs/start.js")).text
    assert "https://" not in page.text
    schema = (await world.call(None, "GET", "/schema")).json()
    assert schema["components"]["securitySchemes"]
    assert "application/problem+json" in str(schema["paths"]["/api/v1/users"]["get"]["responses"]["403"])
    # Two of one name are told apart by their modules, which mean nothing to callers.
    assert [name for name in schema["components"]["schemas"] if "__" in name] == []


async def test_the_assets_are_no_way_out(world: Any) -> None:
    for path in (
        "/docs/assets/../docs.html",
        "/docs/assets/%2e%2e/%2e%2e/app.py",
        "/docs/assets//etc/passwd",
    ):
        answer = await world.call(None, "GET", path)
        assert answer.status_code == 404, path


async def test_metrics_count_by_route_template(world: Any) -> None:
    me = (await world.call("acme.admin", "GET", "/auth/me")).json()
    await world.call("acme.admin", "GET", f"/users/{me['id']}")
    await world.call("acme.admin", "BREW", "/users")
    text = (await world.call(None, "GET", f"{ROOT}/metrics")).text
    assert re.search(
        r'recoup_http_requests_total\{method="GET",route="/users/\{user_id\}",status="200"\} [1-9]', text
    )
    assert re.search(r'recoup_http_request_seconds_count\{method="GET",route="/auth/me"\} [1-9]', text)
    assert 'method="OTHER"' in text
    assert me["id"] not in text


def test_production_refuses_the_built_in_secrets() -> None:
    with pytest.raises(ValueError, match="RECOUP_JWT_SECRET"):
        Settings(_env_file=None, env="production")


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/accounts?stauts=new", "stauts"),
        ("/accounts/?page_size=1&collectr=x", "collectr"),
        ("/worklist?nonsense=", "nonsense"),
        ("/auth/me?verbose=1", "verbose"),
    ],
)
async def test_a_parameter_that_is_not_known_is_refused_by_name(world: Any, path: str, named: str) -> None:
    answer = await world.call("acme.admin", "GET", path)
    assert answer.status_code == 422
    assert answer.json()["field"] == named
    assert "no such parameter" in answer.json()["detail"]
