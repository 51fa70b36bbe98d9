"""What programs with pictures in them send, as their code does, and what they read from the answers."""

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.clients.conftest import Service

PROMPT = "a red circle on a blue background"


@pytest.fixture(scope="module")
def http(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def picture(text: str) -> Image.Image:
    assert not text.startswith("data:")  # LibreChat puts its own prefix before it
    return Image.open(io.BytesIO(base64.b64decode(text)))


# Open WebUI, engine "automatic1111". It sends this header, and a space, when no login is set.
NO_LOGIN = {"Authorization": "Basic"}


def test_open_webui_verifies_the_address_and_sets_a_model(http: httpx.Client, service: Service) -> None:
    headers = NO_LOGIN if service.direct else {}
    options = http.get("/sdapi/v1/options", headers=headers).json()
    models = http.get("/sdapi/v1/sd-models", headers=headers).json()
    choices = [{"id": model["title"], "name": model["model_name"]} for model in models]
    assert options["sd_model_checkpoint"] in [choice["id"] for choice in choices]
    options["sd_model_checkpoint"] = choices[0]["id"]
    assert http.post("/sdapi/v1/options", json=options, headers=headers).status_code == 200


def test_open_webui_draws_by_the_web_uis_api(http: httpx.Client, service: Service) -> None:
    body: dict[str, Any] = {
        "prompt": PROMPT,
        "batch_size": 1,
        "width": 256,
        "height": 256,
        "steps": 50,
        "negative_prompt": "blur",
        "cfg_scale": 7.0,
        "sampler_name": "Euler a",
        "scheduler": "Karras",
    }
    headers = NO_LOGIN if service.direct else {}
    answer = http.post("/sdapi/v1/txt2img", json=body, headers=headers).json()
    assert json.loads(answer["info"])["steps"] == 8  # it reads "info" without looking at the status
    assert [picture(text).size for text in answer["images"]] == [(256, 256)]


def test_open_webui_draws_and_edits_by_openais_api(http: httpx.Client, service: Service) -> None:
    headers = {"Authorization": f"Bearer {service.key}"} if service.key else {}
    body = {"model": "dall-e-3", "prompt": PROMPT, "n": 1, "size": "256x256", "response_format": "b64_json"}
    drawn = http.post("/v1/images/generations", json=body, headers=headers).json()["data"][0]
    assert "url" not in drawn  # it would ask for that one first
    assert picture(drawn["b64_json"]).size == (256, 256)
    # No response_format where the name begins with gpt-image; with the operator's parameters.
    body = {"model": "gpt-image-1", "prompt": PROMPT, "n": 1, "quality": "low", "moderation": "low"}
    assert http.post("/v1/images/generations", json=body, headers=headers).json()["data"][0]["b64_json"]
    form = {"model": "gpt-image-1", "prompt": PROMPT, "n": "1", "size": "256x256", "background": "auto"}
    for name in ("image", "image[]"):
        files = {name: ("image.png", base64.b64decode(drawn["b64_json"]), "image/png")}
        edited = http.post("/v1/images/edits", data=form, files=files, headers=headers).json()["data"][0]
        assert picture(edited["b64_json"]).size == (256, 256)


# SillyTavern's server relays what its page sends, with the login of the connection in the body.
RELAYED = {"url": "http://127.0.0.1:7860", "auth": "person:hunter2"}


def test_sillytavern_finds_what_it_lists_and_no_forge(http: httpx.Client) -> None:
    options = http.get("/sdapi/v1/options").json()
    assert "forge_preset" not in options
    assert options["sd_model_checkpoint"] in [m["title"] for m in http.get("/sdapi/v1/sd-models").json()]
    assert [one["name"] for one in http.get("/sdapi/v1/samplers").json()]
    assert [one["name"] for one in http.get("/sdapi/v1/schedulers").json()]
    upscalers = [one["name"] for one in http.get("/sdapi/v1/upscalers").json()]
    latent = [one["name"] for one in http.get("/sdapi/v1/latent-upscale-modes").json()]
    assert upscalers[0] == "None"  # it puts the latent modes after the first one
    assert latent
    assert [one["model_name"] for one in http.get("/sdapi/v1/sd-vae").json()] == []


def test_sillytavern_sets_a_model_and_waits_until_nothing_is_drawn(http: httpx.Client) -> None:
    title = http.get("/sdapi/v1/sd-models").json()[0]["title"]
    assert http.post("/sdapi/v1/options", json={"sd_model_checkpoint": title}).status_code == 200
    told = http.get("/sdapi/v1/progress").json()
    assert (told["progress"], told["state"]["job_count"]) == (0.0, 0)


def test_sillytavern_draws_and_its_login_comes_back_in_no_answer(http: httpx.Client) -> None:
    body = {
        **RELAYED,
        "prompt": PROMPT,
        "negative_prompt": "",
        "sampler_name": "DPM++ 2M Karras",
        "scheduler": "Automatic",
        "steps": 20,
        "cfg_scale": 7,
        "width": 256,
        "height": 256,
        "restore_faces": False,
        "enable_hr": False,
        "hr_upscaler": "None",
        "hr_scale": 1,
        "hr_additional_modules": [],
        "denoising_strength": 0.7,
        "hr_second_pass_steps": 0,
        "seed": -1,
        "override_settings": {"CLIP_stop_at_last_layers": 1},
        "override_settings_restore_afterwards": True,
        "clip_skip": 1,
        "save_images": True,
        "send_images": True,
        "do_not_save_grid": False,
        "do_not_save_samples": False,
    }
    answer = http.post("/sdapi/v1/txt2img", json=body)
    assert picture(answer.json()["images"][0]).size == (256, 256)
    assert "hunter2" not in answer.text
    refused = http.post("/sdapi/v1/txt2img", json=body | {"enable_hr": True})
    assert refused.status_code == 422
    assert "hunter2" not in refused.text


def test_sillytavern_interrupts_with_an_empty_body(http: httpx.Client) -> None:
    answer = http.post("/sdapi/v1/interrupt", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (200, {})


def test_librechat_draws_and_reads_the_infotext(http: httpx.Client) -> None:
    body = {
        "prompt": PROMPT,
        "negative_prompt": "blur",
        "cfg_scale": 4.5,
        "steps": 22,
        "width": 256,
        "height": 256,
    }
    answer = http.post("/sdapi/v1/txt2img", json=body).json()
    info = json.loads(answer["info"])
    assert info["infotexts"][0].startswith(f"{PROMPT}\nNegative prompt: blur\nSteps: 8, ")
    assert (info["width"], info["height"]) == (256, 256)
    assert isinstance(info["seed"], int)
    assert picture(answer["images"][0]).size == (256, 256)
