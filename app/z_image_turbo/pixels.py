"""From what the model draws to pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from z_image_turbo.errors import BrokenPicture

if TYPE_CHECKING:
    import torch

    from z_image_turbo.pictures import Picture


def as_images(drawn: torch.Tensor) -> list[Image.Image]:
    """Return the pictures of a batch of values from 0 to 1, made whole numbers where they were drawn."""
    if not bool(drawn.isfinite().all()):
        raise BrokenPicture("The model drew something that is not a number.")
    pixels = (drawn.float() * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return [Image.fromarray(picture) for picture in pixels]


def outside_as_before(image: Image.Image, picture: Picture) -> Image.Image:
    """Return `image` with the source where the mask is black: the autoencoder changes everything a little."""
    if picture.mask is None or picture.source is None:
        return image
    return Image.composite(image, picture.source, picture.mask)
