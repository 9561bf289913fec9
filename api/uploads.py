"""An uploaded file, read from a ``multipart/form-data`` request as it arrives: never whole in memory,
never on this machine's disk."""

from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from uuid import UUID

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from domain.errors import Invalid, Malformed
from services.imports import check_file_name

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FILE_FIELD = "file"
SOURCE_FIELD = "source_id"
MAX_FIELD_BYTES = 1000


class _Form:
    """What the parser has seen so far: the part at hand, and pieces of the file not yet taken."""

    def __init__(self, upload: "MultipartUpload") -> None:
        self.upload = upload
        self.pieces: deque[bytes] = deque()
        self.files = 0
        self.ended = False
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""
        self._field = ""
        self._text = b""

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._on_header_name,
            "on_header_value": self._on_header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _part_begin(self) -> None:
        self._disposition, self._field, self._text = b"", "", b""

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name, self._header_value = b"", b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        if self._field == FILE_FIELD:
            self.files += 1
            if self.files > 1:
                raise Invalid("file: send one file at a time", field=FILE_FIELD)
            self.upload.name = check_file_name(options.get(b"filename", b"").decode("utf-8", "replace"))
        elif self._field != SOURCE_FIELD:
            raise Invalid(f"there is no field {self._field!r}; send {FILE_FIELD}", field=self._field)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field == FILE_FIELD:
            self.pieces.append(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > MAX_FIELD_BYTES:
            raise Invalid(f"{self._field}: the value is too long", field=self._field)

    def _part_end(self) -> None:
        if self._field == SOURCE_FIELD and self._text:
            try:
                self.upload.source_id = UUID(self._text.decode())
            except ValueError:
                raise Invalid("source_id: must be a UUID", field=SOURCE_FIELD) from None

    def _end(self) -> None:
        self.ended = True


class MultipartUpload:
    """The file that a request carries, read once; iterating raises ``Invalid`` or ``Malformed``."""

    def __init__(self, request: Request) -> None:
        kind, options = parse_options_header(request.headers.get("content-type"))
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise Malformed("send the file as multipart/form-data, in the form field “file”")
        self._request = request
        self._boundary = boundary
        self.name = ""
        self.source_id: UUID | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        form = _Form(self)
        parser = MultipartParser(self._boundary, form.callbacks())
        async for chunk in self._request.stream():
            try:
                parser.write(chunk)
            except MultipartParseError:
                raise Malformed("the body is not valid multipart/form-data") from None
            while form.pieces:
                yield form.pieces.popleft()
        if not form.ended:
            raise Malformed("the body ends in the middle of a part; send it again")
        if not form.files:
            raise Invalid("file: no file was sent; send it as the form field “file”", field=FILE_FIELD)
