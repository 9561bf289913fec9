"""A file whose server does not let it be moved out of the inbox."""

from tests.integration.imports.shop import Shop, rows


async def test_a_refused_file_that_cannot_be_moved_is_refused_once_until_it_is_mended(shop: Shop) -> None:
    gate = shop.faults.before("imports.put_away")
    shop.send("no,such\n1,2\n")
    await shop.poll()
    await gate.reached()
    [job] = await shop.jobs()
    (shop.inbox / "rejected" / f"{job['id']}-new.csv").write_text("something else lies there")
    gate.open()
    [job] = await shop.settled(phases=["unmoved"])
    assert job["status"] == "failed"
    assert "could not be moved" in job["reason"]

    again = await shop.poll()
    assert again.started == 0
    assert "cannot be moved" in again.problems[0]
    assert len(await shop.jobs()) == 1

    shop.send(rows(2))
    assert (await shop.poll()).started == 1
    jobs = await shop.settled(2, phases=["done", "unmoved"])
    assert [job["status"] for job in jobs] == ["failed", "completed"]
