"""A file that is refused as a whole still gives every bad row back."""

from tests.integration.imports.shop import HEADER, Shop


async def test_too_many_bad_rows_are_all_reported_and_counted(shop: Shop) -> None:
    bad = "".join(f"B-{n},Person {n},-1\n" for n in range(15))
    job = await shop.import_file(HEADER + bad + "G-1,Good,5.00\n")
    assert job["status"] == "failed"
    assert job["reason"].startswith("15 of 16 records are refused")
    assert (job["total_records"], job["processed_ok"], job["processed_errors"]) == (16, 1, 15)
    assert len(await shop.problems(job)) == 15
    kept = await shop.query("SELECT line FROM import_refusal WHERE import_id = %s ORDER BY line", job["id"])
    assert [row["line"] for row in kept] == list(range(2, 17))
    assert await shop.query("SELECT id FROM account") == []
