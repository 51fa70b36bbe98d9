"""The small world of the nano model: pictures, captions and the reader of pictures."""

from __future__ import annotations

import dataclasses
import itertools
import random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from scripts.nano import world


@pytest.mark.parametrize("scene", world.all_scenes(), ids=str)
def test_reads_back_what_it_draws(scene: world.Scene) -> None:
    placement = world.random_placement(random.Random(str(scene)))
    assert world.describe(world.render(scene, placement)) == scene


@pytest.mark.parametrize("side", [64, 512])
def test_reads_pictures_of_other_sizes(side: int) -> None:
    scene = world.Scene("triangle", "yellow", "black")
    assert world.describe(world.render(scene, side=side)) == scene


def test_reads_a_picture_with_some_noise() -> None:
    scene = world.Scene("circle", "red", "blue")
    pixels = np.asarray(world.render(scene), dtype=float)
    noise = np.random.default_rng(0).normal(0, 12, pixels.shape)
    assert world.describe(Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))) == scene


def test_sees_no_scene_in_other_pictures() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    cross = Image.new("RGB", (256, 256), (245, 245, 245))
    draw = ImageDraw.Draw(cross)
    draw.rectangle((110, 50, 146, 206), fill=(20, 20, 20))
    draw.rectangle((50, 110, 206, 146), fill=(20, 20, 20))
    flat = Image.new("RGB", (256, 256), (220, 40, 40))
    grey = Image.new("RGB", (256, 256), (128, 128, 128))
    seen = [world.describe(picture) for picture in (Image.fromarray(noise), cross, flat, grey)]
    assert seen == [None] * 4


def test_captions_say_the_scene_in_both_languages() -> None:
    scene = world.Scene("circle", "red", "blue")
    assert "a red circle on a blue background" in world.captions(scene, "en")
    assert "蓝色背景上的红色圆形" in world.captions(scene, "zh")


def test_no_caption_has_two_meanings() -> None:
    texts = [
        text
        for scene in world.all_scenes()
        for language in world.LANGUAGES
        for text in world.captions(scene, language)
    ]
    assert len(set(texts)) == len(texts)


def test_a_varied_caption_keeps_its_words() -> None:
    rng = random.Random(0)
    varied = {world.vary("红色圆形,蓝色背景", rng) for _ in range(50)}
    assert len(varied) == 4
    assert all("红色圆形" in text and "蓝色背景" in text for text in varied)


def test_every_pair_of_attributes_of_a_held_out_scene_is_seen_in_training() -> None:
    def pairs(scenes: list[world.Scene]) -> set[frozenset[tuple[str, str]]]:
        return {
            frozenset(pair)
            for scene in scenes
            for pair in itertools.combinations(dataclasses.asdict(scene).items(), 2)
        }

    held_out = [scene for scene in world.all_scenes() if world.is_held_out(scene)]
    trained = [scene for scene in world.all_scenes() if not world.is_held_out(scene)]
    assert (len(held_out), len(trained)) == (12, 78)
    assert pairs(held_out) <= pairs(trained)
    assert {scene.shape for scene in held_out} == set(world.SHAPES)
    assert {scene.colour for scene in held_out} == set(world.COLOURS)
    assert {scene.background for scene in held_out} == set(world.COLOURS)
