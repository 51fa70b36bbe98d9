"""Which jobs may be drawn as one batch, and how long one waits for company."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

    from z_image_turbo.pictures import Order
    from z_image_turbo.settings import Settings

CAPTION_GRID = 32  # the transformer pads captions to multiples of it
ALONE = None  # the likeness of a job that shares its batch with nobody's

Likeness = tuple[Hashable, ...] | None


@dataclass(frozen=True, slots=True)
class Batching:
    """The policy: small pictures share the device well, large ones fill it alone."""

    images_max: int
    wait_seconds: float
    pixels_max: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the policy that the settings name."""
        return cls(settings.batch_images_max, settings.batch_wait_ms / 1000, settings.batch_pixels_max)

    def likeness(self, order: Order, caption_tokens: int) -> Likeness:
        """Return what must be equal for two orders to be drawn as one batch; `ALONE` where none may.

        The pipeline draws a batch in one size, with one schedule, from one kind of beginning and with one set
        of adapters. Captions must have one length after padding: otherwise every attention would need a mask,
        which the fast kernels do not know.
        """
        if self.images_max == 1 or order.width * order.height > self.pixels_max:
            return ALONE
        return (
            order.width,
            order.height,
            order.steps,
            order.strength,
            order.source is not None,
            order.mask is not None,
            order.loras,
            -(-caption_tokens // CAPTION_GRID),
        )


NO_BATCHING = Batching(images_max=1, wait_seconds=0, pixels_max=0)
