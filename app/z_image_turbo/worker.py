"""The one thread that touches the engine: it loads the model, then takes batches of jobs and ends them."""

from __future__ import annotations

import logging
import math
import threading
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from z_image_turbo.errors import BrokenPicture, DeviceLost, InstanceFailed, JobFailed, ServiceError
from z_image_turbo.faults import first_line
from z_image_turbo.figures import Figures
from z_image_turbo.lifecycle import State
from z_image_turbo.watchdog import Pulse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from PIL.Image import Image

    from z_image_turbo.engine import Engine, Preview
    from z_image_turbo.job_queue import JobQueue
    from z_image_turbo.jobs import Job
    from z_image_turbo.lifecycle import Lifecycle
    from z_image_turbo.pictures import Order

log = logging.getLogger(__name__)

FAILED_MESSAGE = "This instance has failed; try again."
IDLE_SECONDS = 5.0  # after so much rest the device is asked whether it is still there
FAILURES_BEFORE_CHECK = 3
PATIENCE = 3  # silence may last this many times as long as the whole drawing should


class JobDropped(Exception):  # noqa: N818 - not an error: the jobs were cancelled or cut off meanwhile
    """Ends the drawing of jobs that nobody waits for any more."""


class Worker:
    """Runs the engine. A job that fails fails alone; a lost device, or a bug here, fails the instance."""

    def __init__(  # noqa: PLR0913 - the parts of an instance
        self,
        engine: Engine,
        queue: JobQueue,
        lifecycle: Lifecycle,
        rehearsal: Order,
        *,
        preludes: Sequence[Order] = (),
        stuck_seconds: float = 0,
        turn: Callable[[], AbstractContextManager[None]] = nullcontext,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Bring the parts together. `rehearsal` is drawn, and thrown away, before the first job is taken.

        `preludes` are drawn even before that, for what they set up. `stuck_seconds` is the silence that the
        watchdog of `pulse` allows beyond the time that is expected; 0 allows any. The model is loaded within
        `turn`.
        """
        self._engine = engine
        self._queue = queue
        self._lifecycle = lifecycle
        self._rehearsal = rehearsal
        self._preludes = preludes
        self._stuck_seconds = stuck_seconds
        self._turn = turn
        self._clock = clock
        self._failures = 0  # in a row
        self.pulse = Pulse()
        self.figures = Figures()
        # A daemon: the process may leave in the middle of a long load or of a job that was cut off.
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        """Begin to load the model."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def join(self, timeout_seconds: float) -> None:
        """Wait for the thread to end after the queue was stopped."""
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        try:
            self._get_ready()
            while (batch := self._queue.take(IDLE_SECONDS)) is not None:
                if batch:
                    self._serve(batch)
                else:
                    with self.pulse.during("asking the idle device", self._silence_allowed(0)):
                        self._engine.probe()
                self.figures.note(self._engine)
        except Exception as error:
            log.exception("the worker ends; this instance must be restarted")
            self._lifecycle.move(State.FAILED, first_line(error))
            self._queue.fail_waiting(InstanceFailed(FAILED_MESSAGE))

    def _get_ready(self) -> None:
        with self._turn():
            self._lifecycle.load()
            begin = self._clock()
            self._engine.load()
            loaded = self._clock()
        for order in self._preludes:
            self._rehearse(order, math.inf)
        # Drawn twice: the first time pays for what is set up lazily, the second one tells the true speed.
        for _ in range(2):
            seconds = self._rehearse(self._rehearsal, math.inf)
        self._queue.note_speed(self._rehearsal.work, seconds)
        self.figures.note(self._engine)
        if self._lifecycle.move(State.READY, "accepting jobs"):
            log.info(
                "ready",
                extra=self._engine.facts()
                | {
                    "load_seconds": round(loaded - begin, 3),
                    "warm_up_seconds": round(self._clock() - loaded, 3),
                },
            )

    def _rehearse(self, order: Order, silence_allowed: float) -> float:
        """Draw `order`, throw the pictures away, and return how long it took."""
        start = self._clock()
        with self.pulse.during("a rehearsal", silence_allowed):
            self._engine.draw(order.pictures, lambda step, _: self.pulse.beat(f"a rehearsal, step {step}"))
        return self._clock() - start

    def _serve(self, batch: Sequence[Job]) -> None:
        """Draw `batch`, and its jobs one by one where that fails: the others are not to blame for one."""
        for job in batch:
            facts = {"wait_seconds": round(job.wait_seconds, 3), "batch_jobs": len(batch)}
            log.info("job started", extra=job.facts() | facts)
        try:
            error = self._draw(batch)
            if error is not None and len(batch) > 1:
                log.warning("a batch failed, its jobs are drawn one by one", exc_info=error)
                error.__traceback__ = None  # it holds what was on the device
                for job in batch:
                    if job.outcome is None and (own := self._draw([job])) is not None:
                        self._fail(job, own)
            elif error is not None:
                self._fail(batch[0], error)
            if self._failures >= FAILURES_BEFORE_CHECK:
                self._check()
        finally:
            for job in batch:
                job.fail(InstanceFailed(FAILED_MESSAGE))  # only if it has not ended: nobody is left waiting
            self._queue.release()

    def _fail(self, job: Job, error: Exception) -> None:
        self._failures += 1
        if isinstance(error, ServiceError):
            log.warning("job failed: %s", error.message, extra=job.facts())
            job.fail(error)
        else:
            log.error("job failed", extra=job.facts(), exc_info=error)
            job.fail(JobFailed(f"The picture could not be made; the log tells why under job {job.id}."))

    def _check(self) -> None:
        """Find out whether the last jobs were at fault; raise `DeviceLost` where the engine is."""
        self._failures = 0
        try:
            self._rehearse(self._rehearsal, self._silence_allowed(self._rehearsal.work))
        except Exception as error:
            raise DeviceLost(f"nothing can be drawn any more: {first_line(error)}") from error

    def _draw(self, jobs: Sequence[Job]) -> Exception | None:
        """Draw `jobs` as one batch and finish them; return what prevented it. Raises `DeviceLost`."""
        pictures = [picture for job in jobs for picture in job.order.pictures]
        work = sum(job.order.work for job in jobs)
        begin = last = self._clock()

        def on_step(step: int, preview: Preview) -> None:
            nonlocal last
            now = self._clock()
            self.figures.step(now - last)
            last = now
            self.pulse.beat(f"after step {step} of job {jobs[0].id}")
            wanted = [job for job in jobs if job.outcome is None]
            if not wanted:
                raise JobDropped
            for job in wanted:
                job.step = step
                if step in job.preview_steps:
                    job.show(preview(_places(jobs, job)))

        try:
            with self.pulse.during(f"before step 1 of job {jobs[0].id}", self._silence_allowed(work)):
                images = self._engine.draw(pictures, on_step)
        except JobDropped:
            return None
        except DeviceLost:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is of these jobs alone
            return error
        finally:
            for job in jobs:
                job.run_seconds = self._clock() - begin
        seconds = self._clock() - begin
        self._queue.note_speed(work, seconds)
        self.figures.batch(len(pictures))
        for job in jobs:
            self._finish(job, [images[place] for place in _places(jobs, job)])
        return None

    def _finish(self, job: Job, images: Sequence[Image]) -> None:
        if all(image.getbbox() for image in images):
            self._failures = 0
            job.finish(images)
        else:
            self._fail(job, BrokenPicture("The model drew a picture that is black all over."))

    def _silence_allowed(self, work: float) -> float:
        if not self._stuck_seconds:
            return math.inf
        return self._stuck_seconds + PATIENCE * self._queue.seconds_for(work)


def _places(jobs: Sequence[Job], job: Job) -> range:
    """Return where the pictures of `job` are among those of `jobs`."""
    first = 0
    for one in jobs:
        if one is job:
            break
        first += one.order.count
    return range(first, first + job.order.count)
