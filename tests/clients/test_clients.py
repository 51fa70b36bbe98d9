"""What the real clients see of the service, each in the versions that it needs."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.conftest import Service

Run = Callable[..., dict[str, Any]]

IMAGE = "image_generation."
EDIT = "image_edit."


@pytest.fixture(scope="module", params=["openai2", None], ids=["openai 2", "openai 3"])
def openai_client(request: pytest.FixtureRequest, run: Run) -> dict[str, Any]:
    seen = run("openai_images.py", request.param)
    assert seen["version"].startswith("2." if request.param else "3.")
    return seen


def test_openais_client_gets_pictures_in_the_size_it_asked_for(openai_client: dict[str, Any]) -> None:
    assert openai_client["generate"] == {
        "sizes": [[256, 128]] * 2,
        "size": "256x128",
        "tokens": [True, 256, True],
        "request_id": True,
    }
    assert openai_client["nulls"] == [256, 128]
    assert openai_client["edit"] == [256, 128]


def test_openais_client_sees_unfinished_pictures_come(openai_client: dict[str, Any]) -> None:
    for seen, prefix, count in (
        (openai_client["stream"], IMAGE, 2),
        (openai_client["edit_stream"], EDIT, 1),
        (openai_client["at_once"]["stream"], IMAGE, 1),
    ):
        assert seen == {
            "types": [prefix + "partial_image"] * count + [prefix + "completed"],
            "size": [256, 128],
            "tokens": 128,
            "indices": list(range(count)),
        }


def test_openais_client_gets_the_same_picture_for_the_same_seed_or_key(openai_client: dict[str, Any]) -> None:
    assert openai_client["at_once"]["same"]
    assert openai_client["same_key"] == 1


def test_openais_client_finds_the_model_by_its_name_and_its_aliases(openai_client: dict[str, Any]) -> None:
    assert len(openai_client["models"]) == 1
    assert openai_client["alias"] == "dall-e-3"


def test_openais_client_understands_refusals(openai_client: dict[str, Any]) -> None:
    kind = "invalid_request_error"
    assert openai_client["refusals"] == {
        "size": ["BadRequestError", "invalid_size", "size", kind, True],
        "model": ["NotFoundError", "model_not_found", "model", kind, True],
        "n": ["BadRequestError", "invalid_request", "n", kind, True],
        "links": ["BadRequestError", "invalid_request", "response_format", kind, True],
    }


def test_openais_client_asks_again_when_the_queue_is_full_but_not_for_what_was_given_up(
    openai_client: dict[str, Any], service: Service
) -> None:
    if not service.direct:
        pytest.skip("needs an instance of its own")
    assert openai_client["cancelled"] == {
        "error": ["ConflictError", "cancelled", None, "invalid_request_error", True],
        "requests": 1,
    }
    assert openai_client["full"]["size"] == [256, 128]
    assert openai_client["full"]["requests"] > 1


def test_litellm_draws_by_the_ways_that_lead_here(run: Run) -> None:
    assert run("litellm_images.py", "litellm") == {
        "openai": [[256, 128]] * 2,
        "seeded": [[256, 128]],
        "hosted_vllm": [[256, 128]],
        "refused": ["BadRequestError", 400, True],
    }


@pytest.fixture(scope="module")
def webui_client(run: Run) -> dict[str, Any]:
    return run("webui_images.py", "webuiapi")


def test_the_web_uis_client_draws_with_its_own_defaults(webui_client: dict[str, Any]) -> None:
    assert webui_client["txt2img"] == {
        "sizes": [[256, 128]] * 2,
        "seeds": [3, 4],
        "steps": 8,
        "infotext": True,
        "file": True,
    }
    assert webui_client["img2img"] == [[256, 128], 0.75]
    assert webui_client["at_once"] == [[[256, 128], 5]] * 2


def test_the_web_uis_client_reads_from_a_picture_how_it_was_made(webui_client: dict[str, Any]) -> None:
    assert "\nSteps: 8, Sampler: Euler," in webui_client["png_info"]


def test_the_web_uis_client_finds_all_lists_and_sends_the_options_back(webui_client: dict[str, Any]) -> None:
    lists = webui_client["lists"]
    ((title, name),) = lists.pop("models")
    assert title.startswith(name)
    assert lists == {
        "scripts": {"txt2img": [], "img2img": []},
        "samplers": ["Euler"],
        "schedulers": ["simple"],
        "upscalers": ["None"],
        "latent": ["None"],
        "vae": [],
        "loras": lists["loras"],
        "memory": True,
        "current": title,
    }
    assert webui_client["options"] == [None, None, True]


def test_the_web_uis_client_gives_its_job_up(webui_client: dict[str, Any], service: Service) -> None:
    assert (webui_client["skip"], webui_client["refresh"]) == (None, None)
    if service.direct:
        assert webui_client["given_up"] == {"answer": {}, "steps": 8, "status": 409}


def test_gradios_javascript_client_follows_a_job_to_its_picture(run: Run) -> None:
    seen = run("gradio_page.mjs")
    assert "/generate" in seen["endpoints"]
    assert seen["stages"][0] == "pending"
    assert seen["stages"][-1] == "complete"
    assert seen["png"] == "PNG"
    assert "what the picture should show" in seen["refusal"]
