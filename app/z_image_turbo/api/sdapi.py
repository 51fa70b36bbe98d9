"""Drawing by the Stable Diffusion web UI's API: `/sdapi/v1/txt2img` and `img2img`.

Its clients are written for other models: they send 20 steps, a guidance scale and a sampler unasked. So
steps are clamped, sides are rounded to the grid, guidance and sampler are the model's own, and `info` and the
pictures themselves tell what was really used. What the model cannot follow (high-resolution fix, scripts,
another model) is refused.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from PIL.Image import Image
from pydantic import BaseModel, ConfigDict, Field

from z_image_turbo.api.checkpoint import Checkpoint, CheckpointOf
from z_image_turbo.api.infotext import write_infotext
from z_image_turbo.api.json_body import StrictRoute
from z_image_turbo.api.parts import CallerOf, ServiceOf, as_base64, images_unless_gone
from z_image_turbo.api.sdapi_answers import DRAWN_ERRORS, Drawn
from z_image_turbo.api.sdapi_lists import SAMPLER, SCHEDULER
from z_image_turbo.encoding import as_png
from z_image_turbo.errors import InvalidRequest, at_field
from z_image_turbo.jobs import Way
from z_image_turbo.json_types import Flag, Integer, Number
from z_image_turbo.loras import read_tags
from z_image_turbo.masks import read_white
from z_image_turbo.pictures import Order, begin_with, make_order, round_to_grid
from z_image_turbo.service import Service
from z_image_turbo.settings import Settings
from z_image_turbo.sources import decode_base64, fit, read_source, size_like

STRENGTH = 0.75  # the web UI's, when the request does not say how much of the picture may change
MASK_BLUR = 4  # the web UI's, in pixels of the picture that is sent
FILL_NOISE = 2  # begin with nothing but noise inside the mask; 0 and 1 begin with the picture
ECHOED_NEVER = {
    "auth",  # some clients send the credentials of their own connection along
    "url",
    "init_images",
    "mask",
}

router = APIRouter(prefix="/sdapi/v1", route_class=StrictRoute)
upload_router = APIRouter(prefix="/sdapi/v1", route_class=StrictRoute)


class TextToImage(BaseModel):
    """A request for pictures; every key may be missing or null, unknown ones are ignored."""

    model_config = ConfigDict(extra="allow")

    prompt: str | None = None
    negative_prompt: str | None = None
    seed: Integer | None = None
    width: Integer | None = None
    height: Integer | None = None
    steps: Integer | None = None
    batch_size: Integer | None = Field(None, ge=1)
    n_iter: Integer | None = Field(None, ge=1)
    send_images: Flag | None = None
    enable_hr: Flag | None = None
    script_name: str | None = None
    alwayson_scripts: dict[str, Any] | None = None
    override_settings: dict[str, Any] | None = None
    force_task_id: str | None = Field(None, max_length=256)


class ImageToImage(TextToImage):
    """A request for pictures that begin with another one."""

    init_images: list[str] | None = None
    mask: str | None = None
    mask_blur: Number | None = Field(None, ge=0, le=64)
    inpainting_mask_invert: Integer | None = Field(None, ge=0, le=1)
    inpainting_fill: Integer | None = Field(None, ge=0, le=2)
    resize_mode: Integer | None = Field(None, ge=0, le=3)
    denoising_strength: Number | None = Field(None, ge=0, le=1)


@router.post("/txt2img", responses=DRAWN_ERRORS)
async def txt2img(
    wanted: TextToImage, request: Request, service: ServiceOf, checkpoint: CheckpointOf, caller: CallerOf
) -> Drawn:
    """Draw pictures and answer with all of them."""
    _require_possible(wanted, checkpoint)
    return await _draw(wanted, _order(wanted, service.settings), request, service, checkpoint, caller)


@upload_router.post("/img2img", responses=DRAWN_ERRORS)
async def img2img(
    wanted: ImageToImage, request: Request, service: ServiceOf, checkpoint: CheckpointOf, caller: CallerOf
) -> Drawn:
    """Draw pictures that begin with the one that is sent, and answer with all of them."""
    _require_possible(wanted, checkpoint)
    order = await asyncio.to_thread(_order_from_source, wanted, service.settings)
    return await _draw(wanted, order, request, service, checkpoint, caller)


async def _draw(  # noqa: PLR0913, PLR0917 - what a request is made of
    wanted: TextToImage,
    order: Order,
    request: Request,
    service: Service,
    checkpoint: Checkpoint,
    caller: str,
) -> Drawn:
    job = service.submit(order, Way.SDAPI, caller, wanted.force_task_id)
    images = await images_unless_gone(request, job)
    as_asked = replace(order, prompt=wanted.prompt or "")  # with its tags: the picture can be had again by it
    info = _info(wanted, as_asked, checkpoint, service.settings.release)
    return {
        "images": [] if wanted.send_images is False else await _files(images, info["infotexts"]),
        "parameters": wanted.model_dump(exclude=ECHOED_NEVER),
        "info": json.dumps(info, ensure_ascii=False),
    }


async def _files(images: Sequence[Image], infotexts: Sequence[str]) -> list[str]:
    files = (
        as_base64([image], partial(as_png, parameters=text))
        for image, text in zip(images, infotexts, strict=True)
    )
    return [text for texts in await asyncio.gather(*files) for text in texts]


def _require_possible(wanted: TextToImage, checkpoint: Checkpoint) -> None:
    if wanted.enable_hr:
        raise InvalidRequest("is not supported; ask for the size you want.", field="enable_hr")
    if wanted.script_name:
        raise InvalidRequest("there are no scripts here.", field="script_name")
    scripts = (wanted.alwayson_scripts or {}).values()
    if any(script.get("args") if isinstance(script, dict) else script for script in scripts):
        raise InvalidRequest("there are no scripts here.", field="alwayson_scripts")
    checkpoint.require((wanted.override_settings or {}).get("sd_model_checkpoint"))


def _order_from_source(wanted: ImageToImage, settings: Settings) -> Order:
    if not wanted.init_images or len(wanted.init_images) != 1:
        raise InvalidRequest("must hold exactly one picture.", field="init_images")
    with at_field("init_images"):
        source = read_source(decode_base64(wanted.init_images[0]), settings)
    plain = _order(wanted, settings, *size_like(source, settings))
    fitted = partial(fit, width=plain.width, height=plain.height, mode=wanted.resize_mode or 0)
    strength = STRENGTH if wanted.denoising_strength is None else wanted.denoising_strength
    if not wanted.mask:
        return begin_with(fitted(source), plain, strength)
    if wanted.inpainting_fill == FILL_NOISE:
        strength = 1.0
    return begin_with(fitted(source), plain, strength, fitted(_mask(wanted, source.size, settings)))


def _mask(wanted: ImageToImage, size: tuple[int, int], settings: Settings) -> Image:
    with at_field("mask"):
        return read_white(
            decode_base64(wanted.mask or ""),
            size,
            settings,
            invert=bool(wanted.inpainting_mask_invert),
            blur=MASK_BLUR if wanted.mask_blur is None else wanted.mask_blur,
        )


def _order(
    wanted: TextToImage, settings: Settings, width: int | None = None, height: int | None = None
) -> Order:
    prompt, loras = read_tags(wanted.prompt or "")
    try:
        return make_order(
            settings,
            prompt=prompt,
            width=width if wanted.width is None else round_to_grid(wanted.width),
            height=height if wanted.height is None else round_to_grid(wanted.height),
            steps=None if wanted.steps is None else min(wanted.steps, settings.steps_max),
            seed=wanted.seed,
            count=(wanted.batch_size or 1) * (wanted.n_iter or 1),
            loras=loras,
        )
    except InvalidRequest as error:
        if error.field == "count":
            error.field = "batch_size x n_iter"
        raise


def _info(wanted: TextToImage, order: Order, checkpoint: Checkpoint, version: str) -> dict[str, Any]:
    """Return what was really used, in the shape that the web UI's clients read."""
    negative = wanted.negative_prompt or ""
    seeds = [picture.seed for picture in order.pictures]
    strength = order.strength if order.source else None
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
        "sd_model_name": checkpoint.name,
        "sd_model_hash": checkpoint.short_hash,
        "sd_vae_name": None,
        "sd_vae_hash": None,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": strength,
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": [
            write_infotext(
                order.prompt,
                negative,
                {
                    "Steps": order.steps,
                    "Sampler": SAMPLER,
                    "Schedule type": SCHEDULER,
                    "CFG scale": 0.0,
                    "Seed": seed,
                    "Size": f"{order.width}x{order.height}",
                    "Model hash": checkpoint.short_hash,
                    "Model": checkpoint.name,
                    "Denoising strength": strength,
                    "Version": version,
                },
            )
            for seed in seeds
        ],
        "styles": [],
        "job_timestamp": time.strftime("%Y%m%d%H%M%S"),
        "clip_skip": 1,
        "is_using_inpainting_conditioning": False,
        "version": version,
    }
