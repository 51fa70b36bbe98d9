"""Idempotency-Key: who asks again gets the job of the first time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from tests.app.conftest import until
from tests.app.fakes import FakeEngine
from tests.app.test_app_openai import events, png
from z_image_turbo.api import idempotency
from z_image_turbo.jobs import Job, Outcome, Way
from z_image_turbo.pictures import make_order
from z_image_turbo.service import Service

OPENAI = "/v1/images/generations"
EDITS = "/v1/images/edits"

Ask = Callable[..., Future[Response]]


@pytest.fixture
def ask(client: TestClient) -> Ask:
    """Post in the background, under a key."""
    callers = ThreadPoolExecutor(4)

    def post(key: str = "k-1", prompt: str = "a cat", **wanted: Any) -> Future[Response]:
        headers = {"Idempotency-Key": key}
        return callers.submit(client.post, OPENAI, json={"prompt": prompt, **wanted}, headers=headers)

    return post


def drawn(engine: FakeEngine) -> int:
    return engine.drawn.count("a cat")


def test_a_retry_joins_the_running_job(engine: FakeEngine, service: Service, ask: Ask) -> None:
    engine.go.clear()
    first = ask()
    until(lambda: service.queue.running)
    second = ask()
    (shared,) = service.queue.running
    until(lambda: shared.waiting == 2)
    assert service.queue.depth == 0
    engine.go.set()
    assert first.result(20).json()["data"] == second.result(20).json()["data"]
    assert drawn(engine) == 1


def test_a_retry_after_the_end_gets_the_same_pictures_in_a_stream_too(engine: FakeEngine, ask: Ask) -> None:
    wanted = {"stream": True, "seed": None}
    told = [events(ask(**wanted).result(20).text) for _ in range(2)]
    assert told[0][-1][1]["b64_json"] == told[1][-1][1]["b64_json"]
    assert told[0][-1][1]["seed"] == told[1][-1][1]["seed"]
    assert drawn(engine) == 1


def test_an_edit_counts_as_the_same_only_with_the_same_picture(steady: TestClient) -> None:
    def edit(data: bytes) -> int:
        answer = steady.post(
            EDITS, data={"prompt": "x"}, files={"image": data}, headers={"Idempotency-Key": "e"}
        )
        return answer.status_code

    assert [edit(png()), edit(png()), edit(png((64, 64)))] == [200, 200, 422]


def test_the_key_of_another_request_is_refused(ask: Ask) -> None:
    assert ask().result(20).status_code == 200
    refused = ask(prompt="a dog").result(20)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert refused.json()["error"]["param"] == "Idempotency-Key"
    assert ask(key="k-2", prompt="a dog").result(20).status_code == 200


def test_the_key_of_another_caller_means_nothing(client: TestClient, engine: FakeEngine, ask: Ask) -> None:
    assert ask().result(20).status_code == 200
    stranger = TestClient(client.app, client=("192.0.2.1", 1))
    headers = {"Idempotency-Key": "k-1"}
    assert stranger.post(OPENAI, json={"prompt": "a dog"}, headers=headers).status_code == 200
    assert engine.drawn[-1] == "a dog"


def test_a_job_that_failed_is_tried_anew(engine: FakeEngine, ask: Ask) -> None:
    assert [ask(prompt="a bug").result(20).status_code for _ in range(2)] == [500, 500]
    assert engine.drawn.count("a bug") == 2


def test_old_pictures_are_forgotten(engine: FakeEngine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "KEPT_PIXELS_MAX", 0)
    ask().result(20)
    until(lambda: ask().result(20).status_code == 200 and drawn(engine) > 1)
    monkeypatch.setattr(idempotency, "KEPT_PIXELS_MAX", 10**9)
    monkeypatch.setattr(idempotency, "KEPT_SECONDS", 0)
    count = drawn(engine)
    until(lambda: ask(key="k-3").result(20).status_code == 200 and drawn(engine) > count + 1)


@pytest.mark.parametrize(("grace", "outcome"), [(0.0, Outcome.CANCELLED), (60.0, Outcome.DONE)])
def test_a_job_that_everybody_hung_up_on_is_drawn_on_for_a_while(  # noqa: PLR0913, PLR0917
    grace: float,
    outcome: Outcome,
    engine: FakeEngine,
    service: Service,
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idempotency, "GRACE_SECONDS", grace)
    shared = idempotency.SharedJobs()
    engine.go.clear()
    asked = idempotency.Keyed("k-1", "same")

    async def hang_up() -> Job:
        order = make_order(service.settings, prompt="a cat")
        job = shared.ask(asked, "me", lambda: service.submit(order, Way.OPENAI, "me"))
        waiting = asyncio.ensure_future(job.images())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        await asyncio.sleep(0.05)
        return job

    assert client.portal is not None
    job = client.portal.call(hang_up)
    engine.go.set()
    until(lambda: job.outcome is not None)
    assert job.outcome is outcome
