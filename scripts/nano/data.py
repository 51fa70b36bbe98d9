"""Pictures, latents and captions for training, composed on the device."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from scripts.nano import world
from scripts.nano.model import CELL, SIDE, tokenize

VARIANTS = 3


def cells(pictures: torch.Tensor) -> torch.Tensor:
    """Return the mean colour of each cell of pictures (batch, 3, height, width): their latents."""
    return torch.nn.functional.avg_pool2d(pictures, CELL)


@dataclass(frozen=True)
class Batch:
    """Pictures (-1 to 1) or their latents, and the tokens and masks of their captions."""

    pictures: torch.Tensor
    ids: torch.Tensor
    mask: torch.Tensor


class World:
    """Random scenes out of those that training may see.

    Outlines are drawn once, at random places; colours are put in afterwards, which costs next to nothing.
    """

    def __init__(self, tokenizer: Any, outlines: int, device: str, seed: int) -> None:  # noqa: ANN401
        """Draw so many outlines of each shape and tokenise every caption."""
        rng = random.Random(seed)  # noqa: S311 - nothing secret
        self.device = device
        self.scenes = [scene for scene in world.all_scenes() if not world.is_held_out(scene)]
        drawn = [
            [np.asarray(world.coverage(shape, world.random_placement(rng), SIDE)) for _ in range(outlines)]
            for shape in world.SHAPES
        ]
        self.outlines = torch.from_numpy(np.array(drawn)).to(device)
        self.outline_cells = cells(self.outlines.float() / 255)
        palette = torch.tensor([rgb for rgb, _ in world.COLOURS.values()], device=device)
        self.palette = palette / 127.5 - 1
        names, shapes = list(world.COLOURS), list(world.SHAPES)
        self.parts = torch.tensor(
            [
                (shapes.index(scene.shape), names.index(scene.colour), names.index(scene.background))
                for scene in self.scenes
            ],
            device=device,
        )
        texts: list[str] = []
        spans = []
        for scene in self.scenes:
            for language in world.LANGUAGES:
                wordings = [
                    world.vary(caption, rng)
                    for caption in world.captions(scene, language)
                    for _ in range(VARIANTS)
                ]
                spans.append((len(texts), len(wordings)))
                texts += wordings
        self.spans = torch.tensor(spans, device=device).view(len(self.scenes), len(world.LANGUAGES), 2)
        ids, mask = tokenize(tokenizer, texts)
        self.ids, self.mask = ids.to(device), mask.to(device)

    def sample(self, size: int, *, as_latents: bool) -> Batch:
        """Return a random batch, of pictures or of their cells' mean colours."""
        scene = torch.randint(len(self.scenes), (size,), device=self.device)
        language = torch.randint(len(world.LANGUAGES), (size,), device=self.device)
        shape, colour, background = self.parts[scene].unbind(1)
        outlines = self.outline_cells if as_latents else self.outlines
        place = torch.randint(outlines.shape[1], (size,), device=self.device)
        cover = outlines[shape, place][:, None].float()
        cover = cover if as_latents else cover / 255
        front, back = (self.palette[index][:, :, None, None] for index in (colour, background))
        first, count = self.spans[scene, language].unbind(1)
        text = first + (torch.rand(size, device=self.device) * count).long()
        return Batch(back + cover * (front - back), self.ids[text], self.mask[text])
