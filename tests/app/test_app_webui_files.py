"""What the web UI's clients know pictures and models by: infotexts, titles with hashes, previews."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.app.conftest import Later, until
from tests.app.fakes import FakeEngine
from z_image_turbo.api.checkpoint import Checkpoint, hash_of_weights
from z_image_turbo.api.infotext import read_infotext, write_infotext
from z_image_turbo.service import Service

SDAPI = "/sdapi/v1"
NANO = Path(__file__).parents[2] / "models" / "nano"


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def model(client: TestClient) -> dict[str, Any]:
    (only,) = client.get(f"{SDAPI}/sd-models").json()
    return dict(only)


def test_the_title_of_the_model_holds_the_hash_of_its_weights(steady: TestClient) -> None:
    shown = model(steady)
    assert len(shown["sha256"]) == 64
    assert shown["hash"] == shown["sha256"][:10]
    assert shown["title"] == f"z-image-turbo [{shown['hash']}]"
    options = steady.get(f"{SDAPI}/options").json()
    assert (options["sd_model_checkpoint"], options["sd_checkpoint_hash"]) == (
        shown["title"],
        shown["sha256"],
    )


@pytest.mark.parametrize("key", ["title", "model_name", "hash", "sha256"])
def test_the_model_can_be_asked_for_by_all_that_is_shown_of_it(steady: TestClient, key: str) -> None:
    name = model(steady)[key]
    wanted = {"prompt": "a cat", "override_settings": {"sd_model_checkpoint": name, "sd_vae": "x"}}
    assert steady.post(f"{SDAPI}/txt2img", json=wanted).status_code == 200
    assert steady.post(f"{SDAPI}/options", json={"sd_model_checkpoint": name}).status_code == 200


def test_the_hash_changes_with_the_weights_and_with_nothing_else(tmp_path: Path) -> None:
    assert hash_of_weights(tmp_path) is None
    manifest = tmp_path / "SHA256SUMS"
    lines = (NANO / "SHA256SUMS").read_text().splitlines()
    found = []
    for changed in ("README.md", "vae/diffusion_pytorch_model.safetensors"):
        manifest.write_text(
            "\n".join(f"{'0' * 64}  {changed}" if changed in line else line for line in lines)
        )
        found.append(hash_of_weights(tmp_path))
    assert found[0] == hash_of_weights(NANO) != found[1]


def test_without_a_manifest_the_title_is_the_name() -> None:
    assert Checkpoint("z-image-turbo", None).title == "z-image-turbo"


def test_a_picture_tells_how_it_was_made(steady: TestClient) -> None:
    wanted = {"prompt": "a cat: red, big\nand 猫", "negative_prompt": "blur", "seed": 7, "batch_size": 2}
    answer = steady.post(f"{SDAPI}/txt2img", json=wanted).json()
    told = json.loads(answer["info"])["infotexts"]
    assert [opened(text).info["parameters"] for text in answer["images"]] == told
    read = steady.post(f"{SDAPI}/png-info", json={"image": answer["images"][1]}).json()
    assert (read["info"], read["items"]) == (told[1], {})
    shown = model(steady)
    assert read["parameters"] == {
        "Prompt": wanted["prompt"],
        "Negative prompt": "blur",
        "Steps": "8",
        "Sampler": "Euler",
        "Schedule type": "Simple",
        "CFG scale": "0.0",
        "Seed": "8",
        "Size-1": "128",
        "Size-2": "128",
        "Model hash": shown["hash"],
        "Model": shown["model_name"],
        "Version": "development",
    }


def test_a_picture_that_tells_nothing_has_an_empty_info(steady: TestClient) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG")
    image = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    answer = steady.post(f"{SDAPI}/png-info", json={"image": image}).json()
    assert (answer["info"], answer["parameters"]) == ("", {})


@given(model=st.text('ab,:"\\ é\n', min_size=1), prompt=st.text('ab,:" é\n', max_size=20))
def test_what_is_written_into_an_infotext_can_be_read_again(model: str, prompt: str) -> None:
    text = write_infotext(prompt, "", {"Steps": 8, "Seed": 1, "Size": "64x32", "Model": model, "Hash": None})
    read = read_infotext(text)
    assert read["Model"].strip() == model.strip()
    assert (read["Seed"], read["Size-1"], read["Size-2"]) == ("1", "64", "32")
    assert read["Prompt"] == prompt.strip()


def test_progress_shows_a_picture_of_the_job_to_those_who_ask_and_only_to_them(
    client: TestClient, engine: FakeEngine, service: Service, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    draw = engine.draw

    def watched(pictures: Any, on_step: Any) -> Any:
        def step_by_step(step: int, preview: Any) -> None:
            def counted(places: Any) -> Any:
                steps.append(step)
                return preview(places)

            on_step(step, counted)
            if step == 4:
                engine.go.clear()

        return draw(pictures, step_by_step)

    monkeypatch.setattr(engine, "draw", watched)

    def shown(**query: Any) -> Any:
        return client.get(f"{SDAPI}/progress", params=query).json()["current_image"]

    engine.go.clear()
    job = later(f"{SDAPI}/txt2img", prompt="slow", steps=8, seed=5)
    until(lambda: service.queue.running)
    assert shown(skip_current_image=True) is None
    assert shown() is None
    assert shown() is None
    engine.go.set()
    until(lambda: len(steps) == 2)
    until(shown)
    assert opened(shown()).getpixel((0, 0)) == (5, 0, 4)
    engine.go.set()
    assert job.result(20).status_code == 200
    assert steps == [2, 4, 6]
    monkeypatch.undo()


def test_nobody_asks_and_no_preview_is_made(
    client: TestClient, engine: FakeEngine, service: Service, later: Later
) -> None:
    engine.go.clear()
    job = later(f"{SDAPI}/txt2img", prompt="slow")
    until(lambda: service.queue.running)
    client.get(f"{SDAPI}/progress", params={"skip_current_image": True})
    (running,) = service.queue.running
    assert running.preview_steps == frozenset()
    engine.go.set()
    job.result(20)


@pytest.mark.parametrize("header", ["Basic", "Basic ", "Bearer", "nonsense", ""])
def test_a_login_that_is_none_is_let_through(steady: TestClient, header: str) -> None:
    answer = steady.get(f"{SDAPI}/options", headers={"Authorization": header})
    assert answer.status_code == 200


def test_every_answer_tells_how_long_it_took(steady: TestClient) -> None:
    for path in (f"{SDAPI}/options", "/v1/models", "/v1/nothing", "/"):
        assert float(steady.get(path).headers["X-Process-Time"]) >= 0
