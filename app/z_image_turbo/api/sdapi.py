"""The text-to-image part of the Stable Diffusion web UI's API, `/sdapi/v1`.

Its clients are written for other models: they send 20 steps, a guidance scale and a sampler unasked. So
steps are clamped, sides are rounded to the grid, guidance and sampler are the model's own, and `info` reports
what was really used. What the model cannot follow (high-resolution fix, scripts, another model) is refused.
"""

import json
import time
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from z_image_turbo.api.parts import CallerOf, ServiceOf, as_base64_pngs, images_unless_gone
from z_image_turbo.errors import InvalidRequest, NotServed, UnknownModel
from z_image_turbo.jobs import Way
from z_image_turbo.pictures import Order, make_order, round_to_grid
from z_image_turbo.settings import Settings

SAMPLER = "Euler"
SCHEDULER = "Simple"
ECHOED_NEVER = {"auth", "url"}  # some clients send the credentials of their own connection along

router = APIRouter(prefix="/sdapi/v1")


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


@router.post("/txt2img")
async def txt2img(
    wanted: TextToImage, request: Request, service: ServiceOf, caller: CallerOf
) -> dict[str, Any]:
    """Draw pictures and answer with all of them."""
    order = _order(wanted, service.settings)
    job = service.submit(order, Way.SDAPI, caller)
    images = await images_unless_gone(request, job)
    return {
        "images": [] if wanted.send_images is False else await as_base64_pngs(images),
        "parameters": wanted.model_dump(exclude=ECHOED_NEVER),
        "info": json.dumps(_info(wanted, order, service.settings), ensure_ascii=False),
    }


@router.get("/progress")
async def progress(service: ServiceOf) -> dict[str, Any]:
    """Tell how far the running job is; 0 and no jobs when idle."""
    queue = service.queue
    running = queue.running
    steps = running.order.steps if running else 0
    step = running.step if running else 0
    return {
        "progress": step / steps if steps else 0.0,
        "eta_relative": round(queue.seconds_left(), 3),
        "state": {
            "skipped": False,
            "interrupted": False,
            "stopping_generation": False,
            "job": running.id if running else "",
            "job_count": queue.depth + (running is not None),
            "job_timestamp": "0",
            "job_no": 0,
            "sampling_step": step,
            "sampling_steps": steps,
        },
        "current_image": None,
        "textinfo": None,
    }


@router.get("/sd-models")
async def sd_models(service: ServiceOf) -> list[dict[str, Any]]:
    """List the one model."""
    name = service.settings.model_name
    return [
        {"title": name, "model_name": name, "hash": None, "sha256": None, "filename": name, "config": None}
    ]


@router.get("/options")
async def options(service: ServiceOf) -> dict[str, Any]:
    """Report the options that clients read."""
    return {
        "sd_model_checkpoint": service.settings.model_name,
        "sd_checkpoint_hash": None,
        "samples_format": "png",
        "CLIP_stop_at_last_layers": 1,
    }


@router.post("/options")
async def set_options(values: dict[str, Any], service: ServiceOf) -> None:
    """Accept what clients send back; nothing can be changed, so another model is refused."""
    _require_model(values, service.settings)


@router.get("/samplers")
async def samplers() -> list[dict[str, Any]]:
    """List the model's one sampler."""
    return [{"name": SAMPLER, "aliases": [], "options": {}}]


@router.get("/schedulers")
async def schedulers() -> list[dict[str, Any]]:
    """List the model's one schedule."""
    return [
        {
            "name": SCHEDULER.lower(),
            "label": SCHEDULER,
            "aliases": None,
            "default_rho": -1.0,
            "need_inner_model": False,
        }
    ]


@router.get("/scripts")
async def scripts() -> dict[str, list[str]]:
    """List no scripts."""
    return {"txt2img": [], "img2img": []}


@router.api_route("/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def nothing(rest: str, request: Request) -> None:
    """Say so in this API's own words, rather than with the page's."""
    raise NotServed(f"There is no {request.method} /sdapi/v1/{rest} here.")


def _order(wanted: TextToImage, settings: Settings) -> Order:
    if wanted.enable_hr:
        raise InvalidRequest("is not supported; ask for the size you want.", field="enable_hr")
    if wanted.script_name:
        raise InvalidRequest("there are no scripts here.", field="script_name")
    if wanted.alwayson_scripts:
        raise InvalidRequest("there are no scripts here.", field="alwayson_scripts")
    _require_model(wanted.override_settings or {}, settings)
    try:
        return make_order(
            settings,
            prompt=wanted.prompt or "",
            width=None if wanted.width is None else round_to_grid(wanted.width),
            height=None if wanted.height is None else round_to_grid(wanted.height),
            steps=None if wanted.steps is None else min(wanted.steps, settings.steps_max),
            seed=wanted.seed,
            count=(wanted.batch_size or 1) * (wanted.n_iter or 1),
        )
    except InvalidRequest as error:
        if error.field == "count":
            error.field = "batch_size x n_iter"
        raise


def _require_model(values: dict[str, Any], settings: Settings) -> None:
    name = values.get("sd_model_checkpoint")
    if name not in (None, "", settings.model_name):
        raise UnknownModel(f"{name!r} is not served here.", field="sd_model_checkpoint")


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
        "denoising_strength": None,
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
