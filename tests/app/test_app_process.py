"""The real command with the tiny model, its real clients, and real signals."""

import base64
import io
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import openai
import pytest
import webuiapi
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

from tests.app.conftest import until
from tests.app.process import Instance

StartInstance = Callable[..., Instance]
LONG = {"size": "512x512", "n": 4}  # seconds of work for the tiny model


def test_the_openai_client_gets_a_picture(instance: Instance) -> None:
    client = openai.OpenAI(base_url=f"{instance.url}/v1", api_key="none", max_retries=0)
    answer = client.images.generate(
        model="z-image-turbo", prompt="a red fox", size="256x256", extra_body={"seed": 3}
    )
    assert answer.data
    image = Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json or "")))
    assert image.size == (256, 256)
    assert [model.id for model in client.models.list()] == ["z-image-turbo"]


def test_the_openai_client_streams_and_edits(instance: Instance) -> None:
    client = openai.OpenAI(base_url=f"{instance.url}/v1", api_key="none", max_retries=0)
    wanted = {"model": "gpt-image-1", "prompt": "a red fox", "size": "256x256"}
    stream = client.images.generate(**wanted, stream=True, partial_images=2)  # type: ignore[call-overload]
    told = list(stream)
    assert [event.type.rpartition(".")[2] for event in told] == ["partial_image"] * 2 + ["completed"]
    picture = base64.b64decode(told[-1].b64_json)
    edited = client.images.edit(**wanted, image=("a.png", picture), extra_body={"strength": 0.5})  # type: ignore[call-overload]
    assert Image.open(io.BytesIO(base64.b64decode(edited.data[0].b64_json))).size == (256, 256)


def test_the_openai_client_understands_a_refusal(instance: Instance) -> None:
    client = openai.OpenAI(base_url=f"{instance.url}/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.BadRequestError) as refusal:
        client.images.generate(model="z-image-turbo", prompt="a red fox", size="1000x1000")
    assert (refusal.value.code, refusal.value.param) == ("invalid_size", "size")
    assert refusal.value.request_id


def test_the_web_ui_client_gets_a_picture_with_its_own_defaults(instance: Instance) -> None:
    client = webuiapi.WebUIApi(host="127.0.0.1", port=instance.port)
    drawn = client.txt2img(prompt="a red fox", width=256, height=256, seed=3)
    assert drawn.image.size == (256, 256)
    assert (drawn.info["steps"], drawn.info["seed"]) == (8, 3)
    title = client.util_get_current_model()
    assert title == client.util_get_model_names()[0]
    assert title.startswith("z-image-turbo [")
    client.util_set_model(title)
    again = client.img2img(images=[drawn.image], prompt="a red fox", width=256, height=256)
    assert (again.image.size, again.info["denoising_strength"]) == ((256, 256), 0.75)
    assert client.interrupt() == {}
    assert client.skip() is None
    assert client.refresh_checkpoints() is None
    assert [client.get_upscalers(), client.get_latent_upscale_modes()]
    assert client.get_memory()["ram"]["total"]
    assert client.get_progress()["state"]["job_count"] == 0
    assert client.get_samplers()
    assert client.get_schedulers()


def test_the_page_gives_ten_callers_at_once_the_pictures_they_would_get_alone(
    instance: Instance, tmp_path: Path
) -> None:
    def alone(seed: int) -> bytes:
        answer = instance.generate(prompt="a red fox", seed=seed).json()
        return base64.b64decode(answer["data"][0]["b64_json"])

    def on_the_page(first: int) -> list[tuple[int, bytes]]:
        client = Client(instance.url, verbose=False, download_files=str(tmp_path / str(first)))
        drawn = [client.predict("a red fox", "128x128", first + i, api_name="/generate") for i in range(2)]
        return [(seed, Path(path).read_bytes()) for path, seed in drawn]

    expected = {seed: alone(seed) for seed in range(20)}
    with ThreadPoolExecutor(10) as callers:
        drawn = dict(pair for pairs in callers.map(on_the_page, range(0, 20, 2)) for pair in pairs)
    assert drawn == expected


def test_the_page_draws_a_seed_by_lot_and_explains_refusals(instance: Instance, tmp_path: Path) -> None:
    client = Client(instance.url, verbose=False, download_files=str(tmp_path))
    seeds = {client.predict(prompt="a red fox", api_name="/generate")[1] for _ in range(2)}
    assert len(seeds) == 2
    with pytest.raises(AppError, match="write what the picture should show"):
        client.predict(prompt=" ", api_name="/generate")
    with pytest.raises(AppError, match="seed: must lie between"):
        client.predict(prompt="a red fox", seed=-5, api_name="/generate")


def test_sigterm_finishes_the_accepted_jobs_refuses_new_ones_and_ends_with_status_0(
    start_instance: StartInstance, tmp_path: Path
) -> None:
    instance = start_instance(name="drained", drain_seconds=60)
    until(instance.ready, 60)
    page = Client(instance.url, verbose=False, download_files=str(tmp_path))
    with open_tab(instance):
        running = instance.generate_later(seed=1, **LONG)
        until(lambda: instance.jobs() == 1)
        waiting = instance.generate_later(seed=2)
        on_the_page = page.submit("a red fox", "128x128", 5, api_name="/generate")
        until(lambda: instance.jobs() == 3)
        instance.terminate()
        until(lambda: instance.status("/readyz") == 503)
        assert instance.status("/livez") == 200
        refused = instance.generate()
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
        assert refused.headers["Retry-After"]
        assert not running.done()
        assert [running.result(60).status_code, waiting.result(60).status_code] == [200, 200]
        path, seed = on_the_page.result(60)
        assert (Image.open(path).size, seed) == ((128, 128), 5)
        assert instance.exit_status(12) == 0


def test_sigterm_while_loading_ends_within_seconds(start_instance: StartInstance) -> None:
    instance = start_instance(name="early")
    until(lambda: instance.status("/livez") == 200, 60)
    assert instance.status("/readyz") == 503
    begin = time.monotonic()
    instance.terminate()
    assert instance.exit_status(10) == 0
    assert time.monotonic() - begin < 5


def test_a_port_in_use_ends_the_command_with_an_error(
    instance: Instance, start_instance: StartInstance
) -> None:
    second = start_instance(name="second", port=instance.port)
    assert second.exit_status(60) == 2
    assert "Address already in use" in second.log.read_text()


def test_the_log_is_json_and_every_finished_job_has_its_line(instance: Instance) -> None:
    instance.generate(seed=1)
    lines = [json.loads(line) for line in instance.log.read_text().splitlines()]
    jobs = [line for line in lines if line["message"] == "job done"]
    assert {"time", "level", "logger", "instance"} <= set(lines[0])
    assert all(len(line["job"]) == 32 and line["instance"] == "shared" for line in jobs)
    assert jobs


@contextmanager
def open_tab(instance: Instance) -> Iterator[None]:
    """Hold the stream that every open tab of the page holds, which never ends by itself."""
    with httpx.stream("GET", f"{instance.url}/gradio_api/heartbeat/tab", timeout=60) as stream:
        assert stream.status_code == 200
        yield
