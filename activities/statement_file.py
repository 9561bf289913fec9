"""A statement file, read in chunks as its bytes arrive.

No I/O is done here: the caller feeds bytes and stores what comes out. Reading can stop after any chunk and go
on later from the chunk's position, with the same result as in one go.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict

from activities.portfolio_bytes import ByteStream, LineBuffer, ReaderLimits
from activities.portfolio_layout import Layout, refuse_foreign, wrong_encoding
from activities.portfolio_records import Records, RecordSplitter
from activities.statement_judge import Reading, judge
from activities.statement_layout import header_too_long, layout_of, read_header
from domain.import_profiles import FileRefused
from domain.placements import clean_cell
from domain.statement_profiles import StatementProfile

LIMITS = ReaderLimits(chunk_rows=50_000, chunk_bytes=8 << 20)
MANY_PROBLEMS = 1_000
"""Below this many unreadable lines a file is taken, whatever their share."""

_COUNT = re.compile(r"[0-9]{1,15}")
_LINE_BREAKS = (b"\n", b"\r")


class Stated(BaseModel):
    """What the trailer of a file says."""

    model_config = ConfigDict(frozen=True)

    line: int
    lines: int


class ReadPosition(BaseModel):
    """All that is needed to go on behind a chunk. JSON-ready.

    ``byte_offset`` counts bytes of the file as UTF-8 and unpacked, ``next_line`` its physical lines from 1.
    ``lines`` are those read so far below the header, ``problems`` of them unreadable.
    """

    model_config = ConfigDict(frozen=True)

    byte_offset: int
    next_line: int
    header: tuple[str, ...]
    lines: int = 0
    problems: int = 0
    trailer: Stated | None = None
    cut: str = ""
    """Why the end of the file is no end, if it is none."""


@dataclass(frozen=True, slots=True)
class StatementChunk:
    """Consecutive lines, with the columns of ``db.partner_statements.LINE_COLUMNS`` that the file has."""

    lines: pl.DataFrame
    position: ReadPosition


class StatementReader:
    """Reads one file. Synchronous and busy with the processor only: run it in a thread.

    Feed it from byte 0 of the file as it is stored. ``feed`` and ``finish`` raise ``FileRefused`` when the
    file as a whole is no statement; chunks given before stand. ``read_at`` is now, ``stated_at`` the time of
    the file.
    """

    def __init__(
        self,
        profile: StatementProfile,
        *,
        read_at: datetime,
        stated_at: datetime,
        gzip: bool = False,
        resume: ReadPosition | None = None,
        limits: ReaderLimits = LIMITS,
    ) -> None:
        start = resume.byte_offset if resume else 0
        self._profile = profile
        self._times = (read_at, stated_at)
        self._limits = limits
        self._stream = ByteStream(gzip=gzip, skip=0, limits=limits)
        self._recoded = _Recoded(profile.encoding, skip=start)
        self._buffer = LineBuffer(offset=start, max_line=profile.max_record_bytes)
        self._position = resume or ReadPosition(byte_offset=0, next_line=1, header=())
        self._splitter: RecordSplitter | None = None
        if resume:
            self._set_layout(layout_of(resume.header, profile, limits.columns))

    @property
    def undated(self) -> bool:
        """Whether it states accounts without a time, so that the file's counts; known from the header on."""
        return self._profile.kind == "accounts" and "processed_at" not in self._reading.names

    def feed(self, data: bytes) -> Iterator[StatementChunk]:
        """Take the next bytes; the chunks that became ready."""
        for piece in self._stream.feed(data):
            yield from self._take(self._recoded.feed(piece))

    def _take(self, piece: bytes) -> Iterator[StatementChunk]:
        try:
            self._buffer.push(piece)
        except UnicodeDecodeError:
            raise self._wrong_encoding() from None
        if self._splitter is None:
            self._try_header(final=False)
        if self._splitter and self._is_full(self._splitter):
            yield from self._next_chunk(self._splitter, final=False)

    def finish(self) -> Iterator[StatementChunk]:
        """The last chunk; then the checks of the file as a whole."""
        self._stream.finish()
        yield from self._take(self._recoded.finish())
        if self._splitter is None:
            self._try_header(final=True)
        if self._splitter and len(self._buffer):
            yield from self._next_chunk(self._splitter, final=True)
        self._check_whole()

    def _is_full(self, splitter: RecordSplitter) -> bool:
        lines = self._limits.lines_for(splitter.width)
        return self._buffer.lines >= lines or len(self._buffer) >= self._limits.chunk_bytes

    def _set_layout(self, layout: Layout) -> None:
        self._splitter = RecordSplitter(self._profile, layout)
        read_at, stated_at = self._times
        self._reading = Reading(self._profile, layout.field_names, read_at, stated_at)

    def _wrong_encoding(self) -> FileRefused:
        return wrong_encoding(self._buffer.whole_lines(final=False), self._position.next_line)

    def _try_header(self, *, final: bool) -> None:
        data = self._whole_lines(final=final)
        refuse_foreign(self._buffer.head)
        if final and not data.removeprefix(codecs.BOM_UTF8).strip():
            raise FileRefused("The file is empty; line 1 must be the header with the column names.", line=1)
        if not data and self._buffer.tail_bytes > self._profile.max_record_bytes:
            raise header_too_long(self._profile)
        try:
            found = read_header(data, self._profile, self._limits.columns) if data else None
        except UnicodeDecodeError:
            raise wrong_encoding(data, 1) from None
        if found:
            layout, size, lines = found
            self._buffer.consume(size)
            self._advance(lines, header=layout.header)
            self._set_layout(layout)
        elif final:
            raise header_too_long(self._profile)

    def _whole_lines(self, *, final: bool) -> bytes:
        try:
            return self._buffer.whole_lines(final=final)
        except UnicodeDecodeError:
            raise self._wrong_encoding() from None

    def _next_chunk(self, splitter: RecordSplitter, *, final: bool) -> Iterator[StatementChunk]:
        data = self._whole_lines(final=final)
        if not data:
            return
        first = self._position.next_line
        rest = len(self._buffer) - len(data)
        records = splitter.split(data, first, rest=rest, final=final)
        self._note_trailer(records)
        if not records.lines:
            return
        lines = self._lines(records)
        self._buffer.consume(records.size)
        ends = not final or data.endswith(_LINE_BREAKS) or records.control is not None
        self._advance(
            records.lines,
            lines=self._position.lines + len(lines),
            problems=self._position.problems + lines["problem"].count(),
            cut="" if ends else _cut_off(lines),
        )
        yield StatementChunk(lines, self._position)
        self._check_so_far()

    def _lines(self, records: Records) -> pl.DataFrame:
        """The records read; those that are none as lines with nothing but their problem."""
        lines = judge(records.cells, self._reading)
        if not records.problems:
            return lines
        none = pl.DataFrame(
            {
                "line": [problem.line for problem in records.problems],
                "problem": [problem.error for problem in records.problems],
            },
            schema_overrides={"line": pl.Int64, "problem": pl.String},
        )
        return pl.concat([lines, none], how="diagonal").sort("line")

    def _advance(self, count: int, **values: Any) -> None:
        moved = {"byte_offset": self._buffer.offset, "next_line": self._position.next_line + count}
        self._position = self._position.model_copy(update=moved | values)

    def _note_trailer(self, records: Records) -> None:
        """Take the trailer; refuse the file when anything but blank lines follows it."""
        known = self._position.trailer
        after = records.first_record() if known else records.after_control
        if known is None and records.control:
            known = _read_trailer(*records.control)
            self._advance(0, trailer=known, byte_offset=self._position.byte_offset)
        if known and after is not None:
            raise FileRefused(
                f"Line {after} follows the trailer of line {known.line}, which must be the last record."
                " Remove what follows it, or send one file after the other.",
                line=after,
            )

    def _check_so_far(self) -> None:
        lines, problems = self._position.lines, self._position.problems
        if problems >= MANY_PROBLEMS and problems > self._profile.max_problem_share * lines:
            raise FileRefused(
                f"{problems:,} of the first {lines:,} lines cannot be read; the file was read no further."
                " Mend the statement profile or the file by the list of problems, and send it again."
            )

    def _check_whole(self) -> None:
        trailer, marker = self._position.trailer, self._profile.trailer
        lines = self._position.lines
        if marker is not None and trailer is None:
            raise FileRefused(
                f"The file lacks its trailer ({marker.marker},<lines>) as the last line; it may be cut off."
                " Send it again whole."
            )
        if trailer is not None and trailer.lines != lines:
            raise FileRefused(
                f"The trailer in line {trailer.line} says {trailer.lines:,} lines, the file has {lines:,}."
                " Send the whole file again.",
                line=trailer.line,
            )
        if self._position.cut:
            raise FileRefused(self._position.cut)
        if not lines and trailer is None:
            raise FileRefused("The file has a header and no lines; check the export and send it again.")


def _cut_off(lines: pl.DataFrame) -> str:
    """A last line that has no end and cannot be read was cut off; another one merely lacks its line end."""
    line, problem = lines.select("line", "problem").row(-1)
    if problem is None:
        return ""
    return f"Line {line} ends in the middle ({problem}): the file was cut off. Send it again whole."


def _read_trailer(line: int, fields: list[str]) -> Stated:
    count = clean_cell([*fields, ""][1])
    if not _COUNT.fullmatch(count):
        raise FileRefused(
            f"The trailer in line {line} cannot be read; it must give the number of lines, such as"
            f" {clean_cell(fields[0])},1000.",
            line=line,
        )
    return Stated(line=line, lines=int(count))


class _Recoded:
    """The file's bytes as UTF-8, less those before ``skip``."""

    def __init__(self, encoding: str, *, skip: int) -> None:
        self._decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)()
        self._encoding = encoding
        self._skip = skip

    def feed(self, piece: bytes, *, final: bool = False) -> bytes:
        if self._decoder is not None:
            try:
                piece = self._decoder.decode(piece, final=final).encode()
            except UnicodeError:
                raise FileRefused(
                    f"The file is not {self._encoding}, as its profile says; set the encoding in the"
                    " statement profile."
                ) from None
        skipped = min(self._skip, len(piece))
        self._skip -= skipped
        return piece[skipped:] if skipped else piece

    def finish(self) -> bytes:
        rest = self.feed(b"", final=True)
        if self._skip:
            raise FileRefused("The file is shorter than when it was first read; it changed meanwhile.")
        return rest
