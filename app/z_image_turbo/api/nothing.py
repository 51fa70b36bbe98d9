"""Paths of the APIs that lead nowhere, answered in the words of their API rather than with the page's."""

from fastapi import APIRouter, Request

from z_image_turbo.errors import NotServed

router = APIRouter()


@router.api_route("/sdapi/v1/{_:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
@router.api_route("/v1/{_:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def nothing(request: Request) -> None:
    """Say that there is no such call."""
    raise NotServed(f"There is no {request.method} {request.url.path} here.")
