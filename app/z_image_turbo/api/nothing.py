"""Calls of the APIs that do not exist, answered in the words of their API rather than with the page's."""

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from z_image_turbo.errors import NotServed

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
NOT_ALLOWED = 405


def nothing_beside(*routers: APIRouter) -> APIRouter:
    """Return the routes for what `routers`, which come first, do not answer."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/sdapi/{_:path}", methods=METHODS)
    @router.api_route("/v1/{_:path}", methods=METHODS)
    @router.api_route("/images/{_:path}", methods=METHODS)
    async def nothing(request: Request) -> None:
        """Say that there is no such call, or which methods the path takes."""
        path = request.url.path
        allowed = {
            method
            for router in routers
            for route in router.routes
            if isinstance(route, APIRoute) and route.path_regex.match(path)
            for method in route.methods or ()
        }
        if allowed:
            methods = ", ".join(sorted(allowed))
            raise HTTPException(
                NOT_ALLOWED, f"{path} takes {methods} and not {request.method}.", {"Allow": methods}
            )
        raise NotServed(f"There is no {request.method} {path} here.")

    return router
