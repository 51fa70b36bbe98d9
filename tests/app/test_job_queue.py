import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from z_image_turbo.errors import CallerQueueFull, JobFailed, QueueFull, Refused, ShuttingDown
from z_image_turbo.job_queue import CALLERS_REMEMBERED, Bounds, JobQueue
from z_image_turbo.jobs import Job, Outcome, Way
from z_image_turbo.pictures import Order

APP = Path(__file__).parents[2] / "app"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def admit() -> None:
    """Let everybody in."""


def order(count: int = 1) -> Order:
    return Order("a cat", 1000, 1000, steps=10, seed=1, count=count)  # ten million pixel steps a picture


def job(count: int = 1, caller: str = "a") -> Job:
    return Job(order(count), Way.OPENAI, caller)


def bounds(jobs: int, jobs_of_caller: int = 1000, work: float = 1e9) -> Bounds:
    return Bounds(jobs, jobs_of_caller, work)


def served(queue: JobQueue) -> str:
    """Take every waiting job and return whose they were."""
    callers = ""
    while queue.depth:
        callers += take(queue).caller
        queue.release()
    return callers


def take(queue: JobQueue) -> Job:
    """Take the next job, which must come alone."""
    batch = queue.take()
    assert batch is not None
    (one,) = batch
    return one


def drawn() -> list[Image.Image]:
    return [Image.new("RGB", (16, 16))]


def test_jobs_are_taken_in_the_order_they_came() -> None:
    queue = JobQueue(bounds(3), admit)
    jobs = [job() for _ in range(3)]
    for one in jobs:
        queue.submit(one)
    assert [take(queue) for _ in jobs] == jobs


def test_callers_take_turns_and_the_one_who_waits_longest_is_next() -> None:
    queue = JobQueue(bounds(9), admit)
    for caller in "aaabbc":
        queue.submit(job(caller=caller))
    assert served(queue) == "abcaba"


def test_a_hundred_jobs_of_one_caller_delay_anothers_one_by_the_running_job_alone() -> None:
    queue = JobQueue(bounds(200), admit)
    for _ in range(100):
        queue.submit(job(caller="many"))
    for _ in range(3):
        queue.take()
    queue.submit(late := job(caller="one"))
    assert queue.ahead_of(late) == 1
    assert take(queue) is late


def test_who_comes_again_as_soon_as_served_does_not_pass_those_who_wait() -> None:
    queue = JobQueue(bounds(9), admit)
    for caller in "ccab":
        queue.submit(job(caller=caller))
    turns = ""
    for _ in range(6):
        taken = take(queue)
        turns += taken.caller
        if taken.caller != "c":
            queue.submit(job(caller=taken.caller))
    assert turns == "cabcab"


def test_the_callers_of_the_past_are_forgotten() -> None:
    queue = JobQueue(bounds(1), admit)
    for number in range(CALLERS_REMEMBERED + 10):
        queue.submit(job(caller=str(number)))
        queue.take()
    assert len(queue._served) == CALLERS_REMEMBERED


def test_more_work_than_may_wait_is_refused_but_a_large_job_alone_is_not() -> None:
    queue = JobQueue(bounds(9, work=35), admit)
    queue.submit(job(count=4))
    assert queue.work == 40
    with pytest.raises(QueueFull):
        queue.submit(job())
    queue.take()
    for _ in range(3):
        queue.submit(job())
    with pytest.raises(QueueFull):
        queue.submit(job())


def test_one_caller_cannot_take_all_the_places() -> None:
    queue = JobQueue(bounds(9, jobs_of_caller=2), admit)
    for _ in range(2):
        queue.submit(job(caller="a"))
    with pytest.raises(CallerQueueFull) as refusal:
        queue.submit(job(caller="a"))
    assert (refusal.value.status, refusal.value.retry_after_seconds) == (429, 1)
    queue.submit(job(caller="b"))


def test_a_callers_jobs_are_found_the_running_one_first() -> None:
    queue = JobQueue(bounds(9), admit)
    jobs = [job(caller=caller) for caller in "abab"]
    for one in jobs:
        queue.submit(one)
    queue.take()
    assert queue.jobs_of("a") == [jobs[0], jobs[2]]
    jobs[2].cancel()
    assert queue.jobs_of("a") == [jobs[0]]
    assert queue.jobs_of("nobody") == []


def test_the_time_left_until_a_job_is_done_counts_those_before_it() -> None:
    queue = JobQueue(bounds(9), admit)
    queue.note_speed(order().work, seconds=4)
    jobs = [job(caller=caller) for caller in "aab"]
    for one in jobs:
        queue.submit(one)
    running = take(queue)
    assert running is jobs[0]
    running.step = 5
    assert [queue.seconds_left(one) for one in jobs] == [2, 10, 6]


def test_one_job_more_than_may_wait_is_refused_and_the_running_one_takes_no_place() -> None:
    queue = JobQueue(bounds(1), admit)
    queue.submit(job())
    queue.take()
    queue.submit(job())
    with pytest.raises(QueueFull):
        queue.submit(job())


def test_a_refusal_says_when_the_accepted_jobs_will_be_done() -> None:
    queue = JobQueue(bounds(2), admit)
    queue.note_speed(order().work, seconds=4)
    queue.submit(job())
    running = take(queue)
    queue.submit(job(count=2))
    queue.submit(job())
    running.step = 5
    with pytest.raises(QueueFull) as refusal:
        queue.submit(job())
    assert refusal.value.retry_after_seconds == 4 / 2 + 8 + 4


def test_a_refusal_before_anything_was_measured_asks_to_wait_a_second() -> None:
    queue = JobQueue(bounds(1), admit)
    queue.submit(job())
    with pytest.raises(QueueFull) as refusal:
        queue.submit(job())
    assert refusal.value.retry_after_seconds == 1


def test_the_speed_follows_the_finished_jobs() -> None:
    queue = JobQueue(bounds(2), admit)
    queue.note_speed(order().work, seconds=1)
    for _ in range(30):
        queue.submit(job())
        queue.note_speed(take(queue).order.work, seconds=3)
        queue.release()
    queue.submit(job())
    assert queue.seconds_left() == pytest.approx(3, rel=0.01)


def test_a_cancelled_job_frees_its_place_and_is_never_taken() -> None:
    queue = JobQueue(bounds(1), admit)
    given_up, wanted = job(), job()
    queue.submit(given_up)
    given_up.cancel()
    queue.submit(wanted)
    assert take(queue) is wanted
    assert given_up.outcome is Outcome.CANCELLED


def test_who_is_not_admitted_is_not_queued() -> None:
    def refuse() -> None:
        raise ShuttingDown("leaving")

    queue = JobQueue(bounds(1), refuse)
    with pytest.raises(Refused):
        queue.submit(job())
    assert queue.idle


def test_the_wait_is_measured_from_submission_to_taking() -> None:
    clock = Clock()
    queue = JobQueue(bounds(1), admit, clock)
    queue.submit(job())
    clock.now += 7
    assert take(queue).wait_seconds == 7


def test_everybody_learns_how_many_are_ahead() -> None:
    queue = JobQueue(bounds(3), admit)
    first, second, third = job(), job(), job()
    for one in (first, second, third):
        queue.submit(one)
    assert [queue.ahead_of(one) for one in (first, second, third)] == [0, 1, 2]
    queue.take()
    assert [queue.ahead_of(one) for one in (first, second, third)] == [0, 1, 2]
    second.cancel()
    assert queue.ahead_of(third) == 1


def test_failing_the_waiting_jobs_leaves_the_running_one_alone() -> None:
    queue = JobQueue(bounds(2), admit)
    running, waiting = job(), job()
    queue.submit(running)
    queue.take()
    queue.submit(waiting)
    queue.fail_waiting(ShuttingDown("leaving"))
    assert (running.outcome, waiting.outcome) == (None, Outcome.FAILED)
    assert queue.depth == 0


def test_a_stopped_queue_lets_the_worker_go() -> None:
    queue = JobQueue(bounds(1), admit)
    queue.stop()
    assert queue.take() is None


def test_a_job_ends_once_and_tells_once() -> None:
    told: list[Job] = []
    one = job()
    one.when_ended(told.append)
    one.finish(drawn())
    one.cancel()
    one.fail(JobFailed("late"))
    one.finish(drawn())
    assert one.outcome is Outcome.DONE
    assert told == [one]


@given(
    limit=st.integers(1, 4),
    acts=st.lists(st.tuples(st.sampled_from(["submit", "take", "cancel"]), st.integers(0, 9)), max_size=40),
)
def test_whatever_happens_the_bound_holds_and_every_wanted_job_is_taken_once_in_order(
    limit: int, acts: list[tuple[str, int]]
) -> None:
    queue = JobQueue(bounds(limit), admit)
    waiting: list[Job] = []
    for act, which in acts:
        if act == "submit":
            new = job()
            if len(waiting) < limit:
                queue.submit(new)
                waiting.append(new)
            else:
                with pytest.raises(QueueFull):
                    queue.submit(new)
        elif act == "take" and waiting:
            assert take(queue) is waiting.pop(0)
        elif act == "cancel" and waiting:
            waiting.pop(which % len(waiting)).cancel()
        assert queue.depth == len(waiting)


@pytest.mark.parametrize("module", ["jobs", "job_queue", "lifecycle", "worker", "engine", "service"])
def test_the_inner_modules_import_neither_the_web_nor_pytorch(module: str) -> None:
    code = (
        f"import sys, z_image_turbo.{module}; "
        "print(sorted({'torch', 'diffusers', 'fastapi', 'gradio', 'uvicorn'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=APP, capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"
