"""LoRAs: named by requests, found in one folder, and gone without a trace after the picture."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from PIL.Image import Image as Drawn
from safetensors.torch import save_file

from tests.app.conftest import MakeSettings, open_client, until
from tests.app.fakes import FakeEngine
from z_image_turbo.engine import DiffusersEngine
from z_image_turbo.errors import InvalidRequest, LoraUnusable, UnknownLora
from z_image_turbo.jobs import Job
from z_image_turbo.loras import Lora, lora_files, read_tags
from z_image_turbo.pictures import Picture, make_order
from z_image_turbo.service import Service

WIDTH, RANK, LAYERS = 128, 4, 4  # of the nano model's transformer


def write_lora(path: Path, seed: int) -> None:
    """Write a LoRA with random weights, as the trainers of other programs name them."""
    source = torch.Generator().manual_seed(seed)
    weights = {}
    for layer in range(LAYERS):
        for part in ("to_q", "to_v"):
            name = f"transformer.layers.{layer}.attention.{part}"
            weights[f"{name}.lora_A.weight"] = torch.randn(RANK, WIDTH, generator=source)
            weights[f"{name}.lora_B.weight"] = torch.randn(WIDTH, RANK, generator=source)
    save_file(weights, path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold three LoRAs that fit, and three files that do not."""
    made = tmp_path_factory.mktemp("loras")
    for seed, name in enumerate(["ink", "oil v1.5", "水墨"]):
        write_lora(made / f"{name}.safetensors", seed)
    save_file(
        {"transformer.layers.0.attention.to_q.lora_A.weight": torch.ones(4, 7)}, made / "odd.safetensors"
    )
    save_file({"something": torch.ones(1)}, made / "other.safetensors")
    (made / "damaged.safetensors").write_bytes(b"nothing")
    (made / "pickle.pt").write_bytes(b"code")
    return made


@pytest.fixture(scope="module")
def engine(settings_for: MakeSettings, folder: Path) -> DiffusersEngine:
    """Be the real engine, which keeps two LoRAs on the device."""
    made = DiffusersEngine(settings_for(lora_path=folder, loras_max=2))
    made.load()
    return made


def draw(engine: DiffusersEngine, *loras: Lora, seed: int = 1) -> bytes:
    picture = Picture("a red circle on a blue background", 128, 128, 3, seed, loras=loras)
    return pixels(engine.draw([picture], lambda *_: None))


def pixels(images: list[Drawn]) -> bytes:
    return b"".join(image.tobytes() for image in images)


@pytest.mark.parametrize("name", ["odd", "other", "damaged"])
def test_a_file_that_does_not_fit_is_refused_and_spoils_nothing(engine: DiffusersEngine, name: str) -> None:
    before = draw(engine)
    for _ in range(2):
        with pytest.raises(LoraUnusable, match=f"{name!r} cannot be used with this model"):
            draw(engine, Lora(name))
    assert draw(engine) == before
    assert draw(engine, Lora("ink")) != before
    assert draw(engine) == before


def test_a_lora_changes_the_picture_by_its_weight_and_leaves_no_trace(engine: DiffusersEngine) -> None:
    before = draw(engine)
    half, full = (draw(engine, Lora("ink", weight)) for weight in (0.5, 1.0))
    assert len({before, half, full}) == 3
    assert draw(engine) == before
    assert draw(engine, Lora("ink", 0.0)) == before
    assert draw(engine, Lora("ink", 1.0)) == full


def test_loras_add_up(engine: DiffusersEngine) -> None:
    ink, oil = Lora("ink"), Lora("oil v1.5", 0.5)
    both = draw(engine, ink, oil)
    assert both not in {draw(engine, ink), draw(engine, oil)}


def test_more_loras_than_are_kept_replace_those_unused_for_longest(engine: DiffusersEngine) -> None:
    before, ink = draw(engine), draw(engine, Lora("ink"))
    for name in ("oil v1.5", "水墨", "oil v1.5", "ink"):
        draw(engine, Lora(name))
        assert len(engine._loras._loaded) <= 2
    assert draw(engine, Lora("ink")) == ink
    assert draw(engine) == before


def test_a_file_that_was_replaced_is_read_again(engine: DiffusersEngine, folder: Path) -> None:
    path = folder / "new.safetensors"
    write_lora(path, 10)
    first = draw(engine, Lora("new"))
    write_lora(folder / "newer", 11)
    (folder / "newer").rename(path)
    assert draw(engine, Lora("new")) != first
    path.unlink()
    with pytest.raises(UnknownLora):
        draw(engine, Lora("new"))


def test_loras_act_on_a_transformer_in_8_bits_too(settings_for: MakeSettings, folder: Path) -> None:
    engine = DiffusersEngine(settings_for(lora_path=folder, quantize="int8"))
    engine.load()
    before = draw(engine)
    assert draw(engine, Lora("ink")) != before
    assert draw(engine) == before


def test_tags_are_taken_out_of_the_prompt() -> None:
    assert read_tags("a fox <lora:ink:0.8>, snow<lora:oil v1.5>") == (
        "a fox, snow",
        (Lora("ink", 0.8), Lora("oil v1.5", 1.0)),
    )
    assert read_tags("a < b <lora:> ") == ("a < b <lora:> ", ())
    with pytest.raises(InvalidRequest, match="a weight must be a number"):
        read_tags("<lora:ink:much>")


def test_the_order_of_loras_does_not_matter(settings_for: MakeSettings, folder: Path) -> None:
    settings = settings_for(lora_path=folder)
    ink, oil = Lora("ink"), Lora("oil v1.5", 0.5)
    one, other = (make_order(settings, prompt="", seed=1, loras=loras) for loras in ([ink, oil], [oil, ink]))
    assert one == other


def test_only_safetensors_of_the_folder_itself_are_found(folder: Path) -> None:
    assert set(lora_files(folder)) == {"ink", "oil v1.5", "水墨", "odd", "other", "damaged"}
    assert lora_files(None) == {}


@pytest.fixture
def client(settings_for: MakeSettings, folder: Path, page_dir: Path) -> Iterator[TestClient]:
    """Be the whole application over a fake engine, with the folder."""
    with open_client(Service(settings_for(lora_path=folder, loras_max=2), FakeEngine()), page_dir) as opened:
        until(lambda: opened.get("/readyz").status_code == 200)
        yield opened


@pytest.fixture
def orders(client: TestClient) -> list[Any]:
    """Hold what was asked of the engine."""
    asked: list[Any] = []

    class Watcher:
        def accepted(self, job: Job) -> None:
            asked.append(job.order)

        def refused(self, *_: object) -> None:
            """Count nothing."""

    client.app.state.service.observe(Watcher())  # type: ignore[attr-defined]
    return asked


OPENAI = "/v1/images/generations"
SDAPI = "/sdapi/v1/txt2img"


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("ink", [Lora("ink")]),
        ({"name": "ink", "weight": 0.5}, [Lora("ink", 0.5)]),
        ([{"name": "ink", "weight": -1}, {"name": "水墨"}], [Lora("ink", -1), Lora("水墨")]),
        (["ink", "oil v1.5"], [Lora("ink"), Lora("oil v1.5")]),
        (None, []),
    ],
)
def test_openais_api_names_them_by_its_extension(
    client: TestClient, orders: list[Any], asked: object, meant: list[Lora]
) -> None:
    assert client.post(OPENAI, json={"prompt": "a fox <lora:x>", "lora": asked}).status_code == 200
    assert (orders[0].prompt, list(orders[0].loras)) == ("a fox <lora:x>", meant)


def test_the_web_uis_api_names_them_in_the_prompt_and_lists_them(
    client: TestClient, orders: list[Any]
) -> None:
    answer = client.post(SDAPI, json={"prompt": "a fox <lora:ink:0.8>"}).json()
    assert (orders[0].prompt, orders[0].loras) == ("a fox", (Lora("ink", 0.8),))
    info = json.loads(answer["info"])
    assert info["prompt"] == "a fox <lora:ink:0.8>"
    listed = client.get("/sdapi/v1/loras").json()
    assert [one["name"] for one in listed] == ["damaged", "ink", "odd", "oil v1.5", "other", "水墨"]
    assert all(one["path"] == f"{one['name']}.safetensors" for one in listed)


BAD: list[tuple[object, str, str]] = [
    ("none", "lora_not_found", "there is none named 'none'"),
    ("../ink", "lora_not_found", "there is none named '../ink'"),
    ("/etc/passwd", "lora_not_found", "there is none"),
    (["ink", "ink"], "invalid_request", "each may be named once"),
    (["ink", "水墨", "oil v1.5"], "invalid_request", "3 are too many; at most 2"),
    ({"name": "ink", "weight": 5}, "invalid_request", "weights lie between -4 and 4"),
    ({"name": "ink", "weight": "much"}, "invalid_request", "lora"),
    (7, "invalid_request", "lora"),
]


@pytest.mark.parametrize(("asked", "word", "text"), BAD)
def test_what_cannot_be_had_is_refused_by_name(
    client: TestClient, asked: object, word: str, text: str
) -> None:
    answer = client.post(OPENAI, json={"prompt": "a fox", "lora": asked})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, word)
    assert text in error["message"]


@pytest.mark.parametrize("prompt", ["<lora:none:1>", "<lora:ink:many>", "<lora:ink:nan>", "<lora:ink:99>"])
def test_a_tag_that_cannot_be_followed_is_refused(client: TestClient, prompt: str) -> None:
    answer = client.post(SDAPI, json={"prompt": prompt})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("lora: ")


def test_without_a_folder_there_are_none(steady: TestClient) -> None:
    assert steady.get("/sdapi/v1/loras").json() == []
    answer = steady.post(OPENAI, json={"prompt": "a fox", "lora": "ink"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "lora_not_found")
