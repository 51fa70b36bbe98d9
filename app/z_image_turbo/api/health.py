"""For supervisors, gateways and Prometheus: always cheap, never behind the device or the queue."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from typing_extensions import TypedDict

from z_image_turbo.api.answers import Responses
from z_image_turbo.api.parts import ServiceOf
from z_image_turbo.lifecycle import State
from z_image_turbo.metrics import Metrics
from z_image_turbo.service import Service

OK = 200
UNAVAILABLE = 503

router = APIRouter()


class Condition(TypedDict):
    """The state of the instance, and why it is in it."""

    status: str
    instance: str
    release: str
    reason: str


UNAVAILABLE_TOO: Responses = {UNAVAILABLE: {"model": Condition, "description": "not so; `reason` tells why"}}


def _metrics(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


@router.head("/livez", include_in_schema=False)
@router.get("/livez", response_model=Condition, responses=UNAVAILABLE_TOO)
async def livez(service: ServiceOf) -> JSONResponse:
    """Answer 200 unless the instance must be restarted."""
    return JSONResponse(condition(service), OK if service.live else UNAVAILABLE)


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", response_model=Condition, responses=UNAVAILABLE_TOO)
async def readyz(service: ServiceOf) -> JSONResponse:
    """Answer 200 while the instance takes jobs."""
    ready = service.live and service.lifecycle.state is State.READY
    return JSONResponse(condition(service), OK if ready else UNAVAILABLE)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(figures: Annotated[Metrics, Depends(_metrics)]) -> Response:
    """Answer with the figures of the instance."""
    return Response(figures.exposition(), media_type=CONTENT_TYPE_LATEST)


def condition(service: Service) -> Condition:
    """Tell the state of the instance, and why it is in it."""
    return {
        "status": service.lifecycle.state.value,
        "instance": service.settings.name,
        "release": service.settings.release,
        "reason": service.lifecycle.reason,
    }
