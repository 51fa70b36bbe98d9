"""Answers of the OpenAI API as a stream of server-sent events, with unfinished pictures on the way."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from fastapi.responses import StreamingResponse
from PIL.Image import Image

from z_image_turbo.api.errors import openai_body
from z_image_turbo.api.parts import as_base64
from z_image_turbo.api.usage import usage_of
from z_image_turbo.errors import ServiceError
from z_image_turbo.job_queue import JobQueue
from z_image_turbo.jobs import Job
from z_image_turbo.watching import Finished, Happenings, Progress, Unfinished, watch, with_silence

PARTIAL_IMAGES_MAX = 3
KEEP_ALIVE_SECONDS = 15  # well below the time after which proxies give a silent connection up
KEEP_ALIVE = ": keep-alive\n\n"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # the second one is Nginx's

Encode = Callable[[Image], bytes]


def as_stream(  # noqa: PLR0913 - what a stream is made of
    job: Job,
    queue: JobQueue,
    prefix: str,
    common: dict[str, Any],
    encode: Encode,
    *,
    partial_images: int,
    progress: bool,
) -> StreamingResponse:
    """Return the answer that tells of `job` as it goes on; whoever hangs up cancels it.

    `prefix` names the events and `common` is what each of them with a picture says. `progress` asks for the
    events that tell how far the job is, which other services do not have.
    """
    happenings = watch(job, queue, partial_images, progress=progress)

    def event(kind: str, **more: object) -> str:
        name = f"{prefix}.{kind}"
        return _as_event(name, {"type": name, **more})

    def picture(kind: str, text: str, **more: object) -> str:
        return event(kind, b64_json=text, created_at=int(time.time()), **common, **more)

    events = _events(happenings, job, encode, event, picture)
    return StreamingResponse(events, media_type="text/event-stream", headers=HEADERS)


async def _events(
    happenings: Happenings,
    job: Job,
    encode: Encode,
    event: Callable[..., str],
    picture: Callable[..., str],
) -> AsyncIterator[str]:
    index = 0
    try:
        async with aclosing(with_silence(happenings, KEEP_ALIVE_SECONDS)) as told:
            async for happened in told:
                match happened:
                    case None:
                        yield KEEP_ALIVE
                    case Progress():
                        yield event("progress", **asdict(happened))
                    case Unfinished(images):
                        for text in await as_base64(images, encode):
                            yield picture("partial_image", text, partial_image_index=index)
                        index += 1
                    case Finished(images):
                        texts = await as_base64(images, encode)
                        for text, drawn in zip(texts, job.order.pictures, strict=True):
                            yield picture("completed", text, seed=drawn.seed, usage=usage_of(job.order, 1))
    except ServiceError as error:
        yield _as_event("error", {"type": "error", **openai_body(error)})


def _as_event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
