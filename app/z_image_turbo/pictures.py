"""What is to be drawn: a request for pictures that is known to be within the limits."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from z_image_turbo.errors import InvalidRequest, InvalidSize
from z_image_turbo.loras import require_loras
from z_image_turbo.settings import GRID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from z_image_turbo.loras import Lora
    from z_image_turbo.settings import Settings

SEED_MAX = 2**53 - 1  # the largest integer that every JSON reader keeps exact
SEED_BY_LOT = -1
RANDOM_SEEDS = 2**32
SIZE_PATTERN = re.compile(r"(\d{1,5})x(\d{1,5})")


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: the same values give the same picture, on every instance with the same model."""

    prompt: str
    width: int
    height: int
    steps: int
    seed: int
    source: Image | None = None  # the picture to begin with, of this size
    strength: float = 1.0  # how much of it may change
    mask: Image | None = None  # of this size, grey: only what is white may change
    loras: tuple[Lora, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """One request: `count` pictures of one prompt and size, with the seeds `seed`, `seed + 1`, ..."""

    prompt: str
    width: int
    height: int
    steps: int
    seed: int
    count: int
    source: Image | None = None
    strength: float = 1.0
    mask: Image | None = None
    loras: tuple[Lora, ...] = ()

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The pictures, in the order of their seeds."""
        return tuple(
            Picture(
                self.prompt,
                self.width,
                self.height,
                self.steps,
                self.seed + index,
                self.source,
                self.strength,
                self.mask,
                self.loras,
            )
            for index in range(self.count)
        )

    @property
    def steps_drawn(self) -> int:
        """How many steps the engine really takes; beginning with a picture leaves the first ones out."""
        if self.source is None:
            return self.steps
        return self.steps - int(max(self.steps - self.steps * self.strength, 0))

    @property
    def work(self) -> float:
        """Relative cost, in million pixel steps; it grows a little faster than that above 1024x1024."""
        return self.width * self.height * self.steps_drawn * self.count / 1e6


def read_size(text: str) -> tuple[int, int]:
    """Return width and height of a text like `1024x768`; raise `InvalidSize`."""
    match = SIZE_PATTERN.fullmatch(text)
    if match is None:
        raise InvalidSize("must look like 1024x1024 (width x height in pixels).", field="size")
    return int(match[1]), int(match[2])


def round_to_grid(side: int) -> int:
    """Return the multiple of 16 nearest to `side`."""
    return (side + GRID // 2) // GRID * GRID


def make_order(  # noqa: PLR0913 - the parts of a request
    settings: Settings,
    *,
    prompt: str,
    width: int | None = None,
    height: int | None = None,
    steps: int | None = None,
    seed: int | None = None,
    count: int | None = None,
    loras: Sequence[Lora] = (),
) -> Order:
    """Return the order with the defaults filled in; raise `InvalidRequest` with the field at fault.

    `None` stands for the default; a seed of `None` or -1 for one drawn by lot. Nothing is rounded or clamped
    here: an API whose clients expect that does it before.
    """
    width = settings.side_default if width is None else width
    height = settings.side_default if height is None else height
    steps = settings.steps if steps is None else steps
    seed = secrets.randbelow(RANDOM_SEEDS) if seed in {None, SEED_BY_LOT} else seed
    count = 1 if count is None else count
    if len(prompt) > settings.prompt_chars_max:
        raise InvalidRequest(
            f"{len(prompt)} characters are too many; at most {settings.prompt_chars_max} are allowed.",
            field="prompt",
        )
    if not is_unicode(prompt):
        raise InvalidRequest("there are characters that are not Unicode (lone surrogates).", field="prompt")
    if "\0" in prompt:
        raise InvalidRequest("there is a NUL character.", field="prompt")
    _check_side("width", width, settings)
    _check_side("height", height, settings)
    if width * height > settings.pixels_max:
        raise InvalidSize(
            f"{width}x{height} pixels are too many; at most {settings.pixels_max} are allowed.",
            field="size",
        )
    _check_range("steps", steps, 1, settings.steps_max)
    _check_range("seed", seed, 0, SEED_MAX - settings.images_max)
    _check_range("count", count, 1, settings.images_max)
    require_loras(loras, settings)
    return Order(prompt, width, height, steps, seed, count, loras=tuple(sorted(loras)))


def begin_with(source: Image, order: Order, strength: float, mask: Image | None = None) -> Order:
    """Return `order` with a picture to begin with, which must have its size.

    `strength` says how much of it may change, from 0 to 1; at least one step is drawn however little that is.
    Outside of `mask`, a grey picture of the same size, nothing changes: white may, and grey is a soft edge.
    """
    size = (order.width, order.height)
    if source.size != size or (mask is not None and mask.size != size):
        raise ValueError("the picture to begin with, or the mask, has another size than the one to be drawn")
    return replace(order, source=source, strength=max(strength, 1 / order.steps), mask=mask)


def is_unicode(text: str) -> bool:
    """Tell whether `text` can be written down: JSON and Python know halves of characters, UTF-8 does not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_side(field: str, side: int, settings: Settings) -> None:
    if not settings.side_min <= side <= settings.side_max or side % GRID:
        raise InvalidSize(
            f"must be a multiple of {GRID} from {settings.side_min} to {settings.side_max}.",
            field=field,
        )


def _check_range(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidRequest(f"must lie between {low} and {high}.", field=field)
