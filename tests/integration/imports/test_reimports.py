"""The same accounts again: what a later file may change, and what it never touches."""

from decimal import Decimal
from typing import Any

from db.cipher import ColumnCipher, parse_keys, place
from db.staging import SSN_COLUMN
from runtime.settings import DEVELOPMENT_COLUMN_KEYS
from tests.integration.imports.shop import Shop, rows

HEADER = "external_ref,debtor_name,original_amount,debtor_ref,debtor_ssn_last4,debtor_email,due_date\n"


async def row(shop: Shop, table: str, key: str, value: str) -> dict[str, Any]:
    """A row with its physical version, which tells whether it was written again."""
    return await shop.one(
        f"SELECT *, xmin::text AS written FROM {table} WHERE agency_id = %s AND {key} = %s",  # noqa: S608
        shop.agency_id,
        value,
    )


async def ssn(shop: Shop, debtor_ref: str) -> str:
    cipher = ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS))
    blob = (await row(shop, "debtor", "debtor_ref", debtor_ref))["ssn_last4_encrypted"]
    return cipher.decrypt(bytes(blob), place(SSN_COLUMN, shop.agency_id))


async def test_status_balance_and_payments_are_never_touched(shop: Shop) -> None:
    await shop.import_file(HEADER + "A-1,Ana,100.00,D-1,1111,a@example.com,2026-01-01\n")
    account = await row(shop, "account", "external_ref", "A-1")
    await pay(shop, account, Decimal("40.00"))

    job = await shop.import_file(HEADER + "A-1,Ana Maria,250.00,D-1,1111,new@example.com,2026-03-03\n")

    after = await row(shop, "account", "external_ref", "A-1")
    assert (after["status"], after["balance"], after["original_amount"]) == (
        "payment_plan",
        Decimal("60.00"),
        Decimal("100.00"),
    )
    # The payment, then the date.
    assert (str(after["due_date"]), after["version"]) == ("2026-03-03", account["version"] + 2)
    debtor = await row(shop, "debtor", "debtor_ref", "D-1")
    assert (debtor["full_name"], debtor["email"], debtor["version"]) == ("Ana Maria", "new@example.com", 2)
    assert (job["accounts_created"], job["accounts_updated"], job["warnings"]) == (0, 1, 1)
    [problem] = await shop.problems(job)
    assert (problem["severity"], problem["line"], problem["column"]) == ("warning", 2, "original_amount")
    assert "100.00" in problem["error"]
    assert len(await shop.mine("id", "posting")) == 2
    assert not await shop.breaches()


async def pay(shop: Shop, account: dict[str, Any], amount: Decimal) -> None:
    """What a payment does to the tables, once the account is scored: its score has to follow."""
    await shop.scored()
    await shop.query(
        "WITH paid AS (INSERT INTO journal (agency_id, kind, key, description, occurred_at)"
        " VALUES (%s, 'payment', 'p-1', 'Payment', now()) RETURNING id)"
        " INSERT INTO posting (agency_id, journal_id, account_id, debit, credit, amount, currency)"
        " SELECT %s, id, %s, 'cash', 'receivable', %s, 'USD' FROM paid",
        shop.agency_id,
        shop.agency_id,
        account["id"],
        amount,
    )
    await shop.query(
        "WITH scored AS ("
        " UPDATE account_score SET account_version = account_version + 1 WHERE account_id = %s)"
        " UPDATE account SET balance = balance - %s, status = 'payment_plan', version = version + 1"
        " WHERE id = %s",
        account["id"],
        amount,
        account["id"],
    )


async def test_the_lifecycles_of_accounts_with_other_dates_are_told(shop: Shop) -> None:
    body = "A-{0},Ana,100.00,D-{0},1111,a@example.com,{1}\n"
    ids = range(1, 5)
    await shop.import_file(HEADER + "".join(body.format(n, "2026-01-01") for n in ids))
    await shop.scored()
    await shop.query("UPDATE agency SET lifecycle_capacity = 0")  # Nobody is admitted from here on.
    for values, key in (("released_at = now()", "A-3"), ("admitted_at = NULL", "A-4")):
        await shop.query(f"UPDATE account SET {values} WHERE external_ref = %s", key)  # noqa: S608
    await shop.query("DELETE FROM lifecycle_notice")

    days = ["2026-03-03", "2026-01-01", "2026-03-03", "2026-03-03"]
    await shop.import_file(HEADER + "".join(body.format(n, day) for n, day in zip(ids, days, strict=True)))

    moved = await row(shop, "account", "external_ref", "A-1")
    assert await shop.mine("account_id", "lifecycle_notice") == [{"account_id": moved["id"]}]


async def test_unchanged_rows_are_not_written_again(shop: Shop) -> None:
    body = "A-1,Ana,100.00,D-1,1111,a@example.com,2026-01-01\nA-2,Ben,50.00,D-2,2222,b@example.com,\n"
    await shop.import_file(HEADER + body)
    await shop.scored()
    before = (
        [(await row(shop, "account", "external_ref", ref))["written"] for ref in ("A-1", "A-2")],
        [(await row(shop, "debtor", "debtor_ref", ref))["written"] for ref in ("D-1", "D-2")],
    )

    job = await shop.import_file(HEADER + body + "A-3,Cem,5.00,D-3,,,\n")

    after = (
        [(await row(shop, "account", "external_ref", ref))["written"] for ref in ("A-1", "A-2")],
        [(await row(shop, "debtor", "debtor_ref", ref))["written"] for ref in ("D-1", "D-2")],
    )
    assert after == before
    assert (job["accounts_created"], job["accounts_updated"], job["warnings"]) == (1, 0, 0)
    events = await shop.query(
        "SELECT count(*) AS n FROM timeline_event e JOIN account a ON a.id = e.account_id"
        " WHERE a.external_ref IN ('A-1', 'A-2')"
    )
    assert events == [{"n": 2}]


async def test_changed_digits_are_seen_through_their_encryption(shop: Shop) -> None:
    await shop.import_file(HEADER + "A-1,Ana,100.00,D-1,1111,,\nA-2,Ben,100.00,D-2,2222,,\n")
    kept = (await row(shop, "debtor", "debtor_ref", "D-1"))["ssn_last4_encrypted"]

    await shop.import_file(HEADER + "A-1,Ana B,100.00,D-1,1111,,\nA-2,Ben,100.00,D-2,9999,,\n")

    first, second = [await row(shop, "debtor", "debtor_ref", ref) for ref in ("D-1", "D-2")]
    assert (first["full_name"], first["ssn_last4_encrypted"], first["version"]) == ("Ana B", kept, 2)
    assert (await ssn(shop, "D-1"), await ssn(shop, "D-2")) == ("1111", "9999")
    assert second["version"] == 2


async def test_what_a_file_leaves_out_stays(shop: Shop) -> None:
    await shop.import_file(HEADER + "A-1,Ana,100.00,D-1,1111,a@example.com,2026-01-01\n")
    await shop.import_file(HEADER + "A-1,Ana,100.00,D-1,,,\n")
    await shop.import_file("external_ref,debtor_name,original_amount,debtor_ref\nA-1,Ana,100.00,D-1\n")
    debtor = await row(shop, "debtor", "debtor_ref", "D-1")
    assert (debtor["email"], debtor["version"], await ssn(shop, "D-1")) == ("a@example.com", 1, "1111")
    assert str((await row(shop, "account", "external_ref", "A-1"))["due_date"]) == "2026-01-01"


async def test_of_two_rows_with_one_reference_the_last_wins(shop: Shop) -> None:
    job = await shop.import_file(
        HEADER
        + "A-1,First,100.00,D-1,,,2026-01-01\n"
        + "A-2,Other,10.00,D-2,,,\n"
        + "A-1,Second,200.00,D-1,,,2026-02-02\n"
        + "A-1,Third,300.00,D-1,,,2026-03-03\n"
    )
    account = await row(shop, "account", "external_ref", "A-1")
    assert (account["original_amount"], str(account["due_date"])) == (Decimal("300.00"), "2026-03-03")
    assert (await row(shop, "debtor", "debtor_ref", "D-1"))["full_name"] == "Third"
    problems = await shop.problems(job)
    assert [(p["line"], p["severity"], p["column"], p["value"]) for p in problems] == [
        (2, "warning", "external_ref", "A-1"),
        (4, "warning", "external_ref", "A-1"),
    ]
    assert all("line 5" in p["error"] for p in problems)
    assert (job["accounts_created"], job["processed_ok"], job["warnings"]) == (2, 4, 2)


async def test_a_debtor_may_have_several_accounts(shop: Shop) -> None:
    job = await shop.import_file(
        HEADER.replace("due_date", "creditor_name")
        + "A-1,Ana,100.00,D-1,,,Northgate\nA-1,Ana,200.00,D-1,,,Southgate\nA-2,Ana,300.00,D-1,,,Northgate\n"
        + "A-3,Ben,400.00,,,,Northgate\nA-3,Ben,500.00,,,,Southgate\n"
    )
    assert job["accounts_created"] == 5
    owners = await shop.query(
        "SELECT d.debtor_ref, count(*) AS n, sum(a.balance) AS owed FROM account a"
        " JOIN debtor d ON d.id = a.debtor_id GROUP BY d.id ORDER BY owed"
    )
    assert [tuple(owner.values()) for owner in owners] == [
        (None, 1, Decimal("400.00")),
        (None, 1, Decimal("500.00")),
        ("D-1", 3, Decimal("600.00")),
    ], "nothing is merged by guess: the same reference at two creditors is two people"


async def test_another_debtor_for_a_placed_account_is_reported(shop: Shop) -> None:
    await shop.import_file(HEADER + "A-1,Ana,100.00,D-1,,,\n")
    job = await shop.import_file(HEADER + "A-1,Ben,100.00,D-2,,,\n")
    owner = await shop.one("SELECT d.debtor_ref FROM account a JOIN debtor d ON d.id = a.debtor_id")
    assert owner == {"debtor_ref": "D-1"}
    [problem] = await shop.problems(job)
    assert (problem["column"], problem["severity"]) == ("debtor_ref", "warning")
    assert problem["error"].startswith("names another debtor")

    left_out = await shop.import_file(HEADER + "A-1,Ana,100.00,,,,\n")
    [problem] = await shop.problems(left_out)
    assert problem["error"] == "is empty: the account stays with the debtor whom it was placed with"


async def test_lifecycles_hear_that_a_file_moved_their_debtor_to_another_state(shop: Shop) -> None:
    """Its law says when the debt is time-barred: on each worked account, named in the file or not."""
    header = "external_ref,debtor_name,original_amount,debtor_ref,state,city\n"
    people = "A-1,Ana,100.00,D-1,TX,Waco\nA-2,Ana,100.00,D-1,TX,Waco\nA-3,Ben,100.00,D-2,TX,Waco\n"
    await shop.import_file(f"{header}{people}A-4,Ana,100.00,D-1,TX,Waco\n")
    await shop.scored()
    await shop.query(
        "UPDATE account SET admitted_at = now(), released_at = CASE external_ref WHEN 'A-4' THEN now() END"
        " WHERE agency_id = %s",
        shop.agency_id,
    )
    await shop.query("DELETE FROM lifecycle_notice WHERE agency_id = %s", shop.agency_id)

    await shop.import_file(f"{header}A-1,Ana,100.00,D-1,OH,Akron\nA-3,Ben,100.00,D-2,TX,Austin\n")

    told = await shop.query(
        "SELECT a.external_ref FROM lifecycle_notice n JOIN account a ON a.id = n.account_id"
        " WHERE n.agency_id = %s ORDER BY 1",
        shop.agency_id,
    )
    assert [row["external_ref"] for row in told] == ["A-1", "A-2"]


async def test_an_import_never_replaces_a_search_document_of_newer_data(shop: Shop) -> None:
    """Somebody corrects the debtor while the import, which has read the old data, is about to index it."""
    await shop.import_file(rows(2))
    await shop.query(
        "UPDATE account_search SET document = 'corrected', debtor_version = 2 WHERE agency_id = %s",
        shop.agency_id,
    )
    await shop.import_file(rows(2, amount="101.00"))
    found = await shop.mine("document, debtor_version", "account_search")
    assert {(row["document"], row["debtor_version"]) for row in found} == {("corrected", 2)}
