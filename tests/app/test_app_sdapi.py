"""The web UI's API beyond drawing: what its clients read, wait for and give up; img2img."""

import base64
import io
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.app.conftest import Later, until
from tests.app.fakes import FakeEngine
from z_image_turbo.pictures import make_order
from z_image_turbo.service import Service

SDAPI = "/sdapi/v1"

Headers = dict[str, str]


def file_of(size: tuple[int, int] = (128, 128), kind: str = "PNG", mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    colour: Any = (10, 200, 30, 0) if mode == "RGBA" else (10, 200, 30)
    Image.new(mode, size, colour).save(buffer, kind)
    return buffer.getvalue()


def text_of(**wanted: Any) -> str:
    return base64.b64encode(file_of(**wanted)).decode()


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


@pytest.fixture
def state(client: TestClient) -> Callable[..., dict[str, Any]]:
    def read(**query: str) -> dict[str, Any]:
        answer: dict[str, Any] = client.get(f"{SDAPI}/progress", params=query).json()
        return answer

    return read


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "upscalers",
            [{"name": "None", "model_name": None, "model_path": None, "model_url": None, "scale": 1}],
        ),
        ("latent-upscale-modes", [{"name": "None"}]),
        ("scripts", {"txt2img": [], "img2img": []}),
        ("embeddings", {"loaded": {}, "skipped": {}}),
        ("cmd-flags", {}),
        *((path, []) for path in ("sd-vae", "sd-modules", "loras", "hypernetworks", "face-restorers")),
        *((path, []) for path in ("realesrgan-models", "prompt-styles", "extensions", "script-info")),
    ],
)
def test_what_clients_list_has_the_web_uis_shape(steady: TestClient, path: str, expected: Any) -> None:
    answer = steady.get(f"{SDAPI}/{path}")
    assert (answer.status_code, answer.json()) == (200, expected)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("interrupt", {}),
        ("skip", None),
        ("refresh-checkpoints", None),
        ("refresh-vae", None),
        ("unload-checkpoint", {}),
        ("reload-checkpoint", {}),
    ],
)
def test_what_clients_post_with_an_empty_body_is_answered_with_json(
    steady: TestClient, path: str, expected: Any
) -> None:
    answer = steady.post(f"{SDAPI}/{path}")
    assert (answer.status_code, answer.json()) == (200, expected)


@pytest.mark.parametrize("path", ["interrogate", "extra-single-image", "extra-batch-images"])
def test_what_is_not_implemented_says_so(steady: TestClient, path: str) -> None:
    answer = steady.post(f"{SDAPI}/{path}", json={"image": "x"})
    assert answer.status_code == 501
    assert answer.json()["detail"]


def test_the_options_can_be_sent_back_whole(steady: TestClient) -> None:
    options = steady.get(f"{SDAPI}/options").json()
    titles = [model["title"] for model in steady.get(f"{SDAPI}/sd-models").json()]
    assert options["sd_model_checkpoint"] in titles
    assert "forge_preset" not in options
    answer = steady.post(f"{SDAPI}/options", json=options)
    assert (answer.status_code, answer.json()) == (200, None)


def test_memory_tells_what_the_process_uses(steady: TestClient) -> None:
    answer = steady.get(f"{SDAPI}/memory").json()
    assert 0 < answer["ram"]["used"] < answer["ram"]["total"]
    assert "error" in answer["cuda"]


def test_progress_follows_the_callers_job_by_its_own_name(
    engine: FakeEngine, service: Service, later: Later, state: Callable[..., dict[str, Any]]
) -> None:
    service.queue.note_speed(make_order(service.settings, prompt="long").work, seconds=9)
    engine.go.clear()
    running = later(f"{SDAPI}/txt2img", prompt="slow", steps=5, force_task_id="task(mine)")
    until(lambda: service.queue.running)
    told = state(task_id="task(mine)")
    assert (told["state"]["job"], told["state"]["sampling_steps"]) == ("task(mine)", 5)
    assert told["eta_relative"] > 0
    assert state(task_id="another")["state"]["job_count"] == 0
    engine.go.set()
    assert running.result(20).status_code == 200


def test_a_waiting_job_has_no_progress_but_counts(
    engine: FakeEngine, service: Service, later: Later, state: Callable[..., dict[str, Any]]
) -> None:
    service.queue.note_speed(make_order(service.settings, prompt="long").work, seconds=9)
    engine.go.clear()
    jobs = [later(f"{SDAPI}/txt2img", prompt="slow", force_task_id="a")]
    until(lambda: service.queue.running)
    jobs.append(later(f"{SDAPI}/txt2img", prompt="slow", force_task_id="b"))
    until(lambda: service.queue.depth)
    told = state(task_id="b")
    assert (told["progress"], told["state"]["job_count"]) == (0, 1)
    assert state()["state"]["job_count"] == 2
    assert told["eta_relative"] > state(task_id="a")["eta_relative"]
    engine.go.set()
    assert {job.result(20).status_code for job in jobs} == {200}


@pytest.mark.parametrize(
    ("call", "outcomes"),
    [
        ("interrupt", [409, 409]),
        ("interrupt?task_id=b", [200, 409]),
        ("interrupt?task_id=other", [200, 200]),
        ("skip", [409, 200]),
    ],
)
def test_a_caller_gives_up_all_jobs_or_one(  # noqa: PLR0913, PLR0917
    client: TestClient, engine: FakeEngine, service: Service, later: Later, call: str, outcomes: list[int]
) -> None:
    engine.go.clear()
    jobs = [later(f"{SDAPI}/txt2img", prompt="first", force_task_id="a")]
    until(lambda: service.queue.running)
    jobs.append(later(f"{SDAPI}/txt2img", prompt="second", force_task_id="b"))
    until(lambda: service.queue.depth)
    client.post(f"{SDAPI}/{call}")
    until(lambda: [job.done() for job in jobs] == [outcome == 409 for outcome in outcomes])
    engine.go.set()
    answers = [job.result(20) for job in jobs]
    assert [answer.status_code for answer in answers] == outcomes
    assert all(answer.json()["errors"] == "cancelled" for answer in answers if answer.status_code == 409)


def test_nobody_sees_or_gives_up_anothers_jobs(
    client: TestClient, engine: FakeEngine, service: Service, later: Later
) -> None:
    engine.go.clear()
    job = later(f"{SDAPI}/txt2img", prompt="mine", force_task_id="mine")
    until(lambda: service.queue.running)
    stranger = TestClient(client.app, client=("192.0.2.1", 1))
    for path in ("interrupt", "interrupt?task_id=mine", "skip"):
        stranger.post(f"{SDAPI}/{path}")
    told = stranger.get(f"{SDAPI}/progress").json()
    assert (told["progress"], told["eta_relative"], told["state"]["job_count"]) == (0, 0, 0)
    engine.go.set()
    assert job.result(20).status_code == 200


def test_img2img_begins_with_the_picture_and_takes_a_part_of_the_steps(
    steady: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    wanted = {"prompt": "a cat", "init_images": [text_of()], "denoising_strength": 0.5, "width": 192}
    answer = steady.post(f"{SDAPI}/img2img", json=wanted).json()
    image = opened(answer["images"][0])
    assert (image.size, image.getpixel((5, 5))) == ((192, 128), (10, 200, 30))
    assert json.loads(answer["info"])["denoising_strength"] == 0.5
    assert "init_images" not in answer["parameters"]
    assert [record.steps for record in caplog.records if hasattr(record, "steps")][-1] == 4


@pytest.mark.parametrize("strength", [0, 0.01, 1, None])
def test_img2img_takes_any_strength(steady: TestClient, strength: float | None) -> None:
    wanted = {
        "init_images": ["data:image/webp;base64," + text_of(kind="WEBP")],
        "denoising_strength": strength,
    }
    assert steady.post(f"{SDAPI}/img2img", json=wanted).status_code == 200


@pytest.mark.parametrize(("size", "drawn"), [((150, 100), (144, 96)), ((2048, 1024), (1024, 512))])
def test_img2img_draws_in_the_size_of_the_picture_unless_told(
    steady: TestClient, size: tuple[int, int], drawn: tuple[int, int]
) -> None:
    answer = steady.post(f"{SDAPI}/img2img", json={"init_images": [text_of(size=size)]}).json()
    assert opened(answer["images"][0]).size == drawn


def bomb(side: int = 60000) -> str:
    """Return a PNG of less than 100 bytes that claims to be `side` x `side` pixels."""
    data = bytearray(file_of(size=(1, 1)))
    data[16:24] = side.to_bytes(4) * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({}, "init_images"),
        ({"init_images": []}, "init_images"),
        ({"init_images": [text_of(), text_of()]}, "init_images"),
        ({"init_images": ["http://127.0.0.1/secret.png"]}, "init_images"),
        ({"init_images": ["file:///etc/hostname"]}, "init_images"),
        ({"init_images": ["/etc/hostname"]}, "init_images"),
        ({"init_images": ["data:image/png,plain"]}, "init_images"),
        ({"init_images": ["bm90IGEgcGljdHVyZQ=="]}, "init_images"),
        ({"init_images": [text_of()[:60]]}, "init_images"),
        ({"init_images": [text_of(kind="GIF")]}, "init_images"),
        ({"init_images": [bomb()]}, "init_images"),
        ({"init_images": [text_of(size=(5000, 4000))]}, "init_images"),
        ({"init_images": [text_of()], "mask": bomb()}, "mask"),
        ({"init_images": [text_of()], "denoising_strength": 1.5}, "denoising_strength"),
    ],
)
def test_img2img_refuses_what_it_cannot_read(steady: TestClient, wrong: dict[str, Any], named: str) -> None:
    answer = steady.post(f"{SDAPI}/img2img", json=wrong)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"{named}: ")


def test_a_picture_is_refused_by_its_header_before_a_pixel_is_decoded(
    steady: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Any] = []
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", decoded.append)
    wanted = {"init_images": [bomb(9000)]}  # more than is allowed here, less than Pillow itself refuses
    assert "too many" in steady.post(f"{SDAPI}/img2img", json=wanted).json()["detail"]
    assert decoded == []


def test_what_is_transparent_becomes_white(steady: TestClient) -> None:
    answer = steady.post(f"{SDAPI}/img2img", json={"init_images": [text_of(mode="RGBA")]}).json()
    assert opened(answer["images"][0]).getpixel((0, 0)) == (255, 255, 255)
