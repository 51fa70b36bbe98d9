"""What an instance makes of a device that is gone, that hangs, or that draws nothing right any more."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.app.conftest import MakeSettings, open_client, until
from tests.app.fakes import FAULTS, FakeEngine
from z_image_turbo import service as service_module
from z_image_turbo import worker as worker_module
from z_image_turbo.jobs import Job, Outcome, Way
from z_image_turbo.pictures import make_order
from z_image_turbo.service import Service
from z_image_turbo.watchdog import Pulse, Watchdog

OpenInstance = Callable[..., TestClient]


@pytest.fixture
def open_instance(engine: FakeEngine, settings_for: MakeSettings, page_dir: Any) -> Iterator[OpenInstance]:
    """Open the whole application over the fake engine, ready."""
    opened: list[TestClient] = []

    def start(**settings: object) -> TestClient:
        client = open_client(Service(settings_for(**settings), engine), page_dir)
        client.__enter__()
        opened.append(client)
        until(lambda: client.get("/readyz").status_code == 200)
        return client

    yield start
    engine.go.set()
    for client in opened:
        client.__exit__(None, None, None)


def service_of(client: TestClient) -> Service:
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    return service


def submit(client: TestClient, prompt: str = "a cat") -> Job:
    service = service_of(client)
    return service.submit(make_order(service.settings, prompt=prompt), Way.OPENAI)


def draw(client: TestClient, prompt: str) -> Outcome | None:
    one = submit(client, prompt)
    until(lambda: one.outcome)
    return one.outcome


def statuses(client: TestClient) -> tuple[int, int]:
    return client.get("/readyz").status_code, client.get("/livez").status_code


def test_a_device_that_hangs_in_a_step_fails_the_instance_and_sends_its_jobs_elsewhere(
    engine: FakeEngine, open_instance: OpenInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "TICK_SECONDS", 0.01)
    client = open_instance(stuck_seconds=0.2)
    engine.go.clear()
    running = submit(client)
    until(lambda: service_of(client).queue.running)
    waiting = submit(client)
    until(lambda: statuses(client) == (503, 503))
    reason = client.get("/readyz").json()["reason"]
    assert "the device has not answered" in reason
    assert running.id in reason
    assert [job.outcome for job in (running, waiting)] == [Outcome.FAILED] * 2
    refused = client.post("/v1/images/generations", json={"prompt": "a cat"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "instance_failed")


def test_a_step_that_takes_its_time_is_no_hang(
    engine: FakeEngine, open_instance: OpenInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "TICK_SECONDS", 0.01)
    client = open_instance(stuck_seconds=0.01)
    service_of(client).queue.note_speed(work=1e-3, seconds=1e6)
    engine.go.clear()
    one = submit(client)
    until(lambda: service_of(client).queue.running)
    threading.Event().wait(0.2)
    assert statuses(client) == (200, 200)
    engine.go.set()
    until(lambda: one.outcome is Outcome.DONE)


def test_an_idle_device_that_is_gone_is_noticed_before_the_next_job(
    engine: FakeEngine, open_instance: OpenInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "IDLE_SECONDS", 0.01)
    client = open_instance()
    engine.probe_error = RuntimeError("CUDA error: unknown error")
    until(lambda: statuses(client) == (503, 503))
    assert "CUDA error: unknown error" in client.get("/readyz").json()["reason"]


def test_a_lost_device_fails_the_instance_at_the_first_job(open_instance: OpenInstance) -> None:
    client = open_instance()
    assert draw(client, "lost") is Outcome.FAILED
    until(lambda: statuses(client) == (503, 503))
    assert "illegal memory access" in client.get("/readyz").json()["reason"]


@pytest.mark.parametrize("bad", ["too much", "a bug", "black"])
def test_bad_jobs_in_a_row_do_no_harm_to_an_engine_that_still_draws(
    engine: FakeEngine, open_instance: OpenInstance, bad: str
) -> None:
    client = open_instance()
    before = engine.drawn.count("warm-up")
    assert [draw(client, bad) for _ in range(4)] == [Outcome.FAILED] * 4
    assert draw(client, "a cat") is Outcome.DONE
    assert statuses(client) == (200, 200)
    assert engine.drawn.count("warm-up") == before + 1


@pytest.mark.parametrize("bad", ["too much", "a bug"])
def test_an_engine_that_cannot_draw_its_rehearsal_any_more_fails_the_instance(
    open_instance: OpenInstance, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    client = open_instance()
    monkeypatch.setitem(FAULTS, "warm-up", FAULTS[bad])
    assert [draw(client, bad) for _ in range(2)] == [Outcome.FAILED] * 2
    assert statuses(client) == (200, 200)
    draw(client, bad)
    until(lambda: statuses(client) == (503, 503))
    assert "nothing can be drawn any more" in client.get("/readyz").json()["reason"]


def test_a_success_between_failures_begins_the_count_anew(
    engine: FakeEngine, open_instance: OpenInstance
) -> None:
    client = open_instance()
    before = engine.drawn.count("warm-up")
    for prompt in ("a bug", "a bug", "a cat", "a bug", "a bug"):
        draw(client, prompt)
    assert engine.drawn.count("warm-up") == before


def watched(told: list[str]) -> tuple[Pulse, Watchdog]:
    pulse = Pulse()
    return pulse, Watchdog(pulse, told.append, tick_seconds=1)


def test_the_watchdog_tells_of_a_silence_longer_than_allowed() -> None:
    told: list[str] = []
    pulse, watchdog = watched(told)
    with pulse.during("drawing", silence_allowed=3):
        for _ in range(4):
            assert not watchdog.tick(1)
        pulse.beat("drawing on")
        for _ in range(4):
            assert not watchdog.tick(1)
        assert watchdog.tick(1)
    assert told == ["the device has not answered for 4 seconds (drawing on)"]


def test_the_watchdog_does_not_mind_a_worker_at_rest() -> None:
    pulse, watchdog = watched([])
    with pulse.during("drawing", silence_allowed=1):
        watchdog.tick(1)
    assert not any(watchdog.tick(1) for _ in range(100))


def test_a_process_that_was_frozen_is_not_taken_for_a_hanging_device() -> None:
    pulse, watchdog = watched([])
    with pulse.during("drawing", silence_allowed=30):
        assert not any(watchdog.tick(seconds) for seconds in (1, 1, 3600, 1))
