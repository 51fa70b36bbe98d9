"""The trained weights in models/nano."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from scripts.nano import release, world
from scripts.nano.measure import draw

MODEL = Path(__file__).parents[2] / "models" / "nano"
HELD_OUT = [scene for scene in world.all_scenes() if world.is_held_out(scene)]


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return release.load(MODEL)


def test_the_manifest_verifies_and_the_folder_is_small() -> None:
    assert release.verifies(MODEL)
    assert sum(path.stat().st_size for path in MODEL.rglob("*") if path.is_file()) < 20e6
    assert not list(MODEL.rglob("*.bin"))


def test_the_nano_model_is_made_of_the_real_classes(pipeline: Any) -> None:
    assert {name: type(part).__name__ for name, part in pipeline.components.items()} == {
        "scheduler": "FlowMatchEulerDiscreteScheduler",
        "vae": "AutoencoderKL",
        "text_encoder": "Qwen3Model",
        "tokenizer": "Qwen2Tokenizer",
        "transformer": "ZImageTransformer2DModel",
    }
    assert (pipeline.scheduler.config.shift, pipeline.vae_scale_factor) == (3.0, 8)


@pytest.mark.parametrize(
    ("caption", "scene"),
    [
        ("a red circle on a blue background", world.Scene("circle", "red", "blue")),
        ("蓝色背景上的红色圆形", world.Scene("circle", "red", "blue")),
    ],
)
def test_it_draws_what_the_readme_says(pipeline: Any, caption: str, scene: world.Scene) -> None:
    assert world.describe(draw(pipeline, [caption], [0])[0]) == scene


def test_it_draws_scenes_it_has_never_seen(pipeline: Any) -> None:
    """A single miss is within the accuracy of the model card."""
    rng = random.Random(1)
    captions = [
        rng.choice(world.captions(scene, world.LANGUAGES[index % 2])) for index, scene in enumerate(HELD_OUT)
    ]
    pictures = draw(pipeline, captions, range(len(captions)))
    right = [world.describe(picture) == scene for picture, scene in zip(pictures, HELD_OUT, strict=True)]
    assert sum(right) >= len(right) - 1


def test_another_seed_draws_another_picture(pipeline: Any) -> None:
    first, again, other = draw(pipeline, ["a green square on a white background"] * 3, [1, 1, 2])
    assert first.tobytes() == again.tobytes() != other.tobytes()
