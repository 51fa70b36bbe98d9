"""The small world that the nano model draws: its captions, its pictures, and a reader of pictures.

A scene is one shape of one colour in the middle of a background of another colour. `describe` is the inverse
of `render`; tests use it to tell whether a picture is the one asked for.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    import random

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")

# English name: (red, green, blue), Chinese name
COLOURS = {
    "red": ((220, 40, 40), "红色"),
    "yellow": ((245, 215, 40), "黄色"),
    "green": ((40, 160, 70), "绿色"),
    "blue": ((40, 80, 210), "蓝色"),
    "white": ((245, 245, 245), "白色"),
    "black": ((20, 20, 20), "黑色"),
}
# English name: Chinese names
SHAPES = {"circle": ("圆形",), "square": ("正方形", "方形"), "triangle": ("三角形",)}

TEMPLATES: dict[Language, tuple[str, ...]] = {
    "en": (
        "a {colour} {shape} on a {background} background",
        "{colour} {shape} on a {background} background",
        "a {colour} {shape} on {background}",
        "a {colour} {shape}, {background} background",
        "a picture of a {colour} {shape} on a {background} background",
        "a {background} background with a {colour} {shape}",
    ),
    "zh": (
        "{background}背景上的{colour}{shape}",
        "{background}背景上的一个{colour}{shape}",
        "{background}背景上有一个{colour}的{shape}",
        "{colour}{shape},{background}背景",
        "一个{colour}的{shape},{background}的背景",
        "一张{background}背景的{colour}{shape}图片",
    ),
}
# One scene in this many is held out of training.
HOLD_OUT_EVERY = 6

# The checker: pixels this near (0-255, root of the squared sum) to a colour have it; those of no colour of
# the scene may be this share of the picture; the outline must overlap the best template this well.
COLOUR_REACH = 60.0
STRAY_SHARE = 0.15
LEAST_SHAPE_SHARE = 0.02
LEAST_OVERLAP = 0.8
GRID = 48


@dataclass(frozen=True)
class Scene:
    """What a picture shows."""

    shape: str
    colour: str
    background: str


@dataclass(frozen=True)
class Placement:
    """Where the shape is: its middle and its radius, in shares of the picture's side."""

    x: float = 0.5
    y: float = 0.5
    radius: float = 0.3


def all_scenes() -> list[Scene]:
    """Return every scene, in a fixed order."""
    pairs = itertools.permutations(COLOURS, 2)
    return [Scene(shape, colour, background) for (colour, background) in pairs for shape in SHAPES]


def is_held_out(scene: Scene) -> bool:
    """Tell whether training never shows `scene`; every pair of its attributes is shown in other scenes."""
    colour, background = list(COLOURS).index(scene.colour), list(COLOURS).index(scene.background)
    return (colour + background + 2 * list(SHAPES).index(scene.shape)) % HOLD_OUT_EVERY == 0


def captions(scene: Scene, language: Language) -> list[str]:
    """Return the captions of `scene` in one language."""
    if language == "en":
        words = [(scene.colour, scene.shape, scene.background)]
    else:
        colour, background = COLOURS[scene.colour][1], COLOURS[scene.background][1]
        words = [(colour, shape, background) for shape in SHAPES[scene.shape]]
    return [
        template.format(colour=colour, shape=shape, background=background)
        for template in TEMPLATES[language]
        for colour, shape, background in words
    ]


def vary(caption: str, rng: random.Random) -> str:
    """Return `caption` as people may type it: with a capital, a full stop, a wide comma."""
    english = caption.isascii()
    if rng.randrange(4) == 0:
        caption = caption[0].upper() + caption[1:]
    if rng.randrange(4) == 0:
        caption += "." if english else "。"
    if not english and rng.randrange(2) == 0:
        caption = caption.replace(",", "\N{FULLWIDTH COMMA}")
    return caption


def random_placement(rng: random.Random) -> Placement:
    """Return a place near the middle and a size near the usual."""
    return Placement(rng.uniform(0.47, 0.53), rng.uniform(0.47, 0.53), rng.uniform(0.28, 0.32))


def coverage(shape: str, placement: Placement, side: int) -> Image.Image:
    """Return how much of each pixel the shape covers, 0 to 255."""
    fine = 4
    scale = side * fine
    x, y, radius = (scale * value for value in (placement.x, placement.y, placement.radius))
    image = Image.new("L", (scale, scale), 0)
    draw = ImageDraw.Draw(image)
    if shape == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    elif shape == "square":
        half = 0.88 * radius
        draw.rectangle((x - half, y - half, x + half, y + half), fill=255)
    else:
        far, low = 1.2 * radius, y + 0.2 * radius
        angles = (math.radians(degrees) for degrees in (-90, 30, 150))
        draw.polygon([(x + far * math.cos(a), low + far * math.sin(a)) for a in angles], fill=255)
    return image.reduce(fine)


def render(scene: Scene, placement: Placement | None = None, side: int = 256) -> Image.Image:
    """Draw `scene`."""
    picture = Image.new("RGB", (side, side), COLOURS[scene.background][0])
    picture.paste(COLOURS[scene.colour][0], mask=coverage(scene.shape, placement or Placement(), side))
    return picture


def _framed(mask: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Return what a mask shows inside its frame, on a fixed grid, and the frame's width over its height."""
    share = 0.02
    columns = np.flatnonzero(mask.mean(axis=0) > share)
    rows = np.flatnonzero(mask.mean(axis=1) > share)
    if not len(columns) or not len(rows):
        return None
    width, height = columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]
    steps = (np.arange(GRID) + 0.5) / GRID
    down = rows[0] + (steps * height).astype(int)
    across = columns[0] + (steps * width).astype(int)
    return mask[np.ix_(down, across)], float(width / height)


@cache
def _templates() -> dict[str, tuple[np.ndarray, float]]:
    """Return the framed mask of each shape."""
    found = {}
    for shape in SHAPES:
        framed = _framed(np.asarray(coverage(shape, Placement(), 256)) > 127)  # noqa: PLR2004 - half of 255
        assert framed is not None  # noqa: S101 - every shape covers something
        found[shape] = framed
    return found


def _shape_of(mask: np.ndarray) -> str | None:
    """Return the shape whose outline fits the mask best, or None where none fits."""
    framed = _framed(mask)
    if framed is None:
        return None
    seen, aspect = framed
    fits = {
        shape: float((seen & template).sum() / (seen | template).sum())
        * min(aspect / template_aspect, template_aspect / aspect)
        for shape, (template, template_aspect) in _templates().items()
    }
    best = max(fits, key=lambda shape: fits[shape])
    return best if fits[best] >= LEAST_OVERLAP else None


def describe(picture: Image.Image) -> Scene | None:
    """Read the scene off a picture, or return None where the picture shows no scene of this world."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    names = list(COLOURS)
    palette = np.array([COLOURS[name][0] for name in names], dtype=np.float32)
    distances = np.sqrt(((pixels[:, :, None, :] - palette) ** 2).sum(axis=-1))
    nearest = np.where(distances.min(axis=-1) <= COLOUR_REACH, distances.argmin(axis=-1), len(names))
    border = np.concatenate([nearest[0], nearest[-1], nearest[:, 0], nearest[:, -1]])
    background = int(np.bincount(border, minlength=len(names) + 1).argmax())
    counts = np.bincount(nearest.ravel(), minlength=len(names) + 1)[: len(names)]
    if background == len(names):
        return None
    shares = counts / nearest.size
    colour = int(np.where(np.arange(len(names)) == background, 0, shares).argmax())
    stray = 1 - shares[background] - shares[colour]
    if colour == background or stray > STRAY_SHARE or shares[colour] < LEAST_SHAPE_SHARE:
        return None
    shape = _shape_of(distances[:, :, colour] < distances[:, :, background])
    return Scene(shape, names[colour], names[background]) if shape else None
