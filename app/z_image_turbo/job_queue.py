"""The bounded queue that jobs wait in, where callers take turns. Policy only: no web, no model."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from z_image_turbo.batching import NO_BATCHING
from z_image_turbo.errors import CallerQueueFull, QueueFull

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from z_image_turbo.batching import Batching
    from z_image_turbo.errors import ServiceError
    from z_image_turbo.jobs import Job
    from z_image_turbo.settings import Settings

RETRY_SECONDS_MAX = 120  # the clients that obey Retry-After take no more
NEWEST_SHARE = 0.3  # of the last measurement in the running mean
CALLERS_REMEMBERED = 1024  # far more than can wait at once; who is forgotten counts as new


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may wait, the running jobs not counted."""

    jobs: int
    jobs_of_caller: int
    work: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the bounds that the settings name."""
        return cls(settings.queue_max, settings.caller_max, settings.work_max)


class JobQueue:
    """Callers take turns, each one's jobs in the order they came. One worker takes, anybody does the rest.

    The next job is the one whose caller has waited longest since it was last served; the next jobs that are
    like it share its batch. Who sends one job waits for the running batch at most, however many another
    caller has sent before.
    """

    def __init__(
        self,
        bounds: Bounds,
        admit: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        batching: Batching = NO_BATCHING,
    ) -> None:
        """Hold at most what `bounds` says. `admit` raises a `Refused` when no job may come in.

        It is called under the queue's lock: a job that got in is seen by whoever empties the queue later.
        """
        self._bounds = bounds
        self._admit = admit
        self._clock = clock
        self._batching = batching
        self._changed = threading.Condition()
        self._waiting: list[Job] = []  # in the order they came
        self._served: OrderedDict[str, int] = OrderedDict()  # the turn that each caller had last
        self._turn = 0
        self._running: tuple[Job, ...] = ()
        self._stopped = False
        self._seconds_for_work: float | None = None

    def submit(self, job: Job) -> None:
        """Let `job` wait for its turn; raise `QueueFull`, `CallerQueueFull` or what `admit` raises."""
        with self._changed:
            self._admit()
            self._drop_cancelled()
            self._require_room(job)
            job.submitted = self._clock()
            self._waiting.append(job)
            self._changed.notify_all()

    def take(self, idle_seconds: float | None = None) -> tuple[Job, ...] | None:
        """Wait for the next batch of jobs, none cancelled; None once the queue is stopped.

        It is empty when nothing came for `idle_seconds`.
        """
        with self._changed:
            while not self._stopped:
                self._drop_cancelled()
                batch = self._next_batch()
                pause = self._seconds_for_company(batch) if batch else idle_seconds
                if batch and not pause:
                    return self._begin(batch)
                if not self._changed.wait(pause) and not batch:
                    return ()
            return None

    def release(self) -> None:
        """Note that the worker is done with the jobs that it took."""
        with self._changed:
            self._running = ()

    def note_speed(self, work: float, seconds: float) -> None:
        """Learn from work that took `seconds` how fast the instance is. For the worker's thread alone."""
        measured = seconds / work
        known = self._seconds_for_work
        self._seconds_for_work = measured if known is None else known + NEWEST_SHARE * (measured - known)

    def seconds_for(self, work: float) -> float:
        """Estimate how long `work` takes; 0 before anything was measured."""
        return work * (self._seconds_for_work or 0.0)

    def fail_waiting(self, error: ServiceError) -> None:
        """End every waiting job with `error`."""
        with self._changed:
            jobs = self._waiting
            self._waiting = []
        for job in jobs:
            job.fail(error)

    def stop(self) -> None:
        """Let the worker go: `take` returns None from now on."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @property
    def running(self) -> tuple[Job, ...]:
        """The jobs that are being drawn, as one batch."""
        return self._running

    @property
    def depth(self) -> int:
        """How many jobs wait, those being drawn not counted."""
        with self._changed:
            self._drop_cancelled()
            return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting or being drawn."""
        with self._changed:
            self._drop_cancelled()
            return not self._waiting and not self._running

    @property
    def work(self) -> float:
        """How much work waits, in million pixel steps, the running jobs not counted."""
        with self._changed:
            self._drop_cancelled()
            return self._waiting_work()

    def jobs_of(self, caller: str) -> list[Job]:
        """Return the caller's jobs that wait or are being drawn, in the order in which they will be served.

        A cancelled one is there, first, until the worker has let go of it.
        """
        with self._changed:
            self._drop_cancelled()
            return [job for job in [*self._running, *self._in_turn()] if job.caller == caller]

    def ahead_of(self, job: Job) -> int:
        """Return how many jobs come before `job`, those being drawn counted; 0 when it does not wait."""
        with self._changed:
            self._drop_cancelled()
            if job not in self._waiting:
                return 0
            return self._in_turn().index(job) + len(self._running)

    def seconds_left(self, until: Job | None = None) -> float:
        """Estimate how long the accepted jobs will take from now on, or those up to and with `until`.

        It is 0 before anything was measured.
        """
        with self._changed:
            work = sum(job.order.work * (1 - job.step / job.order.steps_drawn) for job in self._running)
            if until not in self._running:
                for job in self._in_turn():
                    work += job.order.work
                    if job is until:
                        break
        return self.seconds_for(work)

    def _require_room(self, job: Job) -> None:
        bounds = self._bounds
        if len(self._waiting) >= bounds.jobs:
            raise self._full(QueueFull, f"{bounds.jobs} jobs are waiting; try again later.")
        # A job larger than the bound is let in when it is the only one: it would never be otherwise.
        if self._waiting and self._waiting_work() + job.order.work > bounds.work:
            raise self._full(QueueFull, "too much work is waiting; try again later.")
        if sum(one.caller == job.caller for one in self._waiting) >= bounds.jobs_of_caller:
            raise self._full(
                CallerQueueFull, f"{bounds.jobs_of_caller} of your jobs are waiting; let them end first."
            )

    def _full(self, kind: type[ServiceError], message: str) -> ServiceError:
        seconds = min(max(1, math.ceil(self.seconds_left())), RETRY_SECONDS_MAX)
        return kind(message, retry_after_seconds=seconds)

    def _next_batch(self) -> list[Job]:
        """Return the job whose turn it is and those that share its batch; the nearest turns first."""
        batch: list[Job] = []
        room = self._batching.images_max
        for job in self._in_turn():
            like = not batch or (job.likeness is not None and job.likeness == batch[0].likeness)
            if like and (not batch or job.order.count <= room):
                batch.append(job)
                room -= job.order.count
        return batch

    def _seconds_for_company(self, batch: list[Job]) -> float:
        """Return how long `batch` should still wait for more jobs like it."""
        full = sum(job.order.count for job in batch) >= self._batching.images_max
        keeps_waiting = len(batch) < len(self._waiting)  # somebody who cannot join
        if batch[0].likeness is None or full or keeps_waiting:
            return 0
        waited = self._clock() - min(job.submitted for job in batch)
        return max(0, self._batching.wait_seconds - waited)

    def _begin(self, batch: list[Job]) -> tuple[Job, ...]:
        now = self._clock()
        for job in batch:
            self._waiting.remove(job)
            self._serve(job.caller)
            job.wait_seconds = now - job.submitted
        self._running = tuple(batch)
        return self._running

    def _in_turn(self) -> list[Job]:
        """Return the waiting jobs in the order in which they would be taken if none came any more."""
        rounds: dict[str, int] = {}
        keys: dict[Job, tuple[int, int]] = {}
        for job in self._waiting:
            rounds[job.caller] = rounds.get(job.caller, -1) + 1
            keys[job] = (rounds[job.caller], self._served.get(job.caller, 0))
        return sorted(self._waiting, key=keys.__getitem__)

    def _serve(self, caller: str) -> None:
        self._turn += 1
        self._served[caller] = self._turn
        self._served.move_to_end(caller)
        if len(self._served) > CALLERS_REMEMBERED:
            self._served.popitem(last=False)

    def _waiting_work(self) -> float:
        return sum(job.order.work for job in self._waiting)

    def _drop_cancelled(self) -> None:
        self._waiting = [job for job in self._waiting if job.outcome is None]
