"""The web application of one instance: it wires the parts, which do the work."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

from z_image_turbo.api import health, nothing, openai, operator, sdapi, sdapi_lists, sdapi_state
from z_image_turbo.api.callers import TrustedProxies
from z_image_turbo.api.errors import add_error_handlers
from z_image_turbo.api.scope import RequestScope
from z_image_turbo.metrics import Metrics
from z_image_turbo.page import mount_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from z_image_turbo.service import Service

BODY_BYTES = 2**20  # of the requests that bring no pictures along


def create_application(service: Service, temp_dir: Path) -> FastAPI:
    """Return the application over `service`; its lifespan starts and stops it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.stop()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = service
    app.state.metrics = Metrics(service)
    app.add_middleware(RequestScope, instance=service.settings.name)
    app.add_middleware(TrustedProxies, settings=service.settings)
    add_error_handlers(app)
    for drawing in (openai, sdapi):
        app.include_router(drawing.upload_router, max_body_size=service.settings.upload_bytes_max)
    for part in (health, operator, openai, sdapi, sdapi_state, sdapi_lists, nothing):
        app.include_router(part.router, max_body_size=BODY_BYTES)
    mount_page(app, service, temp_dir)  # last: it answers everything that nothing above does
    return app
