"""Jobs: requests for pictures on their way, whatever door they came in by."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from concurrent.futures import Future, InvalidStateError
from enum import Enum
from typing import TYPE_CHECKING

from z_image_turbo.errors import Cancelled, ServiceError
from z_image_turbo.logs import request_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL.Image import Image

    from z_image_turbo.batching import Likeness
    from z_image_turbo.pictures import Order

NOBODY = "nobody"  # the caller of a job that has none


class Way(Enum):
    """By which door a job came in."""

    OPENAI = "openai"
    SDAPI = "sdapi"
    PAGE = "page"


class Outcome(Enum):
    """How a job ended."""

    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job:
    """One order on its way. `finish` and `fail` are the worker's, `cancel` is anybody's, at any time."""

    def __init__(self, order: Order, way: Way, caller: str = NOBODY, task: str | None = None) -> None:
        """Make a job that nobody has accepted yet. `task` is the name that the caller knows it by, if any."""
        self.id = uuid.uuid4().hex
        self.order = order
        self.way = way
        self.caller = caller
        self.task = task or self.id
        self.request = request_id.get()
        self.likeness: Likeness = None  # of jobs that may be drawn as one batch with it; None for none
        self.step = 0  # steps done, for those who show progress
        self.accepted = time.time()  # for people
        self.submitted = 0.0  # by the queue's clock
        self.wait_seconds = 0.0  # from then until the worker took it
        self.run_seconds = 0.0  # of the engine's work
        self.preview_steps: frozenset[int] = frozenset()  # after which somebody wants to see the pictures
        self.waiting = 0  # those who wait for the pictures
        self.when_left: Callable[[], None] | None = (
            None  # called, instead of cancelling, when the last one leaves
        )
        self._previews: list[Callable[[Sequence[Image]], None]] = []
        self._future: Future[Sequence[Image]] = Future()

    async def images(self) -> Sequence[Image]:
        """Wait for the pictures, in the order of their seeds; raise the `ServiceError` that ended the job.

        A caller that is cancelled while it waits cancels the job, unless that is up to `when_left`.
        """
        ended = asyncio.wrap_future(self._future)
        self.waiting += 1
        try:
            return await (ended if self.when_left is None else asyncio.shield(ended))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._future.cancelled() and not (task and task.cancelling()):
                raise Cancelled("The job was cancelled.") from None
            raise
        finally:
            self.waiting -= 1
            if self.when_left is not None and not self.waiting and self.outcome is None:
                self.when_left()

    @property
    def outcome(self) -> Outcome | None:
        """How the job ended, None while it has not."""
        if not self._future.done():
            return None
        if self._future.cancelled():
            return Outcome.CANCELLED
        return Outcome.FAILED if self._future.exception() else Outcome.DONE

    @property
    def error(self) -> ServiceError | None:
        """What ended the job, None unless it failed."""
        if self.outcome is not Outcome.FAILED:
            return None
        error = self._future.exception()
        return error if isinstance(error, ServiceError) else None

    def finish(self, images: Sequence[Image]) -> None:
        """Hand over the pictures, unless the job has ended."""
        with contextlib.suppress(InvalidStateError):
            self._future.set_result(images)

    def fail(self, error: ServiceError) -> None:
        """End with `error`, unless the job has ended."""
        with contextlib.suppress(InvalidStateError):
            self._future.set_exception(error)

    def cancel(self) -> None:
        """Give the job up; does nothing when it has ended."""
        self._future.cancel()

    def when_previewed(self, steps: frozenset[int], call: Callable[[Sequence[Image]], None]) -> None:
        """Have `call` called on the worker's thread with the pictures as they are after each of `steps`."""
        self._previews.append(call)
        self.preview_steps |= steps

    def show(self, images: Sequence[Image]) -> None:
        """Hand the unfinished pictures to those who asked for them."""
        for call in self._previews:
            call(images)

    def facts(self) -> dict[str, object]:
        """Return what a log line about this job says; never the prompt."""
        order = self.order
        facts: dict[str, object] = {
            "job": self.id,
            "way": self.way.value,
            "caller": self.caller,
            "size": f"{order.width}x{order.height}",
            "steps": order.steps_drawn,
            "images": order.count,
        }
        return facts | {"request": self.request} if self.request else facts

    def when_ended(self, call: Callable[[Job], None]) -> None:
        """Have `call` called once with this job when it ends, on the thread that ends it."""
        self._future.add_done_callback(lambda _: call(self))
