"""The header of a statement: which column says what, or why the file is refused."""

import io
import itertools
from collections import Counter
from collections.abc import Sequence

from activities.portfolio_layout import Layout
from domain.csv_text import parse_record, restore_formula
from domain.import_profiles import FileRefused, column_key
from domain.placements import shown
from domain.statement_profiles import REQUIRED, StatementProfile

_SHOWN_NAMES = 30


def read_header(data: bytes, profile: StatementProfile, max_columns: int) -> tuple[Layout, int, int] | None:
    """The layout from whole lines, and the bytes and lines that the header record takes.

    ``None`` when the record goes on after ``data``. Raises ``FileRefused``.
    """
    text = data.decode("utf-8-sig")
    if len(data) > profile.max_record_bytes:
        text = data[: profile.max_record_bytes].decode("utf-8-sig", errors="ignore")
    parsed = parse_record(io.StringIO(text, newline=""), profile.delimiter)
    if parsed is None:
        if len(data) > profile.max_record_bytes:
            raise header_too_long(profile)
        return None
    fields, lines = parsed
    taken = "".join(itertools.islice(io.StringIO(text, newline=""), lines))
    mark = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    return layout_of(fields, profile, max_columns), mark + len(taken.encode()), lines


def header_too_long(profile: StatementProfile) -> FileRefused:
    """The refusal of a file whose first record does not end within the limit."""
    return FileRefused(
        f"The header (line 1) does not end within {profile.max_record_bytes:,} bytes;"
        " this does not look like a statement. Check its line ends and quotes.",
        line=1,
    )


def layout_of(header: Sequence[str], profile: StatementProfile, max_columns: int) -> Layout:
    """The layout of a header record. Raises ``FileRefused``."""
    given = [restore_formula(name).strip() for name in header]
    if any("\0" in name for name in header):
        raise FileRefused(
            "The header contains NUL bytes; the file looks like UTF-16. Set the encoding in the statement"
            " profile.",
            line=1,
        )
    if len(given) > max_columns:
        raise FileRefused(
            f"The header has {len(given):,} columns; at most {max_columns} are allowed.", line=1
        )
    names = tuple(shown("", name) for name in given)
    fields = [(profile.field_of(name) if name else None, at) for at, name in enumerate(given)]
    positions = {field: at for field, at in fields if field is not None}
    if not positions:
        raise _no_header(names, profile)
    twice = [name for name, count in Counter(map(column_key, given)).items() if name and count > 1]
    twice += [field for field, count in Counter(f for f, _ in fields if f).items() if count > 1]
    if twice:
        raise FileRefused(
            f"The header names these columns more than once: {', '.join(dict.fromkeys(twice))}. Rename or"
            " remove them.",
            line=1,
        )
    missing = [group for group in REQUIRED[profile.kind] if not any(field in positions for field in group)]
    if missing:
        raise _missing(missing, names, profile)
    return Layout(tuple(header), names, positions)


def _no_header(names: Sequence[str], profile: StatementProfile) -> FileRefused:
    """Line 1 may be somebody's record: nothing of it is quoted."""
    other = next((mark for mark in ",;\t|" if len(names) == 1 and mark in names[0]), None)
    remedy = (
        f"The file seems to be separated by {other!r}: set the delimiter in the statement profile."
        if other
        else "Add a header, or map the file's own names in the statement profile."
    )
    wanted = ", ".join(_wanted(group, profile) for group in REQUIRED[profile.kind])
    return FileRefused(
        f"Line 1 is not a header: none of its {len(names)} columns is known. It must name {wanted}. {remedy}",
        line=1,
    )


def _missing(
    missing: Sequence[Sequence[str]], names: Sequence[str], profile: StatementProfile
) -> FileRefused:
    columns = ", ".join(_wanted(group, profile) for group in missing)
    found = ", ".join(names[:_SHOWN_NAMES]) + (", …" if len(names) > _SHOWN_NAMES else "")
    remedy = "Add the columns, or map the file's own names in the statement profile."
    return FileRefused(f"The header (line 1) lacks {columns}; it has: {found}. {remedy}", line=1)


def _wanted(group: Sequence[str], profile: StatementProfile) -> str:
    return " or ".join(profile.name_of(field) for field in group)
