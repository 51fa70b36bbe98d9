"""Jobs and the bounded queue they wait in. Policy only: no web, no model."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
import uuid
from collections import deque
from concurrent.futures import Future, InvalidStateError
from enum import Enum
from typing import TYPE_CHECKING

from z_image_turbo.errors import QueueFull

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL.Image import Image

    from z_image_turbo.errors import ServiceError
    from z_image_turbo.pictures import Order

RETRY_SECONDS_MAX = 120  # the clients that obey Retry-After take no more
NEWEST_SHARE = 0.3  # of the last measurement in the running mean


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

    def __init__(self, order: Order, way: Way) -> None:
        """Make a job that nobody has accepted yet."""
        self.id = uuid.uuid4().hex
        self.order = order
        self.way = way
        self.step = 0  # steps done, for those who show progress
        self.submitted = 0.0  # by the queue's clock
        self.wait_seconds = 0.0  # from then until the worker took it
        self.run_seconds = 0.0  # of the engine's work
        self._future: Future[Sequence[Image]] = Future()

    async def images(self) -> Sequence[Image]:
        """Wait for the pictures, in the order of their seeds; raise the `ServiceError` that ended the job.

        A caller that is cancelled while it waits cancels the job.
        """
        return await asyncio.wrap_future(self._future)

    @property
    def outcome(self) -> Outcome | None:
        """How the job ended, None while it has not."""
        if not self._future.done():
            return None
        if self._future.cancelled():
            return Outcome.CANCELLED
        return Outcome.FAILED if self._future.exception() else Outcome.DONE

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

    def when_ended(self, call: Callable[[Job], None]) -> None:
        """Have `call` called once with this job when it ends, on the thread that ends it."""
        self._future.add_done_callback(lambda _: call(self))


class JobQueue:
    """First come, first served, with a bound. One worker takes from it; everything else may use it too."""

    def __init__(
        self, limit: int, admit: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Hold at most `limit` waiting jobs. `admit` raises a `Refused` when no job may come in.

        It is called under the queue's lock: a job that got in is seen by whoever empties the queue later.
        """
        self._limit = limit
        self._admit = admit
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._stopped = False
        self._seconds_for_work: float | None = None

    def submit(self, job: Job) -> None:
        """Let `job` wait for its turn; raise `QueueFull` or what `admit` raises."""
        with self._changed:
            self._admit()
            self._drop_cancelled()
            if len(self._waiting) >= self._limit:
                raise QueueFull(
                    f"{self._limit} jobs are waiting; try again later.",
                    retry_after_seconds=self._retry_seconds(),
                )
            job.submitted = self._clock()
            self._waiting.append(job)
            self._changed.notify_all()

    def take(self) -> Job | None:
        """Wait for the next job that is not cancelled and return it; None once the queue is stopped."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._stopped)
                if self._stopped:
                    return None
                job = self._waiting.popleft()
                if job.outcome is None:
                    job.wait_seconds = self._clock() - job.submitted
                    self._running = job
                    return job

    def release(self, job: Job) -> None:
        """Note that the worker is done with `job`; one that was drawn also tells how fast the instance is."""
        with self._changed:
            self._running = None
        if job.outcome is Outcome.DONE:
            self.note_speed(job.order, job.run_seconds)

    def note_speed(self, order: Order, seconds: float) -> None:
        """Learn from an order that took `seconds` how fast the instance is. For the worker's thread alone."""
        measured = seconds / order.work
        known = self._seconds_for_work
        self._seconds_for_work = measured if known is None else known + NEWEST_SHARE * (measured - known)

    def fail_waiting(self, error: ServiceError) -> None:
        """End every waiting job with `error`."""
        with self._changed:
            jobs = list(self._waiting)
            self._waiting.clear()
        for job in jobs:
            job.fail(error)

    def stop(self) -> None:
        """Let the worker go: `take` returns None from now on."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @property
    def running(self) -> Job | None:
        """The job that is being drawn."""
        return self._running

    @property
    def depth(self) -> int:
        """How many jobs wait, the running one not counted."""
        with self._changed:
            self._drop_cancelled()
            return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting or being drawn."""
        with self._changed:
            self._drop_cancelled()
            return not self._waiting and self._running is None

    def ahead_of(self, job: Job) -> int:
        """Return how many jobs come before `job`, the running one counted; 0 when it does not wait."""
        with self._changed:
            self._drop_cancelled()
            if job not in self._waiting:
                return 0
            return self._waiting.index(job) + (self._running is not None)

    def seconds_left(self) -> float:
        """Estimate how long the accepted jobs will take from now on; 0 before anything was measured."""
        with self._changed:
            work = sum(job.order.work for job in self._waiting)
            if self._running is not None:
                order = self._running.order
                work += order.work * (1 - self._running.step / order.steps)
        return work * (self._seconds_for_work or 0.0)

    def _drop_cancelled(self) -> None:
        self._waiting = deque(job for job in self._waiting if job.outcome is None)

    def _retry_seconds(self) -> int:
        return min(max(1, math.ceil(self.seconds_left())), RETRY_SECONDS_MAX)
