"""Life and death of an instance in one process: loading, hanging up, stopping."""

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.app.conftest import MakeSettings, create, open_client, until
from tests.app.fakes import FakeEngine
from z_image_turbo.jobs import Job, Outcome, Way
from z_image_turbo.lifecycle import State
from z_image_turbo.pictures import make_order
from z_image_turbo.service import Service


def submit(service: Service, prompt: str = "a cat") -> Job:
    return service.submit(make_order(service.settings, prompt=prompt), Way.OPENAI)


@pytest.fixture
def ready_service(service: Service) -> Service:
    service.start()
    until(lambda: service.lifecycle.state is State.READY)
    return service


def test_while_loading_it_lives_is_not_ready_and_refuses_jobs(
    engine: FakeEngine, service: Service, page_dir: Path
) -> None:
    engine.load_go.clear()
    with open_client(service, page_dir) as client:
        assert client.get("/livez").status_code == 200
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json() == {
            "status": "loading",
            "instance": "under-test",
            "release": "development",
            "reason": "the model is being loaded",
        }
        refused = client.post("/v1/images/generations", json={"prompt": "a cat"})
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "model_loading"
        assert refused.headers["Retry-After"]
        engine.load_go.set()
        until(lambda: client.get("/readyz").status_code == 200)


def test_ready_means_warm(engine: FakeEngine, ready_service: Service) -> None:
    assert engine.drawn
    assert set(engine.drawn) == {"warm-up"}
    assert ready_service.queue.idle


def test_a_model_that_cannot_be_loaded_fails_the_instance_with_the_reason(
    engine: FakeEngine, service: Service, page_dir: Path
) -> None:
    engine.load_error = OSError("no file named diffusion_pytorch_model.safetensors")
    with open_client(service, page_dir) as client:
        until(lambda: client.get("/livez").status_code == 503)
        assert "diffusion_pytorch_model.safetensors" in client.get("/readyz").json()["reason"]


def test_an_instance_whose_worker_is_gone_is_neither_live_nor_ready(
    client: TestClient, service: Service
) -> None:
    service.stop()
    until(lambda: not service.worker.alive)
    assert client.get("/livez").status_code == client.get("/readyz").status_code == 503


def test_a_model_that_finishes_loading_after_the_order_to_leave_takes_no_jobs(
    engine: FakeEngine, service: Service
) -> None:
    engine.load_go.clear()
    service.start()
    service.begin_drain("told to")
    engine.load_go.set()
    until(lambda: engine.drawn)
    service.stop()
    until(lambda: not service.worker.alive)
    assert service.lifecycle.state is State.DRAINING


def test_a_cancelled_job_ends_within_a_step_and_the_next_one_is_drawn(
    engine: FakeEngine, ready_service: Service
) -> None:
    engine.go.clear()
    running, waiting = submit(ready_service, "given up"), submit(ready_service, "wanted")
    until(lambda: ready_service.queue.running == (running,))
    running.cancel()
    running.cancel()
    engine.go.set()
    until(lambda: waiting.outcome)
    assert (running.outcome, waiting.outcome) == (Outcome.CANCELLED, Outcome.DONE)
    assert running.step <= 1


def test_what_is_cut_off_is_answered_and_not_drawn_on(engine: FakeEngine, ready_service: Service) -> None:
    engine.go.clear()
    jobs = [submit(ready_service) for _ in range(2)]
    until(lambda: ready_service.queue.running)
    ready_service.begin_drain("told to")
    ready_service.cut_off()
    assert [job.outcome for job in jobs] == [Outcome.FAILED] * 2
    engine.go.set()
    until(lambda: ready_service.queue.idle)
    assert engine.drawn.count("a cat") == 1


@pytest.mark.parametrize("stream", [False, True])
def test_who_hangs_up_cancels_the_job(
    engine: FakeEngine, service: Service, page_dir: Path, stream: bool
) -> None:
    app = create(service, page_dir)
    body = json.dumps({"prompt": "a cat", "stream": stream}).encode()

    async def call() -> None:
        left = asyncio.Event()
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            for message in messages:
                return message
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(_: object) -> None:
            """Nobody listens any more."""

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/images/generations",
            "raw_path": b"/v1/images/generations",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "scheme": "http",
            "http_version": "1.1",
        }
        answered = asyncio.ensure_future(app(scope, receive, send))
        await asyncio.to_thread(until, lambda: service.queue.running)
        left.set()
        await asyncio.wait_for(answered, 20)
        # Here, as the end of the loop would cancel what was left.
        await asyncio.to_thread(until, lambda: ended)

    ended: list[Outcome | None] = []
    service.start()
    until(lambda: service.lifecycle.state is State.READY)
    engine.go.clear()

    class Watcher:
        def accepted(self, job: Job) -> None:
            job.when_ended(lambda one: ended.append(one.outcome))

        def refused(self, *_: object) -> None:
            raise AssertionError

    service.observe(Watcher())
    asyncio.run(call())
    assert ended == [Outcome.CANCELLED]
    engine.go.set()
    until(lambda: service.queue.idle)


def pixels(text: str) -> bytes:
    return Image.open(io.BytesIO(base64.b64decode(text))).tobytes()


def test_the_tiny_model_serves_the_same_picture_for_the_same_seed_from_both_apis(
    tiny_client: TestClient,
) -> None:
    wanted = {"prompt": "a red fox 一只红色的狐狸", "seed": 11}
    first, again = (tiny_client.post("/v1/images/generations", json=wanted).json() for _ in range(2))
    other = tiny_client.post("/v1/images/generations", json={**wanted, "seed": 12}).json()
    same = tiny_client.post("/sdapi/v1/txt2img", json={**wanted, "steps": 20, "cfg_scale": 7}).json()
    picture = first["data"][0]["b64_json"]
    assert again["data"][0]["b64_json"] == picture
    assert [pixels(image) for image in same["images"]] == [pixels(picture)]
    assert other["data"][0]["b64_json"] != picture


def test_the_tiny_model_makes_what_was_asked_for(tiny_client: TestClient) -> None:
    answer = tiny_client.post("/v1/images/generations", json={"prompt": "a fox", "size": "192x64", "n": 3})
    assert answer.json()["size"] == "192x64"
    assert len({one["b64_json"] for one in answer.json()["data"]}) == 3


def test_a_model_folder_without_weights_fails_the_instance_and_says_so(
    tmp_path: Path, settings_for: MakeSettings, page_dir: Path
) -> None:
    from z_image_turbo.engine import DiffusersEngine  # noqa: PLC0415

    (tmp_path / "model_index.json").write_text('{"_class_name": "ZImagePipeline"}')
    settings = settings_for(model_path=tmp_path)
    with open_client(Service(settings, DiffusersEngine(settings)), page_dir) as client:
        until(lambda: client.get("/readyz").json()["status"] == "failed")
        assert client.get("/readyz").json()["reason"]
