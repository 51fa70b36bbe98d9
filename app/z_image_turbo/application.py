"""The web application of one instance: it wires the parts, which do the work."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

from z_image_turbo.api import (
    docs,
    health,
    openai,
    operator,
    sdapi,
    sdapi_lists,
    sdapi_png_info,
    sdapi_state,
)
from z_image_turbo.api.callers import TrustedProxies
from z_image_turbo.api.checkpoint import read_checkpoint
from z_image_turbo.api.errors import add_error_handlers
from z_image_turbo.api.idempotency import SharedJobs
from z_image_turbo.api.nothing import nothing_beside
from z_image_turbo.api.scope import RequestScope
from z_image_turbo.files import Cleaner
from z_image_turbo.metrics import Metrics
from z_image_turbo.page import mount_page
from z_image_turbo.page_guard import PageGuard

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
        cleaner.start()
        yield
        cleaner.stop()
        service.stop()

    cleaner = Cleaner(temp_dir, service.settings)
    app = FastAPI(
        title="Z-Image-Turbo",
        version=service.settings.release,
        lifespan=lifespan,
        docs_url=None,  # it would load its scripts from elsewhere; see `api.docs`
        redoc_url=None,
        openapi_url=docs.OPENAPI_PATH if service.settings.docs else None,
    )
    app.state.service = service
    app.state.metrics = Metrics(service)
    app.state.checkpoint = read_checkpoint(service.settings)
    app.state.shared_jobs = SharedJobs()
    app.add_middleware(PageGuard, settings=service.settings, folder=temp_dir)
    app.add_middleware(RequestScope, instance=service.settings.name)
    app.add_middleware(TrustedProxies, settings=service.settings)
    add_error_handlers(app)
    uploads = [part.upload_router for part in (openai, sdapi, sdapi_png_info)]
    routers = [part.router for part in (health, operator, openai, sdapi, sdapi_state, sdapi_lists)]
    if service.settings.docs:
        routers.append(docs.router)
    for router in uploads:
        app.include_router(router, max_body_size=service.settings.upload_bytes_max)
    for router in (*routers, nothing_beside(*uploads, *routers)):
        app.include_router(router, max_body_size=BODY_BYTES)
    mount_page(app, service, temp_dir)  # last: it answers everything that nothing above does
    return app
