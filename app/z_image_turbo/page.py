"""The web page, made with Gradio. Its pictures go through the same queue as everybody's.

Import it only after the environment is prepared: Gradio reads GRADIO_* when it is imported.
"""

import asyncio
import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import gradio as gr
from fastapi import FastAPI
from PIL.Image import Image

from z_image_turbo.api.callers import caller_of
from z_image_turbo.encoding import as_png
from z_image_turbo.errors import ServiceError
from z_image_turbo.jobs import Job, Way
from z_image_turbo.page_texts import TRANSLATIONS, texts_for
from z_image_turbo.pictures import make_order, read_size, round_to_grid
from z_image_turbo.service import Service
from z_image_turbo.settings import Settings

RATIOS = ((1, 1), (4, 3), (3, 4), (16, 9), (9, 16))
PROGRESS_SECONDS = 0.2
BODY_BYTES = 2**20
UPLOAD_BYTES = 1024  # nothing on the page takes files, but Gradio's upload route is always there


def mount_page(app: FastAPI, service: Service, temp_dir: Path) -> None:
    """Serve the page of `service` at `/`, below all routes that `app` has so far."""
    page = build_page(service, temp_dir)
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        app_kwargs={"openapi_url": None, "max_body_size": BODY_BYTES},
        i18n=gr.I18n(**TRANSLATIONS),
        show_error=False,  # of unexpected ones the text; a gr.Error is always shown
        max_file_size=UPLOAD_BYTES,
        enable_monitoring=False,  # it would be open to everybody
        run_history=False,
        ssr_mode=False,
        footer_links=["api", "settings"],
    )
    # Gradio checks that files named in a request were uploaded only after launch(), which mounting replaces.
    page.has_launched = True


def size_choices(settings: Settings) -> list[tuple[str, str]]:
    """Return label and value of the offered sizes: about the default's area, in the usual ratios."""
    choices = []
    for across, down in RATIOS:
        width = round_to_grid(round(settings.side_default * math.sqrt(across / down)))
        height = round_to_grid(round(settings.side_default * math.sqrt(down / across)))
        if settings.side_min <= min(width, height) and max(width, height) <= settings.side_max:
            choices.append((f"{width} × {height}  ({across}:{down})", f"{width}x{height}"))  # noqa: RUF001
    return choices


def build_page(service: Service, temp_dir: Path) -> gr.Blocks:
    """Return the page; the pictures it shows become files in `temp_dir`, which must be Gradio's own."""
    settings = service.settings
    words = gr.I18n(**TRANSLATIONS)
    sizes = size_choices(settings)

    async def generate(
        prompt: str,
        size: str,
        seed: int,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - how Gradio wants it
    ) -> tuple[str, int]:
        """Draw one picture and return its file and its seed."""
        language = texts_for(request.headers.get("accept-language", ""))
        if not prompt.strip():
            raise gr.Error(language["no_prompt"], print_exception=False)
        try:
            width, height = read_size(size)
            order = make_order(settings, prompt=prompt, width=width, height=height, seed=seed)
            job = service.submit(order, Way.PAGE, caller_of(request.headers, request.client.host, settings))
            try:
                images = await _images_with_progress(service, job, progress, language)
            finally:
                job.cancel()
        except ServiceError as error:
            raise gr.Error(error.message, print_exception=False) from None
        return await asyncio.to_thread(_save, images[0], temp_dir), order.seed

    with gr.Blocks(title="Z-Image-Turbo", analytics_enabled=False) as page:
        gr.Markdown("# Z-Image-Turbo")
        with gr.Row():
            with gr.Column():
                prompt = gr.Textbox(
                    label=words("prompt"),
                    placeholder=words("prompt_hint"),
                    lines=4,
                    max_length=settings.prompt_chars_max,
                    elem_id="prompt",
                )
                size = gr.Dropdown(sizes, value=sizes[0][1], label=words("size"), elem_id="size")
                with gr.Row(equal_height=True):
                    seed = gr.Number(
                        -1, label=words("seed"), info=words("seed_hint"), precision=0, elem_id="seed"
                    )
                    dice = gr.Button(words("dice"), elem_id="dice")
                button = gr.Button(words("generate"), variant="primary", elem_id="generate")
            with gr.Column():
                picture = gr.Image(
                    label=words("picture"),
                    type="filepath",
                    format="png",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    elem_id="picture",
                )
                seed_used = gr.Number(
                    label=words("seed_used"), precision=0, interactive=False, elem_id="seed_used"
                )
        dice.click(fn=None, js="() => -1", outputs=seed, api_visibility="private")
        gr.on(
            [button.click, prompt.submit],
            generate,
            [prompt, size, seed],
            [picture, seed_used],
            api_name="generate",
            concurrency_limit=None,  # the bound is the service's own queue, which refuses with a reason
            trigger_mode="once",
            show_progress_on=picture,
        )
    page.queue(max_size=settings.queue_max)
    return page


async def _images_with_progress(
    service: Service,
    job: Job,
    progress: Callable[..., object],
    language: dict[str, str],
) -> Sequence[Image]:
    waiting = asyncio.ensure_future(job.images())
    while not (await asyncio.wait({waiting}, timeout=PROGRESS_SECONDS))[0]:
        if ahead := service.queue.ahead_of(job):
            progress(None, desc=language["ahead"].format(count=ahead))
        else:
            progress((job.step, job.order.steps), desc=language["steps"])
    return await waiting


def _save(image: Image, temp_dir: Path) -> str:
    """Write `image` under the hash of its content, so that its address cannot be guessed; return the path."""
    png = as_png(image)
    path = temp_dir / f"{hashlib.sha256(png).hexdigest()}.png"
    path.write_bytes(png)
    return str(path)
