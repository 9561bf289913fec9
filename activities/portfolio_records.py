"""Whole lines of a portfolio file as records: exactly those of the csv module, mostly without it.

A line without quotes is a record by itself, and so is one whose every cell is quoted and holds no
quote; all such lines of a block are split at once by Polars. Any other line with a quote (or with NUL,
or the control marker) goes through ``csv.reader``, with as many of its following lines as its quoted
fields take.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from activities.portfolio_layout import Layout, wrong_encoding
from domain.csv_text import parse_record
from domain.placements import RowProblem, shown

_KEPT_CHARS = 1_000
_FORMULA_MARK = re.compile(rb"'(?:[=+@\t\r\n-]|\xef\xbc)")
_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\r\n"


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """A record that was not taken: its first line and its original text, without the last line end.

    Of a record above the size limit only the beginning is given, told so in a single quoted cell,
    which can never be taken for a row.
    """

    line: int
    text: str


@dataclass(slots=True)
class Records:
    """What a block held. ``cells`` has ``line`` and one raw text column per field of the layout."""

    cells: pl.DataFrame
    plain: bool  # printable ASCII only, without quotes: needs no look at control characters
    marked: bool  # some cell may carry the mark of a neutralised formula
    size: int  # bytes taken
    lines: int  # physical lines taken
    blank: int = 0
    problems: list[RowProblem] = field(default_factory=list)
    refused: list[RefusedRecord] = field(default_factory=list)
    control: tuple[int, list[str]] | None = None  # line and fields of the control record
    after_control: int | None = None  # line of a record that follows it
    texts: pl.Series = field(default_factory=lambda: pl.Series(dtype=pl.String))
    long_texts: dict[int, str] = field(default_factory=dict)
    first_line: int = 0

    def text(self, line: int) -> str:
        """The original text of the record that begins at ``line``."""
        kept = self.long_texts.get(line)
        return kept if kept is not None else str(self.texts[line - self.first_line])

    def first_record(self, *, after: int = 0) -> int | None:
        """The line of the first record behind line ``after``, good or refused."""
        lines = self.cells["line"].filter(self.cells["line"] > after).head(1).to_list()
        lines += [refused.line for refused in self.refused if refused.line > after]
        lines += [self.control[0]] if self.control and self.control[0] > after else []
        return min(lines, default=None)

    def refuse(self, line: int, text: str, error: str, column: str = "", value: str = "") -> None:
        """Note a record that cannot be judged because it is not one."""
        self.problems.append(RowProblem(line, column, value, error))
        self.refused.append(RefusedRecord(line, text))


class Marked(Protocol):
    """What ends a file: a record whose first cell is the marker."""

    @property
    def marker(self) -> str: ...


class RecordForm(Protocol):
    """What a profile says about the records of a file, whatever these are about."""

    @property
    def delimiter(self) -> str: ...

    @property
    def max_record_bytes(self) -> int: ...

    @property
    def control(self) -> Marked | None: ...


class RecordSplitter:
    """Splits blocks of whole lines by a profile and the layout of the file's header."""

    def __init__(self, profile: RecordForm, layout: Layout) -> None:
        self._delimiter = profile.delimiter
        self._max_bytes = profile.max_record_bytes
        self._marker = profile.control.marker if profile.control else None
        self.layout = layout
        self.width = len(layout.names)
        self._plain_bytes = _PRINTABLE + self._delimiter.encode()

    def split(self, data: bytes, first_line: int, *, rest: int, final: bool) -> Records:
        """The records of ``data``, whole lines of which the first is ``first_line``.

        ``rest`` is the size of what follows in the buffer. A record that may go on in it is left
        for the next block, unless ``final``. Raises ``FileRefused`` for a wrong encoding.
        """
        block = _Block.of(data, first_line)
        special = self._special_lines(data, block)
        records = Records(
            cells=pl.DataFrame(),
            plain=not special and not data.translate(None, self._plain_bytes),
            marked=b"'" in data and _FORMULA_MARK.search(data) is not None,
            size=len(data),
            lines=len(block.lines),
            texts=block.texts,
            first_line=first_line,
        )
        slow = self._slow_records(block, special, records, rest=rest, final=final) if special else []
        fast = block.frame(records.lines)
        records.cells = self._cells(fast, slow, records)
        if records.control and records.after_control is None:
            records.after_control = records.first_record(after=records.control[0])
        return records

    def _special_lines(self, data: bytes, block: "_Block") -> list[int]:
        lines = block.lines
        special = lines.str.len_bytes() >= self._max_bytes  # too long with its line end, or nearly so
        if b'"' in data:
            special |= lines.str.contains('"', literal=True) & ~self._all_quoted(block.texts)
        if b"\0" in data:
            special |= lines.str.contains("\0", literal=True)
        if self._marker is not None:
            special |= lines.str.starts_with(self._marker)
        return special.arg_true().to_list() if special.any() else []

    def _all_quoted(self, texts: pl.Series) -> pl.Series:
        """Which lines are full records with quotes around every cell and nowhere else.

        Such a line has two quotes a cell: the outer ones and those of the separators, which therefore
        cannot be part of a cell.
        """
        return (
            (texts.str.count_matches('"', literal=True) == 2 * self.width)
            & (texts.str.count_matches(f'"{self._delimiter}"', literal=True) == self.width - 1)
            & texts.str.starts_with('"')
            & texts.str.ends_with('"')
        )

    def _slow_records(
        self, block: "_Block", special: list[int], records: Records, *, rest: int, final: bool
    ) -> list[tuple[int, list[str]]]:
        """Records of the width of the header among the special lines; the others are refused."""
        block.open()
        good = []
        following = 0
        for at in special:
            if at < following:
                continue
            following = at + 1
            line = records.first_line + at
            if block.sizes[at] > self._max_bytes:
                block.covered.append(at)
                self._refuse_long(block, at, records)
                continue
            parsed = parse_record(block.physical(at, self._max_bytes), self._delimiter)
            if parsed:
                fields, count = parsed
                following = at + count
                block.covered.extend(range(at, following))
                records.long_texts[line] = block.raw(at, count)
                if self._judge_shape(line, fields, records):
                    good.append((line, fields))
            elif not final and block.bytes_from(at) + rest <= self._max_bytes:
                records.lines = at
                records.size -= block.bytes_from(at)
                break
            else:
                block.covered.append(at)
                self._refuse_open(block, at, records)
        return good

    def _refuse_long(self, block: "_Block", at: int, records: Records) -> None:
        limit = f"{self._max_bytes:,} bytes"
        start = block.raw(at, 1)[:_KEPT_CHARS].replace('"', '""')
        text = f'"This line is longer than {limit} and is not given back whole. It begins: {start}"'
        error = f"the line is longer than {limit}; look for a missing line end"
        records.refuse(records.first_line + at, text, error)

    def _refuse_open(self, block: "_Block", at: int, records: Records) -> None:
        error = f"a quote is opened and not closed within {self._max_bytes:,} bytes; close or remove it"
        records.refuse(records.first_line + at, block.raw(at, 1), error)

    def _judge_shape(self, line: int, fields: list[str], records: Records) -> bool:
        text = records.long_texts[line]
        if self._marker is not None and fields[0].strip() == self._marker:
            if records.control:
                records.after_control = line
            records.control = records.control or (line, fields)
            return False
        if "\0" in text:
            at = next((at for at, cell in enumerate(fields) if "\0" in cell), 0)
            name = self.layout.names[at] if at < self.width else ""
            secret = "debtor_ssn_last4" if self.layout.positions.get("debtor_ssn_last4") == at else ""
            error = f"{name or 'the record'} contains a NUL byte; remove it"
            records.refuse(line, text, error, name, shown(secret, fields[at]))
            return False
        if len(fields) != self.width:
            records.refuse(line, text, self._wrong_width(len(fields)))
            return False
        return True

    def _wrong_width(self, fields: int) -> str:
        amount = "1 field" if fields == 1 else f"{fields:,} fields"
        return (
            f"the record has {amount} and the header {self.width}; look for a missing or extra"
            f" {self._delimiter!r}, or quote the cell that contains one"
        )

    def _cells(self, fast: pl.DataFrame, slow: list[tuple[int, list[str]]], records: Records) -> pl.DataFrame:
        quoted = fast["text"].str.starts_with('"')  # with the others gone, all of these are _all_quoted
        tables = []
        if quoted.any():
            inner = pl.col("text").str.strip_prefix('"').str.strip_suffix('"')
            tables.append(self._table(fast.filter(quoted).with_columns(inner), f'"{self._delimiter}"'))
            fast = fast.filter(~quoted)
        # Too short lines are set apart first: splitting them would cost a cell per column.
        long_enough = pl.col("text").str.len_bytes() >= self.width - 1
        candidates = fast.filter(long_enough)
        table = self._table(candidates, self._delimiter)
        right = table["_last"].is_not_null() & table["_beyond"].is_null()
        tables.append(table if right.all() else table.filter(right))
        if len(tables[-1]) < len(fast):
            wrong = pl.concat([fast.filter(~long_enough), candidates.filter(~right)])
            self._refuse_widths(wrong, records)
        cells = tables[0] if len(tables) == 1 else pl.concat(tables)
        cells = cells.drop("_last", "_beyond")
        if slow:
            more = {"line": [line for line, _ in slow]} | {
                name: [fields[at] for _, fields in slow] for name, at in self.layout.positions.items()
            }
            cells = pl.concat([cells, pl.DataFrame(more, schema=cells.schema)])
        return cells if len(tables) == 1 and not slow else cells.sort("line")

    def _table(self, lines: pl.DataFrame, separator: str) -> pl.DataFrame:
        """The cells of the layout's fields, the last cell of the width and the one beyond it."""
        parts = lines["text"].str.split_exact(separator, self.width).struct
        places = {**self.layout.positions, "_last": self.width - 1, "_beyond": self.width}
        cells = {name: parts.field(f"field_{at}") for name, at in places.items()}
        return pl.DataFrame({"line": lines["line"], **cells})

    def _refuse_widths(self, wrong: pl.DataFrame, records: Records) -> None:
        for line, text in wrong.iter_rows():
            if text.strip(" "):
                records.refuse(line, text, self._wrong_width(text.count(self._delimiter) + 1))
            else:
                records.blank += 1


@dataclass(slots=True)
class _Block:
    """A block's physical lines without their line feeds; ``pieces`` are set where a CR ends one."""

    lines: pl.Series
    texts: pl.Series  # without the CR of a CRLF
    pieces: list[str]
    first_line: int
    ends_whole: bool
    covered: list[int] = field(default_factory=list)  # lines that are not records by themselves
    sizes: list[int] = field(default_factory=list)  # bytes with line ends; set by ``open``

    @classmethod
    def of(cls, data: bytes, first_line: int) -> "_Block":
        try:
            whole = pl.Series("text", [data], dtype=pl.Binary).cast(pl.String)
        except pl.exceptions.ComputeError:
            raise wrong_encoding(data, first_line) from None
        pieces: list[str] = []
        if b"\r" not in data or data.count(b"\r") == data.count(b"\r\n"):
            lines = whole.str.split("\n").explode()
            if data.endswith(b"\n"):
                lines = lines.head(len(lines) - 1)
        else:
            pieces = list(io.StringIO(data.decode(), newline=""))
            lines = pl.Series("text", [piece.removesuffix("\n") for piece in pieces], dtype=pl.String)
        texts = lines.str.strip_suffix("\r") if b"\r" in data else lines
        return cls(lines, texts, pieces, first_line, data.endswith(b"\n"))

    def open(self) -> None:
        """Make the lines available one by one."""
        if self.pieces:
            self.sizes = [len(piece.encode()) for piece in self.pieces]
            return
        self.sizes = (self.lines.str.len_bytes() + 1).to_list()
        self.pieces = [f"{line}\n" for line in self.lines.to_list()]
        if not self.ends_whole:
            self.sizes[-1] -= 1
            self.pieces[-1] = self.pieces[-1][:-1]

    def physical(self, at: int, budget: int) -> Iterator[str]:
        """The lines from ``at`` with their ends: the first, and more while they fit ``budget`` bytes."""
        for index in range(at, len(self.pieces)):
            budget -= self.sizes[index]
            if budget < 0 and index > at:
                return
            yield self.pieces[index]

    def bytes_from(self, at: int) -> int:
        return sum(self.sizes[at:])

    def raw(self, at: int, count: int) -> str:
        return "".join(self.pieces[at : at + count]).removesuffix("\n").removesuffix("\r")

    def frame(self, end: int) -> pl.DataFrame:
        """``line`` and ``text`` of the lines before index ``end`` that are not covered."""
        first = self.first_line
        numbers = pl.int_range(first, first + end, dtype=pl.Int64, eager=True).alias("line")
        frame = pl.DataFrame([numbers, self.texts.head(end).alias("text")])
        if self.covered:
            covered = pl.Series([first + at for at in self.covered], dtype=pl.Int64)
            frame = frame.filter(~pl.col("line").is_in(covered.implode()))
        return frame
