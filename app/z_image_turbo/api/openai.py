"""The images part of the OpenAI API: `/v1/images/generations` and `/v1/models`.

Keys that mean nothing here are ignored, `null` stands for the default, and pictures come as `b64_json` only:
a link would need storage that every instance can serve.
"""

import time
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from z_image_turbo.api.parts import CallerOf, ServiceOf, as_base64_pngs, images_unless_gone
from z_image_turbo.errors import InvalidRequest, NotServed, UnknownModel
from z_image_turbo.jobs import Way
from z_image_turbo.pictures import Order, make_order, read_size
from z_image_turbo.settings import Settings

FIELDS = {"width": "size", "height": "size", "steps": "num_inference_steps", "count": "n"}

router = APIRouter(prefix="/v1")


class Generation(BaseModel):
    """A request for pictures; `seed` and `num_inference_steps` are extensions that peers have too."""

    prompt: str = Field(min_length=1)
    model: str | None = None
    n: int | None = None
    size: str | None = None
    response_format: str | None = None
    output_format: Literal["png"] | None = None
    stream: Literal[False] | None = None
    seed: int | None = None
    num_inference_steps: int | None = None


@router.post("/images/generations")
async def generate(
    wanted: Generation, request: Request, service: ServiceOf, caller: CallerOf
) -> dict[str, Any]:
    """Draw pictures and answer with all of them."""
    settings = service.settings
    if wanted.model not in {None, settings.model_name}:
        raise UnknownModel(f"{wanted.model!r} is not served here.", field="model")
    if wanted.response_format not in {None, "b64_json"}:
        raise InvalidRequest("must be b64_json.", field="response_format")
    order = _order(wanted, settings)
    job = service.submit(order, Way.OPENAI, caller)
    images = await images_unless_gone(request, job)
    return {
        "created": int(time.time()),
        "data": [
            {"b64_json": text, "seed": picture.seed}
            for text, picture in zip(await as_base64_pngs(images), order.pictures, strict=True)
        ],
        "output_format": "png",
        "size": f"{order.width}x{order.height}",
        "background": "opaque",
    }


@router.get("/models")
async def models(service: ServiceOf) -> dict[str, Any]:
    """List the one model."""
    return {"object": "list", "data": [_model(service.settings.model_name)]}


@router.get("/models/{name:path}")
async def model(name: str, service: ServiceOf) -> dict[str, Any]:
    """Describe the one model."""
    if name != service.settings.model_name:
        raise UnknownModel(f"{name!r} is not served here.", field="model")
    return _model(name)


@router.api_route("/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def nothing(rest: str, request: Request) -> None:
    """Say so in this API's own words, rather than with the page's."""
    raise NotServed(f"There is no {request.method} /v1/{rest} here.")


def _order(wanted: Generation, settings: Settings) -> Order:
    width, height = (None, None) if wanted.size in {None, "auto"} else read_size(wanted.size or "")
    try:
        return make_order(
            settings,
            prompt=wanted.prompt,
            width=width,
            height=height,
            steps=wanted.num_inference_steps,
            seed=wanted.seed,
            count=wanted.n,
        )
    except InvalidRequest as error:
        error.field = FIELDS.get(error.field or "", error.field)
        raise


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "z-image-turbo"}
