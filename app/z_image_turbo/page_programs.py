"""What programs find at the page: the endpoint `generate`, and the tool `generate` of MCP."""

# No `from __future__ import annotations`: Gradio reads the annotations.
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import gradio as gr

from z_image_turbo.errors import ServiceError
from z_image_turbo.page_drawing import Easel
from z_image_turbo.page_guard import GuardedBlocks
from z_image_turbo.page_texts import say, texts_for
from z_image_turbo.pictures import SEED_BY_LOT, read_size
from z_image_turbo.settings import Settings
from z_image_turbo.watching import Progress

ENDPOINT_OF_QUEUE = "generate"
ENDPOINT_AT_ONCE = "draw"


def add_programs(page: GuardedBlocks, easel: Easel, settings: Settings) -> None:
    """Add the two endpoints: one behind Gradio's queue, for its clients, and one that is a single request.

    MCP's tool is the second one: Gradio calls the first one through its own address, where nobody knows who
    calls, and the second one as it is.
    """
    size_usual = f"{settings.side_default}x{settings.side_default}"

    async def draw(  # noqa: PLR0913, PLR0917 - the parts of a request
        request: gr.Request,
        tell: Callable[[Progress], Awaitable[None]] | None,
        hanging: GuardedBlocks | None,
        prompt: str,
        size: str,
        seed: int,
        steps: int,
    ) -> tuple[str, int]:
        texts = texts_for(request.headers.get("accept-language", ""))
        if not prompt.strip():
            raise gr.Error(texts["no_prompt"], print_exception=False)
        try:
            width, height = read_size(size)
            order = await easel.order(
                None, 1.0, prompt=prompt, width=width, height=height, seed=seed, steps=steps
            )
            drawn = await easel.draw_one(order, request, tell, hanging)
        except ServiceError as error:
            raise gr.Error(say(error, texts), print_exception=False) from None
        return drawn.file, drawn.seed

    async def generate_in_turn(  # noqa: PLR0913, PLR0917 - as above
        prompt: str,
        size: str,
        seed: int,
        steps: int,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - how Gradio wants it
    ) -> tuple[str, int]:
        """Draw one picture and return its file and its seed."""

        async def tell(now: Progress) -> None:
            progress((now.step, now.steps), desc=f"{now.ahead} ahead" if now.ahead else None)

        return await draw(request, tell, page, prompt, size, seed, steps)

    async def generate(prompt: str, size: str, seed: int, steps: int, request: gr.Request) -> tuple[str, int]:
        return await draw(request, _tell_mcp, None, prompt, size, seed, steps)

    generate.__doc__ = f"""Draw one picture from a description and return it with its seed.

    Args:
        prompt: What the picture shows, in English or Chinese.
        size: Width x height in pixels, such as {size_usual}; multiples of 16.
        seed: The same seed gives the same picture; -1 draws one by lot.
        steps: From 1 to {settings.steps_max}; {settings.steps} is usual.
    """
    generate_in_turn._mcp_type = "none"  # type: ignore[attr-defined]  # noqa: SLF001 - Gradio's mark; no second tool

    with gr.Row(visible=False):
        inputs: list[gr.components.Component] = [
            gr.Textbox(label="prompt"),
            gr.Textbox(size_usual, label="size"),
            gr.Number(SEED_BY_LOT, precision=0, label="seed"),
            gr.Number(settings.steps, precision=0, label="steps"),
        ]
        outputs: list[gr.components.Component] = [
            gr.Image(type="filepath", format="png", label="picture"),
            gr.Number(precision=0, label="seed"),
        ]
        for function, name, queued in (
            (generate_in_turn, ENDPOINT_OF_QUEUE, True),
            (generate, ENDPOINT_AT_ONCE, False),
        ):
            gr.Button().click(function, inputs, outputs, api_name=name, queue=queued, concurrency_limit=None)


async def _tell_mcp(now: Progress) -> None:
    """Send the progress to the MCP client on whose behalf this is called, if it is one that asked for it."""
    from mcp.server.lowlevel.server import request_ctx  # noqa: PLC0415 - only where MCP is switched on

    context: Any = request_ctx.get(None)
    token = context and context.meta and context.meta.progressToken
    if token:
        text = f"step {now.step} of {now.steps}" if not now.ahead else f"{now.ahead} jobs ahead"
        with suppress(Exception):  # whoever has hung up is not told
            await context.session.send_progress_notification(
                token, now.step, now.steps, text, related_request_id=str(context.request_id)
            )
