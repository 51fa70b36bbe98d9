"""The whole application over the fake engine: what the APIs promise whatever draws."""

import base64
import io
import json
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response  # what Starlette's test client answers with
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from tests.app.conftest import Later, until
from tests.app.fakes import FakeEngine
from z_image_turbo.service import Service

OPENAI = "/v1/images/generations"
SDAPI = "/sdapi/v1/txt2img"


def envelope(answer: Response) -> dict[str, Any]:
    """Check the shape of an error, in the dialect of the path, and return word, text and field."""
    body = answer.json()
    if answer.request.url.path.startswith("/sdapi/"):
        assert set(body) == {"error", "detail", "body", "errors"}
        return {"word": body["errors"], "text": body["detail"]}
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["type"] == ("server_error" if answer.status_code >= 500 else "invalid_request_error")
    return {"word": body["error"]["code"], "text": body["error"]["message"], "field": body["error"]["param"]}


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def metric(client: TestClient, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return float(sample.value)
    raise AssertionError(f"no {name} {labels}")


def test_openai_answers_one_png_for_each_seed(steady: TestClient) -> None:
    answer = steady.post(OPENAI, json={"prompt": "a cat", "n": 2, "seed": 40, "size": "128x64"}).json()
    images = [opened(one["b64_json"]) for one in answer["data"]]
    assert [(image.format, image.size, image.getpixel((0, 0))) for image in images] == [
        ("PNG", (128, 64), (40, 0, 255)),
        ("PNG", (128, 64), (41, 0, 255)),
    ]
    assert answer["size"] == "128x64"
    assert [one["seed"] for one in answer["data"]] == [40, 41]


@pytest.mark.parametrize("size", [None, "auto"])
def test_openai_size_auto_or_null_is_the_default(steady: TestClient, size: str | None) -> None:
    answer = steady.post(
        OPENAI, json={"prompt": "a cat", "size": size, "n": None, "model": None, "user": "x"}
    )
    assert answer.json()["size"] == "128x128"


def test_sdapi_answers_pngs_and_reports_what_was_really_used(steady: TestClient) -> None:
    wanted = {
        "prompt": "a cat",
        "seed": 7,
        "steps": 22,
        "cfg_scale": 7,
        "sampler_name": "DPM++ 2M Karras",
        "width": 250,
        "height": 100,
        "batch_size": 1,
        "n_iter": 2,
    }
    answer = steady.post(SDAPI, json=wanted).json()
    info = json.loads(answer["info"])
    used = {name: info[name] for name in ("seed", "all_seeds", "steps", "cfg_scale", "width", "height")}
    assert used == {
        "seed": 7,
        "all_seeds": [7, 8],
        "steps": 8,
        "cfg_scale": 0.0,
        "width": 256,
        "height": 96,
    }
    assert [opened(text).size for text in answer["images"]] == [(256, 96)] * 2
    assert answer["parameters"]["sampler_name"] == "DPM++ 2M Karras"
    assert "Seed: 7, Size: 256x96" in info["infotexts"][0]


def test_sdapi_takes_null_for_everything_and_echoes_no_credentials(steady: TestClient) -> None:
    nulls = dict.fromkeys(["prompt", "seed", "width", "steps", "batch_size", "styles", "alwayson_scripts"])
    answer = steady.post(SDAPI, json={**nulls, "auth": "user:secret", "url": "http://user:secret@elsewhere"})
    assert answer.status_code == 200
    assert "secret" not in answer.text


def test_sdapi_leaves_the_pictures_out_when_asked_to(steady: TestClient) -> None:
    assert steady.post(SDAPI, json={"prompt": "a cat", "send_images": False}).json()["images"] == []


@pytest.mark.parametrize(
    ("wrong", "word", "field"),
    [
        ({"size": "100x128"}, "invalid_size", "size"),
        ({"size": "128x8192"}, "invalid_size", "size"),
        ({"size": "big"}, "invalid_size", "size"),
        ({"n": 5}, "invalid_request", "n"),
        ({"n": 0}, "invalid_request", "n"),
        ({"n": "many"}, "invalid_request", "n"),
        ({"num_inference_steps": 9}, "invalid_request", "num_inference_steps"),
        ({"seed": -2}, "invalid_request", "seed"),
        ({"seed": 2**60}, "invalid_request", "seed"),
        ({"prompt": None}, "invalid_request", "prompt"),
        ({"prompt": ""}, "invalid_request", "prompt"),
        ({"prompt": "x" * 4001}, "invalid_request", "prompt"),
        ({"response_format": "url"}, "invalid_request", "response_format"),
        ({"output_format": "gif"}, "invalid_request", "output_format"),
        ({"output_compression": 101}, "invalid_request", "output_compression"),
        ({"partial_images": 4}, "invalid_request", "partial_images"),
        ({"stream": "maybe"}, "invalid_request", "stream"),
    ],
)
def test_openai_refuses_what_it_cannot_do_and_names_the_field(
    steady: TestClient, wrong: dict[str, Any], word: str, field: str
) -> None:
    answer = steady.post(OPENAI, json={"prompt": "a cat", **wrong})
    assert answer.status_code == 400
    found = envelope(answer)
    assert (found["word"], found["field"]) == (word, field)
    assert found["text"].startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"width": 4096}, "width"),
        ({"height": 8}, "height"),
        ({"width": "wide"}, "width"),
        ({"steps": 0}, "steps"),
        ({"batch_size": 3, "n_iter": 2}, "batch_size x n_iter"),
        ({"batch_size": 0}, "batch_size"),
        ({"prompt": "x" * 4001}, "prompt"),
        ({"enable_hr": True}, "enable_hr"),
        ({"script_name": "x/y/z plot"}, "script_name"),
        ({"alwayson_scripts": {"ControlNet": {"args": [{}]}}}, "alwayson_scripts"),
    ],
)
def test_sdapi_refuses_what_it_cannot_do_and_names_the_field(
    steady: TestClient, wrong: dict[str, Any], named: str
) -> None:
    answer = steady.post(SDAPI, json=wrong)
    assert answer.status_code == 422
    assert envelope(answer)["text"].startswith(f"{named}: ")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (OPENAI, {"prompt": "a cat", "model": "sdxl"}),
        (SDAPI, {"override_settings": {"sd_model_checkpoint": "sdxl"}}),
        ("/sdapi/v1/options", {"sd_model_checkpoint": "sdxl"}),
    ],
)
def test_another_model_is_not_found(steady: TestClient, path: str, body: dict[str, Any]) -> None:
    answer = steady.post(path, json=body)
    assert answer.status_code == 404
    assert envelope(answer)["word"] == "model_not_found"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/sdapi/v1/txt3img"])
def test_a_call_that_does_not_exist_is_answered_in_its_apis_words(steady: TestClient, path: str) -> None:
    answer = steady.post(path, json={})
    assert answer.status_code == 404
    assert envelope(answer)["word"] == "not_found"


@pytest.mark.parametrize("path", [OPENAI, SDAPI])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"seed": ' + b"9" * 5000 + b"}"])
def test_a_body_that_is_no_json_object_is_refused_in_the_envelope(
    steady: TestClient, path: str, body: bytes
) -> None:
    answer = steady.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    envelope(answer)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
KEYS = [
    "prompt",
    "seed",
    "width",
    "steps",
    "n_iter",
    "styles",
    "alwayson_scripts",
    "override_settings",
    "n",
    "size",
]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from([OPENAI, SDAPI]), body=st.dictionaries(st.sampled_from(KEYS), ANYTHING))
def test_no_json_object_makes_a_server_error(steady: TestClient, path: str, body: dict[str, Any]) -> None:
    answer = steady.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code in {200, 400, 404, 422}


def test_prompts_that_are_not_unicode_are_refused(steady: TestClient) -> None:
    answer = steady.post(SDAPI, content='{"prompt": "\\ud800"}', headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


@pytest.mark.parametrize("path", [OPENAI, SDAPI])
def test_a_full_queue_answers_503_with_the_time_to_retry(
    client: TestClient, engine: FakeEngine, service: Service, later: Later, path: str
) -> None:
    engine.go.clear()
    held = [later(OPENAI, prompt="held")]
    until(lambda: service.queue.running)
    held += [later(SDAPI, prompt="held") for _ in range(2)]
    until(lambda: service.queue.depth == 2)
    answer = client.post(path, json={"prompt": "one too many"})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert envelope(answer)["word"] == "queue_full"
    assert client.get("/livez").status_code == client.get("/readyz").status_code == 200
    way = "openai" if path == OPENAI else "sdapi"
    assert metric(client, "zimage_jobs_refused_total", way=way, reason="queue_full") == 1
    engine.go.set()
    assert [one.result(20).status_code for one in held] == [200, 200, 200]


@pytest.mark.parametrize("path", [OPENAI, SDAPI])
@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a bug", (500, "job_failed")),
        ("too much", (503, "out_of_memory")),
        ("black", (500, "broken_picture")),
    ],
)
def test_a_failing_job_fails_alone_and_tells_no_details(
    steady: TestClient, caplog: pytest.LogCaptureFixture, path: str, prompt: str, expected: tuple[int, str]
) -> None:
    answer = steady.post(path, json={"prompt": prompt})
    found = envelope(answer)
    assert (answer.status_code, found["word"]) == expected
    assert "secret" not in answer.text
    if prompt == "a bug":
        job = re.search(r"job (\w{32})", found["text"])
        assert job is not None
        assert any(record.exc_info and record.job == job[1] for record in caplog.records)  # type: ignore[attr-defined]
    assert steady.post(path, json={"prompt": "a cat"}).status_code == 200
    assert steady.get("/livez").status_code == steady.get("/readyz").status_code == 200


def test_a_lost_device_fails_the_instance_and_every_waiting_job(
    client: TestClient, engine: FakeEngine, service: Service, later: Later
) -> None:
    engine.go.clear()
    lost = later(OPENAI, prompt="lost")
    until(lambda: service.queue.running)
    waiting = later(SDAPI, prompt="waits")
    until(lambda: service.queue.depth == 1)
    engine.go.set()
    for one in (lost, waiting):
        answer = one.result(20)
        assert answer.status_code == 503
        assert envelope(answer)["word"] == "instance_failed"
    until(lambda: client.get("/livez").status_code == 503)
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (503, "failed")
    assert "illegal memory access" in ready.json()["reason"]
    assert envelope(client.post(OPENAI, json={"prompt": "late"}))["word"] == "instance_failed"


def test_even_a_bug_in_the_worker_leaves_no_caller_waiting(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("z_image_turbo.worker.JobFailed", None)
    answer = client.post(OPENAI, json={"prompt": "a bug"})
    assert envelope(answer)["word"] == "instance_failed"
    until(lambda: client.get("/livez").status_code == 503)


def test_progress_follows_the_running_job_and_is_zero_when_idle(
    client: TestClient, engine: FakeEngine, service: Service, later: Later
) -> None:
    engine.go.clear()
    running = later(SDAPI, prompt="slow", steps=5)
    until(lambda: service.queue.running)
    state = client.get("/sdapi/v1/progress").json()
    assert (state["progress"], state["state"]["job_count"], state["state"]["sampling_steps"]) == (0, 1, 5)
    engine.go.set()
    running.result(20)
    until(lambda: service.queue.idle)
    state = client.get("/sdapi/v1/progress").json()
    assert (state["progress"], state["eta_relative"], state["state"]["job_count"]) == (0, 0, 0)


def test_metrics_count_jobs_pictures_and_say_who_this_is(client: TestClient) -> None:
    client.post(OPENAI, json={"prompt": "a cat", "n": 3})
    client.post(OPENAI, json={"prompt": "a bug"})
    assert metric(client, "zimage_jobs_total", way="openai", outcome="done") == 1
    assert metric(client, "zimage_jobs_total", way="openai", outcome="failed") == 1
    assert metric(client, "zimage_images_total", way="openai") == 3
    assert metric(client, "zimage_job_run_seconds_count") == 2
    assert metric(client, "zimage_queue_depth") == 0
    assert metric(client, "zimage_queue_limit") == 2
    assert metric(client, "zimage_state", state="ready") == 1
    assert metric(client, "zimage_instance_info", instance_name="under-test", release="development") == 1


def test_every_answer_names_its_request_and_the_instance(steady: TestClient) -> None:
    answer = steady.get("/livez", headers={"X-Request-Id": "mine-1"})
    assert (answer.headers["X-Request-Id"], answer.headers["X-Served-By"]) == ("mine-1", "under-test")
    made = steady.post(OPENAI, json={}, headers={"X-Request-Id": "not usable\t"})
    assert re.fullmatch(r"[0-9a-f]{32}", made.headers["X-Request-Id"])


def test_an_unexpected_error_is_answered_with_the_request_and_without_details(
    client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.queue, "submit", lambda _: 1 / 0)
    answer = client.post(OPENAI, json={"prompt": "a cat"}, headers={"X-Request-Id": "mine-2"})
    assert answer.status_code == 500
    found = envelope(answer)
    assert found["word"] == "internal_error"
    assert "mine-2" in found["text"]
    assert "division" not in found["text"]


def test_prompts_are_not_logged(steady: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for prompt in ("a very private cat", "a bug"):
        steady.post(OPENAI, json={"prompt": prompt})
    assert any("job done" in record.getMessage() for record in caplog.records)
    assert not any("private" in str(vars(record)) for record in caplog.records)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/monitoring/summary"])
def test_what_nobody_should_see_is_not_there(steady: TestClient, path: str) -> None:
    assert steady.get(path).status_code in {403, 404}


@pytest.mark.parametrize("path", [OPENAI, SDAPI, "/gradio_api/call/generate"])
def test_a_huge_body_is_refused(steady: TestClient, path: str) -> None:
    body = json.dumps({"prompt": "x" * 2**20})
    assert steady.post(path, content=body, headers={"Content-Type": "application/json"}).status_code == 413
