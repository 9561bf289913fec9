"""What exports can be asked for: any list's own query parameters, judged as that list judges them."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, get_args, get_origin, get_type_hints
from uuid import UUID

from fastapi import Query
from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator, ValidationError, create_model

from api.problems import field_path, of_validation
from api.schemas.accounts import AccountQuery
from api.schemas.breaks import BreakQuery
from api.schemas.debtors import DebtorQuery, HighRiskQuery
from api.schemas.imports import ImportQuery, SeverityQuery
from api.schemas.payments import PaymentQuery
from api.schemas.plans import PlanQuery
from api.schemas.worklist import WorklistQuery
from domain.errors import DomainError, Invalid
from services.export_lists import ExportList
from services.exports import ExportRequest
from services.fields import Form
from services.list_filters import AccountsWanted, OfAccount, OfImport

FILTERS = "filters"


class ExportStatus(StrEnum):
    """Where an export stands."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


StatusQuery = Annotated[list[ExportStatus] | None, Query(alias="status", description="may be repeated")]
TokenQuery = Annotated[str, Query(max_length=1000, description="of a link that was given for the file")]


class _ErrorQuery:
    """Filters of ``GET /imports/{import_id}/errors``."""

    def __init__(self, import_id: UUID, severity: SeverityQuery = None) -> None:
        self.wanted = OfImport(import_id, severity)


class _AccountEventQuery:
    """Of ``GET /accounts/{account_id}/…``."""

    def __init__(self, account_id: UUID) -> None:
        self.wanted = OfAccount(account_id)


def _wanted(query: Any) -> Any:
    return query.wanted


def _wanted_in_order(query: AccountQuery) -> AccountsWanted:
    return AccountsWanted(query.wanted, query.order)


_QUERIES: Mapping[ExportList, tuple[type[Any], Callable[[Any], Any]]] = {
    ExportList.ACCOUNTS: (AccountQuery, _wanted_in_order),
    ExportList.WORKLIST: (WorklistQuery, _wanted),
    ExportList.DEBTORS: (DebtorQuery, _wanted),
    ExportList.HIGH_RISK_DEBTORS: (HighRiskQuery, _wanted),
    ExportList.PAYMENTS: (PaymentQuery, _wanted),
    ExportList.PLANS: (PlanQuery, _wanted),
    ExportList.IMPORTS: (ImportQuery, _wanted),
    ExportList.IMPORT_ERRORS: (_ErrorQuery, _wanted),
    ExportList.BREAKS: (BreakQuery, _wanted),
    ExportList.CONTACTS: (_AccountEventQuery, _wanted),
    ExportList.TIMELINE: (_AccountEventQuery, _wanted),
}
"""By list, what its query parameters are declared by, and the filter that these make."""


def export_request(name: str, filters: Mapping[str, Any], format_: str = "csv") -> ExportRequest:
    """An export of the list ``name`` as the list itself would read ``filters``, its query parameters.

    ``Invalid`` names the first that is wrong (``filters.status``), and all of them in ``errors``.
    """
    if name not in set(ExportList):
        raise Invalid(f"list: there is no list “{name}”; there are {', '.join(ExportList)}", field="list")
    wanted_list = ExportList(name)
    query, wanted = _QUERIES[wanted_list]
    try:
        read = _FORMS[wanted_list].model_validate(dict(filters))
    except ValidationError as error:
        raise _invalid(error, query) from None
    arguments = {each: getattr(read, each) for each in read.model_fields_set}
    return ExportRequest(wanted_list, filters, wanted(query(**arguments)), format_)


def filters_of(parameters: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The filters that a page's own query parameters are, in order of name and value as they came.

    What is blank or turns pages is left out; what was repeated is a list.
    """
    found: dict[str, Any] = {}
    for name, value in parameters:
        if not value.strip() or name in {"cursor", "page_size"}:
            continue
        found[name] = [*found[name], value] if name in found else [value]
    return {name: values if len(values) > 1 else values[0] for name, values in found.items()}


def _form_of(query: type[Any]) -> type[Form]:
    """The parameters of a query as a form, so that there is no other list of them."""
    hints = get_type_hints(query.__init__, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(query).parameters.items():
        kind = hints[name]
        if _is_repeatable(kind):
            kind = Annotated[kind, BeforeValidator(_listed)]
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[name] = (kind, default)
    made: type[Form] = create_model(f"{query.__name__}Filters", __base__=Form, **fields)
    return made


def _is_repeatable(kind: Any) -> bool:
    return get_origin(kind) is list or any(_is_repeatable(part) for part in get_args(kind))


def _listed(value: object) -> object:
    """One value stands for a list of it, as in a query."""
    return [value] if isinstance(value, str | int) else value


_FORMS = {name: _form_of(query) for name, (query, _) in _QUERIES.items()}


def _invalid(error: ValidationError, query: type[Any]) -> DomainError:
    found = error.errors(include_url=False)
    faults: list[dict[str, Any]] = [{**item, "loc": _place(item["loc"])} for item in found]
    for fault in faults:
        if fault["type"] == "extra_forbidden":
            field, known = field_path(fault["loc"]), ", ".join(inspect.signature(query).parameters)
            return Invalid(f"{field}: the list has no such filter; there are {known}", field=field)
    return of_validation(RequestValidationError(faults))


def _place(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Where a filter stands in the body; without the names of types that were tried on its value."""
    name, *more = location
    return (FILTERS, name, *(part for part in more if isinstance(part, int)))
