"""`/sdapi/v1`: how far the caller's jobs are, and giving them up. Nobody sees or touches another's."""

import time
from typing import Any

from fastapi import APIRouter

from z_image_turbo.api.parts import CallerOf, ServiceOf
from z_image_turbo.jobs import Job, Outcome

router = APIRouter(prefix="/sdapi/v1")

IDLE = {
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


@router.get("/progress")
async def progress(service: ServiceOf, caller: CallerOf, task_id: str | None = None) -> dict[str, Any]:
    """Tell how far the caller's first job is, or the one named; exactly 0 and no jobs when there is none."""
    jobs = [job for job in service.queue.jobs_of(caller) if task_id in {None, job.task}]
    job = jobs[0] if jobs else None
    return {
        "progress": job.step / job.order.steps_drawn if job else 0.0,
        "eta_relative": round(service.queue.seconds_left(job), 3) if job else 0.0,
        "state": IDLE | _state(job, len(jobs)) if job else IDLE,
        "current_image": None,
        "textinfo": None,
    }


@router.post("/interrupt")
async def interrupt(service: ServiceOf, caller: CallerOf, task_id: str | None = None) -> dict[str, Any]:
    """Give up the caller's jobs, those that wait too, or the one named."""
    service.cancel(caller, task_id)
    return {}


@router.post("/skip")
async def skip(service: ServiceOf, caller: CallerOf) -> None:
    """Give up the caller's job that is being drawn; those that wait go on waiting."""
    running = service.queue.running
    if running is not None and running.caller == caller:
        running.cancel()


def _state(job: Job, count: int) -> dict[str, Any]:
    return {
        "interrupted": job.outcome is Outcome.CANCELLED,
        "job": job.task,
        "job_count": count,
        "job_timestamp": time.strftime("%Y%m%d%H%M%S", time.localtime(job.accepted)),
        "sampling_step": job.step,
        "sampling_steps": job.order.steps_drawn,
    }
