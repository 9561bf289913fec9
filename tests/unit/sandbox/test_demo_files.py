import csv
import gzip
import io
from pathlib import Path

import pytest

from domain.import_profiles import ImportProfile
from domain.placements import judge_row
from sandbox.demo_files import DEMO_FILES, DemoFile, drop_demo_files

SAMPLES = [
    pytest.param(sample, id=f"{user}-{sample.name}") for user in DEMO_FILES for sample in DEMO_FILES[user]
]


def content_of(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def references(home: Path, name: str) -> set[str]:
    text = content_of(home / "inbox" / name).decode()
    return {row["external_ref"] for row in csv.DictReader(io.StringIO(text, newline=""))}


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_is_taken_but_for_its_bad_rows(sample: DemoFile, tmp_path: Path) -> None:
    path = tmp_path / sample.name
    with path.open("wb") as fh:
        written = sample.write(fh)
    rows = csv.DictReader(io.StringIO(content_of(path).decode(), newline=""))
    judged = [judge_row(cells, ImportProfile(), line=n)[0] for n, cells in enumerate(rows, start=2)]
    assert len(judged) == written.rows == sample.rows
    assert judged.count(None) == sum(written.bad.values()) == sample.bad_rows


def test_samples_appear_once_and_are_the_same_every_time(tmp_path: Path) -> None:
    dropped = drop_demo_files(tmp_path / "a", "demo")
    again = drop_demo_files(tmp_path / "b", "demo")
    assert [p.name for p in dropped] == [sample.name for sample in DEMO_FILES["demo"]]
    assert [p.read_bytes() for p in dropped] == [p.read_bytes() for p in again]
    assert drop_demo_files(tmp_path / "a", "demo") == []
    assert sorted(p.name for p in (tmp_path / "a" / "inbox").iterdir()) == sorted(p.name for p in dropped)


@pytest.mark.parametrize("folder", ["processed", "rejected"])
def test_a_sample_that_was_imported_is_not_dropped_again(tmp_path: Path, folder: str) -> None:
    first, *others = drop_demo_files(tmp_path, "rival")
    done = tmp_path / "inbox" / folder
    done.mkdir()
    first.rename(done / f"0199f3aa-1111-7000-8000-000000000000-{first.name}")
    others[0].unlink()
    assert drop_demo_files(tmp_path, "rival") == [others[0]]


def test_the_agencies_share_references(tmp_path: Path) -> None:
    name = "northlight_cards_2026-01.csv"
    for user in DEMO_FILES:
        drop_demo_files(tmp_path / user, user)
    shared = references(tmp_path / "demo", name) & references(tmp_path / "rival", name)
    assert len(shared) > 400
    assert content_of(tmp_path / "demo/inbox" / name) != content_of(tmp_path / "rival/inbox" / name)


def test_an_agency_without_samples_gets_none(tmp_path: Path) -> None:
    assert drop_demo_files(tmp_path, "nobody") == []
