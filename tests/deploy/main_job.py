"""The main job from outside, as a new agency would have it done, on an installation that has no data yet."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import asyncssh
import httpx

from sandbox.processes import until

PASSWORD = "Correct-Horse@1"
FILE = (
    b"external_ref,debtor_name,original_amount,due_date,late_payments_count\n"
    b"A-1,Ada Example,1200.00,2025-01-15,4\n"
    b"A-2,Bea Example,-5,2025-01-15,0\n"
    b"A-3,Cid Example,80.50,2026-05-01,0\n"
)
REFERENCES = ("A-1", "A-3")
_COOKIE_OF_ALL = re.compile(r"^([^=]+=[^;]+);")
_ASSET = re.compile(r'(?:src|href)="(/[^"]+\.(?:css|js|svg))(?:#[^"]*)?"')

Admin = Callable[..., str]
"""``recoup admin`` with its words, and the password on standard input; what it prints."""


@dataclass(frozen=True)
class Inbox:
    """A creditor's SFTP server."""

    host: str
    port: int
    user: str
    password: str


async def do_the_main_job(
    api: str, admin: Admin, inbox: Inbox, *, seen_at: tuple[str, int] | None = None
) -> None:
    """An agency, a file in its inbox, taken in and scored, in the worklist, on the console's page.

    ``seen_at`` is where the worker reaches the inbox, when that is not where it is reached from here.
    """
    _set_up(admin)
    async with httpx.AsyncClient(base_url=api, trust_env=False, timeout=30) as client:
        login = {"username": "ann", "password": PASSWORD}
        ann = await ask(client, "POST", "/auth/token", json=login)
        client.headers["Authorization"] = f"Bearer {ann['access']}"
        await _source_added(client, inbox, seen_at or (inbox.host, inbox.port))
        await _file_sent(inbox)
        await _taken_in(client)
        await _ranked(client)
        del client.headers["Authorization"]
        await _shown(client, login)


async def ask(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> Any:
    """What the API answers, which must be well."""
    answer = await client.request(method, f"/api/v1{path}", **more)
    assert answer.status_code < httpx.codes.MULTIPLE_CHOICES, answer.text
    return answer.json()


def _set_up(admin: Admin) -> None:
    admin("create-platform-admin", "--username", "boss", "--full-name", "Boss")
    made = json.loads(admin("create-agency", "--slug", "acme", "--name", "Acme", "--json"))
    assert made["slug"] == "acme"
    ann = ("--username", "ann", "--full-name", "Ann", "--role", "agency_admin")
    admin("create-user", "--agency", "acme", *ann)


async def _source_added(client: httpx.AsyncClient, inbox: Inbox, seen_at: tuple[str, int]) -> None:
    key = await asyncssh.get_server_host_key(inbox.host, inbox.port)
    assert key is not None
    source = {
        "name": "creditor",
        "host": seen_at[0],
        "port": seen_at[1],
        "username": inbox.user,
        "password": inbox.password,
        "host_key": key.export_public_key().decode().strip(),
    }
    await ask(client, "POST", "/sftp-sources", json=source)


async def _file_sent(inbox: Inbox) -> None:
    """As the creditor does it."""
    where = {"port": inbox.port, "username": inbox.user, "password": inbox.password}
    async with (
        asyncssh.connect(inbox.host, **where, known_hosts=None, config=None, client_keys=None) as connection,
        connection.start_sftp_client() as sftp,
        sftp.open("/inbox/accounts.csv", "wb") as file,
    ):
        await file.write(FILE)


async def _taken_in(client: httpx.AsyncClient) -> None:
    async def taken() -> bool:
        await ask(client, "POST", "/imports/poll")
        seen = (await ask(client, "GET", "/imports"))["results"]
        assert not [each for each in seen if each["status"] == "failed"], seen
        return bool(seen) and seen[0]["status"] == "completed"

    await until(taken, within_s=120, what="the file to be taken in")
    [done] = (await ask(client, "GET", "/imports"))["results"]
    assert (done["channel"], done["file_name"]) == ("sftp", "accounts.csv")
    assert (done["processed_ok"], done["processed_errors"]) == (len(REFERENCES), 1)


async def _ranked(client: httpx.AsyncClient) -> None:
    async def scored() -> bool:
        accounts = (await ask(client, "GET", "/accounts"))["results"]
        assert {each["external_ref"] for each in accounts} == set(REFERENCES)
        return all(each["risk_level"] for each in accounts)

    await until(scored, within_s=60, what="the accounts to be scored")
    worklist = (await ask(client, "GET", "/worklist"))["results"]
    assert tuple(each["external_ref"] for each in worklist) == REFERENCES
    assert worklist[0]["current_balance"] == "1200.00"


async def _shown(client: httpx.AsyncClient, login: dict[str, str]) -> None:
    page = await client.get("/login")
    assets = sorted(set(_ASSET.findall(page.text)))
    assert {path.rpartition(".")[2] for path in assets} == {"css", "js", "svg"}, page.text
    for path in assets:
        found = await client.get(path)
        assert (found.status_code, bool(found.content)) == (200, True), path
    entered = await client.post("/login", data={**login, "next": "/worklist"})
    assert (entered.status_code, entered.headers["Location"]) == (303, "/worklist")
    # In production the cookie is for TLS only, which a proxy brings; here nothing is in between.
    assert "secure" in entered.headers["Set-Cookie"].lower()
    [cookie] = _COOKIE_OF_ALL.findall(entered.headers["Set-Cookie"])
    worklist = await client.get("/worklist", headers={"Cookie": cookie})
    assert (worklist.status_code, "Ada Example" in worklist.text) == (200, True), worklist.text
