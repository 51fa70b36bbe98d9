"""The images part of the OpenAI API: `/v1/images/generations`, `/v1/images/edits` and `/v1/models`.

The first two are served without `/v1` too, for clients whose base address lacks it. Keys that mean nothing
here are ignored, `null` stands for the default, and pictures come as `b64_json` only: a link would need
storage that every instance can serve.
"""

import asyncio
import time
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import FormData

from z_image_turbo.api import openai_answers as answers
from z_image_turbo.api.idempotency import Keyed, KeyOf, SharedJobs, SharedJobsOf
from z_image_turbo.api.json_body import StrictRoute
from z_image_turbo.api.openai_form import as_form, read_fields, read_file
from z_image_turbo.api.openai_stream import PARTIAL_IMAGES_MAX, as_stream
from z_image_turbo.api.parts import CallerOf, ServiceOf, as_base64, images_unless_gone, require_model
from z_image_turbo.api.usage import usage_of
from z_image_turbo.encoding import Format, as_file
from z_image_turbo.errors import InvalidRequest, UnsupportedMediaType, at_field
from z_image_turbo.jobs import Way
from z_image_turbo.json_types import Flag, Integer, Number
from z_image_turbo.loras import Asked, as_loras
from z_image_turbo.masks import read_transparent
from z_image_turbo.pictures import Order, begin_with, make_order, read_size
from z_image_turbo.service import Service
from z_image_turbo.settings import Settings
from z_image_turbo.sources import fit, read_source, size_like

FIELDS = {"steps": "num_inference_steps", "count": "n"}
STRENGTH_INSIDE_MASK = 1.0  # there the prompt says what is to be seen instead
STRENGTH = 0.6  # how much of an edited picture may change when the request does not say
FORM_FIELDS_MAX = 100

router = APIRouter(route_class=StrictRoute)
upload_router = APIRouter()


class Generation(BaseModel):
    """A request for pictures.

    The last five are extensions that peers have too, `progress` is our own.
    """

    prompt: str = Field(min_length=1)
    model: str | None = None
    n: Integer | None = None
    size: str | None = None
    response_format: str | None = None
    output_format: Format | None = None
    output_compression: Integer | None = Field(None, ge=0, le=100)
    stream: Flag | None = None
    partial_images: Integer | None = Field(None, ge=0, le=PARTIAL_IMAGES_MAX)
    progress: Flag | None = None
    seed: Integer | None = None
    num_inference_steps: Integer | None = None
    lora: Asked | None = None
    width: Integer | None = None
    height: Integer | None = None

    @property
    def file_kind(self) -> Format:
        """The kind of file to answer with."""
        return self.output_format or Format.PNG


class Edit(Generation):
    """A request for pictures that begin with another one; `strength` is an extension.

    The files, which are read apart, are `image` and `mask`.
    """

    strength: Number | None = Field(None, ge=0, le=1)


@router.post("/v1/images/generations", response_model=answers.Images, responses=answers.DRAWN)
@router.post("/images/generations", response_model=answers.Images, include_in_schema=False)
async def generate(  # noqa: PLR0913, PLR0917 - what a request is made of
    wanted: Generation,
    request: Request,
    service: ServiceOf,
    shared: SharedJobsOf,
    caller: CallerOf,
    key: KeyOf = None,
) -> answers.Images | Response:
    """Draw pictures and answer with all of them, or with a stream of events."""
    _require(wanted, service.settings)
    asked = Keyed.by(key, request.url.path, wanted)
    draw = Drawing(request, service, shared, caller, asked)
    return await draw.answer(wanted, _order(wanted, service.settings), "image_generation")


@upload_router.post(
    "/v1/images/edits",
    response_model=answers.Images,
    responses=answers.DRAWN,
    openapi_extra=as_form(Edit, ["image"], ["mask"]),
)
@upload_router.post("/images/edits", response_model=answers.Images, include_in_schema=False)
async def edit(
    request: Request, service: ServiceOf, shared: SharedJobsOf, caller: CallerOf, key: KeyOf = None
) -> answers.Images | Response:
    """Draw pictures that begin with the one in the form, and answer as above."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise UnsupportedMediaType("send the body as multipart/form-data.", field="Content-Type")
    async with request.form(max_fields=FORM_FIELDS_MAX, max_files=FORM_FIELDS_MAX) as form:
        wanted = _read_form(form)
        _require(wanted, service.settings)
        data = await read_file(form, "image")
        mask = await read_file(form, "mask") if "mask" in form or "mask[]" in form else None
    order = await asyncio.to_thread(_order_from_source, wanted, data, mask, service.settings)
    asked = Keyed.by(key, request.url.path, wanted, data, mask or b"")
    draw = Drawing(request, service, shared, caller, asked)
    return await draw.answer(wanted, order, "image_edit")


@router.get("/v1/models")
async def models(service: ServiceOf) -> answers.Models:
    """List the one model; its aliases are for those who ask for them."""
    return {"object": "list", "data": [_model(service.settings.model_name)]}


@router.get("/v1/models/{name:path}", responses=answers.NOT_FOUND)
async def model(name: str, service: ServiceOf) -> answers.Model:
    """Describe the one model."""
    require_model(name, service.settings.model_names, "model")
    return _model(name)


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is around an order: where it came from and who draws it."""

    request: Request
    service: Service
    shared: SharedJobs
    caller: str
    asked: Keyed

    async def answer(self, wanted: Generation, order: Order, prefix: str) -> answers.Images | Response:
        """Have `order` drawn, unless that is done already, and answer as `wanted`."""
        job = self.shared.ask(
            self.asked, self.caller, lambda: self.service.submit(order, Way.OPENAI, self.caller)
        )
        order = job.order
        quality = 100 if wanted.output_compression is None else wanted.output_compression
        encode = partial(as_file, kind=wanted.file_kind, quality=quality)
        common: answers.Common = {
            "output_format": wanted.file_kind.value,
            "size": f"{order.width}x{order.height}",
            "quality": "auto",
            "background": "opaque",
        }
        if wanted.stream:
            return as_stream(
                job,
                self.service.queue,
                prefix,
                {**common},
                encode,
                partial_images=wanted.partial_images or 0,
                progress=bool(wanted.progress),
            )
        images = await images_unless_gone(self.request, job)
        return {
            "created": int(time.time()),
            "data": [
                {"b64_json": text, "seed": picture.seed}
                for text, picture in zip(await as_base64(images, encode), order.pictures, strict=True)
            ],
            **common,
            "usage": usage_of(order, order.count),
        }


def _require(wanted: Generation, settings: Settings) -> None:
    require_model(wanted.model, settings.model_names, "model")
    if wanted.response_format not in {None, "b64_json"}:
        raise InvalidRequest("must be b64_json; links to pictures are not made.", field="response_format")


def _read_form(form: FormData) -> Edit:
    try:
        return Edit.model_validate(read_fields(form, Edit))
    except ValidationError as error:
        problem = error.errors()[0]
        raise InvalidRequest(f"{problem['msg']}.", field=str(problem["loc"][0])) from None


def _order_from_source(wanted: Edit, data: bytes, mask_data: bytes | None, settings: Settings) -> Order:
    with at_field("image"):
        source = read_source(data, settings)
    order = _order(wanted, settings, size_like(source, settings))
    mask = None
    if mask_data is not None:
        with at_field("mask"):
            mask = fit(read_transparent(mask_data, source.size, settings), order.width, order.height)
    strength = STRENGTH if mask is None else STRENGTH_INSIDE_MASK
    strength = strength if wanted.strength is None else wanted.strength
    return begin_with(fit(source, order.width, order.height), order, strength, mask)


def _order(
    wanted: Generation, settings: Settings, size: tuple[int, int] | tuple[None, None] = (None, None)
) -> Order:
    fields = FIELDS
    width = size[0] if wanted.width is None else wanted.width
    height = size[1] if wanted.height is None else wanted.height
    if wanted.size not in {None, "auto"}:
        fields = FIELDS | {"width": "size", "height": "size"}
        width, height = read_size(wanted.size or "")
        if wanted.width not in {None, width} or wanted.height not in {None, height}:
            raise InvalidRequest("contradicts width and height; send one or the other.", field="size")
    try:
        return make_order(
            settings,
            prompt=wanted.prompt,
            width=width,
            height=height,
            steps=wanted.num_inference_steps,
            seed=wanted.seed,
            count=wanted.n,
            loras=as_loras(wanted.lora),
        )
    except InvalidRequest as error:
        error.field = fields.get(error.field or "", error.field)
        raise


def _model(name: str) -> answers.Model:
    return {"id": name, "object": "model", "created": 0, "owned_by": "z-image-turbo"}
