"""CSV text that travels to people and back: single records, and cells a spreadsheet must not run.

A spreadsheet runs a cell that begins with ``=``, ``+``, ``-`` or ``@`` as a formula. An exported
text cell like that gets a leading apostrophe, the spreadsheets' own mark for text. Portfolio
files are read by the same rule: one leading apostrophe before a formula character is the mark and
not data. ``restore_formula(neutralise_formula(cell)) == cell`` for every text, because a cell that
already looks neutralised gets one more apostrophe; so a file that was exported, mended in a
spreadsheet and sent again says what the first one said.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

FORMULA_START = "=+@\t\r\n＝＋－＠-"  # noqa: RUF001 (the full-width forms are formulas in some locales)
NEUTRALISED_PATTERN = rf"^'('*[{FORMULA_START}])"
"""A cell with the mark; replaced by its first group the mark is gone. Valid for Python and Rust."""

_FIRST = frozenset(f"'{FORMULA_START}")
_FORMULA = re.compile(rf"'*[{FORMULA_START}]")
_NEUTRALISED = re.compile(NEUTRALISED_PATTERN)


def neutralise_formula(text: str) -> str:
    """``text`` as a cell of an exported CSV file that no spreadsheet runs as a formula.

    For text cells only: an amount such as ``-5.00`` is a number and stays one.
    """
    # Nearly no text begins so, which is seen sooner than a pattern is tried.
    return f"'{text}" if text[:1] in _FIRST and _FORMULA.match(text) else text


def restore_formula(text: str) -> str:
    """The cell that ``neutralise_formula`` was given; any other text is returned unchanged."""
    return text[1:] if _NEUTRALISED.match(text) else text


def parse_record(lines: Iterable[str], delimiter: str) -> tuple[list[str], int] | None:
    """The first record of ``lines`` (physical lines with their ends) and how many lines it takes.

    Fields are those of ``csv.reader`` with its defaults. ``None`` when a quoted field is still open
    after the last line, which ``csv.reader`` would pass over in silence.
    """
    ran_out = False

    def watched() -> Iterator[str]:
        nonlocal ran_out
        yield from lines
        ran_out = True

    reader = csv.reader(watched(), delimiter=delimiter)
    fields = next(reader, [])
    return None if ran_out else (fields, reader.line_num)


def mend_file(
    header: Sequence[str], records: Iterable[str], *, delimiter: str = ",", marker: str | None = None
) -> Iterator[str]:
    """The refused records as a CSV file that can be mended and sent again, line by line.

    ``header`` are the column names of the original file, ``records`` the original texts. Cells are
    neutralised, which reading undoes, so an unmended record is refused again for the same reason. A
    record whose quoted field never closes is given back whole in one quoted cell: written out as
    it was it would swallow its neighbours, and one cell has too few fields to be taken by accident.
    ``marker`` is the control marker of a profile with control totals: a control record with the
    number of records and no amount (amounts are what gets mended) ends the file.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n")

    def row(cells: Iterable[str]) -> str:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow([neutralise_formula(cell) for cell in cells])
        return buffer.getvalue()

    yield row(header)
    count = 0
    for text in records:
        count += 1
        parsed = parse_record(io.StringIO(f"{text}\n", newline=""), delimiter)
        yield row(parsed[0] if parsed else [text])
    if marker is not None:
        yield row([marker, str(count), ""])
