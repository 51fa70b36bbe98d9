"""What the page does when somebody draws: it makes the order, tells how it goes, and keeps the pictures."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
import uuid
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from z_image_turbo.api.callers import caller_of
from z_image_turbo.api.scope import ACCEPTED_ID
from z_image_turbo.encoding import as_png
from z_image_turbo.errors import Cancelled, InvalidRequest
from z_image_turbo.logs import request_id
from z_image_turbo.loras import read_tags, with_tags
from z_image_turbo.page_events import hung_up
from z_image_turbo.page_memory import Entry
from z_image_turbo.page_stage import preview_address
from z_image_turbo.pictures import begin_with, make_order
from z_image_turbo.sources import fit, read_source
from z_image_turbo.watching import Finished, Progress, with_silence

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence

    import gradio as gr
    from PIL.Image import Image

    from z_image_turbo.drawing import Drawing
    from z_image_turbo.pictures import Order
    from z_image_turbo.settings import Settings

LISTEN_SECONDS = 0.2  # how often it is looked whether the drawing was given up


class SourceUnreadable(InvalidRequest):
    """The picture to start from is none, or too large, or gone."""

    word = "source_unreadable"


@dataclass(frozen=True, slots=True)
class Stage:
    """How far a drawing is, and the address of what it looks like, empty while there is nothing to see."""

    progress: Progress | None
    preview: str


class Easel:
    """Draws for those in front of the page, and for the programs that use its endpoints."""

    def __init__(self, drawing: Drawing, settings: Settings, folder: Path) -> None:
        """Draw by `drawing`, and keep the pictures in `folder`."""
        self._drawing = drawing
        self._settings = settings
        self._folder = folder
        self._given_up: dict[tuple[str, str], list[asyncio.Event]] = {}

    def caller(self, request: gr.Request) -> str:
        """Return whose turn a job of this request takes."""
        address = request.client.host if request.client else None
        return caller_of(request.headers, address, self._settings)

    async def order(self, source: str | None, strength: float, prompt: str, **values: int | None) -> Order:
        """Return the order for the fields of the form; raise the `InvalidRequest` that says what is wrong."""
        plain, loras = read_tags(prompt)
        order = make_order(self._settings, prompt=plain, loras=loras, **values)
        if source is None:
            return order
        picture = await asyncio.to_thread(self._read_source, source)
        return begin_with(fit(picture, order.width, order.height), order, strength)

    async def draw(
        self, order: Order, request: gr.Request, page: gr.Blocks | None = None, *, previews: bool = False
    ) -> AsyncGenerator[Stage | list[Entry]]:
        """Tell how the drawing goes, and in the end the pictures.

        It is given up within one step when the iterator is closed, by `cancel`, and when nobody listens to
        the event of `page` any more. Raises `Cancelled` then, and any other `ServiceError`.
        """
        if not request_id.get():  # Gradio calls from a task of its own, which knows no request
            given = request.headers.get("x-request-id", "")
            request_id.set(given if ACCEPTED_ID.fullmatch(given) else uuid.uuid4().hex)
        stage = Stage(None, "")
        with self._listed(request) as given_up:
            happenings = self._drawing.draw(order, self.caller(request), previews)
            async with aclosing(with_silence(happenings, LISTEN_SECONDS)) as told:
                async for happened in told:
                    if given_up.is_set() or (page is not None and hung_up(page, request)):
                        raise Cancelled("The job was cancelled.")
                    match happened:
                        case None:
                            continue
                        case Progress():
                            stage = Stage(happened, stage.preview)
                        case Finished(images):
                            yield await asyncio.to_thread(self._keep, images, order)
                            return
                        case _:
                            address = await asyncio.to_thread(preview_address, happened.images[0])
                            stage = Stage(stage.progress, address)
                    yield stage

    async def draw_one(
        self,
        order: Order,
        request: gr.Request,
        tell: Callable[[Progress], Awaitable[None]] | None = None,
        page: gr.Blocks | None = None,
    ) -> Entry:
        """Draw one picture; `tell`, when there is one, is awaited with the progress."""
        async with aclosing(self.draw(order, request, page)) as told:
            async for happened in told:
                if isinstance(happened, list):
                    return happened[0]
                if tell is not None and happened.progress is not None:
                    await tell(happened.progress)
        raise AssertionError("a drawing ends with pictures or an error")

    def cancel(self, request: gr.Request) -> None:
        """Give up what the caller draws in this tab."""
        for event in self._given_up.get(self._key(request), ()):
            event.set()

    @contextmanager
    def _listed(self, request: gr.Request) -> Iterator[asyncio.Event]:
        key, event = self._key(request), asyncio.Event()
        self._given_up.setdefault(key, []).append(event)
        try:
            yield event
        finally:
            self._given_up[key].remove(event)
            if not self._given_up[key]:
                del self._given_up[key]

    def _key(self, request: gr.Request) -> tuple[str, str]:
        # A call by MCP has no session, and nobody cancels it by another one.
        return self.caller(request), getattr(request, "session_hash", None) or ""

    def _read_source(self, path: str) -> Image:
        """Return the uploaded picture at `path`, which the page's guard has let through."""
        try:
            data = Path(path).read_bytes()  # Gradio has bounded its size when it was uploaded
            return read_source(data, self._settings)
        except OSError:
            raise SourceUnreadable("The picture to start from is gone.") from None
        except InvalidRequest as error:
            raise SourceUnreadable(f"The picture to start from {error.message}") from None

    def _keep(self, images: Sequence[Image], order: Order) -> list[Entry]:
        return [
            Entry(
                file=keep_picture(image, picture.seed, self._folder),
                prompt=with_tags(picture.prompt, order.loras),
                width=picture.width,
                height=picture.height,
                seed=picture.seed,
                steps=picture.steps,
                at=time.time(),
            )
            for image, picture in zip(images, order.pictures, strict=True)
        ]


def keep_picture(image: Image, seed: int, folder: Path) -> str:
    """Write `image` below the hash of its content, so that its address cannot be guessed; return the path.

    Several instances share the folder: a file is complete when it has its name, which is the one that it is
    downloaded by.
    """
    png = as_png(image)
    path = folder / hashlib.sha256(png).hexdigest() / f"z-image-{seed}.png"
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    unfinished.write_bytes(png)
    unfinished.replace(path)
    return str(path)
