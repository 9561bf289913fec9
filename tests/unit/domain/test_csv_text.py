# ruff: noqa: RUF001 (signs and digits that only look like ASCII are what is tested)
"""CSV cells and records on their way to a spreadsheet and back."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.csv_text import mend_file, neutralise_formula, parse_record, restore_formula

CELLS = st.text(alphabet=st.sampled_from("'=+-@\t\r\n＝ab, \"")) | st.text()


@given(CELLS)
@example("'=x")
@example("''=x")
def test_a_neutralised_cell_is_restored_exactly(cell: str) -> None:
    assert restore_formula(neutralise_formula(cell)) == cell


@given(CELLS)
def test_an_exported_cell_never_begins_as_a_formula(cell: str) -> None:
    assert not neutralise_formula(cell).startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝"))


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "+1", "-1", "@sum(1)", "\t=1", "＝1+1"])
def test_formulas_get_the_text_mark(cell: str) -> None:
    assert neutralise_formula(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "O'Sullivan", "'tis", "a=b", "1-2", "3.50"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert neutralise_formula(cell) == cell
    assert restore_formula(cell) == cell


def test_a_record_ends_with_its_last_quoted_line() -> None:
    lines = ['a,"b\n', 'c",d\n', "e,f\n"]
    assert parse_record(lines, ",") == (["a", "b\nc", "d"], 2)


def test_an_open_quote_is_told_from_a_record() -> None:
    assert parse_record(['a,"b\n', "c\n"], ",") is None
    assert parse_record([], ",") is None


@given(st.lists(st.lists(CELLS.filter(lambda cell: "\0" not in cell), min_size=2, max_size=4), max_size=4))
def test_refused_records_come_back_with_the_same_cells(rows: list[list[str]]) -> None:
    records = []
    for row in rows:
        buffer = io.StringIO(newline="")
        csv.writer(buffer).writerow(row)
        records.append(buffer.getvalue().removesuffix("\r\n"))
    text = "".join(mend_file(["ref", "name"], records))
    header, *back = csv.reader(io.StringIO(text, newline=""))
    assert header == ["ref", "name"]
    assert [[restore_formula(cell) for cell in row] for row in back] == rows


def test_a_record_with_an_open_quote_comes_back_in_one_cell() -> None:
    text = "".join(mend_file(["ref", "name", "amount"], ['A-1,Bob,"100', "A-2,Jim,x"]))
    assert text == 'ref,name,amount\r\n"A-1,Bob,""100"\r\nA-2,Jim,x\r\n'


def test_the_mend_file_of_a_controlled_file_has_a_control_record() -> None:
    assert "".join(mend_file(["ref"], ["a", "b"], marker="END")).endswith("b\r\nEND,2,\r\n")
