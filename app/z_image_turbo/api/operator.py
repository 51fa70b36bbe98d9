"""For the operator of the instance: take it out of service, and back, without stopping it."""

from ipaddress import ip_address

from fastapi import APIRouter, Depends, Request

from z_image_turbo.api.answers import OpenAIError, errors
from z_image_turbo.api.health import Condition, condition
from z_image_turbo.api.parts import ServiceOf
from z_image_turbo.errors import NotAllowed

INDIRECT = (
    *("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"),  # a proxy passed it on
    *("origin", "sec-fetch-site"),  # a page in a browser on this machine sent it
)


def _only_from_here(request: Request) -> None:
    """Raise `NotAllowed` unless the call comes from this machine itself, and directly."""
    if any(name in request.headers for name in INDIRECT):
        raise NotAllowed("This call is not for browsers, nor for requests that come through a proxy.")
    try:
        local = request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise NotAllowed("This call is for the machine itself alone.")


router = APIRouter(dependencies=[Depends(_only_from_here)], responses=errors(OpenAIError, 403, 409))


@router.post("/drain")
async def drain(service: ServiceOf) -> Condition:
    """Take no more jobs, finish the accepted ones, and stay."""
    service.pause()
    return condition(service)


@router.post("/undrain")
async def undrain(service: ServiceOf) -> Condition:
    """Take jobs again."""
    service.resume()
    return condition(service)
