"""`/sdapi/v1`: how far the caller's jobs are, and giving them up. Nobody sees or touches another's."""

import time
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import APIRouter
from PIL.Image import Image

from z_image_turbo.api import sdapi_answers as answers
from z_image_turbo.api.parts import CallerOf, ServiceOf, as_base64
from z_image_turbo.jobs import Job, Outcome
from z_image_turbo.watching import steps_to_show

PREVIEWS_MAX = 3  # of one job, however often somebody asks: each one costs time on the device

router = APIRouter(prefix="/sdapi/v1")

IDLE: answers.State = {
    "skipped": False,
    "interrupted": False,
    "stopping_generation": False,
    "job": "",
    "job_count": 0,
    "job_timestamp": "0",
    "job_no": 0,
    "sampling_step": 0,
    "sampling_steps": 0,
}


class Previews:
    """The newest unfinished picture of each job for which somebody asks."""

    def __init__(self) -> None:
        """Know of no job."""
        self._newest: WeakKeyDictionary[Job, list[Image]] = WeakKeyDictionary()

    def of(self, job: Job) -> Sequence[Image]:
        """Return the first picture of `job` as it was last seen, if any, and ask for the next ones."""
        newest = self._newest.get(job)
        if newest is None:
            newest = self._newest[job] = []

            def keep(images: Sequence[Image]) -> None:
                newest[:] = images[:1]

            job.when_previewed(steps_to_show(job.order.steps_drawn, PREVIEWS_MAX), keep)
        return newest


previews = Previews()


@router.get("/progress", responses=answers.QUERY_ERRORS)
async def progress(
    service: ServiceOf,
    caller: CallerOf,
    task_id: str | None = None,
    skip_current_image: bool = False,
) -> answers.Progress:
    """Tell how far the caller's first job is, or the one named; exactly 0 and no jobs when there is none.

    `current_image` is the job's first picture as the model has it in mind, renewed a few times. It is drawn
    only for those who ask for it: null at first, and always with `skip_current_image`.
    """
    jobs = [job for job in service.queue.jobs_of(caller) if task_id in {None, job.task}]
    job = jobs[0] if jobs else None
    shown = previews.of(job) if job and not skip_current_image else ()
    return {
        "progress": job.step / job.order.steps_drawn if job else 0.0,
        "eta_relative": round(service.queue.seconds_left(job), 3) if job else 0.0,
        "state": _state(job, len(jobs)) if job else IDLE,
        "current_image": next(iter(await as_base64(shown)), None),
        "textinfo": None,
    }


@router.post("/interrupt", responses=answers.QUERY_ERRORS)
async def interrupt(service: ServiceOf, caller: CallerOf, task_id: str | None = None) -> dict[str, Any]:
    """Give up the caller's jobs, those that wait too, or the one named."""
    service.cancel(caller, task_id)
    return {}


@router.post("/skip")
async def skip(service: ServiceOf, caller: CallerOf) -> None:
    """Give up the caller's jobs that are being drawn; those that wait go on waiting."""
    for job in service.queue.running:
        if job.caller == caller:
            job.cancel()


def _state(job: Job, count: int) -> answers.State:
    return {
        **IDLE,
        "interrupted": job.outcome is Outcome.CANCELLED,
        "job": job.task,
        "job_count": count,
        "job_timestamp": time.strftime("%Y%m%d%H%M%S", time.localtime(job.accepted)),
        "sampling_step": job.step,
        "sampling_steps": job.order.steps_drawn,
    }
