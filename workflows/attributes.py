"""Typed search attributes, all in one list; no personal data, for they are stored in the clear."""

from typing import Any
from uuid import UUID

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

AGENCY = SearchAttributeKey.for_keyword("RecoupAgency")
"""Agency id, on every workflow of an agency."""

ACCOUNT_STATUS = SearchAttributeKey.for_keyword("RecoupAccountStatus")
"""Status of the account an ``AccountLifecycle`` works."""

IMPORT_PHASE = SearchAttributeKey.for_keyword("RecoupImportPhase")
"""Phase of a ``PortfolioImport``."""

ALL = (AGENCY, ACCOUNT_STATUS, IMPORT_PHASE)


def of_agency(agency_id: UUID | None, *more: SearchAttributePair[Any]) -> TypedSearchAttributes:
    """The search attributes of a workflow of an agency; None: of the installation."""
    if agency_id is None:
        return TypedSearchAttributes([*more])
    return TypedSearchAttributes([SearchAttributePair(AGENCY, str(agency_id)), *more])
