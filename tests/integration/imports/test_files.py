"""What files say: one of every oddity through the whole door, and files that are refused as a whole."""

import gzip
from decimal import Decimal

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from tests.integration.imports.shop import Shop, rows

AMOUNTS = ("-5", "0", "1e9", "NaN", '"1,234.50"', "1.234")
TEN_MEGABYTES = 10 << 20


def oddities() -> bytes:
    """BOM and CRLF, unknown columns, and rows that are wrong in every way; lines 2 to 5 are good."""
    lines = [
        "external_ref,debtor_name,original_amount,due_date,debtor_ssn_last4,colour",
        "G-1,=cmd(),10.00,2026-01-31,1234,red",
        'G-2,"Ana\r\nLucia",20.00,,,blue',
        "G-3,Cem,30.00,,,",
        *(f"X-{n},Bad,{amount},,," for n, amount in enumerate(AMOUNTS)),
        "X-d,Bad,1.00,2025-02-30,,",
        "X-s,Bad,1.00,,123,",
        f"X-n,{'n' * 10_000},1.00,,,",
        "X-0,N\0ul,1.00,,,",
        f"X-l,{'l' * TEN_MEGABYTES},1.00,,,",
        *(f"G-{n},Person {n},1.00,,," for n in range(4, 20)),
    ]
    return b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n"


async def test_a_file_of_oddities_gives_its_good_rows_and_names_the_others(shop: Shop) -> None:
    job = await shop.import_file(oddities())

    assert (job["status"], job["processed_ok"], job["processed_errors"]) == ("completed", 19, 11)
    assert job["unknown_columns"] == ["colour"]
    problems = await shop.problems(job)
    assert [problem["line"] for problem in problems] == [*range(6, 17)], "line 3 goes on in line 4"
    columns = ["original_amount"] * 6 + ["due_date", "debtor_ssn_last4", "debtor_name"]
    assert [problem["column"] for problem in problems][:9] == columns
    assert {problem["severity"] for problem in problems} == {"error"}
    assert "123" not in problems[7]["value"], "digits of a social security number are not shown"
    assert all(len(problem["value"]) < 300 for problem in problems)
    names = {d["full_name"] for d in await shop.mine("full_name", "debtor")}
    assert {"=cmd()", "Ana Lucia", "Cem"} <= names
    refused = await shop.mine("line, text_encrypted", "import_refusal", "line")
    assert [row["line"] for row in refused] == [*range(6, 17)]
    assert not any(b"Bad" in bytes(row["text_encrypted"]) for row in refused)


async def test_a_compressed_file_is_taken(shop: Shop) -> None:
    job = await shop.import_file(gzip.compress(rows(5).encode()), "new.csv.gz")
    assert (job["status"], job["accounts_created"]) == ("completed", 5)
    assert shop.put_away("processed") == [f"{job['id']}-new.csv.gz"]


REFUSED = {
    "no header": (b"A-1,Ana,10.00\nA-2,Ben,10.00\n", "external_ref"),
    "empty": (b"", "empty"),
    "header only": (b"external_ref,debtor_name,original_amount\n", "no records"),
    "missing column": (b"external_ref,debtor_name\nA-1,Ana\n", "original_amount"),
    "latin-1": ("external_ref,debtor_name,original_amount\nA-1,Zoë,1.00\n".encode("latin-1"), "UTF-8"),
    "too many bad rows": (
        b"external_ref,debtor_name,original_amount,creditor_name\nA-1,Ana,1.00,New\nA-2,B,0,\nA-3,C,0,\n",
        "2 of 3 records",
    ),
    "bomb": (gzip.compress(rows(2).encode() + b"," * (60 << 20)), "unpacks"),
    "cut gzip": (gzip.compress(rows(9).encode())[:-9], "cut off"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_refused_file_merges_nothing_and_says_why(shop: Shop, case: str) -> None:
    content, reason = REFUSED[case]
    name = "new.csv.gz" if content[:2] == b"\x1f\x8b" else "new.csv"

    job = await shop.import_file(content, name)

    assert (job["status"], job["phase"], job["reason_type"]) == ("failed", "done", "portfolio-refused")
    assert reason in job["reason"]
    assert job["completed_at"] is not None
    for table in (
        "account",
        "debtor",
        "journal",
        "posting",
        "timeline_event",
        "scoring_run",
        "import_bucket",
    ):
        assert await shop.mine("1", table) == [], table
    assert [c["name"] for c in await shop.mine("name", "creditor")] == ["House Credit"]
    staged = await shop.query("SELECT tablename FROM pg_tables WHERE tablename LIKE 'placement\\_%%'")
    assert staged == []
    assert (shop.waiting(), shop.put_away("rejected")) == ([], [f"{job['id']}-{name}"])
    handle = shop.client.get_workflow_handle(shop.workflow_id(job))
    assert (await handle.describe()).status == WorkflowExecutionStatus.FAILED
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    assert isinstance(failure.value.cause, ApplicationError)
    assert (failure.value.cause.type, failure.value.cause.message) == ("portfolio-refused", job["reason"])


@pytest.mark.parametrize(
    ("trailer", "status", "reason"),
    [
        ("TRAILER,2,30.00", "completed", None),
        ("TRAILER,3,30.00", "failed", "says 3 records, the file has 2"),
        ("TRAILER,2,31.00", "failed", "says 31.00 in all"),
        ("", "failed", "lacks its control record"),
    ],
)
async def test_control_totals_decide(shop: Shop, trailer: str, status: str, reason: str | None) -> None:
    async with shop.db.transaction(shop.tenant) as tx:
        await tx.sources.change(shop.source_id, {"profile": {"control": {}}}, {})
    job = await shop.import_file(
        f"external_ref,debtor_name,original_amount\nA-1,Ana,10.00\nA-2,Ben,20.00\n{trailer}\n"
    )
    assert job["status"] == status
    assert reason is None or reason in job["reason"]
    assert len(await shop.mine("id", "account")) == (2 if status == "completed" else 0)


@pytest.mark.parametrize(
    ("profile", "content", "counts"),
    [
        ({"control": {}}, "external_ref,debtor_name,original_amount\nTRAILER,0,0.00\n", (0, 0)),
        ({"max_bad_share": "1"}, "external_ref,debtor_name,original_amount\nA-1,Ana,0\n", (1, 1)),
    ],
)
async def test_a_file_meant_to_bring_nothing_is_completed(
    shop: Shop, profile: dict[str, object], content: str, counts: tuple[int, int]
) -> None:
    async with shop.db.transaction(shop.tenant) as tx:
        await tx.sources.change(shop.source_id, {"profile": profile}, {})
    job = await shop.import_file(content)
    assert (job["status"], job["total_records"], job["processed_errors"]) == ("completed", *counts)
    await shop.scored()
    [run] = await shop.mine("status, total, scored", "scoring_run")
    assert tuple(run.values()) == ("completed", 0, 0)
    assert await shop.mine("id", "account") == []


async def test_a_creditors_own_layout_is_read(shop: Shop) -> None:
    layout = {
        "delimiter": ";",
        "date_format": "%m/%d/%Y",
        "default_creditor": "Westgate",
        "columns": {
            "Acct": "external_ref",
            "Name": "debtor_name",
            "Owed": "original_amount",
            "Due": "due_date",
        },
    }
    async with shop.db.transaction(shop.tenant) as tx:
        await tx.sources.change(shop.source_id, {"profile": layout}, {})
    await shop.import_file("Acct;Name;Owed;Due\nW-1;Ana;12.50;02/28/2026\n")
    [account] = await shop.query(
        "SELECT a.external_ref, a.balance, a.due_date::text, c.name FROM account a"
        " JOIN creditor c ON c.id = a.creditor_id"
    )
    assert tuple(account.values()) == ("W-1", Decimal("12.50"), "2026-02-28", "Westgate")
