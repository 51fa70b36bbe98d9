"""An instance without its interfaces: what the APIs, the page and the server talk to."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from z_image_turbo.batching import Batching
from z_image_turbo.errors import InstanceFailed, NotNow, Refused, ShuttingDown
from z_image_turbo.job_queue import Bounds, JobQueue
from z_image_turbo.jobs import NOBODY, Job, Way
from z_image_turbo.lifecycle import Lifecycle, State
from z_image_turbo.pictures import make_order
from z_image_turbo.turns import turn
from z_image_turbo.watchdog import TICK_SECONDS, Watchdog
from z_image_turbo.worker import FAILED_MESSAGE, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from z_image_turbo.engine import Engine
    from z_image_turbo.pictures import Order
    from z_image_turbo.settings import Settings

log = logging.getLogger(__name__)

REHEARSED = "warm-up"


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
        self._engine = engine
        self._batching = Batching.of(settings)
        self.queue = JobQueue(
            Bounds.of(settings), admit=self.lifecycle.require_ready, batching=self._batching
        )
        self.worker = Worker(
            engine,
            self.queue,
            self.lifecycle,
            rehearsal=make_order(settings, prompt=REHEARSED, seed=0),
            preludes=_preludes(settings),
            stuck_seconds=settings.stuck_seconds,
            turn=lambda: turn(settings.load_turns, settings.loads_at_once, self.lifecycle.wait_for_turn),
        )
        self._watchdog = Watchdog(self.worker.pulse, self._on_stuck, TICK_SECONDS)
        self._observers: list[Observer] = []
        self._away = 0
        self._is_expecting: Callable[[], bool] = lambda: False

    def observe(self, observer: Observer) -> None:
        """Have `observer` told of every job from now on."""
        self._observers.append(observer)

    def expect(self, is_expecting: Callable[[], bool]) -> None:
        """Have the page say whether it has accepted calls whose results were not fetched."""
        self._is_expecting = is_expecting

    def start(self) -> None:
        """Begin to load the model; returns at once."""
        self.worker.start()
        self._watchdog.start()

    def stop(self) -> None:
        """Tell the worker to end after the job it may be drawing; returns at once."""
        self.queue.stop()
        self._watchdog.stop()

    def submit(self, order: Order, way: Way, caller: str = NOBODY, task: str | None = None) -> Job:
        """Queue `order` and return its job; raise the `Refused` that says why it is not taken."""
        job = Job(order, way, caller, task)
        try:
            self.lifecycle.require_ready()  # before that the engine knows no captions
            job.likeness = self._batching.likeness(order, self._engine.caption_tokens(order.prompt))
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

    @contextmanager
    def away(self) -> Iterator[None]:
        """Say, from the event loop, that a job of this instance's page is drawn by another instance."""
        self._away += 1
        try:
            yield
        finally:
            self._away -= 1

    @property
    def idle(self) -> bool:
        """Whether no job is waited for: neither here nor, for the page, elsewhere."""
        return self.queue.idle and not self._away

    @property
    def expecting(self) -> bool:
        """Whether somebody comes back for the result of a call, which may not be a job yet."""
        return self._is_expecting()

    def begin_drain(self, reason: str) -> None:
        """Take no more jobs; those accepted go on."""
        self.lifecycle.move(State.DRAINING, reason)

    def cut_off(self) -> None:
        """End what is still waiting or running, so that its callers may try another instance."""
        error = ShuttingDown("This instance is shutting down; try again.", retry_after_seconds=1)
        self._end_all(error)

    def _on_stuck(self, reason: str) -> None:
        log.critical("%s; this instance must be restarted", reason)
        self.lifecycle.move(State.FAILED, reason)
        self._end_all(InstanceFailed(FAILED_MESSAGE))

    def _end_all(self, error: Refused) -> None:
        self.queue.fail_waiting(error)
        for job in self.queue.running:
            job.fail(error)

    def _move(self, state: State, reason: str) -> None:
        if not self.lifecycle.move(state, reason) and self.lifecycle.state is not state:
            raise NotNow(f"The instance is {self.lifecycle.state.value}.")

    @property
    def live(self) -> bool:
        """Whether a restart would not help: the worker's thread runs and has not given up."""
        return self.worker.alive and self.lifecycle.state is not State.FAILED


def _preludes(settings: Settings) -> list[Order]:
    """Return what is drawn before the rehearsal: a pair, where the first one would wait for the compiler."""
    if not settings.compile:
        return []
    side = settings.side_min
    return [
        make_order(
            settings, prompt=REHEARSED, width=side, height=side, seed=0, count=min(2, settings.images_max)
        )
    ]


def _log_end(job: Job) -> None:
    log.info(
        "job %s",
        job.outcome.value if job.outcome else "",
        extra=job.facts()
        | {"wait_seconds": round(job.wait_seconds, 3), "run_seconds": round(job.run_seconds, 3)},
    )
