"""A portfolio file, read and judged in chunks as its bytes arrive.

No I/O is done here: the caller feeds bytes and stores what comes out. Reading can stop after any
chunk and go on later from the chunk's cursor, with the same result as in one go.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from activities.portfolio_bytes import ByteStream, LineBuffer, ReaderLimits
from activities.portfolio_judge import Verdict, judge
from activities.portfolio_layout import (
    Layout,
    header_too_long,
    layout_of,
    read_header,
    refuse_foreign,
    wrong_encoding,
)
from activities.portfolio_records import Records, RecordSplitter, RefusedRecord
from activities.portfolio_totals import (
    Cursor,
    Totals,
    check_so_far,
    check_whole,
    read_control,
    stated_amount,
    total,
)
from domain.import_profiles import FileRefused, ImportProfile
from domain.placements import RowProblem, judge_row

_DEFAULT_LIMITS = ReaderLimits()


@dataclass(frozen=True, slots=True)
class JudgedChunk:
    """Consecutive records, judged.

    ``rows`` are the good ones with the columns of ``PLACEMENT_SCHEMA``. ``problems`` are the
    errors of the ``refused`` records, ``warnings`` concern good rows; all in the order of lines.
    ``records`` and ``blank`` count this chunk only, ``cursor.totals`` the file up to its end.
    """

    rows: pl.DataFrame
    problems: list[RowProblem]
    warnings: list[RowProblem]
    refused: list[RefusedRecord]
    records: int
    blank: int
    cursor: Cursor


class PortfolioReader:
    """Judges one file. Synchronous and busy with the processor only: run it in a thread.

    Feed the stream from byte 0 of the file as it is stored, or, for plain files, from any byte
    ``stream_from`` that is not behind ``resume.byte_offset``. ``feed`` and ``finish`` raise
    ``FileRefused`` when the file as a whole cannot be taken; chunks given before stand.
    """

    def __init__(
        self,
        profile: ImportProfile,
        *,
        gzip: bool = False,
        resume: Cursor | None = None,
        stream_from: int = 0,
        limits: ReaderLimits = _DEFAULT_LIMITS,
    ) -> None:
        start = resume.byte_offset if resume else 0
        if stream_from > start or (gzip and stream_from):
            raise ValueError("the stream must begin at or before the cursor, a gzip stream at 0")
        self._profile = profile
        self._limits = limits
        self._stream = ByteStream(gzip=gzip, skip=start - stream_from, limits=limits)
        self._buffer = LineBuffer(offset=start, max_line=profile.max_record_bytes)
        self._line = resume.next_line if resume else 1
        self._totals = resume.totals if resume else Totals()
        self._control = resume.control if resume else None
        self._layout: Layout | None = None
        self._splitter: RecordSplitter | None = None
        if resume:
            self._set_layout(layout_of(resume.header, profile, limits.columns))

    @property
    def layout(self) -> Layout | None:
        """The columns, once the header has been read."""
        return self._layout

    def feed(self, data: bytes) -> Iterator[JudgedChunk]:
        """Take the next bytes; the chunks that became ready."""
        for piece in self._stream.feed(data):
            try:
                self._buffer.push(piece)
            except UnicodeDecodeError:
                raise wrong_encoding(self._buffer.whole_lines(final=False), self._line) from None
            if self._splitter is None:
                self._try_header(final=False)
            if self._splitter and self._is_full(self._splitter):
                yield from self._next_chunk(self._splitter, final=False)

    def finish(self) -> Iterator[JudgedChunk]:
        """The last chunk; then the checks of the file as a whole."""
        self._stream.finish()
        if self._splitter is None:
            self._try_header(final=True)
        if self._splitter and len(self._buffer):
            yield from self._next_chunk(self._splitter, final=True)
        check_whole(self._profile, self._totals, self._control)

    def _is_full(self, splitter: RecordSplitter) -> bool:
        lines = self._limits.lines_for(splitter.width)
        return self._buffer.lines >= lines or len(self._buffer) >= self._limits.chunk_bytes

    def _set_layout(self, layout: Layout) -> None:
        self._layout = layout
        self._splitter = RecordSplitter(self._profile, layout)

    def _try_header(self, *, final: bool) -> None:
        data = self._whole_lines(final=final)
        refuse_foreign(self._buffer.head)
        if final and not data.removeprefix(codecs.BOM_UTF8).strip():
            raise FileRefused("The file is empty; line 1 must be the header with the column names.", line=1)
        if not data and self._buffer.tail_bytes > self._profile.max_record_bytes:
            raise header_too_long(self._profile)
        found = read_header(data, self._profile, self._limits.columns) if data else None
        if found:
            layout, size, lines = found
            self._buffer.consume(size)
            self._line += lines
            self._set_layout(layout)
        elif final:
            raise header_too_long(self._profile)

    def _whole_lines(self, *, final: bool) -> bytes:
        try:
            return self._buffer.whole_lines(final=final)
        except UnicodeDecodeError:
            raise wrong_encoding(self._buffer.whole_lines(final=False), self._line) from None

    def _next_chunk(self, splitter: RecordSplitter, *, final: bool) -> Iterator[JudgedChunk]:
        data = self._whole_lines(final=final)
        if not data:
            return
        rest = len(self._buffer) - len(data)
        records = splitter.split(data, self._line, rest=rest, final=final)
        self._note_control(records)
        if not records.lines:
            return
        self._buffer.consume(records.size)
        self._line += records.lines
        yield self._judged(splitter.layout, records)
        check_so_far(self._profile, self._totals)

    def _note_control(self, records: Records) -> None:
        """Take the control record; refuse the file when anything but blank lines follows it."""
        after = records.after_control
        if self._control:
            after = records.first_record()
        elif records.control:
            self._control = read_control(*records.control)
        if self._control and after is not None:
            raise FileRefused(
                f"Line {after} follows the control record of line {self._control.line}, which must be the"
                " last record. Remove what follows it, or send one file after the other.",
                line=after,
            )

    def _judged(self, layout: Layout, records: Records) -> JudgedChunk:
        names = layout.field_names
        verdict = judge(records.cells, self._profile, names=names, plain=records.plain, marked=records.marked)
        for cells in verdict.bad.iter_rows(named=True):
            line = cells.pop("line")
            records.problems.extend(judge_row(cells, self._profile, line=line, columns=names)[1])
            records.refused.append(RefusedRecord(line, records.text(line)))
        self._totals += self._counted(records, verdict)
        return JudgedChunk(
            rows=verdict.good,
            problems=sorted(records.problems, key=lambda problem: problem.line),
            warnings=verdict.warnings,
            refused=sorted(records.refused, key=lambda record: record.line),
            records=len(verdict.good) + len(records.refused),
            blank=records.blank,
            cursor=Cursor(
                byte_offset=self._buffer.offset,
                next_line=self._line,
                header=layout.header,
                totals=self._totals,
                control=self._control,
            ),
        )

    def _counted(self, records: Records, verdict: Verdict) -> Totals:
        good, bad = len(verdict.good), len(records.refused)
        stated = stated_amount(records.cells["original_amount"]) if self._profile.control else Decimal(0)
        return Totals(
            records=good + bad,
            good=good,
            bad=bad,
            blank=records.blank,
            warnings=len(verdict.warnings),
            amount=total(verdict.good["original_amount"]),
            stated_amount=stated,
        )
