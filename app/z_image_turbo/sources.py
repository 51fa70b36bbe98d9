"""Pictures that come in: untrusted files, read with limits before they are believed."""

from __future__ import annotations

import base64
import binascii
import io
import math
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from z_image_turbo.errors import InvalidRequest
from z_image_turbo.settings import GRID

if TYPE_CHECKING:
    from z_image_turbo.settings import Settings

FORMATS = ("PNG", "JPEG", "WEBP")
BACKGROUND = "white"  # behind what is transparent, as in the web UI
CROP, PAD = 1, 2  # the web UI's ways to fit a picture into another shape; 0 stretches it


def decode_base64(text: str) -> bytes:
    """Return the bytes of base64 text or of a `data:` URL. Nothing is ever fetched from elsewhere."""
    if text.startswith(("http://", "https://", "file:", "ftp:")):
        raise InvalidRequest("addresses are not fetched; send the picture itself, in base64.")
    if text.startswith("data:"):
        kind, _, text = text.partition(",")
        if not kind.endswith(";base64"):
            raise InvalidRequest("a data: URL must be in base64.")
        if not kind.startswith("data:image/"):
            raise InvalidRequest("must be the data: URL of a picture.")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("is not valid base64.") from None


def read_source(data: bytes, settings: Settings) -> Image.Image:
    """Return the picture in a file, upright and opaque; see `read_upright`."""
    upright = read_upright(data, settings)
    if upright.has_transparency_data:
        picture = upright.convert("RGBA")
        upright = Image.new("RGBA", picture.size, BACKGROUND)
        upright.alpha_composite(picture)
    return upright.convert("RGB")


def read_upright(data: bytes, settings: Settings) -> Image.Image:
    """Return the picture in a PNG, JPEG or WebP file, turned upright; raise `InvalidRequest`.

    Its size is taken from the header and checked before a pixel is decoded: a file of a kilobyte can claim
    gigabytes. Takes a tenth of a second for a large one, so not on the event loop.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            _require_pixels(*opened.size, settings.source_pixels_max)
            return ImageOps.exif_transpose(opened)
    except InvalidRequest:
        raise
    except Exception:  # noqa: BLE001 - a damaged file can make a decoder raise anything
        raise InvalidRequest(f"is not a picture that can be read ({', '.join(FORMATS)}).") from None


def _require_pixels(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise InvalidRequest(f"{width}x{height} pixels are too many; at most {most} are allowed.")


def fit(source: Image.Image, width: int, height: int, mode: int = CROP) -> Image.Image:
    """Return `source` in the size that is to be drawn: stretched, cropped or padded."""
    size = (width, height)
    if mode == CROP:
        return ImageOps.fit(source, size, Image.Resampling.LANCZOS)
    if mode == PAD:
        return ImageOps.pad(source, size, Image.Resampling.LANCZOS, BACKGROUND)
    return source.resize(size, Image.Resampling.LANCZOS)


def size_like(source: Image.Image, settings: Settings) -> tuple[int, int]:
    """Return the size to draw that is nearest to that of `source`: within the limits and on the grid."""
    width, height = source.size
    scale = min(1, math.sqrt(settings.pixels_max / (width * height)), settings.side_max / max(width, height))
    scale = max(scale, settings.side_min / min(width, height))

    def allowed(side: int) -> int:
        return max(settings.side_min, min(settings.side_max, int(side * scale) // GRID * GRID))

    width, height = allowed(width), allowed(height)
    # Of a very long picture the short side was raised to the least: shorten the long one then.
    if width >= height:
        return min(width, settings.pixels_max // height // GRID * GRID), height
    return width, min(height, settings.pixels_max // width // GRID * GRID)
