"""For supervisors, gateways and Prometheus: always cheap, never behind the device or the queue."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from z_image_turbo.api.parts import ServiceOf
from z_image_turbo.lifecycle import State
from z_image_turbo.metrics import Metrics
from z_image_turbo.service import Service

OK = 200
UNAVAILABLE = 503

router = APIRouter()


def _metrics(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


@router.api_route("/livez", methods=["GET", "HEAD"])
async def livez(service: ServiceOf) -> JSONResponse:
    """Answer 200 unless the instance must be restarted."""
    return JSONResponse(condition(service), OK if service.live else UNAVAILABLE)


@router.api_route("/readyz", methods=["GET", "HEAD"])
async def readyz(service: ServiceOf) -> JSONResponse:
    """Answer 200 while the instance takes jobs."""
    ready = service.live and service.lifecycle.state is State.READY
    return JSONResponse(condition(service), OK if ready else UNAVAILABLE)


@router.get("/metrics")
async def metrics(figures: Annotated[Metrics, Depends(_metrics)]) -> Response:
    """Answer with the figures of the instance."""
    return Response(figures.exposition(), media_type=CONTENT_TYPE_LATEST)


def condition(service: Service) -> dict[str, str]:
    """Tell the state of the instance, and why it is in it."""
    return {
        "status": service.lifecycle.state.value,
        "instance": service.settings.name,
        "release": service.settings.release,
        "reason": service.lifecycle.reason,
    }
