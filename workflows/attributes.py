"""Typed search attributes, all in one list; no personal data, for they are stored in the clear."""

from temporalio.common import SearchAttributeKey

AGENCY = SearchAttributeKey.for_keyword("RecoupAgency")
"""Agency id, on every workflow."""

ACCOUNT_STATUS = SearchAttributeKey.for_keyword("RecoupAccountStatus")
"""Status of the account an ``AccountLifecycle`` works."""

IMPORT_PHASE = SearchAttributeKey.for_keyword("RecoupImportPhase")
"""Phase of a ``PortfolioImport``."""

ALL = (AGENCY, ACCOUNT_STATUS, IMPORT_PHASE)
