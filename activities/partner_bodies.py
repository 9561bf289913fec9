"""Batches of accounts as partners get them: the same accounts are the same bytes, whenever they are made."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from db.partner_syncs import SentAccount

FIELDS = ("debtor_id", "account_ref", "risk_score", "internal_balance", "internal_status", "processed_at")
JSON_TYPE = "application/json"


def json_body(items: "Sequence[SentAccount]") -> bytes:
    """A JSON array of the accounts, in UTF-8; amounts are strings with two decimals."""
    return json.dumps([_shown(item) for item in items], ensure_ascii=False, separators=(",", ":")).encode()


def csv_body(items: "Sequence[SentAccount]") -> bytes:
    """The accounts as CSV with a header line (RFC 4180), in UTF-8."""
    sheet = io.StringIO(newline="")
    writer = csv.DictWriter(sheet, FIELDS)
    writer.writeheader()
    writer.writerows(_shown(item) for item in items)
    return sheet.getvalue().encode()


def _shown(item: "SentAccount") -> Mapping[str, Any]:
    at = item.processed_at.astimezone(UTC)
    return {
        "debtor_id": str(item.debtor_id),
        "account_ref": item.account_ref,
        "risk_score": int(item.risk_score),
        "internal_balance": format(item.internal_balance, ".2f"),
        "internal_status": item.internal_status,
        "processed_at": f"{at:%Y-%m-%dT%H:%M:%S.%f}Z",
    }
