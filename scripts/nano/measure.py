"""How often the model draws what it was asked for."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING, Any

import torch

from scripts.nano import world
from scripts.nano.model import SIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

STEPS = 8
TOGETHER = 16
ATTRIBUTES = ("shape", "colour", "background")


@dataclasses.dataclass
class Tally:
    """How many pictures of a group were asked for, and how many were right in what."""

    asked: int = 0
    right: dict[str, int] = dataclasses.field(default_factory=lambda: dict.fromkeys((*ATTRIBUTES, "all"), 0))

    def add(self, scene: world.Scene, seen: world.Scene | None) -> None:
        """Count one picture."""
        self.asked += 1
        for attribute in ATTRIBUTES:
            self.right[attribute] += seen is not None and getattr(scene, attribute) == getattr(
                seen, attribute
            )
        self.right["all"] += scene == seen

    def shares(self) -> dict[str, float]:
        """Return the share of right pictures, by attribute and in all."""
        return {name: count / self.asked for name, count in self.right.items()}


def draw(pipeline: Any, captions: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:  # noqa: ANN401
    """Return a picture for each caption and seed, as the application asks for them."""
    pictures: list[Image.Image] = pipeline(
        list(captions),
        height=SIDE,
        width=SIDE,
        num_inference_steps=STEPS,
        guidance_scale=0.0,
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
    ).images
    return pictures


def measure(pipeline: Any, scenes: Sequence[world.Scene], times: int, seed: int) -> dict[str, Tally]:  # noqa: ANN401
    """Draw each scene so many times in each language and return the tallies by language."""
    rng = random.Random(seed)  # noqa: S311 - nothing secret
    asked = [
        (scene, language, rng.choice(world.captions(scene, language)), rng.randrange(2**31))
        for _ in range(times)
        for scene in scenes
        for language in world.LANGUAGES
    ]
    tallies: dict[str, Tally] = {language: Tally() for language in world.LANGUAGES}
    for start in range(0, len(asked), TOGETHER):
        batch = asked[start : start + TOGETHER]
        pictures = draw(pipeline, [item[2] for item in batch], [item[3] for item in batch])
        for (scene, language, _, _), picture in zip(batch, pictures, strict=True):
            tallies[language].add(scene, world.describe(picture))
    return tallies


def report(tallies: dict[str, Tally]) -> dict[str, Any]:
    """Return tallies as plain values."""
    return {language: {"asked": tally.asked, **tally.shares()} for language, tally in tallies.items()}
