"""The images part of the OpenAI API: `/v1/images/generations`, `/v1/images/edits` and `/v1/models`.

Keys that mean nothing here are ignored, `null` stands for the default, and pictures come as `b64_json` only:
a link would need storage that every instance can serve.
"""

import asyncio
import time
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import FormData, UploadFile

from z_image_turbo.api.openai_stream import PARTIAL_IMAGES_MAX, as_stream
from z_image_turbo.api.parts import CallerOf, ServiceOf, as_base64, images_unless_gone, require_model
from z_image_turbo.encoding import Format, as_file
from z_image_turbo.errors import InvalidRequest, UnknownModel
from z_image_turbo.jobs import Way
from z_image_turbo.pictures import Order, begin_with, make_order, read_size
from z_image_turbo.service import Service
from z_image_turbo.settings import Settings
from z_image_turbo.sources import fit, read_source, size_like

FIELDS = {"width": "size", "height": "size", "steps": "num_inference_steps", "count": "n"}
STRENGTH = 0.6  # how much of an edited picture may change when the request does not say
FORM_FIELDS_MAX = 100

router = APIRouter(prefix="/v1")
upload_router = APIRouter(prefix="/v1")


class Generation(BaseModel):
    """A request for pictures; `seed` and `num_inference_steps` are extensions that peers have too."""

    prompt: str = Field(min_length=1)
    model: str | None = None
    n: int | None = None
    size: str | None = None
    response_format: str | None = None
    output_format: Format | None = None
    output_compression: int | None = Field(None, ge=0, le=100)
    stream: bool | None = None
    partial_images: int | None = Field(None, ge=0, le=PARTIAL_IMAGES_MAX)
    seed: int | None = None
    num_inference_steps: int | None = None

    @property
    def file_kind(self) -> Format:
        """The kind of file to answer with."""
        return self.output_format or Format.PNG


class Edit(Generation):
    """A request for pictures that begin with another one; `strength` is an extension."""

    strength: float | None = Field(None, ge=0, le=1)


@router.post("/images/generations", response_model=None)
async def generate(
    wanted: Generation, request: Request, service: ServiceOf, caller: CallerOf
) -> dict[str, Any] | Response:
    """Draw pictures and answer with all of them, or with a stream of events."""
    _require(wanted, service.settings)
    return await _draw(wanted, _order(wanted, service.settings), request, service, caller)


@upload_router.post("/images/edits", response_model=None)
async def edit(request: Request, service: ServiceOf, caller: CallerOf) -> dict[str, Any] | Response:
    """Draw pictures that begin with the one in the form, and answer as above."""
    async with request.form(max_fields=FORM_FIELDS_MAX, max_files=FORM_FIELDS_MAX) as form:
        wanted = _read_form(form)
        _require(wanted, service.settings)
        data = await _read_image(form)
    order = await asyncio.to_thread(_order_from_source, wanted, data, service.settings)
    return await _draw(wanted, order, request, service, caller, prefix="image_edit")


@router.get("/models")
async def models(service: ServiceOf) -> dict[str, Any]:
    """List the one model; its aliases are for those who ask for them."""
    return {"object": "list", "data": [_model(service.settings.model_name)]}


@router.get("/models/{name:path}")
async def model(name: str, service: ServiceOf) -> dict[str, Any]:
    """Describe the one model."""
    if name not in service.settings.model_names:
        raise UnknownModel(f"{name!r} is not served here.", field="model")
    return _model(name)


async def _draw(  # noqa: PLR0913 - what a request is made of
    wanted: Generation,
    order: Order,
    request: Request,
    service: Service,
    caller: str,
    *,
    prefix: str = "image_generation",
) -> dict[str, Any] | Response:
    job = service.submit(order, Way.OPENAI, caller)
    quality = 100 if wanted.output_compression is None else wanted.output_compression
    encode = partial(as_file, kind=wanted.file_kind, quality=quality)
    if wanted.stream:
        return as_stream(job, prefix, _common(wanted, order), encode, wanted.partial_images or 0)
    images = await images_unless_gone(request, job)
    return {
        "created": int(time.time()),
        "data": [
            {"b64_json": text, "seed": picture.seed}
            for text, picture in zip(await as_base64(images, encode), order.pictures, strict=True)
        ],
        **_common(wanted, order),
    }


def _common(wanted: Generation, order: Order) -> dict[str, Any]:
    return {
        "output_format": wanted.file_kind.value,
        "size": f"{order.width}x{order.height}",
        "quality": "auto",
        "background": "opaque",
    }


def _require(wanted: Generation, settings: Settings) -> None:
    require_model(wanted.model, settings, "model")
    if wanted.response_format not in {None, "b64_json"}:
        raise InvalidRequest("must be b64_json.", field="response_format")


def _read_form(form: FormData) -> Edit:
    for name in ("mask", "mask[]"):
        if name in form:
            raise InvalidRequest("drawing inside a mask is not supported.", field="mask")
    texts = {name: value for name, value in form.items() if isinstance(value, str) and value}
    try:
        return Edit.model_validate(texts)
    except ValidationError as error:
        problem = error.errors()[0]
        raise InvalidRequest(f"{problem['msg']}.", field=str(problem["loc"][0])) from None


async def _read_image(form: FormData) -> bytes:
    files = [part for name in ("image", "image[]") for part in form.getlist(name)]
    if len(files) != 1 or not isinstance(files[0], UploadFile):
        raise InvalidRequest("must be exactly one file.", field="image")
    return await files[0].read()


def _order_from_source(wanted: Edit, data: bytes, settings: Settings) -> Order:
    try:
        source = read_source(data, settings)
    except InvalidRequest as error:
        error.field = "image"
        raise
    order = _order(wanted, settings, size_like(source, settings))
    strength = STRENGTH if wanted.strength is None else wanted.strength
    return begin_with(fit(source, order.width, order.height), order, strength)


def _order(
    wanted: Generation, settings: Settings, size: tuple[int, int] | tuple[None, None] = (None, None)
) -> Order:
    width, height = size if wanted.size in {None, "auto"} else read_size(wanted.size or "")
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
