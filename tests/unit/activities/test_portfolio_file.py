"""A portfolio file as a whole: what is taken, what is refused, and in how much memory."""

import gzip
import io
import os
import subprocess
import sys
import textwrap
import zlib
from datetime import date
from decimal import Decimal

import polars as pl
import pytest

from activities.portfolio_bytes import ReaderLimits
from activities.portfolio_file import JudgedChunk, PortfolioReader
from activities.portfolio_judge import PLACEMENT_SCHEMA
from domain.csv_text import mend_file
from domain.import_profiles import ControlRecord, FileRefused, ImportProfile

HEADER = (
    "external_ref,debtor_name,debtor_ssn_last4,debtor_email,debtor_phone,"
    "original_amount,due_date,creditor_name,account_type\n"
)
ANGELA = (
    "IMP-50001,Angela Foster,7823,angela.foster@gmail.com,+12145551234,"
    "3450.00,2025-11-15,National Credit Corp,credit_card\n"
)
SHORT = "external_ref,debtor_name,original_amount\n"
LENIENT = ImportProfile(max_bad_share=1)
CONTROLLED = ImportProfile(control=ControlRecord(marker="TRAILER"))


def read(
    data: bytes | str,
    profile: ImportProfile = LENIENT,
    *,
    zipped: bool = False,
    limits: ReaderLimits | None = None,
) -> list[JudgedChunk]:
    raw = data.encode() if isinstance(data, str) else data
    reader = PortfolioReader(profile, gzip=zipped, limits=limits or ReaderLimits())
    return [*reader.feed(raw), *reader.finish()]


def one(data: bytes | str, profile: ImportProfile = LENIENT) -> JudgedChunk:
    (chunk,) = read(data, profile)
    return chunk


def refusal(data: bytes | str, profile: ImportProfile = LENIENT, *, zipped: bool = False) -> str:
    with pytest.raises(FileRefused) as caught:
        read(data, profile, zipped=zipped)
    return caught.value.message


def test_a_row_is_typed_and_complete() -> None:
    chunk = one(HEADER + ANGELA)
    assert chunk.rows.schema == dict(PLACEMENT_SCHEMA)
    (row,) = chunk.rows.to_dicts()
    given = {name: value for name, value in row.items() if value is not None}
    assert given == {
        "line": 2,
        "external_ref": "IMP-50001",
        "debtor_name": "Angela Foster",
        "original_amount": Decimal("3450.00"),
        "debtor_ssn_last4": "7823",
        "debtor_email": "angela.foster@gmail.com",
        "debtor_phone": "+12145551234",
        "due_date": date(2025, 11, 15),
        "creditor_name": "National Credit Corp",
        "account_type": "credit_card",
    }
    assert chunk.cursor.totals.amount == Decimal("3450.00")


@pytest.mark.parametrize("data", ["", "\ufeff", "\n", " \r\n"])
def test_an_empty_file_is_refused(data: str) -> None:
    assert "empty" in refusal(data)


@pytest.mark.parametrize("data", [SHORT, SHORT.strip(), SHORT + "\n\n"])
def test_a_header_alone_is_refused(data: str) -> None:
    assert "a header and no records" in refusal(data)


def test_a_missing_required_column_is_named() -> None:
    message = refusal("external_ref,name,amount\nA,B,1\n")
    assert "lacks debtor_name, original_amount; it has: external_ref, name, amount" in message


def test_a_file_with_another_delimiter_says_so() -> None:
    assert "separated by ';'" in refusal(SHORT.replace(",", ";") + "A;B;1\n")


def test_a_column_named_twice_is_refused() -> None:
    assert "more than once: debtor_name" in refusal("external_ref,debtor_name,Debtor_Name ,original_amount\n")


def test_unknown_columns_are_ignored_and_listed() -> None:
    reader = PortfolioReader(LENIENT)
    data = b"colour,external_ref,debtor_name,original_amount,,=x\nred,A,B,1,,\n"
    (chunk,) = [*reader.feed(data), *reader.finish()]
    assert chunk.rows["external_ref"].to_list() == ["A"]
    assert reader.layout is not None
    assert reader.layout.unknown == ("colour", "", "=x")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_a_byte_order_mark_make_no_difference(ending: str, mark: str) -> None:
    body = (SHORT + "A,Ann,1\nB,Bob,x\nC,Cy,3").replace("\n", ending)
    chunk = one(mark + body)
    assert chunk.rows.select("line", "external_ref", "original_amount").rows() == [
        (2, "A", Decimal(1)),
        (4, "C", Decimal(3)),
    ]
    assert [(record.line, record.text) for record in chunk.refused] == [(3, "B,Bob,x")]
    assert chunk.cursor.byte_offset == len((mark + body).encode())


def test_latin_1_is_refused_with_its_first_line() -> None:
    data = (SHORT + "A,Ann,1\r\nB,José,2\r\nC,Zoë,3\r\n").encode("latin-1")
    message = refusal(data)
    assert "Line 3 is not UTF-8 (byte 0xE9)" in message
    assert "Export it as UTF-8" in message


def test_latin_1_is_found_in_a_later_chunk_and_in_a_dropped_part() -> None:
    rows = "".join(f"A-{at},Ann,1\n" for at in range(5_000))
    late = (SHORT + rows).encode() + b"B,Jos\xe9,2\n"
    with pytest.raises(FileRefused, match="Line 5002 is not UTF-8"):
        read(late, limits=ReaderLimits(chunk_rows=100, piece_bytes=512))
    hidden = (SHORT + "A,Ann,1\nB,").encode() + b"x" * 200_000 + b"\xe9" + b"x" * 200_000 + b",2\n"
    with pytest.raises(FileRefused, match="Line 3 is not UTF-8"):
        read(hidden)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ((SHORT + "A,B,1\n").encode("utf-16"), "UTF-16"),
        ((SHORT + "A,B,1\n").encode("utf-16-le"), "UTF-16"),
        (gzip.compress(SHORT.encode(), mtime=0), "name it .csv.gz"),
        (b"PK\x03\x04 spreadsheet", "export it as CSV"),
        (b"%PDF-1.7\nx", "PDF"),
        (b"x" * 200_000, "header (line 1) does not end within"),
        (b'"' + b"x\n" * 100_000, "header (line 1) does not end within"),
        (b'"external_ref,debtor_name,original_amount\nA,B,1\n', "header (line 1) does not end within"),
        (b",,\nA,B,1\n", "it is empty"),
        (b",".join(b"c%d" % at for at in range(300)) + b"\n", "at most 200"),
    ],
)
def test_what_is_no_portfolio_file_is_refused_with_the_remedy(data: bytes, reason: str) -> None:
    assert reason in refusal(data)


def test_a_line_of_ten_megabytes_is_refused_alone() -> None:
    long = "L-1," + "x" * 10_000_000 + ",5\n"
    chunk = one(SHORT + "A,Ann,1\n" + long + "B,Bob,2\n")
    assert chunk.rows.select("line", "external_ref").rows() == [(2, "A"), (4, "B")]
    (problem,) = chunk.problems
    assert (problem.line, "longer than 65,536 bytes" in problem.error) == (3, True)
    assert len(chunk.refused[0].text) < 1_200
    assert chunk.cursor.byte_offset == len(SHORT) + 8 + len(long) + 8


def test_a_long_line_of_wide_characters_is_cut_between_them() -> None:
    chunk = one(SHORT + "a" + "😀" * 50_000 + "\n" + "B,Bob,2\n")
    assert chunk.rows["line"].to_list() == [3]


BAD_AMOUNTS = {
    "-5": "negative",
    "0": "zero",
    "1e9": "scientific",
    "NaN": "not a number",
    '"1,234.50"': "comma",
    "1.234": "more than two decimals",
}


def test_each_bad_amount_has_its_line_column_value_and_reason() -> None:
    body = "".join(f"A-{at},Ann,{amount}\n" for at, amount in enumerate(BAD_AMOUNTS))
    chunk = one(SHORT + body + "B,Bob,1\n")
    assert chunk.rows["external_ref"].to_list() == ["B"]
    for at, (problem, (amount, reason)) in enumerate(zip(chunk.problems, BAD_AMOUNTS.items(), strict=True)):
        assert (problem.line, problem.column, problem.value) == (at + 2, "original_amount", amount.strip('"'))
        assert reason in problem.error


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        (ANGELA.replace("2025-11-15", "2025-02-30"), "due_date", "not a day of the calendar"),
        (ANGELA.replace("7823", "782"), "debtor_ssn_last4", "not 4 digits"),
        (ANGELA.replace("Angela", "x" * 10_000), "debtor_name", "at most 200"),
        (ANGELA.replace("Angela", "An\0gela"), "debtor_name", "NUL"),
        (ANGELA.replace("Angela", "An\x07gela"), "debtor_name", "control character"),
        (ANGELA.replace("IMP-50001", " "), "external_ref", "is empty"),
    ],
)
def test_bad_cells_refuse_their_row_only(row: str, column: str, reason: str) -> None:
    chunk = one(HEADER + ANGELA + row + ANGELA)
    assert chunk.rows["line"].to_list() == [2, 4]
    (problem,) = chunk.problems
    assert (problem.line, problem.column) == (3, column)
    assert reason in problem.error
    assert [(record.line, record.text) for record in chunk.refused] == [(3, row.removesuffix("\n"))]


def test_unusable_contact_data_is_a_warning() -> None:
    chunk = one(HEADER + ANGELA.replace("+12145551234", "soon").replace("@", " at "))
    assert [warning.column for warning in chunk.warnings] == ["debtor_phone", "debtor_email"]
    assert chunk.rows["debtor_phone"].to_list() == [None]
    assert chunk.cursor.totals.warnings == 2
    assert not chunk.problems


def test_formulas_are_kept_as_data() -> None:
    chunk = one(SHORT + "=1+1,=cmd(),5\n")
    assert chunk.rows.select("external_ref", "debtor_name").rows() == [("=1+1", "=cmd()")]


def test_refused_rows_can_be_mended_and_sent_again() -> None:
    body = '=A,"Ann, ""the"" Lee",x\nB,@Bob,-2\nC,Cy,3\n"D\n1",Di,4,\nE,"Ed,5\n'
    first = one(SHORT + body)
    header = first.cursor.header
    returned = "".join(mend_file(header, [record.text for record in first.refused]))
    again = one(returned)
    assert not len(again.rows), "what was not mended is refused again"
    mended = (
        returned.replace(",x", ",1").replace("'-2", "2").replace(",4,", ",4").replace('"E,""Ed,5"', "E,Ed,5")
    )
    rows = one(mended).rows.select("external_ref", "debtor_name", "original_amount").rows()
    assert rows == [
        ("=A", 'Ann, "the" Lee', Decimal(1)),
        ("B", "@Bob", Decimal(2)),
        ("D 1", "Di", Decimal(4)),
        ("E", "Ed", Decimal(5)),
    ]


def test_a_cut_line_is_never_taken_when_it_comes_back() -> None:
    first = one(SHORT + "A,Ann,1," + "x" * 100_000 + "\n" + "B,Bob,1\n")
    returned = "".join(mend_file(first.cursor.header, [record.text for record in first.refused]))
    assert not len(one(returned).rows)


def test_a_creditors_own_layout_is_mapped() -> None:
    profile = ImportProfile.model_validate(
        {
            "delimiter": ";",
            "columns": {
                "Acct": "external_ref",
                "Name": "debtor_name",
                "Amt": "original_amount",
                "Due": "due_date",
            },
            "date_format": "%m/%d/%Y",
            "default_creditor": "First Bank",
        }
    )
    chunk = one("Acct;Name;Amt;Due\nA;Ann;5;2/3/2025\nB;Bob;x;2/3/2025\n", profile)
    row = chunk.rows.row(0, named=True)
    assert (row["external_ref"], row["due_date"], row["creditor_name"]) == (
        "A",
        date(2025, 2, 3),
        "First Bank",
    )
    assert chunk.problems[0].column == "Amt"


def test_more_bad_rows_than_allowed_refuse_the_file_after_its_last_chunk() -> None:
    data = (SHORT + "A,Ann,x\nB,Bob,2\nC,Cy,x\n").encode()
    reader = PortfolioReader(ImportProfile())
    list(reader.feed(data))
    last = reader.finish()
    assert next(last).cursor.totals.bad == 2
    with pytest.raises(FileRefused, match=r"2 of 3 records are refused, more than the allowed share of 50%"):
        next(last)
    assert len(one(SHORT + "A,Ann,x\nB,Bob,2\n", ImportProfile()).rows) == 1, "half is still allowed"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("A,Ann,1\n", "lacks its control record"),
        ("A,Ann,1\nTRAILER,2,1.00\n", "says 2 records, the file has 1"),
        ("A,Ann,1\nTRAILER,1,1.01\n", "says 1.01 in all, the readable amounts add up to 1.00"),
        ("TRAILER,1,1.00\nA,Ann,1\n", "Line 3 follows the control record of line 2"),
        ("TRAILER,0,0\nTRAILER,0,0\n", "Line 3 follows the control record of line 2"),
        ("A,Ann,1\nTRAILER,one,1.00\n", "control record in line 3 cannot be read"),
        ("A,Ann,1\nTRAILER\n", "control record in line 3 cannot be read"),
        ("A,Ann,1\nTRAILER,1,1e2\n", "control record in line 3 cannot be read"),
    ],
)
@pytest.mark.parametrize("rows", [1, 1_000])
def test_broken_control_totals_refuse_the_file(body: str, reason: str, rows: int) -> None:
    with pytest.raises(FileRefused, match=reason):
        read(SHORT + body, CONTROLLED, limits=ReaderLimits(chunk_rows=rows, piece_bytes=4))


@pytest.mark.parametrize(
    "body",
    [
        "A,Ann,1\nB,Bob,-0.50\nC,Cy,2\nTRAILER,3,2.50\n\n",
        'A,Ann,1\n"TRAILER",1,1.00,,\n',
        "A,Ann,1\nTRAILER,1,\n",
        "TRAILER,0,0.00\n",
    ],
)
def test_right_control_totals_are_taken(body: str) -> None:
    assert read(SHORT + body, CONTROLLED)[-1].cursor.control is not None


def test_the_control_record_is_remembered_by_the_cursor() -> None:
    data = (SHORT + "A,Ann,1\nTRAILER,1,1.00\n").encode()
    cursor = one(data.decode(), CONTROLLED).cursor
    reader = PortfolioReader(CONTROLLED, resume=cursor)
    assert not [*reader.feed(data), *reader.finish()]
    longer = PortfolioReader(CONTROLLED, resume=cursor)
    assert not list(longer.feed(data + b"B,Bob,1\n"))
    with pytest.raises(FileRefused, match="Line 4 follows the control record of line 3"):
        next(longer.finish())


def test_a_mended_part_of_a_controlled_file_is_taken() -> None:
    first = one(SHORT + "A,Ann,x\nB,Bob,2\nTRAILER,2,2.00\n", CONTROLLED)
    texts = [record.text for record in first.refused]
    returned = "".join(mend_file(first.cursor.header, texts, marker="TRAILER")).replace(",x", ",1")
    assert one(returned, CONTROLLED).rows["external_ref"].to_list() == ["A"]


def test_gzip_is_unpacked_members_and_padding_included() -> None:
    data = gzip.compress(SHORT.encode()) + gzip.compress(b"A,Ann,1\n") + b"\0" * 512
    (chunk,) = read(data, zipped=True)
    assert chunk.cursor.byte_offset == len(SHORT) + 8


@pytest.mark.parametrize("cut", [0, 5, 30, -1])
def test_a_cut_gzip_file_is_refused(cut: int) -> None:
    data = gzip.compress((SHORT + "A,Ann,1\n" * 100).encode())
    assert "cut off" in refusal(data[:cut], zipped=True)


def test_a_damaged_or_foreign_gzip_file_is_refused() -> None:
    data = bytearray(gzip.compress((SHORT + "A,Ann,1\n").encode()))
    data[-6] ^= 1
    assert "damaged" in refusal(bytes(data), zipped=True)
    assert "is not a gzip file" in refusal(SHORT.encode(), zipped=True)
    assert "is not a gzip file" in refusal(gzip.compress(SHORT.encode()) + b"rubbish", zipped=True)


def test_a_gzip_file_goes_on_from_a_cursor() -> None:
    data = gzip.compress((SHORT + "".join(f"A-{at},Ann,1\n" for at in range(50))).encode())
    limits = ReaderLimits(chunk_rows=20, piece_bytes=64)
    whole = read(data, zipped=True, limits=limits)
    reader = PortfolioReader(LENIENT, gzip=True, resume=whole[0].cursor, limits=limits)
    rest = [*reader.feed(data), *reader.finish()]
    assert pl.concat([chunk.rows for chunk in rest]).equals(pl.concat([chunk.rows for chunk in whole[1:]]))


def test_a_stream_that_became_shorter_is_refused() -> None:
    cursor = one(SHORT + "A,Ann,1\n").cursor
    reader = PortfolioReader(LENIENT, resume=cursor)
    list(reader.feed(SHORT.encode()))
    with pytest.raises(FileRefused, match="shorter than when it was first read"):
        list(reader.finish())


def test_a_stream_that_begins_behind_the_cursor_is_a_mistake_of_the_caller() -> None:
    cursor = one(SHORT + "A,Ann,1\n").cursor
    with pytest.raises(ValueError, match="at or before the cursor"):
        PortfolioReader(LENIENT, resume=cursor, stream_from=cursor.byte_offset + 1)


def test_a_file_above_the_size_limit_is_refused() -> None:
    with pytest.raises(FileRefused, match="larger than 1,000 bytes"):
        read(SHORT + "A,Ann,1\n" * 200, limits=ReaderLimits(file_bytes=1_000))


def test_a_gzip_bomb_is_refused_early() -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = io.BytesIO()
    bomb.write(packer.compress(SHORT.encode()))
    for _ in range(200):
        bomb.write(packer.compress(bytes(1 << 20)))
    bomb.write(packer.flush())
    assert "unpacks to more than 200 times its size" in refusal(bomb.getvalue(), zipped=True)


def test_wide_files_are_judged_in_smaller_chunks() -> None:
    limits = ReaderLimits(chunk_rows=50_000)
    assert limits.lines_for(9) == 50_000
    assert limits.lines_for(200) * 200 <= 2_000_000


PEAK = """
    import resource, sys
    from activities.portfolio_file import PortfolioReader
    from domain.import_profiles import ImportProfile

    START = b"external_ref,debtor_name,original_amount,note\\nA-0,Amy,1,n\\n"

    def peak_mib():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    def run(part, times):
        reader = PortfolioReader(ImportProfile(max_bad_share=1))
        list(reader.feed(START))
        for _ in range(times):
            for chunk in reader.feed(part):
                pass
        for chunk in reader.finish():
            pass

    part = {part}
    run(part, {small})
    before = peak_mib()
    run(part, {large})
    sys.stdout.write(str(peak_mib() - before))
"""


@pytest.mark.parametrize(
    ("part", "small", "large"),
    [
        pytest.param('b"A-1,Ann Lee,5.00,n\\n" * 50_000', 2, 12, id="good rows"),
        pytest.param('b"x" * (1 << 20)', 8, 300, id="one line without end"),
        pytest.param('b"\\n" * (1 << 20)', 4, 14, id="blank lines"),
        pytest.param("b'A-1,\"' + b'x\\n' * (1 << 14)", 4, 12, id="quotes that never close"),
        pytest.param('b"A-1,,x,n\\n" * 10_000', 5, 9, id="bad rows"),
    ],
)
def test_memory_does_not_grow_with_the_file(part: str, small: int, large: int) -> None:
    script = textwrap.dedent(PEAK).format(part=part, small=small, large=large)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "POLARS_MAX_THREADS": "2"}
    result = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert int(result.stdout) < 48


def test_a_hopeless_file_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.portfolio_totals.HOPELESS", 1_000)
    chunks = PortfolioReader(ImportProfile()).feed(
        b"external_ref,debtor_name,original_amount\n" + b"B,a,x\n" * 100_000
    )
    first = next(chunks)
    with pytest.raises(FileRefused, match="the file was read no further"):
        next(chunks)
    assert 1_000 <= first.records < 100_000
