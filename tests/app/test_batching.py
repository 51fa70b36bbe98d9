"""Requests that share a batch: which do, in which order, and what each of them gets."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from PIL import Image, ImageChops
from PIL.Image import Image as Drawn

from scripts.nano import world
from tests.app.conftest import MakeSettings, until
from tests.app.fakes import FakeEngine
from tests.app.test_job_queue import Clock, admit, bounds
from z_image_turbo.batching import Batching, Likeness
from z_image_turbo.engine import DiffusersEngine
from z_image_turbo.errors import BrokenPicture, JobFailed, OutOfMemory
from z_image_turbo.job_queue import JobQueue
from z_image_turbo.jobs import Job, Outcome, Way
from z_image_turbo.lifecycle import State
from z_image_turbo.loras import Lora
from z_image_turbo.pictures import Order, make_order
from z_image_turbo.service import Service

PLAIN = Order("a cat", 512, 512, steps=8, seed=1, count=1)
POLICY = Batching(images_max=4, wait_seconds=0, pixels_max=768 * 768)


def like(order: Order, tokens: int = 20) -> Likeness:
    return POLICY.likeness(order, tokens)


def job(caller: str = "a", likeness: Likeness = ("small",), count: int = 1) -> Job:
    one = Job(replace(PLAIN, count=count), Way.OPENAI, caller)
    one.likeness = likeness
    return one


def queue_of(*jobs: Job, wait_seconds: float = 0) -> JobQueue:
    queue = JobQueue(bounds(200), admit, batching=replace(POLICY, wait_seconds=wait_seconds))
    for one in jobs:
        queue.submit(one)
    return queue


def callers(batch: tuple[Job, ...] | None) -> str:
    assert batch is not None
    return "".join(one.caller for one in batch)


def test_requests_that_differ_in_prompt_seed_and_count_alone_may_share_a_batch() -> None:
    other = replace(PLAIN, prompt="a dog", seed=7, count=2)
    assert like(PLAIN) == like(other) is not None
    assert like(PLAIN, 1) == like(PLAIN, 32) != like(PLAIN, 33)


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAIN, width=528),
        replace(PLAIN, height=528),
        replace(PLAIN, steps=4),
        replace(PLAIN, source=Image.new("RGB", (512, 512))),
        replace(PLAIN, source=Image.new("RGB", (512, 512)), strength=0.5),
        replace(PLAIN, source=Image.new("RGB", (512, 512)), mask=Image.new("L", (512, 512))),
        replace(PLAIN, loras=(Lora("ink", 1.0),)),
    ],
)
def test_what_the_pipeline_draws_in_another_way_shares_no_batch(other: Order) -> None:
    assert like(other) != like(PLAIN)


def test_large_pictures_share_no_batch_nor_does_anything_where_batches_are_off() -> None:
    assert like(replace(PLAIN, width=1024, height=1024)) is None
    assert replace(POLICY, images_max=1).likeness(PLAIN, 20) is None


def test_a_batch_takes_one_of_each_caller_before_seconds_and_is_full_in_time() -> None:
    queue = queue_of(*[job(caller) for caller in "aaaabc"])
    assert callers(queue.take()) == "abca"
    assert callers(queue.take()) == "aa"


def test_a_request_of_more_pictures_than_are_left_in_the_batch_waits_for_the_next() -> None:
    queue = queue_of(job("a", count=2), job("b", count=3), job("c", count=2))
    assert callers(queue.take()) == "ac"
    assert callers(queue.take()) == "b"


def test_a_request_of_more_pictures_than_a_batch_may_hold_is_drawn_alone() -> None:
    queue = queue_of(job("a", count=6), job("b"))
    assert callers(queue.take()) == "a"


def test_what_may_share_with_nobody_comes_alone_also_beside_its_own_kind() -> None:
    queue = queue_of(job("a", None), job("b", None))
    assert callers(queue.take()) == "a"


def test_a_hundred_jobs_of_one_caller_delay_anothers_one_by_the_running_batch_alone() -> None:
    queue = queue_of(*[job("many") for _ in range(100)])
    for _ in range(3):
        assert callers(queue.take()) == "many" * 4
    queue.submit(late := job("one", ("large",)))
    assert queue.ahead_of(late) == 4
    assert queue.take() == (late,)


def test_who_rode_in_anothers_batch_has_had_a_turn() -> None:
    queue = queue_of(job("a"), job("b"), job("b", ("other",)), job("c", ("third",)))
    assert callers(queue.take()) == "ab"
    assert [callers(queue.take()) for _ in range(2)] == ["c", "b"]


def test_a_lone_job_waits_for_company_and_no_longer_than_the_window() -> None:
    queue = queue_of(job("a"), wait_seconds=0.05)
    begin = time.monotonic()
    assert callers(queue.take()) == "a"
    assert time.monotonic() - begin >= 0.04


@pytest.mark.parametrize(
    "jobs",
    [
        [job("a") for _ in range(4)],  # full
        [job("a"), job("b", ("other",))],  # somebody else would wait too
        [job("a", None)],  # shares with nobody
    ],
)
def test_nobody_waits_for_company_that_would_not_help(jobs: list[Job]) -> None:
    assert queue_of(*jobs, wait_seconds=1000).take()


def test_what_waited_for_the_running_batch_does_not_wait_for_company_too() -> None:
    clock = Clock()
    queue = JobQueue(bounds(9), admit, clock, replace(POLICY, wait_seconds=10))
    queue.submit(job("a"))
    clock.now += 11
    assert queue.take()


def test_the_company_that_comes_within_the_window_is_taken_along() -> None:
    queue = queue_of(job("a"), wait_seconds=1000)
    with ThreadPoolExecutor(1) as worker:
        taken = worker.submit(queue.take)
        for caller in "bcd":
            queue.submit(job(caller))
        assert callers(taken.result(20)) == "abcd"


def test_an_idle_queue_lets_the_worker_look_around() -> None:
    assert queue_of().take(idle_seconds=0.01) == ()


@pytest.fixture
def sharing(engine: FakeEngine, settings_for: MakeSettings) -> Iterator[Service]:
    """Be a ready instance over the fake engine whose requests share batches, held before its first step."""
    service = Service(settings_for(batch_images_max=4, batch_wait_ms=0), engine)
    service.start()
    until(lambda: service.lifecycle.state is State.READY)
    engine.go.clear()
    service.submit(make_order(service.settings, prompt="the first", steps=2), Way.OPENAI, "z")
    until(lambda: service.queue.running)
    yield service
    service.stop()


def submit(service: Service, prompt: str, seed: int, caller: str = "a") -> Job:
    return service.submit(make_order(service.settings, prompt=prompt, seed=seed), Way.OPENAI, caller)


def colour(one: Job) -> int:
    """Return the seed that the fake engine painted the first picture with."""
    return one._future.result()[0].tobytes()[0]


def test_each_request_of_a_batch_gets_its_own_pictures(engine: FakeEngine, sharing: Service) -> None:
    jobs = [submit(sharing, f"prompt {seed}", seed, caller) for seed, caller in ((7, "a"), (9, "b"))]
    engine.go.set()
    until(lambda: all(one.outcome for one in jobs))
    assert engine.batches[-1] == ["prompt 7", "prompt 9"]
    assert [colour(one) for one in jobs] == [7, 9]


def test_progress_and_previews_are_each_requests_own(engine: FakeEngine, sharing: Service) -> None:
    shown: dict[int, list[Drawn]] = {7: [], 9: []}
    jobs = {seed: submit(sharing, "prompt", seed) for seed in shown}
    jobs[9].when_previewed(frozenset({3}), shown[9].extend)
    engine.go.set()
    until(lambda: all(one.outcome for one in jobs.values()))
    assert [one.step for one in jobs.values()] == [8, 8]
    assert not shown[7]
    assert [image.getpixel((0, 0)) for image in shown[9]] == [(9, 0, 3)]


def step_by_step(engine: FakeEngine) -> threading.Semaphore:
    """Let the engine end what it draws, and then take a step for each permit."""
    permits = threading.Semaphore(0)

    def wait(timeout: float | None = None) -> bool:
        return engine.batches[-1] == ["the first"] or permits.acquire(timeout=timeout)

    engine.go.wait = wait  # type: ignore[method-assign]
    engine.go.set()
    return permits


def test_giving_up_one_request_of_a_batch_leaves_the_others(engine: FakeEngine, sharing: Service) -> None:
    jobs = [submit(sharing, "prompt", seed) for seed in (7, 9)]
    permits = step_by_step(engine)
    until(lambda: sharing.queue.running == tuple(jobs))
    jobs[0].cancel()
    permits.release(8)
    until(lambda: jobs[1].outcome)
    assert (jobs[0].outcome, jobs[0].step) == (Outcome.CANCELLED, 0)
    assert (jobs[1].outcome, jobs[1].step, colour(jobs[1])) == (Outcome.DONE, 8, 9)


def test_a_batch_that_everybody_gave_up_ends_within_a_step(engine: FakeEngine, sharing: Service) -> None:
    jobs = [submit(sharing, "prompt", seed) for seed in (7, 9)]
    permits = step_by_step(engine)
    until(lambda: sharing.queue.running == tuple(jobs))
    for one in jobs:
        one.cancel()
    permits.release(8)
    until(lambda: sharing.queue.idle)
    left = sum(permits.acquire(blocking=False) for _ in range(8))
    assert ([one.step for one in jobs], left) == ([0, 0], 7)


@pytest.mark.parametrize(
    ("bad", "error"), [("too much", OutOfMemory), ("a bug", JobFailed), ("black", BrokenPicture)]
)
def test_one_bad_request_of_a_batch_fails_alone(
    engine: FakeEngine, sharing: Service, bad: str, error: type[Exception]
) -> None:
    jobs = [submit(sharing, prompt, seed) for seed, prompt in enumerate(["good", bad, "fine"])]
    engine.go.set()
    until(lambda: all(one.outcome for one in jobs))
    assert [one.outcome for one in jobs] == [Outcome.DONE, Outcome.FAILED, Outcome.DONE]
    assert isinstance(jobs[1]._future.exception(), error)
    assert [colour(jobs[0]), colour(jobs[2])] == [0, 2]
    assert submit(sharing, "the next", 5).id


def test_each_request_of_a_batch_has_its_lines_in_the_log(
    engine: FakeEngine, sharing: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    jobs = [submit(sharing, "secret", seed) for seed in (7, 9)]
    engine.go.set()
    until(lambda: sharing.queue.idle)
    for one in jobs:
        lines = [line for line in caplog.records if getattr(line, "job", "") == one.id]
        assert [line.getMessage() for line in lines] == ["job accepted", "job started", "job done"]
        assert lines[1].__dict__["batch_jobs"] == 2
    assert "secret" not in caplog.text


SCENES = [world.Scene(shape, colour, "white") for shape in world.SHAPES for colour in ("red", "blue")]


def test_six_callers_at_once_get_the_pictures_they_would_get_alone_and_those_they_asked_for(
    settings_for: MakeSettings,
) -> None:
    """Sums are made in another order in a batch: a value of 0 to 255 may differ by 1."""
    settings = settings_for(side_default=256, batch_images_max=6, batch_wait_ms=1000)
    engine = DiffusersEngine(settings)
    service = Service(settings, engine)
    orders = [
        make_order(settings, prompt=world.captions(scene, language)[0], seed=index)
        for index, (scene, language) in enumerate(zip(SCENES, world.LANGUAGES * 3, strict=True))
    ]
    sizes: list[int] = []
    service.worker.figures.on_batch.append(sizes.append)
    service.start()
    until(lambda: service.lifecycle.state is State.READY, 60)
    with ThreadPoolExecutor(6) as pool:
        jobs = list(pool.map(lambda one: service.submit(one, Way.OPENAI, str(one.seed)), orders))
        together = [one._future.result(60)[0] for one in jobs]
    assert sizes == [6]
    for order, image, scene in zip(orders, together, SCENES, strict=True):
        alone = service.submit(order, Way.OPENAI)._future.result(60)[0]
        assert max(ImageChops.difference(image, alone).tobytes()) <= 1
        assert world.describe(image) == scene
    assert sizes == [6, *[1] * 6]
    service.stop()
