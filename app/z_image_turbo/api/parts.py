"""What the picture APIs share: finding the service, waiting for a job, and encoding its pictures."""

import asyncio
import base64
from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import Depends, Request
from PIL.Image import Image

from z_image_turbo.api.callers import caller_of
from z_image_turbo.encoding import as_png
from z_image_turbo.errors import CallerGone, UnknownModel
from z_image_turbo.jobs import Job
from z_image_turbo.service import Service

SHOWN_CHARS = 100  # of what a request says, in the message that refuses it


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _caller(request: Request) -> str:
    address = request.client.host if request.client else None
    return caller_of(request.headers, address, _service(request).settings)


ServiceOf = Annotated[Service, Depends(_service)]
CallerOf = Annotated[str, Depends(_caller)]


async def images_unless_gone(request: Request, job: Job) -> Sequence[Image]:
    """Wait for the pictures of `job`; when the caller hangs up first, cancel it and raise `CallerGone`."""
    images = asyncio.ensure_future(job.images())
    gone = asyncio.ensure_future(_hang_up(request))
    try:
        await asyncio.wait({images, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not images.done():
            raise CallerGone("The caller hung up.")
        return await images
    finally:
        images.cancel()
        gone.cancel()


def require_model(name: object, known: Sequence[str | None], field: str) -> None:
    """Raise `UnknownModel` unless `name` is one of those `known`, or nothing at all."""
    if name not in (None, "", *known):  # of any type, also one without a hash
        raise UnknownModel(f"{shorten(str(name), SHOWN_CHARS)!r} is not served here.", field=field)


def shorten(text: str, most: int) -> str:
    """Return `text`, cut where it is longer than an answer should repeat."""
    return text if len(text) <= most else text[: most - 1] + "…"


async def as_base64(images: Sequence[Image], encode: Callable[[Image], bytes] = as_png) -> list[str]:
    """Return each picture as the base64 text of a file, made off the event loop and off the worker."""

    def text(image: Image) -> str:
        return base64.b64encode(encode(image)).decode("ascii")

    return await asyncio.gather(*(asyncio.to_thread(text, image) for image in images))


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
