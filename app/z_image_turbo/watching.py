"""What happens to a job, as a stream: how far it is, what it looks like, what came out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from z_image_turbo.job_queue import JobQueue
    from z_image_turbo.jobs import Job

LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: `step` of `steps` are done, `ahead` jobs come first, the estimate is 0 if unknown."""

    step: int
    steps: int
    ahead: int
    eta_seconds: float


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The pictures as they are on the way."""

    images: Sequence[Image]


@dataclass(frozen=True, slots=True)
class Finished:
    """The pictures, in the order of their seeds."""

    images: Sequence[Image]


def progress_of(job: Job, queue: JobQueue) -> Progress:
    """Return how far `job` is."""
    return Progress(job.step, job.order.steps_drawn, queue.ahead_of(job), round(queue.seconds_left(job), 1))


def steps_to_show(steps: int, count: int) -> frozenset[int]:
    """Return the steps after which `count` unfinished pictures are shown, evenly spread, fewer if need be."""
    return frozenset(round(steps * (index + 1) / (count + 1)) for index in range(count)) - {0, steps}


Happenings = AsyncGenerator[Progress | Unfinished | Finished]


def watch(job: Job, queue: JobQueue, previews: int = 0, *, progress: bool = True) -> Happenings:
    """Tell of `job` until its pictures are there; raise the `ServiceError` that ended it.

    Progress is told when it changes, if it is wanted, and `previews` unfinished pictures at most. Whoever
    closes the iterator gives the job up.
    """
    shown: asyncio.Queue[Sequence[Image]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def show(images: Sequence[Image]) -> None:
        with suppress(RuntimeError):  # the loop has closed: nobody waits
            loop.call_soon_threadsafe(shown.put_nowait, images)

    if previews:  # at once, and not when the first one listens: the worker may be drawing already
        job.when_previewed(steps_to_show(job.order.steps_drawn, previews), show)
    return _watch(job, queue, shown, progress)


async def _watch(
    job: Job, queue: JobQueue, shown: asyncio.Queue[Sequence[Image]], progress: bool
) -> Happenings:
    finished = asyncio.ensure_future(job.images())
    told: tuple[int, int] | None = None
    try:
        while not finished.done() or not shown.empty():
            await asyncio.wait({finished}, timeout=LOOK_SECONDS)
            now = progress_of(job, queue)
            if progress and not finished.done() and (now.step, now.ahead) != told:
                told = now.step, now.ahead
                yield now
            while not shown.empty():
                yield Unfinished(shown.get_nowait())
        yield Finished(await finished)
    finally:
        finished.cancel()  # which gives the job up, unless others wait for it too


async def with_silence(
    happenings: Happenings, seconds: float
) -> AsyncGenerator[Progress | Unfinished | Finished | None]:
    """Pass on what is told, and None whenever nothing was for `seconds`; close `happenings` in the end."""
    coming = asyncio.ensure_future(anext(happenings, None))
    try:
        while True:
            await asyncio.wait({coming}, timeout=seconds)
            if not coming.done():
                yield None
            elif (happened := await coming) is None:
                return
            else:
                yield happened
                coming = asyncio.ensure_future(anext(happenings, None))
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await happenings.aclose()
