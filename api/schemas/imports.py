"""What a list of imports and of their problems can be asked for."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import Field

from api.parameters import asked
from api.uploads import FILE_FIELD, SOURCE_FIELD
from domain.placements import Severity
from services.imports import ImportFilter

Line = Annotated[int, Field(ge=0, lt=1 << 63)]
"""A line of a file, or the number of a problem, in a cursor."""


class ImportStatus(StrEnum):
    """Where an import stands."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class ReportFormat(StrEnum):
    """How problems are answered: as a list, or as a file to be mended and sent again."""

    JSON = "json"
    CSV = "csv"


class ImportQuery:
    """Filters of ``GET /imports``."""

    def __init__(
        self, status: Annotated[list[ImportStatus] | None, Query(description="may be repeated")] = None
    ) -> None:
        self.wanted = ImportFilter(statuses=status or ())


ImportQueryDep = Annotated[ImportQuery, Depends(asked(ImportQuery))]
SeverityQuery = Annotated[Severity | None, Query(description="errors refuse a row, warnings do not")]
FormatQuery = Annotated[
    ReportFormat, Query(alias="format", description="csv: the refused rows as a file to be mended")
]

UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FILE_FIELD],
                    "properties": {
                        FILE_FIELD: {
                            "type": "string",
                            "format": "binary",
                            "description": "a portfolio file, .csv or .csv.gz",
                        },
                        SOURCE_FIELD: {
                            "type": "string",
                            "format": "uuid",
                            "description": "an SFTP source whose file layout it has",
                        },
                    },
                }
            }
        },
    }
}
"""The body of an upload, which is read as it arrives and so is not declared by a parameter."""
