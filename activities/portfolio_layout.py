"""The header of a portfolio file: which column fills which field, or why the file is refused."""

import io
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from domain.csv_text import parse_record, restore_formula
from domain.import_profiles import REQUIRED_FIELDS, FileRefused, ImportProfile, column_key
from domain.placements import shown

_SIGNATURES = (
    (b"\x1f\x8b", "is gzip-compressed; name it .csv.gz"),
    (b"PK\x03\x04", "is a ZIP archive or a spreadsheet; export it as CSV"),
    (b"\xd0\xcf\x11\xe0", "is an old spreadsheet; export it as CSV"),
    (b"%PDF", "is a PDF document; export it as CSV"),
    (b"\xff\xfe", "is encoded as UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "is encoded as UTF-16; save it as UTF-8"),
)
_SHOWN_NAMES = 30


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one file.

    ``header`` are the cells of the header record, ``names`` the same fit to be shown, ``positions``
    column indexes by field.
    """

    header: tuple[str, ...]
    names: tuple[str, ...]
    positions: Mapping[str, int]

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the columns that fill no field and are ignored, in file order."""
        used = set(self.positions.values())
        return tuple(name for at, name in enumerate(self.names) if at not in used)

    @property
    def field_names(self) -> dict[str, str]:
        """The file's name of each field."""
        return {field: self.names[at] for field, at in self.positions.items()}


def refuse_foreign(start: bytes) -> None:
    """Raise ``FileRefused`` when the first bytes are those of another kind of file."""
    for signature, reason in _SIGNATURES:
        if start.startswith(signature):
            raise FileRefused(f"The file {reason}, then send it again.")


def wrong_encoding(data: bytes, first_line: int) -> FileRefused:
    """The refusal of ``data``, which begins with ``first_line`` and is not all UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = first_line + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")
        byte = f" (byte 0x{data[error.start]:02X})"
    else:
        line, byte = first_line + data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n"), ""
    return FileRefused(
        f"Line {line} is not UTF-8{byte}; the file looks like Latin-1 or Windows-1252."
        " Export it as UTF-8 and send it again.",
        line=line,
    )


def read_header(data: bytes, profile: ImportProfile, max_columns: int) -> tuple[Layout, int, int] | None:
    """The layout from whole lines, and the bytes and lines that the header record takes.

    ``None`` when the record goes on after ``data``. Raises ``FileRefused``.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise wrong_encoding(data, 1) from None
    limit = profile.max_record_bytes
    parsed = parse_record(_within(io.StringIO(text, newline=""), limit), profile.delimiter)
    if parsed is None and len(data) <= limit:
        return None
    if parsed is None:
        raise header_too_long(profile)
    fields, lines = parsed
    taken = "".join(itertools.islice(io.StringIO(text, newline=""), lines))
    mark = len(data) - len(text.encode())
    return layout_of(fields, profile, max_columns), mark + len(taken.encode()), lines


def header_too_long(profile: ImportProfile) -> FileRefused:
    """The refusal of a file whose first record does not end within the limit."""
    return FileRefused(
        f"The header (line 1) does not end within {profile.max_record_bytes:,} bytes;"
        " this does not look like a portfolio file. Check its line ends and quotes.",
        line=1,
    )


def _within(lines: Iterator[str], budget: int) -> Iterator[str]:
    for line in lines:
        budget -= len(line.encode())
        if budget < 0:
            return
        yield line


def layout_of(header: Sequence[str], profile: ImportProfile, max_columns: int) -> Layout:
    """The layout of a header record. Raises ``FileRefused``."""
    if any("\0" in name for name in header):
        raise FileRefused(
            "The header contains NUL bytes; the file looks like UTF-16. Save it as UTF-8 and send it again.",
            line=1,
        )
    given = [restore_formula(name).strip() for name in header]
    if not any(given):
        raise FileRefused("Line 1 must be the header with the column names, but it is empty.", line=1)
    if len(given) > max_columns:
        raise FileRefused(
            f"The header has {len(given):,} columns; at most {max_columns} are allowed.", line=1
        )
    names = tuple(shown("", name) for name in given)
    positions = {
        field: at for at, name in enumerate(given) if name and (field := profile.field_of(name)) is not None
    }
    if not positions:
        raise _no_header(names, profile)
    twice = [name for name, count in Counter(map(column_key, given)).items() if name and count > 1]
    if twice:
        raise FileRefused(
            f"The header names these columns more than once: {', '.join(twice)}. Rename or remove them.",
            line=1,
        )
    missing = [field for field in REQUIRED_FIELDS if field not in positions]
    if missing:
        raise _missing(missing, names, profile)
    return Layout(tuple(header), names, positions)


def _no_header(names: Sequence[str], profile: ImportProfile) -> FileRefused:
    """Line 1 may be a person's record: nothing of it is quoted."""
    other = next((mark for mark in ",;\t|" if len(names) == 1 and mark in names[0]), None)
    remedy = (
        f"The file seems to be separated by {other!r}: set the delimiter in the import profile."
        if other
        else "Add a header, or map the file's own names in the import profile."
    )
    wanted = ", ".join(profile.name_of(field) for field in REQUIRED_FIELDS)
    return FileRefused(
        f"Line 1 is not a header: none of its {len(names)} columns is known. It must name {wanted}. {remedy}",
        line=1,
    )


def _missing(missing: list[str], names: Sequence[str], profile: ImportProfile) -> FileRefused:
    columns = ", ".join(profile.name_of(field) for field in missing)
    found = ", ".join(names[:_SHOWN_NAMES]) + (", …" if len(names) > _SHOWN_NAMES else "")
    remedy = "Add the columns, or map the file's own names in the import profile."
    return FileRefused(
        f"The header (line 1) lacks {columns}; it has: {found}. {remedy}", line=1, missing=missing
    )
