"""The client of the Stable Diffusion web UI's API: prints what it saw of the service, as JSON."""

import asyncio
import json
import os
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import webuiapi

URL = urlsplit(os.environ["SERVICE_URL"])
WANTED = {"prompt": "a red circle on a blue background", "width": 256, "height": 128}


def connect() -> webuiapi.WebUIApi:
    port = URL.port or (443 if URL.scheme == "https" else 80)
    made = webuiapi.WebUIApi(host=URL.hostname, port=port, use_https=URL.scheme == "https")
    if os.environ["SERVICE_NAME"]:
        made.set_auth(os.environ["SERVICE_NAME"], os.environ["SERVICE_PASSWORD"])
    return made


def lists(client: webuiapi.WebUIApi) -> dict[str, Any]:
    return {
        "scripts": client.get_scripts(),
        "samplers": [one["name"] for one in client.get_samplers()],
        "schedulers": [one["name"] for one in client.get_schedulers()],
        "upscalers": [one["name"] for one in client.get_upscalers()],
        "latent": [one["name"] for one in client.get_latent_upscale_modes()],
        "vae": client.get_sd_vae(),
        "loras": client.get_loras(),
        "memory": client.get_memory()["ram"]["total"] > 0,
        "models": [[one["title"], one["model_name"]] for one in client.get_sd_models()],
        "current": client.util_get_current_model(),
    }


def options(client: webuiapi.WebUIApi) -> list[Any]:
    whole = client.get_options()
    title = client.util_get_model_names()[0]
    return [client.set_options(whole), client.util_set_model(title), client.get_options() == whole]


def given_up(client: webuiapi.WebUIApi) -> dict[str, Any]:
    """Interrupt a long job as soon as the progress shows it."""
    ended: list[Any] = []

    def draw() -> None:
        try:
            client.txt2img(prompt="a red circle", width=768, height=768)
        except RuntimeError as error:
            ended.extend(error.args)

    drawing = threading.Thread(target=draw)
    drawing.start()
    while not (running := client.get_progress())["state"]["job_count"]:
        time.sleep(0.05)
    interrupted = client.interrupt()
    drawing.join()
    client.util_wait_for_ready(check_interval=0.1)
    return {
        "answer": interrupted,
        "steps": running["state"]["sampling_steps"],
        "status": ended[0] if ended else None,
    }


async def at_once(client: webuiapi.WebUIApi) -> list[Any]:
    answers = await asyncio.gather(*(client.txt2img(**WANTED, seed=5, use_async=True) for _ in range(2)))
    return [[answer.image.size, answer.info["seed"]] for answer in answers]


def main() -> dict[str, Any]:
    client = connect()
    drawn = client.txt2img(**WANTED, seed=3, n_iter=2)
    again = client.img2img(images=[drawn.image], prompt="a green circle", width=256, height=128)
    written = client.png_info(drawn.image)
    return {
        "txt2img": {
            "sizes": [image.size for image in drawn.images],
            "seeds": drawn.info["all_seeds"],
            "steps": drawn.info["steps"],
            "infotext": drawn.info["infotexts"][0].startswith(WANTED["prompt"] + "\nSteps: "),
            "file": drawn.image.info["parameters"] == drawn.info["infotexts"][0],
        },
        "img2img": [again.image.size, again.info["denoising_strength"]],
        "png_info": written.info,
        "lists": lists(client),
        "options": options(client),
        "skip": client.skip(),
        "refresh": client.refresh_checkpoints(),
        "given_up": given_up(client) if os.environ["SERVICE_DIRECT"] else None,
        "at_once": asyncio.run(at_once(client)),
    }


print(json.dumps(main()))
