"""The console in front of the API: one application, one process, one origin."""

from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from api.app import create_app as create_api
from console.assets import Assets, serving
from console.failures import page_of_no_route
from console.pages import (
    account,
    account_commands,
    account_money,
    account_preferences,
    accounts,
    agencies,
    assignments,
    breaks,
    dashboard,
    exports,
    imports,
    login,
    partner_setup,
    partners,
    payments,
    people,
    plans,
    reconciliation,
    schedules,
    scoring,
    sources,
    worklist,
)
from console.rendering import Pages

if TYPE_CHECKING:
    from api.composition import Services
    from runtime.settings import Settings

PAGES = (
    login,
    worklist,
    accounts,
    account,
    account_commands,
    account_money,
    account_preferences,
    payments,
    plans,
    breaks,
    dashboard,
    exports,
    reconciliation,
    partner_setup,
    partners,
    imports,
    scoring,
    schedules,
    assignments,
    people,
    agencies,
    sources,
)
"""Every module that has pages."""


def create_app(settings: "Settings", *, services: "Services | None" = None) -> FastAPI:
    """The API with the console at ``/``. ``AssetsMissing`` when the console was not built."""
    assets = Assets.load()
    app = create_api(settings, services=services, start_page=False, uploads=(imports.UPLOAD_PATH,))
    app.state.pages = Pages(assets, reload=not settings.is_production)
    # A proxy in front may speak TLS for us.
    app.state.secure_cookies = settings.is_production
    app.state.is_production = settings.is_production
    app.state.login_hint = settings.login_hint
    for module in PAGES:
        app.include_router(module.pages)
    app.add_exception_handler(HTTPException, page_of_no_route(app))
    app.add_middleware(serving)
    return app
