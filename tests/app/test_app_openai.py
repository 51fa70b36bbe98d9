"""The OpenAI API beyond the plain answer: streams, edits, kinds of files, aliases."""

import base64
import io
import json
import threading
from typing import Any, Self

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.app.conftest import Later, until
from tests.app.fakes import FakeEngine
from z_image_turbo.api import openai_stream
from z_image_turbo.service import Service
from z_image_turbo.watching import steps_to_show

OPENAI = "/v1/images/generations"
EDITS = "/v1/images/edits"

Event = tuple[str, dict[str, Any]]


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def png(size: tuple[int, int] = (160, 96)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (9, 90, 200)).save(buffer, "PNG")
    return buffer.getvalue()


def events(text: str) -> list[Event]:
    found = []
    for block in text.split("\n\n"):
        if block.startswith("event: "):
            name, data = block.split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


@pytest.mark.parametrize(
    ("kind", "seen"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP"), (None, "PNG")]
)
def test_pictures_come_as_the_kind_of_file_that_was_asked_for(
    steady: TestClient, kind: str | None, seen: str
) -> None:
    wanted = {"prompt": "a cat", "output_format": kind, "output_compression": 50}
    answer = steady.post(OPENAI, json=wanted).json()
    assert answer["output_format"] == (kind or "png")
    assert opened(answer["data"][0]["b64_json"]).format == seen


def test_a_stream_shows_unfinished_pictures_and_then_each_finished_one(steady: TestClient) -> None:
    wanted = {"prompt": "a cat", "stream": True, "partial_images": 2, "n": 2, "seed": 5}
    answer = steady.post(OPENAI, json=wanted)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    told = events(answer.text)
    assert [name for name, _ in told] == ["image_generation.partial_image"] * 4 + [
        "image_generation.completed"
    ] * 2
    assert all(name == data["type"] and data["size"] == "128x128" for name, data in told)
    assert [data["partial_image_index"] for _, data in told[:4]] == [0, 0, 1, 1]
    colours = [opened(data["b64_json"]).getpixel((0, 0)) for _, data in told]
    assert colours == [(5, 0, 3), (6, 0, 3), (5, 0, 5), (6, 0, 5), (5, 0, 255), (6, 0, 255)]


@pytest.mark.parametrize(
    ("steps", "count", "shown"), [(8, 0, set()), (8, 1, {4}), (8, 3, {2, 4, 6}), (2, 3, {1}), (1, 3, set())]
)
def test_unfinished_pictures_are_spread_over_the_steps(steps: int, count: int, shown: set[int]) -> None:
    assert set(steps_to_show(steps, count)) <= set(range(1, steps))
    assert steps != 8 or steps_to_show(steps, count) == shown


def test_a_failure_in_a_stream_is_an_event(steady: TestClient) -> None:
    answer = steady.post(OPENAI, json={"prompt": "too much", "stream": True})
    assert events(answer.text) == [
        (
            "error",
            {
                "type": "error",
                "error": {
                    "message": "The device has not enough memory for these pictures.",
                    "type": "server_error",
                    "param": None,
                    "code": "out_of_memory",
                },
            },
        )
    ]


def test_a_refusal_comes_before_the_stream(steady: TestClient) -> None:
    answer = steady.post(OPENAI, json={"prompt": "a cat", "stream": True, "n": 9})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "n")


def test_a_waiting_stream_is_kept_alive(
    engine: FakeEngine, service: Service, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_stream, "KEEP_ALIVE_SECONDS", 0.05)
    told: list[str] = []
    monkeypatch.setattr(openai_stream, "KEEP_ALIVE", Told(told))
    engine.go.clear()
    answer = later(OPENAI, prompt="a cat", stream=True)
    until(lambda: told)
    engine.go.set()
    text = answer.result(20).text
    assert text.startswith(": keep-alive\n\n")
    assert events(text)[-1][0] == "image_generation.completed"
    assert service.queue.idle


def test_a_stream_tells_how_far_the_job_is_when_it_is_asked_to(
    engine: FakeEngine, service: Service, later: Later
) -> None:
    engine.go.clear()
    first = later(OPENAI, prompt="a cat")
    until(lambda: service.queue.running)
    answer = later(OPENAI, prompt="a dog", stream=True, progress=True, num_inference_steps=2)
    until(lambda: service.queue.depth == 1)
    threading.Event().wait(0.3)  # it is looked at from time to time, and must be seen to wait
    engine.go.set()
    assert first.result(20).status_code == 200
    told = events(answer.result(20).text)
    name, data = told[0]
    assert name == data.pop("type") == "image_generation.progress"
    assert data == {"step": 0, "steps": 2, "ahead": 1, "eta_seconds": data["eta_seconds"]}
    assert told[-1][0] == "image_generation.completed"


class Told(str):
    """A text that notes when it is sent."""

    __slots__ = ("told",)
    told: list[str]

    def __new__(cls, told: list[str]) -> Self:
        new = super().__new__(cls, ": keep-alive\n\n")
        new.told = told
        return new

    def encode(self, *arguments: Any) -> bytes:
        self.told.append("sent")
        return super().encode(*arguments)


@pytest.mark.parametrize("name", ["gpt-image-1", "dall-e-3"])
def test_the_model_answers_to_its_aliases(steady: TestClient, name: str) -> None:
    assert steady.post(OPENAI, json={"prompt": "a cat", "model": name}).status_code == 200
    assert steady.get(f"/v1/models/{name}").json()["id"] == name
    assert [model["id"] for model in steady.get("/v1/models").json()["data"]] == ["z-image-turbo"]


@pytest.mark.parametrize("field", ["image", "image[]"])
@pytest.mark.parametrize(("size", "drawn"), [("auto", (160, 96)), ("128x64", (128, 64))])
def test_an_edit_begins_with_the_picture(
    steady: TestClient, field: str, size: str, drawn: tuple[int, int]
) -> None:
    form = {"prompt": "a cat", "n": "2", "size": size, "model": "gpt-image-1", "background": "auto"}
    answer = steady.post(EDITS, data=form, files={field: ("a.png", png())}).json()
    images = [opened(one["b64_json"]) for one in answer["data"]]
    assert [(image.size, image.getpixel((9, 9))) for image in images] == [(drawn, (9, 90, 200))] * 2


def test_an_edit_can_be_streamed(steady: TestClient) -> None:
    form = {"prompt": "a cat", "stream": "true", "partial_images": "1", "strength": "0.5"}
    answer = steady.post(EDITS, data=form, files={"image": ("a.png", png())})
    assert [name for name, _ in events(answer.text)] == ["image_edit.partial_image", "image_edit.completed"]


@pytest.mark.parametrize(
    ("form", "files", "field"),
    [
        ({"prompt": "a cat"}, {}, "image"),
        ({"prompt": "a cat", "image": "http://127.0.0.1/a.png"}, {}, "image"),
        ({"prompt": "a cat"}, {"image": b"no picture"}, "image"),
        ({"prompt": "a cat"}, {"image": png(), "image[]": png()}, "image"),
        ({"prompt": "a cat"}, {"image": png(), "mask": png()}, "mask"),
        ({}, {"image": png()}, "prompt"),
        ({"prompt": "a cat", "n": "many"}, {"image": png()}, "n"),
        ({"prompt": "a cat", "n": ["1", "2"]}, {"image": png()}, "n"),
        ({"prompt": "a cat", "stream": "perhaps"}, {"image": png()}, "stream"),
        ({"prompt": "a cat", "size": "100x100"}, {"image": png()}, "size"),
        ({"prompt": "a cat", "strength": "2"}, {"image": png()}, "strength"),
    ],
)
def test_an_edit_refuses_what_it_cannot_do(
    steady: TestClient, form: dict[str, str | list[str]], files: dict[str, bytes], field: str
) -> None:
    answer = steady.post(EDITS, data=form, files=files or {"other": b"x"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)


@pytest.mark.parametrize(
    ("content_type", "status"), [("application/json", 415), ("multipart/form-data", 400), ("text/plain", 415)]
)
def test_an_edit_that_is_no_form_is_refused_in_the_envelope(
    steady: TestClient, content_type: str, status: int
) -> None:
    answer = steady.post(EDITS, content=b"{}", headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_answers_head_requests(steady: TestClient, path: str) -> None:
    answer = steady.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("prefix", ["/v1", ""])
def test_clients_whose_base_address_lacks_v1_are_served_too(steady: TestClient, prefix: str) -> None:
    assert steady.post(f"{prefix}/images/generations", json={"prompt": "a cat"}).status_code == 200
    form = {"data": {"prompt": "a cat"}, "files": {"image": png()}}
    assert steady.post(f"{prefix}/images/edits", **form).status_code == 200  # type: ignore[arg-type]
    missing = steady.post(f"{prefix}/images/variations")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        ({"width": 192, "height": 64}, "192x64"),
        ({"width": 192}, "192x128"),
        ({"size": "auto", "height": 64}, "128x64"),
        ({"size": "64x64", "width": 64}, "64x64"),
    ],
)
def test_width_and_height_may_stand_for_the_size(
    steady: TestClient, wanted: dict[str, Any], size: str
) -> None:
    assert steady.post(OPENAI, json={"prompt": "a cat", **wanted}).json()["size"] == size


def test_the_usage_counts_the_patches_of_the_pictures_that_come_and_go(steady: TestClient) -> None:
    answer = steady.post(OPENAI, json={"prompt": "a red cat", "n": 2}).json()
    assert answer["usage"] == {
        "input_tokens": 3,
        "output_tokens": 128,
        "total_tokens": 131,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 3},
    }
    edited = steady.post(EDITS, data={"prompt": "a cat", "stream": "true"}, files={"image": png()})
    told = events(edited.text)[-1][1]["usage"]
    assert (told["input_tokens_details"]["image_tokens"], told["output_tokens"]) == (60, 60)


def test_what_has_no_meaning_here_is_ignored_whatever_it_is(steady: TestClient) -> None:
    ignored = ["quality", "style", "background", "moderation", "user", "safety_identifier", "negative_prompt"]
    ignored += ["guidance_scale", "input_fidelity", "no_such_key"]
    for value in (None, "x", 7, [1], {"a": None}):
        body = {"prompt": "a cat", **dict.fromkeys(ignored, value)}
        assert steady.post(OPENAI, json=body).status_code == 200
