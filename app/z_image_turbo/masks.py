"""Masks that come in: where a picture may change, in the two ways that clients draw it.

A mask here is a grey picture: white may change, black stays, and what is between is a soft edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageFilter

from z_image_turbo.errors import InvalidRequest
from z_image_turbo.sources import read_upright

if TYPE_CHECKING:
    from z_image_turbo.settings import Settings

CHANGES = 128  # from this grey on, something may be drawn


def read_transparent(data: bytes, size: tuple[int, int], settings: Settings) -> Image.Image:
    """Return the mask of a file whose transparent areas may change; it must have the picture's `size`."""
    picture = read_upright(data, settings)
    if not picture.has_transparency_data:
        raise InvalidRequest("has no transparency; its transparent areas are those that may change.")
    if picture.size != size:
        raise InvalidRequest(
            f"is {picture.width}x{picture.height}, and the picture {size[0]}x{size[1]}; they must be equal."
        )
    return _with_something_to_do(ImageChops.invert(picture.convert("RGBA").getchannel("A")))


def read_white(
    data: bytes, size: tuple[int, int], settings: Settings, *, invert: bool, blur: float
) -> Image.Image:
    """Return the mask of a file whose white areas may change, or whose black ones with `invert`.

    It is stretched to the picture's `size`; `blur` softens its edges, in pixels of that size.
    """
    mask = read_upright(data, settings)
    # Some clients draw in the colour, others in the transparency of an otherwise black picture.
    grey = mask.convert("RGBA").getchannel("A") if _is_drawn_in_alpha(mask) else mask.convert("L")
    grey = grey.resize(size)
    if invert:
        grey = ImageChops.invert(grey)
    return _with_something_to_do(grey.filter(ImageFilter.GaussianBlur(blur)) if blur else grey)


def _is_drawn_in_alpha(mask: Image.Image) -> bool:
    return mask.has_transparency_data and not mask.convert("RGB").getbbox()


def _with_something_to_do(mask: Image.Image) -> Image.Image:
    if int(mask.getextrema()[1]) < CHANGES:  # type: ignore[arg-type]
        raise InvalidRequest("leaves nothing that may change.")
    return mask
