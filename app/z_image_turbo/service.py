"""An instance without its interfaces: what the APIs, the page and the server talk to."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from z_image_turbo.errors import NotNow, Refused, ShuttingDown
from z_image_turbo.job_queue import Bounds, JobQueue
from z_image_turbo.jobs import NOBODY, Job, Way
from z_image_turbo.lifecycle import Lifecycle, State
from z_image_turbo.pictures import make_order
from z_image_turbo.worker import Worker

if TYPE_CHECKING:
    from z_image_turbo.engine import Engine
    from z_image_turbo.pictures import Order
    from z_image_turbo.settings import Settings

log = logging.getLogger(__name__)


class Observer(Protocol):
    """Somebody who counts what happens to jobs."""

    def accepted(self, job: Job) -> None:
        """Note that a job got into the queue."""

    def refused(self, way: Way, error: Refused) -> None:
        """Note that a job was turned away."""


class Service:
    """Settings, lifecycle, queue and worker of one instance, wired together."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        """Wire the parts; nothing runs before `start`."""
        self.settings = settings
        self.lifecycle = Lifecycle()
        self.queue = JobQueue(Bounds.of(settings), admit=self.lifecycle.require_ready)
        self.worker = Worker(
            engine, self.queue, self.lifecycle, rehearsal=make_order(settings, prompt="warm-up", seed=0)
        )
        self._observers: list[Observer] = []

    def observe(self, observer: Observer) -> None:
        """Have `observer` told of every job from now on."""
        self._observers.append(observer)

    def start(self) -> None:
        """Begin to load the model; returns at once."""
        self.worker.start()

    def stop(self) -> None:
        """Tell the worker to end after the job it may be drawing; returns at once."""
        self.queue.stop()

    def submit(self, order: Order, way: Way, caller: str = NOBODY, task: str | None = None) -> Job:
        """Queue `order` and return its job; raise the `Refused` that says why it is not taken."""
        job = Job(order, way, caller, task)
        try:
            self.queue.submit(job)
        except Refused as error:
            for observer in self._observers:
                observer.refused(way, error)
            raise
        log.info("job accepted", extra=job.facts() | {"ahead": self.queue.ahead_of(job)})
        job.when_ended(_log_end)
        for observer in self._observers:
            observer.accepted(job)
        return job

    def cancel(self, caller: str, task: str | None = None) -> None:
        """Give up the caller's jobs, or the one that the caller knows as `task`."""
        for job in self.queue.jobs_of(caller):
            if task in {None, job.task}:
                job.cancel()

    def pause(self) -> None:
        """Take no more jobs until `resume`; those accepted go on. Raise `NotNow` unless ready."""
        self._move(State.PAUSED, "paused by the operator")

    def resume(self) -> None:
        """Take jobs again; raise `NotNow` unless paused or ready."""
        if self.lifecycle.state is not State.LOADING:
            self._move(State.READY, "accepting jobs")
        else:
            raise NotNow("The model is still being loaded.")

    def begin_drain(self, reason: str) -> None:
        """Take no more jobs; those accepted go on."""
        self.lifecycle.move(State.DRAINING, reason)

    def cut_off(self) -> None:
        """End what is still waiting or running, so that its callers may try another instance."""
        error = ShuttingDown("This instance is shutting down; try again.", retry_after_seconds=1)
        running = self.queue.running
        self.queue.fail_waiting(error)
        if running is not None:
            running.fail(error)

    def _move(self, state: State, reason: str) -> None:
        if not self.lifecycle.move(state, reason) and self.lifecycle.state is not state:
            raise NotNow(f"The instance is {self.lifecycle.state.value}.")

    @property
    def live(self) -> bool:
        """Whether a restart would not help: the worker's thread runs and has not given up."""
        return self.worker.alive and self.lifecycle.state is not State.FAILED


def _log_end(job: Job) -> None:
    log.info(
        "job %s",
        job.outcome.value if job.outcome else "",
        extra=job.facts()
        | {"wait_seconds": round(job.wait_seconds, 3), "run_seconds": round(job.run_seconds, 3)},
    )
