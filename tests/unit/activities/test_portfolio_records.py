"""Cutting bytes into records: the same as the csv module, however the bytes arrive."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from activities.portfolio_bytes import ReaderLimits
from activities.portfolio_file import JudgedChunk, PortfolioReader
from domain.csv_text import parse_record
from domain.import_profiles import ControlRecord, ImportProfile
from domain.placements import judge_row

HEADER = "external_ref,debtor_name,original_amount,note\n"
FIELDS = ("external_ref", "debtor_name", "original_amount")
PROFILE = ImportProfile(max_bad_share=1, max_record_bytes=256)
ENDS = st.sampled_from(["\n", "\n", "\r\n", "\r"])
CELLS = st.sampled_from(
    ["A-1", "Ann", "5", "12.50", "", " ", "x,y", 'say "hi"', "two\nlines", "a\r\nb", "a\rb", "é😀"]
)
JUNK = st.text(alphabet=st.sampled_from('ab5,,,"" \0é\t=\''), max_size=12)


@st.composite
def records(draw: st.DrawFn) -> str:
    """A record as some writer may put it, or junk that looks a little like one."""
    kind = draw(st.integers(0, 9))
    if kind <= 4:
        row = [
            draw(st.sampled_from(["A-1", "B"])),
            draw(CELLS),
            draw(st.sampled_from(["5", "6.10", "x"])),
            "n",
        ]
        text = io.StringIO(newline="")
        quoted = draw(st.booleans())
        quoting: Literal[0, 1] = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
        csv.writer(text, lineterminator="", quoting=quoting).writerow(row)
        return text.getvalue()
    if kind == 5:
        return "A-1,Ann,5," + draw(st.sampled_from(["", '"'])) + "x" * draw(st.integers(235, 270))
    return draw(JUNK) if kind < 9 else draw(st.sampled_from(["", "  ", 'A-1,"Ann,5,n', 'A-1,Ann,5,"n']))


@st.composite
def bodies(draw: st.DrawFn) -> str:
    """Records with line ends of all kinds; the last may lack its own."""
    body = "".join(draw(records()) + draw(ENDS) for _ in range(draw(st.integers(1, 12))))
    return body + draw(st.sampled_from(["", "A-9,Zoe,7,n", 'A-9,"Zoe']))


@dataclass
class Expected:
    """What the csv module makes of a body, record by record."""

    good: list[tuple[int, str, str, str]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    blank: int = 0


def expected(body: str) -> Expected:
    result = Expected()
    lines = list(io.StringIO(body, newline=""))
    at = 0
    while at < len(lines):
        size = len(lines[at].encode())
        parsed = parse_record(_fitting(lines[at:]), ",") if size <= PROFILE.max_record_bytes else None
        fields, count = parsed or ([], 1)
        text = "".join(lines[at : at + count]).removesuffix("\n").removesuffix("\r")
        row = None
        if len(fields) == len(HEADER.split(",")) and "\0" not in text:
            row, _ = judge_row(dict(zip(FIELDS, fields, strict=False)), PROFILE, line=at + 2)
        if row is not None:
            good = row.external_ref, row.debtor_name, str(row.original_amount)
            result.good.append((at + 2, *good))
        elif not text.strip(" "):
            result.blank += 1
        else:
            result.refused.append((at + 2, text))
        at += count
    return result


def _fitting(lines: list[str]) -> Iterator[str]:
    size = 0
    for line in lines:
        size += len(line.encode())
        if size > PROFILE.max_record_bytes:
            return
        yield line


def read(data: bytes, cuts: list[int], limits: ReaderLimits) -> list[JudgedChunk]:
    reader = PortfolioReader(PROFILE, limits=limits)
    chunks: list[JudgedChunk] = []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        chunks += reader.feed(data[start:end])
    return chunks + list(reader.finish())


def good_rows(chunks: list[JudgedChunk]) -> list[tuple[int, str, str, str]]:
    columns = ["line", "external_ref", "debtor_name", "original_amount"]
    return [(*row[:3], str(row[3])) for chunk in chunks for row in chunk.rows.select(columns).iter_rows()]


@settings(max_examples=200, deadline=None)
@given(bodies(), st.data())
@example('A-1,"a\rb",5,n\nB,"x\n', None)
@example("A-1,Ann,5,n\r\r\nB,Bob,6,n\n", None)
@example('"A-1","","5","n"\n"B","""","6","n"\n"C",",","7",","\n', None)
@example('x,"\n"A-1","Ann","5","n"\n"B","Bob","6","n"\n', None)
@example('"a""","b","5"\nA-1,Ann,5,n,\n', None)
@example('A-1,"' + "x" * 100 + "\n" + "y" * 144 + '",5,n\n', None)
@example('A-1,"' + "x" * 100 + "\n" + "y" * 145 + '",5,n\n', None)
@example('A-1,"' + "x\n" * 124 + "Ann,5,n\nB,Bob,6,n\n", None)
def test_any_body_gives_the_records_of_the_csv_module(body: str, data: st.DataObject | None) -> None:
    raw = (HEADER + body).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6))) if data else []
    limits = ReaderLimits(
        chunk_rows=3, piece_bytes=data.draw(st.sampled_from([1, 7, 64, 4096])) if data else 7
    )
    want = expected(body)
    if not want.good and not want.refused:
        return
    chunks = read(raw, cuts, limits)
    assert good_rows(chunks) == want.good
    refused = [(record.line, record.text) for chunk in chunks for record in chunk.refused]
    assert [line for line, _ in refused] == [line for line, _ in want.refused]
    for (_, text), (_, original) in zip(refused, want.refused, strict=True):
        too_long = len(original.encode()) > PROFILE.max_record_bytes - 2
        assert text == original or (too_long and "This line is longer than 256 bytes" in text)
    assert sum(chunk.blank for chunk in chunks) == want.blank
    assert {problem.line for chunk in chunks for problem in chunk.problems} == {line for line, _ in refused}
    cursor = chunks[-1].cursor
    assert cursor.byte_offset == len(raw)
    assert cursor.next_line == 2 + len(list(io.StringIO(body, newline="")))
    assert (cursor.totals.good, cursor.totals.bad) == (len(want.good), len(want.refused))


@settings(max_examples=50, deadline=None)
@given(bodies(), st.sampled_from([1, 7, 64]))
def test_reading_goes_on_from_any_cursor(body: str, piece: int) -> None:
    raw = (HEADER + "A-0,Amy,1,n\n" + body).encode()
    limits = ReaderLimits(chunk_rows=2, piece_bytes=piece)
    whole = read(raw, [], limits)
    for at, chunk in enumerate(whole):
        cursor = type(chunk.cursor).model_validate_json(chunk.cursor.model_dump_json())
        for start in (0, cursor.byte_offset):
            reader = PortfolioReader(PROFILE, resume=cursor, stream_from=start, limits=limits)
            rest = [*reader.feed(raw[start:]), *reader.finish()]
            assert good_rows(rest) == good_rows(whole[at + 1 :])
            if rest:
                assert rest[-1].cursor == whole[-1].cursor


def one(body: str, profile: ImportProfile = PROFILE) -> JudgedChunk:
    reader = PortfolioReader(profile)
    (chunk,) = [*reader.feed((HEADER + body).encode()), *reader.finish()]
    return chunk


def test_a_quoted_line_break_moves_the_following_lines_down() -> None:
    chunk = one('A-1,"Ann\nLee",5,n\nB-2,Bob,6,n\n')
    assert good_rows([chunk]) == [(2, "A-1", "Ann Lee", "5.00"), (4, "B-2", "Bob", "6.00")]


def test_a_stray_quote_costs_its_own_line_only() -> None:
    chunk = one('A-1,"Ann,5,n\n' + "".join(f"B-{at},Bob,6,n\n" for at in range(100)))
    assert len(chunk.rows) == 100
    (problem,) = chunk.problems
    assert problem.line == 2
    assert "a quote is opened" in problem.error
    assert chunk.refused[0].text == 'A-1,"Ann,5,n'


def test_rows_of_another_width_are_refused_one_by_one() -> None:
    chunk = one('A-1,Ann,5\nB-2,Bob,6,n\nC-3,"C",7,n,\n\n')
    assert [(problem.line, "header 4" in problem.error) for problem in chunk.problems] == [
        (2, True),
        (4, True),
    ]
    assert "3 fields" in chunk.problems[0].error
    assert "5 fields" in chunk.problems[1].error
    assert chunk.blank == 1


def test_a_nul_byte_refuses_its_row_even_in_an_ignored_column() -> None:
    chunk = one("A-1,Ann,5,n\0n\nB-2,Bob,6,n\n")
    (problem,) = chunk.problems
    assert (problem.line, problem.column, problem.value) == (2, "note", "n\\x00n")
    assert len(chunk.rows) == 1


def test_the_digits_of_a_social_security_number_are_not_shown_with_a_nul_byte() -> None:
    reader = PortfolioReader(PROFILE)
    data = b"external_ref,debtor_name,original_amount,debtor_ssn_last4\nA-1,Ann,5,12\x003\n"
    (chunk,) = [*reader.feed(data), *reader.finish()]
    assert "1" not in chunk.problems[0].value


def test_a_record_that_only_begins_like_the_control_record_is_a_row() -> None:
    profile = ImportProfile(control=ControlRecord(marker="END"))
    chunk = one("END-1,Ann,5,n\nEND,1,5.00\n", profile)
    assert good_rows([chunk]) == [(2, "END-1", "Ann", "5.00")]
