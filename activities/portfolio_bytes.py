"""The bytes of a portfolio file: decompressed within limits, cut into blocks of whole lines.

Nothing here holds more than a block: one line of any length, a compression bomb or a file of any
size takes the same memory.
"""

import codecs
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from domain.import_profiles import FileRefused

_GZIP = 31  # zlib's window bits for a gzip header and trailer
_RATIO_GRACE_BYTES = 32 << 20  # small files may compress as well as they like


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """Sizes that bound the memory and the work of reading one file, in bytes and records."""

    chunk_rows: int = 5_000
    chunk_bytes: int = 4 << 20
    piece_bytes: int = 64 << 10
    file_bytes: int = 20 << 30
    gzip_ratio: int = 200
    columns: int = 200

    def lines_for(self, columns: int) -> int:
        """How many lines to judge at once: wide files in smaller chunks, for the same memory."""
        return max(1, min(self.chunk_rows, 2_000_000 // columns))


class ByteStream:
    """The file's bytes as fed, decompressed if need be, in pieces, less those before ``skip``.

    ``skip`` counts decompressed bytes from the first byte that will be fed.
    """

    def __init__(self, *, gzip: bool, skip: int, limits: ReaderLimits) -> None:
        self._limits = limits
        self._gzip = gzip
        self._inflater = zlib.decompressobj(_GZIP)
        self._skip = skip
        self._taken = 0
        self._given = 0
        self._inside_member = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pieces that ``data`` adds. Raises ``FileRefused`` on damage or above a limit."""
        self._taken += len(data)
        for piece in self._inflate(data) if self._gzip else self._slices(data):
            self._given += len(piece)
            self._check_limits()
            skipped = min(self._skip, len(piece))
            self._skip -= skipped
            if skipped < len(piece):
                yield piece[skipped:] if skipped else piece

    def finish(self) -> None:
        """Check that the stream ended where it should. Raises ``FileRefused``."""
        if self._gzip and (self._inside_member or not self._taken):
            raise FileRefused("The .gz file ends before its end; it was cut off. Send it again.")
        if self._skip:
            raise FileRefused(
                "The file is shorter than when it was first read; it changed meanwhile. Send it again."
            )

    def _slices(self, data: bytes) -> Iterator[bytes]:
        size = self._limits.piece_bytes
        return (data[start : start + size] for start in range(0, len(data), size))

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        while data:
            if not self._inside_member:
                if self._given and not data.strip(b"\0"):  # padding after the last member
                    return
                self._inflater = zlib.decompressobj(_GZIP)
                self._inside_member = True
            try:
                piece = self._inflater.decompress(data, self._limits.piece_bytes)
            except zlib.error:
                raise FileRefused(
                    "The .gz file is damaged or is not a gzip file; compress and send it again."
                ) from None
            data = self._inflater.unconsumed_tail
            if self._inflater.eof:
                self._inside_member = False
                data = self._inflater.unused_data
            if piece:
                yield piece

    def _check_limits(self) -> None:
        limit = self._limits.file_bytes
        if self._given > limit:
            raise FileRefused(f"The file is larger than {limit:,} bytes; split it into several files.")
        if (
            self._gzip
            and self._given > _RATIO_GRACE_BYTES
            and self._given > self._limits.gzip_ratio * self._taken
        ):
            raise FileRefused(
                f"The .gz file unpacks to more than {self._limits.gzip_ratio} times its size, as no"
                " portfolio does; send it uncompressed if it is meant."
            )


class LineBuffer:
    """Bytes on their way to whole lines. Lines end with LF, CRLF or CR, as the csv module has it.

    Of a line longer than ``max_line`` only a beginning is kept that is still too long (so that it
    is refused as such); the rest is checked to be UTF-8 and dropped.
    """

    def __init__(self, *, offset: int, max_line: int) -> None:
        self._data = bytearray()
        self._start = offset  # offset in the file of the first byte in the buffer
        self._kept_before = 0  # bytes that have left the buffer
        self._gaps: deque[tuple[int, int]] = deque()  # (kept bytes before it, bytes dropped there)
        self._tail = 0  # where the unfinished last line begins
        self._max_line = max_line
        self._dropping = False
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.lines = 0

    def __len__(self) -> int:
        return len(self._data)

    @property
    def offset(self) -> int:
        """Offset in the file of the first byte that was not consumed."""
        return self._start

    @property
    def head(self) -> bytes:
        """The first few bytes in the buffer."""
        return bytes(self._data[:8])

    @property
    def tail_bytes(self) -> int:
        """Size of the unfinished last line."""
        return len(self._data) - self._tail

    def push(self, piece: bytes) -> None:
        """Add bytes. Raises ``UnicodeDecodeError`` when a dropped part is not UTF-8."""
        if self._dropping:
            piece = self._drop(piece)
        last_break = max(piece.rfind(b"\n"), piece.rfind(b"\r"))
        if last_break >= 0:
            self._tail = len(self._data) + last_break + 1
        self.lines += _line_ends(piece)
        self._data += piece
        if self.tail_bytes > self._max_line + 8:
            self._cut_tail()

    def _cut_tail(self) -> None:
        keep = self._tail + self._max_line + 8
        while self._data[keep] & 0xC0 == 0x80 and keep > self._tail + self._max_line + 4:  # noqa: PLR2004
            keep -= 1  # not within a character
        rest = bytes(self._data[keep:])
        del self._data[keep:]
        self._gaps.append((self._kept_before + keep, 0))
        self._dropping = True
        self._drop(rest)

    def _drop(self, piece: bytes) -> bytes:
        """Drop up to the end of the line; what comes after it is returned."""
        breaks = [found for found in (piece.find(b"\n"), piece.find(b"\r")) if found >= 0]
        end = min(breaks, default=len(piece))
        self._decoder.decode(piece[:end], final=bool(breaks))
        position, dropped = self._gaps.pop()
        self._gaps.append((position, dropped + end))
        self._dropping = not breaks
        return piece[end:]

    def whole_lines(self, *, final: bool) -> bytes:
        """All whole lines in the buffer, with their ends; everything when the file is ``final``."""
        if final:
            self._decoder.decode(b"", final=True)
            return bytes(self._data)
        # A CR in the last place may be half of a CRLF.
        line_feed = self._data.rfind(b"\n")
        carriage_return = self._data.rfind(b"\r", 0, max(0, len(self._data) - 1))
        return bytes(self._data[: max(line_feed, carriage_return) + 1])

    def consume(self, count: int) -> None:
        """Remove the first ``count`` bytes, which end with a line."""
        del self._data[:count]
        self._kept_before += count
        self._start += count
        while self._gaps and self._gaps[0][0] <= self._kept_before:
            self._start += self._gaps.popleft()[1]
        self._tail = max(0, self._tail - count)
        self.lines = _line_ends(self._data)


def _line_ends(data: bytes | bytearray) -> int:
    """About how many lines end in ``data``: exact where all end alike."""
    return max(data.count(b"\n"), data.count(b"\r") if b"\r" in data else 0)
