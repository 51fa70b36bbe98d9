"""The one thread that touches the engine: it loads the model, then takes jobs and finishes them."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from z_image_turbo.errors import BrokenPicture, DeviceLost, InstanceFailed, JobFailed, ServiceError
from z_image_turbo.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from z_image_turbo.engine import Engine, Preview
    from z_image_turbo.job_queue import JobQueue
    from z_image_turbo.jobs import Job
    from z_image_turbo.lifecycle import Lifecycle
    from z_image_turbo.pictures import Order

log = logging.getLogger(__name__)

FAILED_MESSAGE = "This instance has failed; try again."


class JobDropped(Exception):  # noqa: N818 - not an error: the job was cancelled or cut off while being drawn
    """Ends the drawing of a job that nobody waits for any more."""


class Worker:
    """Runs the engine. A job that fails fails alone; a lost device, or a bug here, fails the instance."""

    def __init__(
        self,
        engine: Engine,
        queue: JobQueue,
        lifecycle: Lifecycle,
        rehearsal: Order,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Bring the parts together. `rehearsal` is drawn, and thrown away, before the first job is taken."""
        self._engine = engine
        self._queue = queue
        self._lifecycle = lifecycle
        self._rehearsal = rehearsal
        self._clock = clock
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
            while job := self._queue.take():
                self._draw(job)
        except Exception as error:
            log.exception("the worker ends; this instance must be restarted")
            self._lifecycle.move(State.FAILED, _reason(error))
            self._queue.fail_waiting(InstanceFailed(FAILED_MESSAGE))

    def _get_ready(self) -> None:
        begin = self._clock()
        self._engine.load()
        loaded = self._clock()
        # Drawn twice: the first time pays for what is set up lazily, the second one tells the true speed.
        for _ in range(2):
            start = self._clock()
            self._engine.draw(self._rehearsal.pictures, lambda _step, _preview: None)
        warm = self._clock()
        self._queue.note_speed(self._rehearsal, warm - start)
        if self._lifecycle.move(State.READY, "accepting jobs"):
            log.info(
                "ready",
                extra={"load_seconds": round(loaded - begin, 3), "warm_up_seconds": round(warm - loaded, 3)},
            )

    def _draw(self, job: Job) -> None:
        def on_step(step: int, preview: Preview) -> None:
            if job.outcome is not None:
                raise JobDropped
            job.step = step
            if step in job.preview_steps:
                job.show(preview())

        log.info("job started", extra=job.facts() | {"wait_seconds": round(job.wait_seconds, 3)})
        begin = self._clock()
        try:
            images = self._engine.draw(job.order.pictures, on_step)
            if not all(image.getbbox() for image in images):
                raise BrokenPicture("The model drew a picture that is black all over.")  # noqa: TRY301
        except JobDropped:
            job.run_seconds = self._clock() - begin
        except ServiceError as error:
            job.run_seconds = self._clock() - begin
            log.warning("job failed: %s", error.message, extra=job.facts())
            job.fail(error)
        except DeviceLost:
            raise
        except Exception:
            job.run_seconds = self._clock() - begin
            log.exception("job failed", extra=job.facts())
            job.fail(JobFailed(f"The picture could not be made; the log tells why under job {job.id}."))
        else:
            job.run_seconds = self._clock() - begin
            job.finish(images)
        finally:
            job.fail(InstanceFailed(FAILED_MESSAGE))  # only if it has not ended: nobody is left waiting
            self._queue.release(job)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
