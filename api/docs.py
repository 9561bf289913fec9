"""The API's documentation, served from this application alone: it works without the internet."""

from importlib import resources
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

PATH = "/api/v1/docs"
_ASSETS = Path(str(resources.files("fastapi_offline"))) / "static"
_OWN = Path(str(resources.files("api"))) / "static"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'"
)

router = APIRouter(prefix=PATH, include_in_schema=False)


@router.get("")
async def page() -> FileResponse:
    """The page of Swagger UI."""
    return FileResponse(_OWN / "docs.html", headers={"Content-Security-Policy": _POLICY})


@router.get("/start.js")
async def start() -> FileResponse:
    """What starts Swagger UI; a file of its own, for the policy forbids scripts inside the page."""
    return FileResponse(_OWN / "docs.js", media_type="text/javascript")


def install(app: FastAPI) -> None:
    """Serve the documentation of ``app`` at ``PATH``."""
    app.include_router(router)
    app.mount(f"{PATH}/assets", StaticFiles(directory=_ASSETS))
