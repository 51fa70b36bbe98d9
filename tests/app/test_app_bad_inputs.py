"""Bad input, by name: each is answered as `app/README.md` says, in the envelope of its API."""

import base64
import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response  # what Starlette's test client answers with
from PIL import Image, PngImagePlugin

from tests.app.process import APP

README = APP.parent / "README.md"
OPENAI = "/v1/images/generations"
EDITS = "/v1/images/edits"
TXT2IMG = "/sdapi/v1/txt2img"
IMG2IMG = "/sdapi/v1/img2img"
PNG_INFO = "/sdapi/v1/png-info"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Bad:
    """A request and its answer: status, word, and a part of the message."""

    name: str
    path: str
    status: int
    word: str
    says: str
    body: Any = None  # bytes are sent as they are, anything else as JSON
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] | None = None


def send(client: TestClient, bad: Bad) -> Response:
    if bad.files is not None:
        return client.request(bad.method, bad.path, data=bad.body, files=bad.files, headers=bad.headers)
    if isinstance(bad.body, bytes):
        return client.request(bad.method, bad.path, content=bad.body, headers=JSON | bad.headers)
    if bad.body is None:
        return client.request(bad.method, bad.path, headers=bad.headers)
    return client.request(bad.method, bad.path, json=bad.body, headers=bad.headers)


def picture(mode: str = "RGB", size: tuple[int, int] = (64, 64), kind: str = "PNG", **more: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 1 if mode.startswith("I") else "orange").save(buffer, kind, **more)
    return buffer.getvalue()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def png_that_claims(width: int, height: int) -> bytes:
    data = bytearray(picture())
    data[16:24] = width.to_bytes(4) + height.to_bytes(4)
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    return bytes(data)


def webp_that_claims(width: int, height: int) -> bytes:
    """Return an extended WebP file whose canvas is said to be that large."""
    canvas = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    inner = b"WEBP" + b"VP8X" + len(canvas).to_bytes(4, "little") + canvas + picture(kind="WEBP")[12:]
    return b"RIFF" + len(inner).to_bytes(4, "little") + inner


def png_with_a_bomb() -> bytes:
    """Return a PNG with a text chunk of a few kilobytes that unpacks to 200 MB."""
    texts = PngImagePlugin.PngInfo()
    packed = zlib.compress(bytes(200 * 2**20), 9)
    texts.add(b"iTXt", b"parameters\0\1\0\0\0" + packed)
    return picture(pnginfo=texts)


def animation() -> bytes:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("orange", "green")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def nested(levels: int) -> bytes:
    return b'{"prompt": "a cat", "styles": ' + b"[" * levels + b"]" * levels + b"}"


def drawing(**wanted: Any) -> dict[str, Any]:
    return {"prompt": "a cat", **wanted}


def beginning_with(data: bytes | str) -> dict[str, Any]:
    return {"init_images": [data if isinstance(data, str) else text(data)]}


INVALID, SIZE = "invalid_request", "invalid_size"

BODIES = [
    Bad("an empty body", OPENAI, 400, INVALID, "empty", b""),
    Bad("an empty body", TXT2IMG, 422, INVALID, "empty", b""),
    Bad("half a body", OPENAI, 400, INVALID, "not JSON", b'{"prompt": "a c'),
    Bad("a list", OPENAI, 400, INVALID, "must be a JSON object", []),
    Bad("a bare text", TXT2IMG, 422, INVALID, "must be a JSON object", b'"a cat"'),
    Bad("bytes that are not UTF-8", OPENAI, 400, INVALID, "not UTF-8", b'{"prompt": "\xff\xfe"}'),
    Bad("UTF-16", TXT2IMG, 422, INVALID, "not UTF-8", '{"prompt": "é"}'.encode("utf-16")),
    Bad("nested 33 levels deep", TXT2IMG, 422, INVALID, "32 levels", nested(33)),
    Bad("nested 100000 levels deep", OPENAI, 400, INVALID, "32 levels", nested(100_000)),
    Bad("NaN", OPENAI, 400, INVALID, "no NaN", b'{"prompt": "a cat", "seed": NaN}'),
    Bad("Infinity in an unknown key", TXT2IMG, 422, INVALID, "no -Infinity", b'{"eta": -Infinity}'),
    Bad("1e400", OPENAI, 400, INVALID, "too large", b'{"prompt": "a cat", "seed": 1e400}'),
    Bad("1e400 in an unknown key", TXT2IMG, 422, INVALID, "too large", b'{"cfg_scale": 1e400}'),
    Bad("an integer of 5000 digits", TXT2IMG, 422, INVALID, "too long", b'{"seed": ' + b"9" * 5000 + b"}"),
    Bad("a lone surrogate", OPENAI, 400, INVALID, "surrogates", b'{"prompt": "\\ud800"}'),
    Bad("a lone surrogate in a key", TXT2IMG, 422, INVALID, "surrogates", b'{"\\udfff": 1}'),
    Bad(
        "plain text",
        OPENAI,
        415,
        "unsupported_media_type",
        "application/json",
        b"{}",
        headers={"Content-Type": "text/plain"},
    ),
    Bad(
        "a form where JSON is due",
        TXT2IMG,
        415,
        "unsupported_media_type",
        "application/json",
        b"prompt=x",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    ),
    Bad("JSON where a form is due", EDITS, 415, "unsupported_media_type", "multipart/form-data", drawing()),
    Bad(
        "a form without a boundary",
        EDITS,
        400,
        INVALID,
        "",
        b"x",
        headers={"Content-Type": "multipart/form-data"},
    ),
    Bad("a body of 2 MB", OPENAI, 413, "request_entity_too_large", "larger", drawing(user="x" * 2**21)),
    Bad(
        "an upload of 21 MB",
        IMG2IMG,
        413,
        "request_entity_too_large",
        "larger",
        beginning_with("x" * 21 * 2**20),
    ),
]
FIELDS = [
    Bad("no prompt", OPENAI, 400, INVALID, "prompt: ", {}),
    Bad("a prompt that is a number", OPENAI, 400, INVALID, "prompt: ", {"prompt": 7}),
    Bad("a prompt of 4001 characters", TXT2IMG, 422, INVALID, "prompt: 4001", {"prompt": "x" * 4001}),
    Bad("NUL in the prompt", OPENAI, 400, INVALID, "prompt: there is a NUL", {"prompt": "a\0cat"}),
    Bad("a seed below -1", OPENAI, 400, INVALID, "seed: must lie", drawing(seed=-2)),
    Bad("a seed of 2**53", TXT2IMG, 422, INVALID, "seed: must lie", {"seed": 2**53}),
    Bad("a seed that is no integer", TXT2IMG, 422, INVALID, "seed: ", {"seed": 1.5}),
    Bad("a seed that is a text", TXT2IMG, 422, INVALID, "seed: Input should be a number", {"seed": "5"}),
    Bad("a flag that is a number", OPENAI, 400, INVALID, "stream: ", drawing(stream=1)),
    Bad("n of 0", OPENAI, 400, INVALID, "n: must lie", drawing(n=0)),
    Bad("n of a thousand million", OPENAI, 400, INVALID, "n: must lie", drawing(n=10**9)),
    Bad(
        "batches beyond the limit",
        TXT2IMG,
        422,
        INVALID,
        "batch_size x n_iter: ",
        {"batch_size": 10**9, "n_iter": 10**9},
    ),
    Bad("no steps", TXT2IMG, 422, INVALID, "steps: must lie", {"steps": 0}),
    Bad("too many steps", OPENAI, 400, INVALID, "num_inference_steps: ", drawing(num_inference_steps=9)),
    Bad("a size off the grid", OPENAI, 400, SIZE, "size: must be a multiple of 16", drawing(size="100x128")),
    Bad("a size of 0", OPENAI, 400, SIZE, "size: ", drawing(size="0x0")),
    Bad("a size that is none", OPENAI, 400, SIZE, "size: must look like", drawing(size="-1x64")),
    Bad("a size against width", OPENAI, 400, INVALID, "size: contradicts", drawing(size="128x128", width=64)),
    Bad("a width beyond the limit", TXT2IMG, 422, SIZE, "width: ", {"width": 10**9}),
    Bad("a negative height", TXT2IMG, 422, SIZE, "height: ", {"height": -64}),
    Bad("a size beyond all limits", OPENAI, 400, SIZE, "size: ", drawing(size="99999x99999")),
    Bad("a link wanted", OPENAI, 400, INVALID, "response_format: ", drawing(response_format="url")),
    Bad("a kind of file unknown here", OPENAI, 400, INVALID, "output_format: ", drawing(output_format="svg")),
    Bad(
        "a quality beyond 100", OPENAI, 400, INVALID, "output_compression: ", drawing(output_compression=101)
    ),
    Bad(
        "too many previews", OPENAI, 400, INVALID, "partial_images: ", drawing(stream=True, partial_images=4)
    ),
    Bad("a script", TXT2IMG, 422, INVALID, "script_name: ", {"script_name": "../../x.py"}),
    Bad("a high-resolution fix", TXT2IMG, 422, INVALID, "enable_hr: ", {"enable_hr": True}),
    Bad(
        "a key with a space",
        OPENAI,
        400,
        INVALID,
        "Idempotency-Key: ",
        drawing(),
        headers={"Idempotency-Key": "a b"},
    ),
    Bad(
        "a key of 256 characters",
        OPENAI,
        400,
        INVALID,
        "Idempotency-Key: ",
        drawing(),
        headers={"Idempotency-Key": "x" * 256},
    ),
]
NAMES = [
    Bad("another model", OPENAI, 404, "model_not_found", "model: 'sdxl'", drawing(model="sdxl")),
    Bad("a path as the model", OPENAI, 404, "model_not_found", "model: ", drawing(model="../../etc/passwd")),
    Bad(
        "a path as the checkpoint",
        TXT2IMG,
        404,
        "model_not_found",
        "sd_model_checkpoint: ",
        {"override_settings": {"sd_model_checkpoint": "/etc/passwd"}},
    ),
    Bad(
        "an object as the checkpoint",
        "/sdapi/v1/options",
        404,
        "model_not_found",
        "",
        {"sd_model_checkpoint": {"a": []}},
    ),
    Bad(
        "a model's name of 100000 letters", OPENAI, 404, "model_not_found", "…", drawing(model="x" * 100_000)
    ),
    Bad(
        "a path in the address", "/v1/models/..%2f..%2fetc%2fpasswd", 404, "model_not_found", "", method="GET"
    ),
    Bad("bytes in the address", "/v1/models/%ff%00", 404, "model_not_found", "", method="GET"),
    Bad(
        "a task's name of 300 letters", TXT2IMG, 422, INVALID, "force_task_id: ", {"force_task_id": "x" * 300}
    ),
]
PICTURES = [
    Bad(
        "a PNG of 20000x20000",
        IMG2IMG,
        422,
        INVALID,
        "init_images: ",
        beginning_with(png_that_claims(20_000, 20_000)),
    ),
    Bad(
        "a PNG of 5000x5000",
        IMG2IMG,
        422,
        INVALID,
        "5000x5000 pixels are too many",
        beginning_with(png_that_claims(5000, 5000)),
    ),
    Bad(
        "a WebP of 16000x16000",
        IMG2IMG,
        422,
        INVALID,
        "init_images: ",
        beginning_with(webp_that_claims(16_000, 16_000)),
    ),
    Bad(
        "a text that unpacks to 200 MB",
        PNG_INFO,
        422,
        INVALID,
        "image: is not a picture",
        {"image": text(png_with_a_bomb())},
    ),
    Bad("the same as a source", IMG2IMG, 422, INVALID, "init_images: ", beginning_with(png_with_a_bomb())),
    Bad(
        "half a PNG",
        IMG2IMG,
        422,
        INVALID,
        "init_images: is not a picture",
        beginning_with(picture(size=(256, 256), mode="RGB")[:120]),
    ),
    Bad("a GIF", IMG2IMG, 422, INVALID, "PNG, JPEG, WEBP", beginning_with(picture(kind="GIF"))),
    Bad(
        "an SVG",
        IMG2IMG,
        422,
        INVALID,
        "is not a picture",
        beginning_with(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ),
    Bad("a text file", EDITS, 400, INVALID, "image: is not a picture", drawing(), files={"image": b"a cat"}),
    Bad(
        "an http address",
        IMG2IMG,
        422,
        INVALID,
        "addresses are not fetched",
        beginning_with("http://169.254.169.254/latest"),
    ),
    Bad(
        "a file's address",
        IMG2IMG,
        422,
        INVALID,
        "addresses are not fetched",
        beginning_with("file:///etc/passwd"),
    ),
    Bad("a file's path", IMG2IMG, 422, INVALID, "not valid base64", beginning_with("../../etc/passwd")),
    Bad("a path for png-info", PNG_INFO, 422, INVALID, "image: ", {"image": "/etc/passwd"}),
    Bad(
        "a data: URL of plain text",
        IMG2IMG,
        422,
        INVALID,
        "must be in base64",
        beginning_with("data:text/plain,a cat"),
    ),
    Bad(
        "a data: URL of HTML",
        IMG2IMG,
        422,
        INVALID,
        "data: URL of a picture",
        beginning_with("data:text/html;base64," + text(picture())),
    ),
    Bad("no picture", IMG2IMG, 422, INVALID, "init_images: ", {}),
    Bad(
        "two pictures",
        EDITS,
        400,
        INVALID,
        "image: must be exactly one",
        drawing(),
        files={"image": picture(), "image[]": picture()},
    ),
    Bad(
        "a picture's address in a form",
        EDITS,
        400,
        INVALID,
        "image: ",
        drawing(image="http://127.0.0.1/a.png"),
        files={"other": b"x"},
    ),
]
CALLS = [
    Bad("GET where POST is due", OPENAI, 405, "method_not_allowed", "takes POST and not GET", method="GET"),
    Bad("PUT where POST is due", TXT2IMG, 405, "method_not_allowed", "takes POST", {}, method="PUT"),
    Bad(
        "DELETE of a model",
        "/v1/models/z-image-turbo",
        405,
        "method_not_allowed",
        "takes GET",
        method="DELETE",
    ),
    Bad("OPTIONS of a browser", OPENAI, 405, "method_not_allowed", "takes POST", method="OPTIONS"),
    Bad(
        "a path of OpenAI's that is not here",
        "/v1/chat/completions",
        404,
        "not_found",
        "There is no POST",
        {},
    ),
    Bad(
        "a path of the web UI's that is not here",
        "/sdapi/v1/txt3img",
        404,
        "not_found",
        "There is no POST",
        {},
    ),
    Bad(
        "a query that is no boolean",
        "/sdapi/v1/progress?skip_current_image=maybe",
        422,
        INVALID,
        "skip_current_image: ",
        method="GET",
    ),
    Bad(
        "a call with nothing behind it",
        "/sdapi/v1/interrogate",
        501,
        "not_implemented",
        "no model here",
        {"image": ""},
    ),
]

TABLE = [*BODIES, *FIELDS, *NAMES, *PICTURES, *CALLS]


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: f"{bad.name} to {bad.path}".replace("/", " ").strip())
def test_bad_input_gets_its_documented_answer(steady: TestClient, bad: Bad) -> None:
    answer = send(steady, bad)
    body = answer.json()
    if bad.path.startswith("/sdapi/"):
        assert set(body) == {"error", "detail", "body", "errors"}
        word, message = body["errors"], body["detail"]
    else:
        assert set(body["error"]) == {"message", "type", "param", "code"}
        word, message = body["error"]["code"], body["error"]["message"]
    assert (answer.status_code, word) == (bad.status, bad.word)
    assert bad.says in message
    assert len(answer.content) < 1000
    assert answer.headers["X-Request-Id"]
    assert (answer.status_code == 405) == ("Allow" in answer.headers)


@pytest.mark.parametrize("path", [OPENAI, IMG2IMG])
def test_a_body_too_large_in_chunks_is_answered_the_same(steady: TestClient, path: str) -> None:
    chunks = (b"x" * 2**20 for _ in range(22))
    answer = steady.post(path, content=chunks, headers=JSON)
    assert answer.status_code == 413
    assert "larger than this call takes" in answer.text


def test_there_are_at_least_forty_kinds_of_it() -> None:
    assert len({bad.name for bad in TABLE}) >= 40


ODD = {
    "a key twice: the last one counts": (TXT2IMG, b'{"seed": 1, "seed": 2}'),
    "a mark of UTF-8 before the body": (TXT2IMG, b'\xef\xbb\xbf{"seed": 2}'),
    "unknown keys of any kind": (TXT2IMG, b'{"seed": 2, "x": [{"y": null}], "\\u0000": 1e300}'),
    "an integer with a point": (TXT2IMG, b'{"seed": 2.0}'),
    "null for everything": (
        TXT2IMG,
        b'{"seed": 2, "prompt": null, "width": null, "override_settings": null}',
    ),
    "a script without arguments": (TXT2IMG, b'{"seed": 2, "alwayson_scripts": {"ControlNet": {"args": []}}}'),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_merely_odd_is_taken(steady: TestClient, name: str) -> None:
    path, body = ODD[name]
    answer = steady.post(path, content=body, headers=JSON)
    assert answer.status_code == 200
    assert json.loads(answer.json()["info"])["seed"] == 2


@pytest.mark.parametrize("seed", [-1, 0, 2**53 - 1 - 4])
def test_seeds_at_the_limits_are_taken(steady: TestClient, seed: int) -> None:
    assert steady.post(OPENAI, json=drawing(seed=seed)).status_code == 200


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: picture("CMYK", kind="JPEG"), id="CMYK"),
        pytest.param(lambda: picture("I;16"), id="16 bits"),
        pytest.param(lambda: picture("L"), id="grey"),
        pytest.param(lambda: picture("P"), id="palette"),
        pytest.param(lambda: picture("1"), id="black and white"),
        pytest.param(animation, id="animated, of which the first picture counts"),
    ],
)
def test_pictures_of_unusual_kinds_are_taken(steady: TestClient, make: Callable[[], bytes]) -> None:
    wanted = beginning_with(make()) | {"prompt": "a cat", "denoising_strength": 1}
    answer = steady.post(IMG2IMG, json=wanted)
    assert answer.status_code in {200, 500}  # the fake engine gives a black source back, which is refused
    assert answer.status_code == 200 or answer.json()["errors"] == "broken_picture"


def test_a_picture_is_turned_upright_as_its_camera_says(steady: TestClient) -> None:
    orientation = Image.Exif()
    orientation[0x0112] = 6  # turn right
    data = picture(size=(128, 64), kind="JPEG", exif=orientation)
    answer = steady.post(IMG2IMG, json=beginning_with(data)).json()
    assert Image.open(io.BytesIO(base64.b64decode(answer["images"][0]))).size == (64, 128)


@pytest.mark.parametrize("given", ["a b", "x" * 129, "a\tb", "../x", "<script>", "é"])
def test_a_request_id_that_is_not_plain_is_replaced(steady: TestClient, given: str) -> None:
    answer = steady.get("/livez", headers={b"X-Request-Id": given.encode()})
    assert answer.headers["X-Request-Id"] != given
    assert len(answer.headers["X-Request-Id"]) == 32


def test_names_of_tasks_lead_nowhere(steady: TestClient) -> None:
    answer = steady.get("/sdapi/v1/progress", params={"task_id": "../../etc/passwd\0\ud7ff" * 20})
    assert (answer.status_code, answer.json()["state"]["job_count"]) == (200, 0)


def test_nothing_of_a_request_is_logged_but_its_path(
    steady: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for bad in (FIELDS[0], BODIES[2]):
        send(steady, bad)
    private = {"prompt": "a private cat", "auth": "me:hunter2", "url": "http://me:hunter2@here", "steps": 0}
    for path in (OPENAI, TXT2IMG, IMG2IMG):
        steady.post(path, json=private, headers={"Authorization": "Basic aHVudGVyMg=="})
    logged = " ".join(str(vars(record)) for record in caplog.records)
    assert "hunter2" not in logged
    assert "private" not in logged
    assert "aHVudGVyMg" not in logged


def test_the_readme_names_all_of_it() -> None:
    section = README.read_text(encoding="utf-8").partition("## Bad input")[2].partition("\n## ")[0]
    assert [bad.name for bad in TABLE if bad.name not in section] == []
