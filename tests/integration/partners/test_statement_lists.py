"""Statements over REST: which there are, and which lines of them could not be read."""

from typing import Any
from uuid import UUID, uuid4

import polars as pl

from domain.tenancy import Tenant
from tests.integration.partners.office import Json, PartnerOffice, now


async def staged(office: PartnerOffice, partner: Json, problems: int) -> str:
    """A statement file of which so many lines could not be read."""
    numbers = list(range(2, problems + 3))
    lines = pl.DataFrame(
        {
            "line": numbers,
            "account_ref": [f"A-{n}" for n in numbers],
            "problem": [None if n == 2 else f"balance “{n}” is not an amount" for n in numbers],
        }
    )
    async with office.world.database.transaction(Tenant.system(office.agency_id, "test")) as tx:
        opened = await tx.statements.open_file(
            UUID(partner["id"]),
            name="a.csv",
            location=f"/{uuid4()}",
            sha256=uuid4().hex,
            size=1,
            mtime=1,
            profile="",
        )
        holder, _ = await tx.statements.take_over(opened.statement.id)
        await tx.statements.append_lines(opened.statement.id, holder, lines, {})
        await tx.statements.finish(opened.statement.id, holder)
        return str(opened.statement.id)


async def refused(office: PartnerOffice, partner: Json) -> str:
    async with office.world.database.transaction(Tenant.system(office.agency_id, "test")) as tx:
        opened = await tx.statements.open_file(
            UUID(partner["id"]), name="b.csv", location="/b", sha256="00", size=1, mtime=1, profile=""
        )
        await tx.statements.refuse(opened.statement.id, "The file was cut off.")
        return str(opened.statement.id)


async def test_statements_are_listed_with_what_became_of_them(empty_office: PartnerOffice) -> None:
    office = empty_office
    partner = await office.partner()
    message = {"account_ref": "A-1", "balance": "5.00", "status": "UNPAID", "processed_at": now()}
    await office.say(partner, message)
    file, cut = await staged(office, partner, 3), await refused(office, partner)
    listed = await office.done("GET", f"/partners/{partner['id']}/statements", who="acme.auditor")
    shown = [(one["channel"], one["state"], one["name"], one["lines"]) for one in listed["results"]]
    assert shown == [
        ("file", "refused", "b.csv", 0),
        ("file", "staged", "a.csv", 4),
        ("messages", "open", None, 1),
    ]
    [one] = (await office.done("GET", f"/partners/{partner['id']}/statements?state=staged"))["results"]
    assert one == await office.done("GET", f"/statements/{file}")
    assert (one["problems"], one["run_id"], one["reason"]) == (3, None, None)
    assert (await office.done("GET", f"/statements/{cut}"))["reason"] == "The file was cut off."


async def test_problems_are_paged_from_the_first_line_on(empty_office: PartnerOffice) -> None:
    office = empty_office
    file = await staged(office, await office.partner(), 5)
    first = await office.done("GET", f"/statements/{file}/problems?page_size=2")
    assert first["results"][0] == {
        "line": 3,
        "account_ref": "A-3",
        "debtor_ref": None,
        "payment_ref": None,
        "problem": "balance “3” is not an amount",
    }
    second = await follow(office, first["next"])
    last = await follow(office, second["next"])
    assert [[row["line"] for row in page["results"]] for page in (first, second, last)] == [
        [3, 4],
        [5, 6],
        [7],
    ]
    assert last["next"] is None
    back = await follow(office, second["previous"])
    assert back["results"] == first["results"]


async def test_nobody_else_sees_statements(empty_office: PartnerOffice) -> None:
    office = empty_office
    partner = await office.partner()
    file = await staged(office, partner, 1)
    for path in (
        f"/partners/{partner['id']}/statements",
        f"/statements/{file}",
        f"/statements/{file}/problems",
    ):
        assert (await office.ask("rival.admin", "GET", path)).status_code == 404
        assert (await office.ask("acme.admin", "GET", path)).status_code == 200
        assert (await office.ask("acme.admin", "GET", f"{path}?colour=red")).status_code == 422
    wrong = await office.ask("acme.admin", "GET", f"/partners/{partner['id']}/statements?state=lost")
    assert wrong.status_code == 422


async def follow(office: PartnerOffice, url: Any) -> Json:
    path = url[url.index("/statements/") :]
    return await office.done("GET", path)
