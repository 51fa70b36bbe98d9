"""What counts as a picture, and what an instance or a gateway is told to have done wrong."""

from __future__ import annotations

import base64
import io
import json
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from PIL import Image

from plugins.modules.check_picture import Door, PictureError, draw, look_at

SIDE = 64


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def noise(width: int = SIDE, height: int = SIDE) -> bytes:
    return png(Image.frombytes("RGB", (width, height), random.Random(1).randbytes(3 * width * height)))


def test_a_picture_is_one() -> None:
    look_at(noise(), SIDE)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("colour", ["black", "white", "gray"])
def test_a_picture_of_one_colour_is_none(mode: str, colour: str) -> None:
    with pytest.raises(PictureError, match="of one colour"):
        look_at(png(Image.new(mode, (256, 256), colour)), 256)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (b"", "is no PNG"),
        (b"GIF89a", "is no PNG: it begins with b'GIF89a'"),
        (noise()[:400], "is cut off"),
        (noise(32, 64), "has 32x64 pixels, and 64x64 were asked for"),
        (noise().replace(b"IDAT\x78", b"IDAT\x00"), "is damaged"),
    ],
)
def test_what_is_no_picture_is_told(picture: bytes, message: str) -> None:
    with pytest.raises(PictureError, match=message):
        look_at(picture, SIDE)


class Instance(BaseHTTPRequestHandler):
    """Answers with what the test wants."""

    status, body, authorization = 200, b"", ""

    def do_GET(self) -> None:
        self.answer(200, b'{"release": "r1"}')

    def do_POST(self) -> None:
        Instance.authorization = self.headers.get("Authorization", "")
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(self.status, self.body)

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Served-By", "gpu1-a")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Instance)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Instance.status, Instance.body = (
        200,
        json.dumps({"images": [base64.b64encode(noise()).decode()]}).encode(),
    )
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_instance_that_drew_is_told_and_the_caller_is_known_by_a_header(url: str) -> None:
    assert draw(Door(url, "pictures.example", "Bearer key", 5), SIDE, "r1") == "gpu1-a"
    assert Instance.authorization == "Bearer key"


def test_another_release_is_refused(url: str) -> None:
    with pytest.raises(PictureError, match="it runs the release r1, and should run r2"):
        draw(Door(url, "", "", 5), SIDE, "r2")


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (503, b"busy", "/sdapi/v1/txt2img: HTTP 503 busy"),
        (200, b"no json", "/sdapi/v1/txt2img: "),
        (200, b"[]", "the answer has no picture"),
        (200, b'{"images": []}', "the answer has no picture"),
        (200, b'{"images": ["%%%"]}', "the answer has no picture"),
    ],
)
def test_an_answer_without_a_picture_is_told(url: str, status: int, body: bytes, message: str) -> None:
    Instance.status, Instance.body = status, body
    with pytest.raises(PictureError, match=message):
        draw(Door(url, "", "", 5), SIDE, "")


def test_where_nothing_answers_that_is_told() -> None:
    with pytest.raises(PictureError, match="refused"):
        draw(Door("http://127.0.0.1:1", "", "", 5), SIDE, "")
