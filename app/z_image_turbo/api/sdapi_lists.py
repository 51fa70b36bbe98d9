"""`/sdapi/v1`: what its clients ask for before they draw. There is one model and nothing to choose."""

from typing import Any

from fastapi import APIRouter

from z_image_turbo.api.parts import ServiceOf, require_model
from z_image_turbo.errors import NotImplementedHere
from z_image_turbo.memory import device_memory, process_memory

SAMPLER = "Euler"
SCHEDULER = "Simple"
NO_CHOICE = "None"  # what clients show when nothing is chosen; one of them inserts others after it

router = APIRouter(prefix="/sdapi/v1")


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
        "sd_vae": "Automatic",
        "samples_format": "png",
        "CLIP_stop_at_last_layers": 1,
    }


@router.post("/options")
async def set_options(values: dict[str, Any], service: ServiceOf) -> None:
    """Accept what clients send back; nothing can be changed, so another model is refused."""
    require_model(values.get("sd_model_checkpoint"), service.settings, "sd_model_checkpoint")


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


@router.get("/upscalers")
async def upscalers() -> list[dict[str, Any]]:
    """List no upscaler, by the name that stands for none."""
    return [{"name": NO_CHOICE, "model_name": None, "model_path": None, "model_url": None, "scale": 1}]


@router.get("/latent-upscale-modes")
async def latent_upscale_modes() -> list[dict[str, str]]:
    """List no mode, by the name that stands for none."""
    return [{"name": NO_CHOICE}]


@router.get("/scripts")
async def scripts() -> dict[str, list[str]]:
    """List no scripts."""
    return {"txt2img": [], "img2img": []}


@router.get("/embeddings")
async def embeddings() -> dict[str, dict[str, Any]]:
    """List no embeddings."""
    return {"loaded": {}, "skipped": {}}


@router.get("/cmd-flags")
async def cmd_flags() -> dict[str, Any]:
    """Tell nothing: how the instance was started is its operator's business."""
    return {}


@router.get("/memory")
def memory() -> dict[str, Any]:
    """Tell how much memory the process and the device use."""
    return {"ram": process_memory(), "cuda": device_memory()}


@router.get("/sd-vae")
@router.get("/sd-modules")
@router.get("/loras")
@router.get("/hypernetworks")
@router.get("/face-restorers")
@router.get("/realesrgan-models")
@router.get("/prompt-styles")
@router.get("/extensions")
@router.get("/script-info")
async def none_of_them() -> list[Any]:
    """List nothing: there are none here."""
    return []


@router.post("/refresh-checkpoints")
@router.post("/refresh-vae")
@router.post("/refresh-embeddings")
@router.post("/refresh-loras")
async def refresh() -> None:
    """Do nothing: what an instance serves is settled when it starts."""


@router.post("/unload-checkpoint")
@router.post("/reload-checkpoint")
async def keep_the_model() -> dict[str, Any]:
    """Do nothing: the model stays loaded, for all callers."""
    return {}


@router.post("/png-info")
@router.post("/interrogate")
@router.post("/extra-single-image")
@router.post("/extra-batch-images")
async def not_implemented() -> None:
    """Say that the call is known and that there is nothing behind it."""
    raise NotImplementedHere("This call of the web UI is not implemented here.")
