"""Statement files: what each cell means, what is wrong with a line, and what is no statement at all."""

import gzip
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from activities.portfolio_bytes import ReaderLimits
from activities.statement_file import ReadPosition, StatementChunk, StatementReader
from domain.import_profiles import FileRefused
from domain.statement_profiles import StatementProfile

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FILED = datetime(2026, 11, 21, 8, tzinfo=UTC)
HEADER = "account_ref,balance,status,processed_at\n"
WRONG_WIDTH = (
    "the record has 2 fields and the header 4; look for a missing or extra ',', or quote the cell that"
    " contains one"
)
GOOD = "A-1,100.00,UNPAID,2026-11-20T10:00:00Z\n"


def reader(
    profile: Mapping[str, Any] | None = None,
    *,
    packed: bool = False,
    resume: ReadPosition | None = None,
    rows: int = 50_000,
) -> StatementReader:
    return StatementReader(
        StatementProfile.model_validate(profile or {}),
        read_at=NOW,
        stated_at=FILED,
        gzip=packed,
        resume=resume,
        limits=ReaderLimits(chunk_rows=rows, piece_bytes=97),
    )


def chunks(
    content: str | bytes, profile: Mapping[str, Any] | None = None, **more: Any
) -> list[StatementChunk]:
    data = content.encode() if isinstance(content, str) else content
    made = reader(profile, **more)
    found = [chunk for at in range(0, len(data), 50) for chunk in made.feed(data[at : at + 50])]
    return found + list(made.finish())


def read(content: str | bytes, profile: Mapping[str, Any] | None = None, **more: Any) -> pl.DataFrame:
    return pl.concat([chunk.lines for chunk in chunks(content, profile, **more)], how="diagonal")


def cell(field: str, value: str, profile: Mapping[str, Any] | None = None) -> tuple[Any, str | None]:
    """What one cell of an otherwise good line means, and what is said of it."""
    kind = (profile or {}).get("kind", "accounts")
    good = (
        {"account_ref": "A-1", "balance": "1", "status": "PAID"}
        if kind == "accounts"
        else {"payment_ref": "P-1", "amount": "1", "paid_on": "2026-11-20"}
    )
    cells = good | {field: value}
    quoted = (f'"{text}"' for text in cells.values())
    lines = read(f"{';'.join(cells)}\n{';'.join(quoted)}\n", {"delimiter": ";", **(profile or {})})
    return lines[field][0], lines["problem"][0]


def test_a_line_says_who_how_much_and_when() -> None:
    lines = read(HEADER + GOOD + "\nA-2,-5,Paid,2026-11-20 10:00:00.25-05:00\n")
    assert lines.to_dicts() == [
        {
            "line": 2,
            "account_ref": "A-1",
            "balance": Decimal("100.00"),
            "status": "UNPAID",
            "processed_at": datetime(2026, 11, 20, 10, tzinfo=UTC),
            "problem": None,
        },
        {
            "line": 4,
            "account_ref": "A-2",
            "balance": Decimal("-5.00"),
            "status": "PAID",
            "processed_at": datetime(2026, 11, 20, 15, 0, 0, 250_000, tzinfo=UTC),
            "problem": None,
        },
    ]


@pytest.mark.parametrize(
    ("text", "amount", "profile"),
    [
        ("0", "0.00", {}),
        ("-0.01", "-0.01", {}),
        ("+12.5", "12.50", {}),
        ("'-12.50", "-12.50", {}),
        ("999999999.99", "999999999.99", {}),
        ("-0999999999.99", "-999999999.99", {}),
        ("1.234,5", "1234.50", {"decimal_mark": ",", "thousands": "."}),
        ("1234,50", "1234.50", {"decimal_mark": ",", "thousands": "."}),
        ("1\u202f234\u202f567.00", "1234567.00", {"thousands": " "}),
        ("12.50-", "-12.50", {"negative": "trailing_minus"}),
        ("(12.50)", "-12.50", {"negative": "parentheses"}),
        ("12.50 CR", "-12.50", {"negative": "cr"}),
        ("12.50DR", "12.50", {"negative": "cr"}),
        ("-12.50", "12.50", {"reversed_signs": True}),
        ("12.50", "-12.50", {"reversed_signs": True}),
        ("0", "0.00", {"reversed_signs": True}),
    ],
)
def test_amounts_are_read_as_the_profile_writes_them(text: str, amount: str, profile: dict[str, Any]) -> None:
    assert cell("balance", text, profile) == (Decimal(amount), None)


@pytest.mark.parametrize(
    "text", ["12,50", "1e3", "abc", "12.505", "$5", "1 000", "--5", "5-", "(5)", "٣", "NaN"]
)
def test_what_is_no_amount_is_told_with_the_value(text: str) -> None:
    assert cell("balance", text) == (None, f"balance “{text}” is not an amount such as 1250.01")


@pytest.mark.parametrize("text", ["1000000000.00", "-999999999999.99"])
@pytest.mark.parametrize("field", ["balance", "amount"])
def test_an_amount_that_no_account_can_have_is_a_problem_of_its_line(field: str, text: str) -> None:
    profile = {"kind": "accounts" if field == "balance" else "payments"}
    told = f"{field} “{text}” is beyond 999,999,999.99, more than any account can have"
    assert cell(field, text, profile) == (None, told)


@pytest.mark.parametrize("text", ["1.23,00", "12.3456,00", "1234.567,00"])
def test_thousands_are_groups_of_three(text: str) -> None:
    _, problem = cell("balance", text, {"decimal_mark": ",", "thousands": "."})
    assert problem == f"balance “{text}” is not an amount such as 1.250,01"


@pytest.mark.parametrize(
    ("text", "instant", "profile"),
    [
        ("2026-11-20", "2026-11-20T00:00:00+00:00", {}),
        ("2026-11-20 09:30", "2026-11-20T09:30:00+00:00", {}),
        ("2026-11-20T09:30:15+0530", "2026-11-20T04:00:15+00:00", {}),
        ("2026-07-01 12:00:00", "2026-07-01T16:00:00+00:00", {"time_zone": "America/New_York"}),
        (
            "11/20/2026 12:00",
            "2026-11-20T17:00:00+00:00",
            {"time_zone": "America/New_York", "date_format": "%m/%d/%Y"},
        ),
        # The clock went back: the hour was there twice, the first one is meant.
        ("2026-11-01 01:30:00", "2026-11-01T05:30:00+00:00", {"time_zone": "America/New_York"}),
        ("2026-11-22T12:04:59Z", "2026-11-22T12:04:59+00:00", {}),
    ],
)
def test_times_are_those_of_the_zone_that_they_or_the_profile_name(
    text: str, instant: str, profile: dict[str, Any]
) -> None:
    assert cell("processed_at", text, profile) == (datetime.fromisoformat(instant), None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty; every line needs it"),
        ("yesterday", "“yesterday” is not a time such as 2026-10-31T18:00:00Z"),
        ("2026-02-30T10:00:00Z", "“2026-02-30T10:00:00Z” is not a time such as 2026-10-31T18:00:00Z"),
        ("2026-11-20T25:00:00Z", "“2026-11-20T25:00:00Z” is not a time such as 2026-10-31T18:00:00Z"),
        ("11/20/2026", "“11/20/2026” is not a time such as 2026-10-31T18:00:00Z"),
        ("2026-11-22T12:05:01Z", "“2026-11-22T12:05:01Z” lies in the future"),
    ],
)
def test_what_is_no_time_or_not_yet_is_told(text: str, said: str) -> None:
    assert cell("processed_at", text) == (None, f"processed_at {said}")


def test_a_line_that_lacks_something_is_told_and_the_others_are_read() -> None:
    lines = read(HEADER + ",100.00,UNPAID,2026-11-20\nA-2,,,2026-11-20\n" + GOOD + "A-4,5\n")
    assert lines.select("line", "account_ref", "balance", "problem").rows() == [
        (2, None, Decimal("100.00"), "no account is named: account_ref empty"),
        (3, "A-2", None, "balance is empty; every line needs it; status is empty; every line needs it"),
        (4, "A-1", Decimal("100.00"), None),
        (
            5,
            None,
            None,
            WRONG_WIDTH,
        ),
    ]


def test_the_partners_own_words_and_names_are_understood_and_told() -> None:
    profile = {
        "columns": {"Kto": "debtor_id", "Saldo": "balance", "Stand": "status"},
        "statuses": {"offen": "UNPAID"},
        "currency": "EUR",
    }
    lines = read("Kto,Saldo,Stand,Notiz\nD-1,5,OFFEN,x\nD-2,5,verloren,\n", profile)
    assert lines.select("debtor_ref", "status", "currency", "processed_at", "problem").rows() == [
        ("D-1", "UNPAID", "EUR", FILED, None),
        (
            "D-2",
            None,
            "EUR",
            FILED,
            "Stand “verloren” is none of UNPAID, PARTIAL, PAID; map the word in the statement profile",
        ),
    ]


def test_a_bank_states_payments() -> None:
    profile = {"kind": "payments", "date_format": "%d.%m.%Y", "currency": "USD"}
    head = "payment_ref,amount,paid_on,payer,account_ref,currency\n"
    lines = read(head + 'P-1,-10.00,20.11.2026,"Ángel, Ruiz",A-1,eur\n,10,31.02.2026,,,\n', profile)
    shown = ("payment_ref", "amount", "paid_on", "payer", "account_ref", "currency", "problem")
    assert lines.select(shown).rows() == [
        ("P-1", Decimal("-10.00"), date(2026, 11, 20), "Ángel, Ruiz", "A-1", "EUR", None),
        (
            None,
            Decimal("10.00"),
            None,
            None,
            None,
            "USD",
            "paid_on “31.02.2026” is not a day such as 31.12.2026",
        ),
    ]
    assert (
        cell("currency", "dollars", {"kind": "payments"})[1]
        == "currency “dollars” is not a currency such as USD"
    )


def test_what_is_quoted_of_a_line_is_short_and_cannot_harm() -> None:
    _, problem = cell("balance", "x" * 500)
    assert problem is not None
    assert len(problem) < 120
    _, problem = cell("account_ref", "A\x1b[31m")
    assert problem == "account_ref “A\ufffd[31m” has control characters or more than 200 characters"


@pytest.mark.parametrize(
    ("content", "profile", "said"),
    [
        ("", {}, "The file is empty"),
        ("   \n", {}, "Line 1 is not a header"),
        (HEADER, {}, "has a header and no lines"),
        (
            GOOD,
            {},
            "Line 1 is not a header: none of its 4 columns is known. It must name account_ref or debtor_ref",
        ),
        (HEADER.replace(",", ";"), {}, "seems to be separated by ';': set the delimiter"),
        ("account_ref,status\nA,PAID\n", {}, "lacks balance; it has: account_ref, status. Add"),
        ("balance,status\n5,PAID\n", {}, "lacks account_ref or debtor_ref"),
        ("account_ref,balance,status,Status\n", {}, "more than once: status"),
        ("debtor_id,debtor_ref,balance,status\n", {}, "more than once: debtor_ref"),
        ("PK\x03\x04zip", {}, "is a ZIP archive"),
        (HEADER + GOOD + "A-2,100.00,UNP", {}, "Line 3 ends in the middle (the record has 3 fields"),
        (
            HEADER + GOOD + "A-2,100.00,UNPAID,2026-11-2",
            {},
            "Line 3 ends in the middle (processed_at “2026-11-2”",
        ),
        (HEADER + GOOD + 'A-2,"100.00', {}, "Line 3 ends in the middle (a quote is opened"),
        (HEADER + GOOD, {"trailer": {}}, "lacks its trailer (TRAILER,<lines>)"),
        (HEADER + GOOD + "TRAILER,2\n", {"trailer": {}}, "says 2 lines, the file has 1"),
        (HEADER + GOOD + "TRAILER,x\n", {"trailer": {}}, "cannot be read; it must give the number of lines"),
        (HEADER + GOOD + "TRAILER,1\n" + GOOD, {"trailer": {}}, "Line 4 follows the trailer of line 3"),
        (HEADER + 1_000 * "A-1,,UNPAID,2026-11-20\n", {}, "1,000 of the first 1,000 lines cannot be read"),
        ((HEADER + GOOD).encode("utf-16"), {}, "is encoded as UTF-16"),
        ((HEADER + "Ñ" + GOOD).encode("latin-1"), {}, "Line 2 is not UTF-8 (byte 0xD1)"),
        ((HEADER + "Ñ" + GOOD).encode(), {"encoding": "utf-16"}, "The file is not utf-16"),
        ("x" * 100_000 + "\n", {}, "does not end within 65,536 bytes"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_what_is_no_statement_is_refused_with_the_place_and_the_remedy(
    content: str | bytes, profile: dict[str, Any], said: str
) -> None:
    with pytest.raises(FileRefused) as refusal:
        read(content, profile)
    assert said in refusal.value.message


@pytest.mark.parametrize(
    ("content", "profile"),
    [
        (HEADER + GOOD.rstrip("\n"), {}),
        (HEADER + "A-1,,UNPAID,2026-11-20\n" + GOOD.rstrip("\n"), {}),
        (HEADER + "A-1,,UNPAID,2026-11-20\nTRAILER,1", {"trailer": {}}),
        (HEADER + "TRAILER,0\n", {"trailer": {}}),
        (HEADER + GOOD + "TRAILER;1\n", {}),
        ("\ufeff" + HEADER + GOOD, {}),
        ((HEADER + "Ñ" + GOOD).encode("utf-16"), {"encoding": "utf-16"}),
        ((HEADER + "Ñ" + GOOD).encode("latin-1"), {"encoding": "iso-8859-1"}),
        (HEADER + 999 * "A-1,,UNPAID,2026-11-20\n", {}),
    ],
    ids=[
        "no last line end",
        "ditto, a bad line before",
        "trailer without line end",
        "none at all, and said so",
        "no trailer asked for",
        "byte order mark",
        "utf-16",
        "latin-1",
        "many problems",
    ],
)
def test_what_is_a_statement_all_the_same_is_taken(content: str | bytes, profile: dict[str, Any]) -> None:
    chunks(content, profile)


def test_a_packed_file_says_the_same_and_a_cut_one_nothing() -> None:
    content = (HEADER + GOOD * 50).encode()
    packed = gzip.compress(content)
    assert read(packed, packed=True).equals(read(content))
    for refused, said in ((packed[:-9], "ends before its end"), (content, "not a gzip file")):
        with pytest.raises(FileRefused, match=said):
            read(refused, packed=True)


RECORDS = st.sampled_from(
    [
        GOOD,
        "A-2,-1.00,PAID,2026-11-19\n",
        '"A ""3""\n, x",7,PARTIAL,2026-11-19\r\n',
        "A-4,,PAID,2026-11-19\n",
        "A-5,5\n",
        "\n",
        "ü-6,0.00,PAID,2026-11-19T00:00:00Z\n",
    ]
)


@settings(max_examples=40, deadline=None)
@given(records=st.lists(RECORDS, min_size=1, max_size=12), packed=st.booleans(), stop=st.integers(0, 12))
@example(records=[GOOD] * 3, packed=False, stop=1)
def test_a_reading_that_was_stopped_goes_on_to_the_same_end(
    records: list[str], packed: bool, stop: int
) -> None:
    """In chunks of two records: whatever was read before the stop is not read again, nor left out."""
    content = (HEADER + "".join(records) + GOOD).encode()
    data = gzip.compress(content) if packed else content
    whole = chunks(data, packed=packed, rows=2)
    first = whole[: min(stop, len(whole))]
    position = ReadPosition.model_validate_json(first[-1].position.model_dump_json()) if first else None
    rest = chunks(data, packed=packed, rows=2, resume=position)

    def rows(found: list[StatementChunk]) -> list[Any]:
        return [row for chunk in found for row in chunk.lines.to_dicts()]

    assert [row["line"] for row in rows(whole)] == sorted({row["line"] for row in rows(whole)})
    assert rows(first) + rows(rest) == rows(whole)
    assert (rest or first)[-1].position == whole[-1].position
    assert whole[-1].position.lines == len(rows(whole)) == 1 + sum(record != "\n" for record in records)


def test_a_cut_file_is_refused_also_by_who_finds_all_its_lines_read() -> None:
    content = (HEADER + GOOD + "A-2,1").encode()
    made = reader()
    first = list(made.feed(content))
    last = made.finish()
    first.append(next(last))
    with pytest.raises(FileRefused, match="cut off"):
        next(last)
    again = reader(resume=first[-1].position)
    assert list(again.feed(content)) == []
    with pytest.raises(FileRefused, match="cut off"):
        list(again.finish())
