"""Writes Grafana's dashboards: ``python monitoring/dashboards.py``. What is on them is declared as data.

The JSON files are part of the repository, since Grafana reads them; a check compares them with this.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "grafana" / "dashboards"
_WIDTH, _HEIGHT = 8, 8
_IN_A_ROW = 24 // _WIDTH
_SOURCE = {"type": "prometheus", "uid": "prometheus"}


@dataclass(frozen=True)
class Panel:
    """One picture: ``queries`` are PromQL with its legend, ``unit`` is Grafana's, ``kind`` its panel type."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    description: str = ""


def _one(title: str, query: str, legend: str = "", unit: str = "short", **more: str) -> Panel:
    return Panel(title, ((query, legend),), unit, **more)


def _stat(title: str, query: str, unit: str = "short") -> Panel:
    return _one(title, query, unit=unit, kind="stat")


def _quantiles(metric: str, by: str, matchers: str = "") -> tuple[tuple[str, str], ...]:
    buckets = f"sum by (le, {by}) (rate({metric}_bucket{{{matchers}}}[5m]))"
    return tuple((f"histogram_quantile({q}, {buckets})", f"{{{{{by}}}}} p{q * 100:g}") for q in (0.5, 0.99))


def _or_none(query: str) -> str:
    """Zero instead of nothing, for what has never happened."""
    return f"{query} or vector(0)"


OPERATIONS = (
    _stat("API servers", 'count(up{job="recoup-api"} == 1)'),
    _stat("Workers", 'count(up{job="recoup-worker"} == 1)'),
    _one("Ready", "min by (check) (recoup_ready)", "{{check}}"),
    _one("Requests", "sum by (route) (rate(recoup_http_requests_total[5m]))", "{{route}}", "reqps"),
    _one(
        "Answers of 4xx and 5xx",
        _or_none('sum by (status) (rate(recoup_http_requests_total{status=~"[45].."}[5m]))'),
        "{{status}}",
        "reqps",
    ),
    Panel("Duration of requests", _quantiles("recoup_http_request_seconds", "method"), "s"),
    _one("Requests being answered", "sum(recoup_http_requests_in_progress)"),
    _one(
        "Memory",
        'process_resident_memory_bytes{job="recoup-api"}',
        "{{instance}}",
        "bytes",
    ),
    _one("Processor", 'rate(process_cpu_seconds_total{job="recoup-api"}[5m])', "{{instance}}", "cores"),
    _one("Lateness of schedules", "max by (schedule) (recoup_schedule_lag_seconds)", "{{schedule}}", "s"),
    _one("Paused schedules", "max by (schedule) (recoup_schedules_paused)", "{{schedule}}"),
    _one("Age of the figures", "max by (figures) (recoup_figures_age_seconds)", "{{figures}}", "s"),
    _stat("Months of partitions ahead", "min(recoup_partition_months_ahead)"),
    _one(
        "Contacts refused by the law, last hour",
        _or_none(
            'sum by (rule) (max by (rule, allowed) (recoup_contact_decisions_of_last_hour{allowed="false"}))'
        ),
        "{{rule}}",
    ),
    _one(
        "Contacts allowed, last hour",
        _or_none('sum(max by (rule, allowed) (recoup_contact_decisions_of_last_hour{allowed="true"}))'),
        "allowed",
    ),
)

MONEY = (
    _stat("Accounts that differ from their postings", "max(recoup_ledger_unsound_accounts)"),
    _stat("Accounts proved", "max(recoup_ledger_proved_accounts)"),
    _stat("Since the last proof", 'min(recoup_figures_age_seconds{figures="ledger"})', "s"),
    _one(
        "Payments of the last day",
        _or_none("sum by (method, status) (max by (method, status) (recoup_payments_of_last_day))"),
        "{{method}} {{status}}",
    ),
    _one("Payments unfinished", _or_none("max by (status) (recoup_payments_unfinished)"), "{{status}}"),
    _one(
        "Age of the oldest of them",
        _or_none("max by (status) (recoup_payment_oldest_unfinished_seconds)"),
        "{{status}}",
        "s",
    ),
    _one("Events that wait", _or_none("max by (status) (recoup_inbox_events)"), "{{status}}"),
    _one(
        "Age of the oldest of them",
        _or_none("max by (status) (recoup_inbox_oldest_seconds)"),
        "{{status}}",
        "s",
    ),
    _one("Lines matched", "min(recoup_reconciliation_matched_share)", "share", "percentunit"),
    _one(
        "Open differences by age",
        _or_none("sum by (age) (max by (age, kind, source) (recoup_reconciliation_breaks))"),
        "{{age}} days",
    ),
    _one(
        "Open differences by kind",
        _or_none("sum by (source, kind) (max by (age, kind, source) (recoup_reconciliation_breaks))"),
        "{{source}} {{kind}}",
    ),
    _one(
        "Money at risk in them",
        _or_none(
            "sum by (currency) (max by (age, kind, source, currency) (recoup_reconciliation_value_at_risk))"
        ),
        "{{currency}}",
    ),
)

IMPORTS = (
    _one(
        "Rows per second",
        "max by (outcome) (rate(recoup_import_rows_total[5m]))",
        "{{outcome}}",
        "rowsps",
    ),
    _one("Rows since the beginning", "max by (outcome) (recoup_import_rows_total)", "{{outcome}}"),
    _one("Files that ended", "max by (status) (recoup_import_files_total)", "{{status}}"),
    _stat("Files on their way", "max(recoup_imports_unfinished)"),
    _stat("Slowest has not moved for", "max(recoup_import_stalled_seconds)", "s"),
    Panel(
        "Duration of steps",
        _quantiles("temporal_activity_execution_latency_seconds", "activity_type", 'task_queue="bulk"'),
        "s",
    ),
)

TEMPORAL = (
    _one(
        "Pollers", "sum by (task_queue, poller_type) (temporal_num_pollers)", "{{task_queue}} {{poller_type}}"
    ),
    _one(
        "Free places",
        "sum by (task_queue, worker_type) (temporal_worker_task_slots_available)",
        "{{task_queue}} {{worker_type}}",
    ),
    _one("Cached workflows", "sum by (task_queue) (temporal_sticky_cache_size)", "{{task_queue}}"),
    Panel(
        "Wait for a worker: activities",
        _quantiles("temporal_activity_schedule_to_start_latency_seconds", "task_queue"),
        "s",
    ),
    Panel(
        "Wait for a worker: workflows",
        _quantiles("temporal_workflow_task_schedule_to_start_latency_seconds", "task_queue"),
        "s",
    ),
    Panel(
        "Duration of activities",
        _quantiles("temporal_activity_execution_latency_seconds", "activity_type"),
        "s",
    ),
    _one(
        "Workflows completed",
        "sum by (workflow_type) (rate(temporal_workflow_completed_total[5m]))",
        "{{workflow_type}}",
        "ops",
    ),
    _one(
        "Workflows failed",
        _or_none("sum by (workflow_type) (increase(temporal_workflow_failed_total[1h]))"),
        "{{workflow_type}}",
    ),
    _one(
        "Attempts of activities that failed",
        _or_none("sum by (activity_type) (rate(temporal_activity_execution_failed_total[5m]))"),
        "{{activity_type}}",
        "ops",
    ),
    _one(
        "Workflow tasks that failed",
        _or_none("sum by (workflow_type) (increase(temporal_workflow_task_execution_failed_total[1h]))"),
        "{{workflow_type}}",
    ),
    _one(
        "Requests to Temporal",
        "sum by (operation) (rate(temporal_request_total[5m]))",
        "{{operation}}",
        "reqps",
    ),
    _one(
        "Requests to Temporal that failed",
        _or_none("sum by (operation, status_code) (rate(temporal_request_failure_total[5m]))"),
        "{{operation}} {{status_code}}",
        "reqps",
    ),
)

DASHBOARDS = {"operations": OPERATIONS, "money": MONEY, "imports": IMPORTS, "temporal": TEMPORAL}


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, _IN_A_ROW)
    return {
        "id": number + 1,
        "title": panel.title,
        "description": panel.description,
        "type": panel.kind,
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}}
        if panel.kind == "timeseries"
        else {"reduceOptions": {"calcs": ["lastNotNull"]}},
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "expr": query,
                "legendFormat": legend or "__auto",
                "datasource": _SOURCE,
            }
            for at, (query, legend) in enumerate(panel.queries)
        ],
    }


def dashboard(name: str) -> str:
    """The JSON of one dashboard."""
    model = {
        "uid": f"recoup-{name}",
        "title": f"Recoup: {name}",
        "tags": ["recoup"],
        "schemaVersion": 41,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "tags": ["recoup"], "title": "Recoup", "asDropdown": True}],
        "panels": [_panel(number, panel) for number, panel in enumerate(DASHBOARDS[name])],
    }
    return json.dumps(model, indent=1) + "\n"


if __name__ == "__main__":
    for each in DASHBOARDS:
        (FOLDER / f"{each}.json").write_text(dashboard(each))
