"""The deep check: a small picture of one step, of an instance that has nothing else to do."""

from __future__ import annotations

import base64
import http.client
import json
import struct
import threading
import zlib
from http import HTTPStatus
from typing import TYPE_CHECKING

from z_image_turbo_health.asking import ask, request

if TYPE_CHECKING:
    from z_image_turbo_health.settings import Instance, Options

SIGNATURE = b"\x89PNG\r\n\x1a\n"
NO_FAULT = frozenset(
    {
        HTTPStatus.SERVICE_UNAVAILABLE,  # full, or leaving
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.CONFLICT,  # somebody has interrupted it
        HTTPStatus.NOT_FOUND,  # another kind of application
    }
)


def draws(instance: Instance, options: Options) -> bool | None:
    """Tell whether an instance draws; None where that cannot be told, since others came first."""
    side = options.draw_side
    order = {"prompt": "a health check", "steps": 1, "width": side, "height": side, "seed": 0}
    try:
        code, body = request(instance, "/sdapi/v1/txt2img", options.draw_limit, json.dumps(order).encode())
    except TimeoutError:
        return None if ask(instance, options.limit).working else False
    except (OSError, http.client.HTTPException):
        return None  # whoever looks whether it is there will tell
    if code != HTTPStatus.OK:
        return None if code in NO_FAULT else False
    try:
        return is_picture(base64.b64decode(json.loads(body)["images"][0]), side)
    except (ValueError, KeyError, IndexError, TypeError):
        return False


def is_picture(data: bytes, side: int) -> bool:
    """Tell whether this is a whole PNG of that size which shows more than one colour."""
    if not data.startswith(SIGNATURE):
        return False
    place, packed, size = len(SIGNATURE), b"", (0, 0)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            size = struct.unpack_from(">II", content)
        elif kind == b"IDAT":
            packed += content
        elif kind == b"IEND":
            break
        place += 12 + length
    else:
        return False
    try:
        pixels = zlib.decompress(packed)
    except zlib.error:
        return False
    return size == (side, side) and len(set(pixels[1 : 1 + len(pixels) // 2])) > 1


class Drawing:
    """One deep check at a time, beside the looks, which do not wait for it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._thread: threading.Thread | None = None
        self._results: dict[str, bool | None] = {}

    def begin(self, instance: Instance, options: Options) -> bool:
        """Begin a check, unless one is under way; tell whether it began."""
        if self._thread and self._thread.is_alive():
            return False

        def check() -> None:
            self._results[instance.id] = draws(instance, options)

        self._thread = threading.Thread(target=check, daemon=True)
        self._thread.start()
        return True

    def results(self) -> dict[str, bool | None]:
        """Return what has come out since the last time."""
        done, self._results = self._results, {}
        return done
