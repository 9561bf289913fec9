"""Links into the Temporal Web UI."""

from urllib.parse import quote


class WebUi:
    """The Web UI of one namespace."""

    def __init__(self, base_url: str, namespace: str) -> None:
        self._base = f"{base_url.rstrip('/')}/namespaces/{quote(namespace, safe='')}"

    def workflow(self, workflow_id: str, run_id: str | None = None) -> str:
        """The page of a workflow, of its newest run unless one is given."""
        page = f"{self._base}/workflows/{quote(workflow_id, safe='')}"
        return f"{page}/{run_id}/history" if run_id else page

    def schedule(self, schedule_id: str) -> str:
        """The page of a schedule."""
        return f"{self._base}/schedules/{quote(schedule_id, safe='')}"
