"""What an instance tells Prometheus."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from z_image_turbo.jobs import Outcome, Way
from z_image_turbo.lifecycle import State
from z_image_turbo.metrics_of_engine import EngineCollector

if TYPE_CHECKING:
    from z_image_turbo.errors import Refused
    from z_image_turbo.jobs import Job
    from z_image_turbo.service import Service

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nothing reads

SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)
STEP_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
PICTURES = (1, 2, 3, 4, 6, 8, 12, 16)


class Metrics:
    """Counts jobs as an observer of the service and reads the rest of the figures when they are asked for."""

    def __init__(self, service: Service) -> None:
        """Watch `service`."""
        settings = service.settings
        self._service = service
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        registry.register(EngineCollector(service.worker.figures, settings.model_name))
        Info("zimage_instance", "Who this is", registry=registry).info(
            {"instance_name": settings.name, "release": settings.release, "model": settings.model_name}
        )
        self._jobs = Counter(
            "zimage_jobs", "Jobs that ended, by door and outcome", ["way", "outcome"], registry=registry
        )
        self._failed = Counter(
            "zimage_jobs_failed", "Jobs that failed, by cause", ["cause"], registry=registry
        )
        self._refused = Counter(
            "zimage_jobs_refused", "Jobs turned away", ["way", "reason"], registry=registry
        )
        self._images = Counter("zimage_images", "Pictures handed over", ["way"], registry=registry)
        for way in Way:
            self._images.labels(way.value)
            for outcome in Outcome:
                self._jobs.labels(way.value, outcome.value)
        self._wait = self._histogram("zimage_job_wait_seconds", "Time in the queue")
        self._run = self._histogram("zimage_job_run_seconds", "Time on the device")
        self._total = self._histogram("zimage_job_total_seconds", "Time from the acceptance to the pictures")
        step = self._histogram("zimage_step_seconds", "Time of one step of a batch", STEP_SECONDS)
        batch = self._histogram("zimage_batch_images", "Pictures that were drawn as one batch", PICTURES)
        service.worker.figures.on_step.append(step.observe)
        service.worker.figures.on_batch.append(batch.observe)
        self._watch_queue()
        self._state = Gauge(
            "zimage_state", "1 for the state the instance is in", ["state"], registry=registry
        )
        for state in State:
            self._state.labels(state.value).set_function(partial(self._is_in, state))
        service.observe(self)

    def accepted(self, job: Job) -> None:
        """Count the job when it ends."""
        job.when_ended(self._count)

    def refused(self, way: Way, error: Refused) -> None:
        """Count a job that was turned away."""
        self._refused.labels(way.value, error.word).inc()

    def exposition(self) -> bytes:
        """Return the figures in Prometheus' text format."""
        return generate_latest(self._registry)

    def _watch_queue(self) -> None:
        queue, settings = self._service.queue, self._service.settings
        self._gauge("zimage_queue_depth", "Jobs that wait").set_function(lambda: queue.depth)
        self._gauge("zimage_queue_limit", "Jobs that may wait").set(settings.queue_max)
        self._gauge("zimage_queue_work", "Million pixels x steps that wait").set_function(lambda: queue.work)
        self._gauge("zimage_queue_work_limit", "Million pixels x steps that may wait").set(settings.work_max)
        self._gauge("zimage_jobs_running", "Jobs being drawn").set_function(lambda: len(queue.running))
        self._gauge("zimage_queue_seconds", "Estimated time to draw all accepted jobs").set_function(
            queue.seconds_left
        )

    def _count(self, job: Job) -> None:
        if job.outcome is None:
            return
        way = job.way.value
        self._jobs.labels(way, job.outcome.value).inc()
        if job.run_seconds:
            self._wait.observe(job.wait_seconds)
            self._run.observe(job.run_seconds)
        if job.outcome is Outcome.DONE:
            self._images.labels(way).inc(job.order.count)
            self._total.observe(job.wait_seconds + job.run_seconds)
        if job.error is not None:
            self._failed.labels(job.error.word).inc()

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
        return Histogram(name, text, buckets=buckets, registry=self._registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self._registry)

    def _is_in(self, state: State) -> bool:
        return self._service.lifecycle.state is state
