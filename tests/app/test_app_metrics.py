"""What Prometheus is told: names, units, and that each figure follows what happened."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from tests.app.conftest import MakeSettings, open_client, until
from tests.app.fakes import FakeEngine
from z_image_turbo.jobs import Job, Way
from z_image_turbo.pictures import make_order
from z_image_turbo.service import Service

UNITS = ("seconds", "bytes", "ratio")


@pytest.fixture
def sharing(engine: FakeEngine, settings_for: MakeSettings, page_dir: Path) -> Iterator[TestClient]:
    """Be the application whose requests share batches, ready."""
    engine.used = {"system": {"free": 3, "used": 1, "total": 4}, "allocated": {"current": 2, "peak": 3}}
    service = Service(settings_for(batch_images_max=4, batch_wait_ms=0, name="under-test"), engine)
    with open_client(service, page_dir) as opened:
        until(lambda: opened.get("/readyz").status_code == 200)
        yield opened


def submit(client: TestClient, prompt: str = "a cat", **order: Any) -> Job:
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    return service.submit(make_order(service.settings, prompt=prompt, **order), Way.SDAPI)


def draw(client: TestClient, prompt: str = "a cat", **order: Any) -> None:
    one = submit(client, prompt, **order)
    until(lambda: one.outcome)
    until(lambda: client.app.state.service.queue.idle)  # type: ignore[attr-defined]


def figure(client: TestClient, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return float(sample.value)
    raise AssertionError(f"no {name} {labels}")


def test_jobs_are_counted_by_state_outcome_and_cause(engine: FakeEngine, sharing: TestClient) -> None:
    for prompt in ("a cat", "a bug", "too much", "black"):
        draw(sharing, prompt)
    engine.go.clear()
    running = submit(sharing)
    until(lambda: figure(sharing, "zimage_jobs_running") == 1)
    waiting = submit(sharing, count=2)
    assert figure(sharing, "zimage_queue_depth") == 1
    assert figure(sharing, "zimage_queue_work") == pytest.approx(2 * 128 * 128 * 8 / 1e6)
    for one in (running, waiting):
        one.cancel()
    engine.go.set()
    counted = {
        outcome: figure(sharing, "zimage_jobs_total", way="sdapi", outcome=outcome)
        for outcome in ("done", "failed", "cancelled")
    }
    assert counted == {"done": 1, "failed": 3, "cancelled": 2}
    for cause in ("job_failed", "out_of_memory", "broken_picture"):
        assert figure(sharing, "zimage_jobs_failed_total", cause=cause) == 1


def test_times_are_told_of_jobs_and_of_steps(sharing: TestClient) -> None:
    before = figure(sharing, "zimage_step_seconds_count")
    draw(sharing, steps=5)
    assert figure(sharing, "zimage_step_seconds_count") == before + 5
    for kind in ("wait", "run", "total"):
        assert figure(sharing, f"zimage_job_{kind}_seconds_count") == 1
    assert figure(sharing, "zimage_job_total_seconds_sum") >= figure(sharing, "zimage_job_run_seconds_sum")


def test_batches_are_told_by_their_size(engine: FakeEngine, sharing: TestClient) -> None:
    engine.go.clear()
    submit(sharing)
    until(lambda: figure(sharing, "zimage_jobs_running") == 1)
    jobs = [submit(sharing), submit(sharing, count=2)]
    engine.go.set()
    until(lambda: all(one.outcome for one in jobs))
    assert figure(sharing, "zimage_batch_images_count") == 2
    assert figure(sharing, "zimage_batch_images_sum") == 1 + 3
    assert figure(sharing, "zimage_images_total", way="sdapi") == 4


def test_the_engine_tells_what_draws_its_memory_and_its_texts(sharing: TestClient) -> None:
    assert figure(sharing, "zimage_model_info", model="z-image-turbo", device="fake") == 1
    assert figure(sharing, "zimage_gpu_memory_bytes", kind="total") == 4
    assert figure(sharing, "zimage_gpu_memory_bytes", kind="allocated") == 2
    assert figure(sharing, "zimage_text_cache_hits_total") == 5
    assert figure(sharing, "zimage_text_cache_misses_total") == 7


def test_the_real_engine_tells_how_often_a_text_was_known(tiny_client: TestClient) -> None:
    def hits() -> float:
        return figure(tiny_client, "zimage_text_cache_hits_total")

    draw(tiny_client, "a text of its own")
    before, misses = hits(), figure(tiny_client, "zimage_text_cache_misses_total")
    draw(tiny_client, "a text of its own")
    until(lambda: hits() == before + 1)
    assert figure(tiny_client, "zimage_text_cache_misses_total") == misses
    assert figure(tiny_client, "zimage_model_info", device="cpu", dtype="float32") == 1


def test_names_follow_the_conventions_of_prometheus(sharing: TestClient) -> None:
    families = list(text_string_to_metric_families(sharing.get("/metrics").text))
    ours = [family for family in families if not family.name.startswith(("process_", "python_"))]
    assert all(re.fullmatch(r"zimage_[a-z0-9_]+", family.name) for family in ours)
    assert all(family.documentation for family in ours)
    for family in ours:
        if any(unit in family.name for unit in UNITS):
            assert family.name.endswith(UNITS), family.name
    assert len({family.name for family in families}) == len(families)


def test_asking_for_metrics_does_not_ask_the_device(
    engine: FakeEngine, sharing: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def memory() -> dict[str, Any]:
        asked.append(threading.current_thread().name)
        return {}

    monkeypatch.setattr(engine, "memory", memory)
    for path in ("/metrics", "/readyz", "/livez", "/sdapi/v1/memory"):
        assert sharing.get(path).status_code == 200
    assert asked == []
    draw(sharing)
    until(lambda: asked)
    assert set(asked) == {"worker"}
