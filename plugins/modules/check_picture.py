"""Ansible module: has the service draw a small picture, and looks at it."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import struct
import time
import zlib
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: check_picture
short_description: Has the service draw a small picture, and looks at it
description:
  - The picture has to be a whole PNG of the size that was asked for, and not of one colour, as those of
    a broken GPU are.
  - Certificates are not verified - the picture is the subject. Nothing is changed, in check mode neither.
options:
  url:
    description: The instance or gateway, as V(http://192.0.2.11:7861).
    type: str
    required: true
  name:
    description: What to call it in messages.
    type: str
    required: true
  host:
    description: The name of the service, for a gateway that serves no other; empty is the address.
    type: str
    default: ""
  authorization:
    description: The header O(authorization), as V(Bearer …).
    type: str
    default: ""
  release:
    description: The release that the instance has to run; empty is any.
    type: str
    default: ""
  side:
    description: The side of the picture in pixels.
    type: int
    default: 256
  timeout:
    description: Seconds that it may take.
    type: int
    default: 120
  tolerate:
    description: Tell in RV(error) what is wrong, and do not fail.
    type: bool
    default: false
"""

RETURN = r"""
error:
  description: What is wrong; empty when nothing is.
  type: str
  returned: always
seconds:
  description: How long the picture took.
  type: float
  returned: always
instance:
  description: The instance that has drawn, as the gateway names it.
  type: str
  returned: always
"""

OK = 200
SIGNATURE = b"\x89PNG\r\n\x1a\n"
PROMPT = "a red circle on a blue background"
PLAIN_RATIO = 200  # a flat colour packs to a 300th, a picture of a model to a tenth


class PictureError(Exception):
    """No picture, or one that is not right; says what is wrong."""


class Door:
    """One way to the service."""

    def __init__(self, url: str, host: str, authorization: str, timeout: float) -> None:
        """Connect at the first request."""
        parts = urlsplit(url)
        self._headers = {"Content-Type": "application/json"}
        if host:
            self._headers["Host"] = host
        if authorization:
            self._headers["Authorization"] = authorization
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            trusting = ssl.create_default_context()
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            self._connection = http.client.HTTPSConnection(parts.netloc, timeout=timeout, context=trusting)
        else:
            self._connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[dict[str, Any], str]:
        """Return the JSON of an answer and the instance that gave it; raise `PictureError` for any other."""
        try:
            self._connection.request(method, path, json.dumps(body) if body else None, self._headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise PictureError(f"{path}: {error or type(error).__name__}") from error
        if answer.status != OK:
            raise PictureError(f"{path}: HTTP {answer.status} {content[:300].decode(errors='replace')}")
        try:
            return dict(json.loads(content)), answer.getheader("X-Served-By") or ""
        except (TypeError, ValueError) as error:
            raise PictureError(f"{path}: {error}") from error


def draw(door: Door, side: int, release: str) -> str:
    """Have a picture drawn and look at it; return the instance that has drawn. Raise `PictureError`."""
    runs = str(door.ask("GET", "/readyz")[0].get("release", ""))
    if release and runs != release:
        raise PictureError(f"it runs the release {runs}, and should run {release}")
    wanted = {"prompt": PROMPT, "seed": 1, "width": side, "height": side}
    answer, instance = door.ask("POST", "/sdapi/v1/txt2img", wanted)
    try:
        picture = base64.b64decode(answer["images"][0], validate=True)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise PictureError(f"the answer has no picture: {type(error).__name__}: {error}") from error
    look_at(picture, side)
    return instance


def look_at(picture: bytes, side: int) -> None:
    """Raise `PictureError` unless a PNG is whole, a square of `side` pixels, and of more than one colour."""
    chunks = dict(_chunks(picture))
    width, height = struct.unpack(">II", chunks.get(b"IHDR", bytes(8))[:8])
    if (width, height) != (side, side):
        raise PictureError(f"the picture has {width}x{height} pixels, and {side}x{side} were asked for")
    if b"IEND" not in chunks:
        raise PictureError("the picture is cut off")
    pixels = chunks[b"IDAT"]
    try:
        raw = zlib.decompress(pixels)
    except zlib.error as error:
        raise PictureError(f"the picture is damaged: {error}") from error
    if len(raw) > len(pixels) * PLAIN_RATIO:
        raise PictureError("the picture is of one colour")


def _chunks(picture: bytes) -> list[tuple[bytes, bytes]]:
    """Return name and content of the chunks of a PNG; those of the pixels as one."""
    if not picture.startswith(SIGNATURE):
        raise PictureError(f"the picture is no PNG: it begins with {picture[:8]!r}")
    found: list[tuple[bytes, bytes]] = []
    pixels, place = b"", len(SIGNATURE)
    while place + 12 <= len(picture):
        length, name = struct.unpack(">I4s", picture[place : place + 8])
        content = picture[place + 8 : place + 8 + length]
        place += 12 + length
        if name == b"IDAT":
            pixels += content
        else:
            found.append((name, content))
    return [*found, (b"IDAT", pixels)]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "host": {"type": "str", "default": ""},
            "authorization": {"type": "str", "default": "", "no_log": True},
            "release": {"type": "str", "default": ""},
            "side": {"type": "int", "default": 256},
            "timeout": {"type": "int", "default": 120},
            "tolerate": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    given = module.params
    door = Door(given["url"], given["host"], given["authorization"], given["timeout"])
    began, instance, error = time.monotonic(), "", ""
    try:
        instance = draw(door, given["side"], given["release"])
    except PictureError as problem:
        error = str(problem)
    result = {"error": error, "seconds": round(time.monotonic() - began, 2), "instance": instance}
    if error and not given["tolerate"]:
        module.fail_json(msg=f"{given['name']} draws no right picture: {error}", **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
