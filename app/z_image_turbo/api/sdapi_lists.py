"""`/sdapi/v1`: what its clients ask for before they draw. There is one model and nothing to choose."""

from typing import Any

from fastapi import APIRouter

from z_image_turbo.api import sdapi_answers as answers
from z_image_turbo.api.answers import WebUIError
from z_image_turbo.api.checkpoint import CheckpointOf
from z_image_turbo.api.json_body import StrictRoute
from z_image_turbo.api.parts import ServiceOf
from z_image_turbo.errors import NotImplementedHere
from z_image_turbo.loras import lora_files
from z_image_turbo.memory import process_memory

SAMPLER = "Euler"
SCHEDULER = "Simple"
NO_CHOICE = "None"  # what clients show when nothing is chosen; one of them inserts others after it

router = APIRouter(prefix="/sdapi/v1", route_class=StrictRoute)


@router.get("/sd-models")
async def sd_models(checkpoint: CheckpointOf) -> list[answers.Model]:
    """List the one model."""
    return [
        {
            "title": checkpoint.title,
            "model_name": checkpoint.name,
            "hash": checkpoint.short_hash,
            "sha256": checkpoint.sha256,
            "filename": checkpoint.name,
            "config": None,
        }
    ]


@router.get("/options")
async def options(checkpoint: CheckpointOf) -> answers.Options:
    """Report the options that clients read."""
    return {
        "sd_model_checkpoint": checkpoint.title,
        "sd_checkpoint_hash": checkpoint.sha256,
        "sd_vae": "Automatic",
        "samples_format": "png",
        "CLIP_stop_at_last_layers": 1,
    }


@router.post("/options", responses=answers.OPTIONS_ERRORS)
async def set_options(values: dict[str, Any], checkpoint: CheckpointOf) -> None:
    """Accept what clients send back; nothing can be changed, so another model is refused."""
    checkpoint.require(values.get("sd_model_checkpoint"))


@router.get("/samplers")
async def samplers() -> list[answers.Sampler]:
    """List the model's one sampler."""
    return [{"name": SAMPLER, "aliases": [], "options": {}}]


@router.get("/schedulers")
async def schedulers() -> list[answers.Scheduler]:
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
async def upscalers() -> list[answers.Upscaler]:
    """List no upscaler, by the name that stands for none."""
    return [{"name": NO_CHOICE, "model_name": None, "model_path": None, "model_url": None, "scale": 1}]


@router.get("/latent-upscale-modes")
async def latent_upscale_modes() -> list[answers.Named]:
    """List no mode, by the name that stands for none."""
    return [{"name": NO_CHOICE}]


@router.get("/scripts")
async def scripts() -> answers.Scripts:
    """List no scripts."""
    return {"txt2img": [], "img2img": []}


@router.get("/embeddings")
async def embeddings() -> answers.Embeddings:
    """List no embeddings."""
    return {"loaded": {}, "skipped": {}}


@router.get("/cmd-flags")
async def cmd_flags() -> dict[str, Any]:
    """Tell nothing: how the instance was started is its operator's business."""
    return {}


@router.get("/memory")
async def memory(service: ServiceOf) -> answers.Memory:
    """Tell how much memory the process uses, and the device after the last job."""
    return {"ram": process_memory(), "cuda": service.worker.figures.memory}


@router.get("/loras")
def loras(service: ServiceOf) -> list[answers.Lora]:
    """List what prompts may name as `<lora:name:weight>`; a name is the file's without its suffix."""
    return [
        {"name": name, "alias": name, "path": path.name, "metadata": {}}
        for name, path in lora_files(service.settings.lora_path).items()
    ]


@router.get("/sd-vae")
@router.get("/sd-modules")
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


@router.post("/interrogate", status_code=501, response_model=WebUIError)
@router.post("/extra-single-image", status_code=501, response_model=WebUIError)
@router.post("/extra-batch-images", status_code=501, response_model=WebUIError)
async def not_implemented() -> None:
    """Say that the call is known and that there is nothing behind it."""
    raise NotImplementedHere("There is no model here that describes pictures or makes them larger.")
