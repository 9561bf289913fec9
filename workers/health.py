"""What a worker answers to probes, by the same event loop that its work runs in."""

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from temporalio.worker import Worker


def health_app(workers: "Sequence[Worker]") -> Starlette:
    """``/health/live``: 200 while the event loop turns. ``/health/ready``: 200 while every queue is served.

    A worker that fails for good ends the whole process, so there is nothing more to being live.
    """

    async def live(_: "Request") -> JSONResponse:
        return JSONResponse({"status": "live"})

    async def ready(_: "Request") -> JSONResponse:
        served = {worker.task_queue: worker.is_running for worker in workers}
        every = all(served.values())
        return JSONResponse({"ready": every, "queues": served}, status_code=200 if every else 503)

    return Starlette(routes=[Route("/health/live", live), Route("/health/ready", ready)])
