"""Answers of the OpenAI API as a stream of server-sent events, with unfinished pictures on the way."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any

from fastapi.responses import StreamingResponse
from PIL.Image import Image

from z_image_turbo.api.errors import openai_body
from z_image_turbo.api.parts import as_base64
from z_image_turbo.errors import ServiceError
from z_image_turbo.jobs import Job

PARTIAL_IMAGES_MAX = 3
KEEP_ALIVE_SECONDS = 15  # well below the time after which proxies give a silent connection up
KEEP_ALIVE = ": keep-alive\n\n"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # the second one is Nginx's

log = logging.getLogger(__name__)

Encode = Callable[[Image], bytes]


def as_stream(
    job: Job, prefix: str, common: dict[str, Any], encode: Encode, partial_images: int
) -> StreamingResponse:
    """Return the answer that tells of `job` as it goes on; whoever hangs up cancels it.

    `prefix` names the events and `common` is what each of them says.
    """
    shown: asyncio.Queue[Sequence[Image]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def show(images: Sequence[Image]) -> None:
        with suppress(RuntimeError):  # the loop has closed: nobody waits
            loop.call_soon_threadsafe(shown.put_nowait, images)

    if partial_images:
        job.when_previewed(steps_to_show(job.order.steps_drawn, partial_images), show)
    events = _events(job, prefix, common, encode, shown)
    return StreamingResponse(events, media_type="text/event-stream", headers=HEADERS)


def steps_to_show(steps: int, count: int) -> frozenset[int]:
    """Return the steps after which `count` unfinished pictures are shown, evenly spread, fewer if need be."""
    return frozenset(round(steps * (index + 1) / (count + 1)) for index in range(count)) - {0, steps}


async def _events(
    job: Job,
    prefix: str,
    common: dict[str, Any],
    encode: Encode,
    shown: asyncio.Queue[Sequence[Image]],
) -> AsyncIterator[str]:
    finished = asyncio.ensure_future(job.images())
    showing = asyncio.ensure_future(shown.get())
    index = 0

    def event(kind: str, text: str, **more: object) -> str:
        name = f"{prefix}.{kind}"
        data = {"type": name, "b64_json": text, "created_at": int(time.time()), **common, **more}
        return _as_event(name, data)

    try:
        while showing.done() or not finished.done():
            await asyncio.wait(
                {finished, showing}, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if showing.done():
                for text in await as_base64(showing.result(), encode):
                    yield event("partial_image", text, partial_image_index=index)
                index += 1
                showing = asyncio.ensure_future(shown.get())
                await asyncio.sleep(0)  # let it take what is there already
            elif not finished.done():
                yield KEEP_ALIVE
        texts = await as_base64(await finished, encode)
        for text, picture in zip(texts, job.order.pictures, strict=True):
            yield event("completed", text, seed=picture.seed)
    except ServiceError as error:
        yield _as_event("error", {"type": "error", **openai_body(error)})
    finally:
        finished.cancel()
        showing.cancel()


def _as_event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
