"""Drawing inside a mask, by the ways that clients of both APIs draw masks."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from PIL import Image, ImageDraw
from PIL.Image import Image as Drawn

from scripts.nano import world
from tests.app.conftest import MakeSettings
from z_image_turbo.engine import DiffusersEngine
from z_image_turbo.pictures import begin_with, make_order

EDITS = "/v1/images/edits"
IMG2IMG = "/sdapi/v1/img2img"
SIZE = (128, 96)
OLD = (10, 200, 30)
NEW = (5, 0, 255)  # what the fake engine draws for the seed 5


def file_of(image: Drawn) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def text_of(image: Drawn) -> str:
    return base64.b64encode(file_of(image)).decode()


def opened(text: str) -> Drawn:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def halves(mode: str, left: Any, right: Any, size: tuple[int, int] = SIZE) -> Drawn:
    image = Image.new(mode, size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


PICTURE = Image.new("RGB", SIZE, OLD)
RIGHT_IS_TRANSPARENT = halves("RGBA", (0, 0, 0, 255), (0, 0, 0, 0))
RIGHT_IS_WHITE = halves("L", 0, 255)


def edit(client: TestClient, mask: bytes, **form: str) -> Response:
    files = {"image": ("a.png", file_of(PICTURE)), "mask": ("mask.png", mask)}
    return client.post(EDITS, data={"prompt": "a cat", "seed": "5", **form}, files=files)


def img2img(client: TestClient, mask: str, **wanted: object) -> Response:
    body = {"prompt": "a cat", "seed": 5, "init_images": [text_of(PICTURE)], "mask": mask, **wanted}
    return client.post(IMG2IMG, json=body)


def sides(image: Drawn) -> tuple[Any, Any]:
    return image.getpixel((5, 50)), image.getpixel((image.width - 5, 50))


def test_openais_transparent_areas_are_those_that_change(steady: TestClient) -> None:
    answer = edit(steady, file_of(RIGHT_IS_TRANSPARENT)).json()
    image = opened(answer["data"][0]["b64_json"])
    assert (image.size, *sides(image)) == (SIZE, OLD, NEW)


def test_a_mask_goes_with_its_picture_into_another_size(steady: TestClient) -> None:
    answer = edit(steady, file_of(RIGHT_IS_TRANSPARENT), size="256x192").json()
    image = opened(answer["data"][0]["b64_json"])
    assert (image.size, *sides(image)) == ((256, 192), OLD, NEW)


@pytest.mark.parametrize(
    ("mask", "wanted"),
    [
        (RIGHT_IS_WHITE, {}),
        (halves("RGB", (255, 255, 255), (0, 0, 0)), {"inpainting_mask_invert": 1}),
        (halves("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)), {}),
        (halves("L", 0, 255, (16, 16)), {"mask_blur": 0}),
        (RIGHT_IS_WHITE, {"mask_blur": None, "inpainting_fill": 1, "inpaint_full_res": False}),
    ],
)
def test_the_web_uis_white_areas_are_those_that_change(
    steady: TestClient, mask: Drawn, wanted: dict[str, Any]
) -> None:
    assert sides(opened(img2img(steady, text_of(mask), **wanted).json()["images"][0])) == (OLD, NEW)


def test_a_blurred_mask_has_a_soft_edge(steady: TestClient) -> None:
    edges = [
        opened(img2img(steady, text_of(RIGHT_IS_WHITE), mask_blur=blur).json()["images"][0]).getpixel(
            (62, 50)
        )
        for blur in (0, 8)
    ]
    assert edges[0] == OLD
    assert edges[1] not in {OLD, NEW}


def test_inside_a_mask_everything_changes_unless_told(steady: TestClient) -> None:
    jobs = steady.app.state.service  # type: ignore[attr-defined]
    assert jobs.queue.idle
    told = img2img(steady, text_of(RIGHT_IS_WHITE), inpainting_fill=2, denoising_strength=0.5).json()
    assert '"denoising_strength": 1.0' in told["info"]
    assert "mask" not in told["parameters"]


def bomb() -> bytes:
    """Return a PNG of few bytes that claims 60000 pixels a side."""
    data = bytearray(file_of(Image.new("RGBA", (1, 1))))
    data[16:24] = (60000).to_bytes(4) * 2
    return bytes(data)


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        (b"nothing", "is not a picture"),
        (bomb(), ""),
        (file_of(Image.new("L", SIZE, 255)), "has no transparency"),
        (file_of(Image.new("RGBA", SIZE, (0, 0, 0, 255))), "leaves nothing that may change"),
        (file_of(Image.new("RGBA", (64, 64))), "is 64x64, and the picture 128x96"),
        (file_of(Image.new("RGBA", (5000, 4000))), "5000x4000 pixels are too many"),
    ],
)
def test_openais_api_refuses_a_mask_that_it_cannot_follow(steady: TestClient, mask: bytes, text: str) -> None:
    answer = edit(steady, mask)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "mask")
    assert text in error["message"]


@pytest.mark.parametrize(
    ("mask", "wanted", "field"),
    [
        ("http://127.0.0.1/mask.png", {}, "mask"),
        ("bm90IGEgcGljdHVyZQ==", {}, "mask"),
        (text_of(Image.new("L", SIZE)), {}, "mask"),
        (text_of(Image.new("L", SIZE, 255)), {"inpainting_mask_invert": 1}, "mask"),
        (text_of(RIGHT_IS_WHITE), {"mask_blur": 1000}, "mask_blur"),
        (text_of(RIGHT_IS_WHITE), {"mask_blur": -1}, "mask_blur"),
        (text_of(RIGHT_IS_WHITE), {"inpainting_fill": 3}, "inpainting_fill"),
        (text_of(RIGHT_IS_WHITE), {"inpainting_mask_invert": 2}, "inpainting_mask_invert"),
    ],
)
def test_the_web_uis_api_refuses_a_mask_that_it_cannot_follow(
    steady: TestClient, mask: str, wanted: dict[str, Any], field: str
) -> None:
    answer = img2img(steady, mask, **wanted)
    assert (answer.status_code, answer.json()["detail"].partition(":")[0]) == (422, field)


def test_the_model_draws_what_was_asked_for_inside_the_mask_and_nothing_outside(
    settings_for: MakeSettings,
) -> None:
    settings = settings_for(side_default=256)
    engine = DiffusersEngine(settings)
    engine.load()
    mask = Image.new("L", (256, 256))
    ImageDraw.Draw(mask).rectangle((40, 40, 216, 216), fill=255)
    source = world.render(world.Scene("circle", "red", "blue"))
    wanted = world.Scene("square", "yellow", "blue")
    order = make_order(settings, prompt=world.captions(wanted, "en")[0], seed=3)
    image = engine.draw(begin_with(source, order, 1.0, mask).pictures, lambda *_: None)[0]
    assert world.describe(image) == wanted
    outside = np.asarray(mask) == 0
    assert (np.asarray(image)[outside] == np.asarray(source)[outside]).all()
