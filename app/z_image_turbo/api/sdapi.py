"""Drawing by the Stable Diffusion web UI's API: `/sdapi/v1/txt2img` and `img2img`.

Its clients are written for other models: they send 20 steps, a guidance scale and a sampler unasked. So
steps are clamped, sides are rounded to the grid, guidance and sampler are the model's own, and `info` reports
what was really used. What the model cannot follow (high-resolution fix, scripts, another model) is refused.
"""

import asyncio
import json
import time
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from z_image_turbo.api.parts import CallerOf, ServiceOf, as_base64, images_unless_gone, require_model
from z_image_turbo.api.sdapi_lists import SAMPLER, SCHEDULER
from z_image_turbo.errors import InvalidRequest
from z_image_turbo.jobs import Way
from z_image_turbo.pictures import Order, begin_with, make_order, round_to_grid
from z_image_turbo.service import Service
from z_image_turbo.settings import Settings
from z_image_turbo.sources import decode_base64, fit, read_source, size_like

STRENGTH = 0.75  # the web UI's, when the request does not say how much of the picture may change
ECHOED_NEVER = {
    "auth",  # some clients send the credentials of their own connection along
    "url",
    "init_images",
    "mask",
}

router = APIRouter(prefix="/sdapi/v1")
upload_router = APIRouter(prefix="/sdapi/v1")


class TextToImage(BaseModel):
    """A request for pictures; every key may be missing or null, unknown ones are ignored."""

    model_config = ConfigDict(extra="allow")

    prompt: str | None = None
    negative_prompt: str | None = None
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    batch_size: int | None = Field(None, ge=1)
    n_iter: int | None = Field(None, ge=1)
    send_images: bool | None = None
    enable_hr: bool | None = None
    script_name: str | None = None
    alwayson_scripts: dict[str, Any] | None = None
    override_settings: dict[str, Any] | None = None
    force_task_id: str | None = Field(None, max_length=256)


class ImageToImage(TextToImage):
    """A request for pictures that begin with another one."""

    init_images: list[str] | None = None
    mask: str | None = None
    resize_mode: int | None = Field(None, ge=0, le=3)
    denoising_strength: float | None = Field(None, ge=0, le=1)


@router.post("/txt2img")
async def txt2img(
    wanted: TextToImage, request: Request, service: ServiceOf, caller: CallerOf
) -> dict[str, Any]:
    """Draw pictures and answer with all of them."""
    return await _draw(wanted, _order(wanted, service.settings), request, service, caller)


@upload_router.post("/img2img")
async def img2img(
    wanted: ImageToImage, request: Request, service: ServiceOf, caller: CallerOf
) -> dict[str, Any]:
    """Draw pictures that begin with the one that is sent, and answer with all of them."""
    order = await asyncio.to_thread(_order_from_source, wanted, service.settings)
    return await _draw(wanted, order, request, service, caller)


async def _draw(
    wanted: TextToImage, order: Order, request: Request, service: Service, caller: str
) -> dict[str, Any]:
    job = service.submit(order, Way.SDAPI, caller, wanted.force_task_id)
    images = await images_unless_gone(request, job)
    return {
        "images": [] if wanted.send_images is False else await as_base64(images),
        "parameters": wanted.model_dump(exclude=ECHOED_NEVER),
        "info": json.dumps(_info(wanted, order, service.settings), ensure_ascii=False),
    }


def _order_from_source(wanted: ImageToImage, settings: Settings) -> Order:
    if not wanted.init_images or len(wanted.init_images) != 1:
        raise InvalidRequest("must hold exactly one picture.", field="init_images")
    if wanted.mask:
        raise InvalidRequest("drawing inside a mask is not supported.", field="mask")
    try:
        source = read_source(decode_base64(wanted.init_images[0]), settings)
    except InvalidRequest as error:
        error.field = "init_images"
        raise
    plain = _order(wanted, settings, *size_like(source, settings))
    return begin_with(
        fit(source, plain.width, plain.height, wanted.resize_mode or 0),
        plain,
        STRENGTH if wanted.denoising_strength is None else wanted.denoising_strength,
    )


def _order(
    wanted: TextToImage, settings: Settings, width: int | None = None, height: int | None = None
) -> Order:
    if wanted.enable_hr:
        raise InvalidRequest("is not supported; ask for the size you want.", field="enable_hr")
    if wanted.script_name:
        raise InvalidRequest("there are no scripts here.", field="script_name")
    if wanted.alwayson_scripts:
        raise InvalidRequest("there are no scripts here.", field="alwayson_scripts")
    model = (wanted.override_settings or {}).get("sd_model_checkpoint")
    require_model(model, settings, "sd_model_checkpoint")
    try:
        return make_order(
            settings,
            prompt=wanted.prompt or "",
            width=width if wanted.width is None else round_to_grid(wanted.width),
            height=height if wanted.height is None else round_to_grid(wanted.height),
            steps=None if wanted.steps is None else min(wanted.steps, settings.steps_max),
            seed=wanted.seed,
            count=(wanted.batch_size or 1) * (wanted.n_iter or 1),
        )
    except InvalidRequest as error:
        if error.field == "count":
            error.field = "batch_size x n_iter"
        raise


def _info(wanted: TextToImage, order: Order, settings: Settings) -> dict[str, Any]:
    """Return what was really used, in the shape that the web UI's clients read."""
    negative = wanted.negative_prompt or ""
    seeds = [picture.seed for picture in order.pictures]
    return {
        "prompt": order.prompt,
        "all_prompts": [order.prompt] * order.count,
        "negative_prompt": negative,
        "all_negative_prompts": [negative] * order.count,
        "seed": order.seed,
        "all_seeds": seeds,
        "subseed": order.seed,
        "all_subseeds": seeds,
        "subseed_strength": 0,
        "width": order.width,
        "height": order.height,
        "sampler_name": SAMPLER,
        "cfg_scale": 0.0,
        "steps": order.steps,
        "batch_size": order.count,
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": settings.model_name,
        "sd_model_hash": None,
        "sd_vae_name": None,
        "sd_vae_hash": None,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": order.strength if order.source else None,
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": [_infotext(order, seed, settings) for seed in seeds],
        "styles": [],
        "job_timestamp": time.strftime("%Y%m%d%H%M%S"),
        "clip_skip": 1,
        "is_using_inpainting_conditioning": False,
        "version": settings.release,
    }


def _infotext(order: Order, seed: int, settings: Settings) -> str:
    return (
        f"{order.prompt}\nSteps: {order.steps}, Sampler: {SAMPLER}, Schedule type: {SCHEDULER}, "
        f"CFG scale: 0.0, Seed: {seed}, Size: {order.width}x{order.height}, Model: {settings.model_name}"
    )
