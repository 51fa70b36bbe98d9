"""What reaches the file system by the page, and what stays there."""

import fcntl
import io
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.app.process import Instance
from tests.app.visitor import Visitor
from z_image_turbo.files import clean

DAY = 86400.0
META = {"_type": "gradio.FileData"}


def png(width: int = 64, height: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (width, height), 1).save(buffer, "PNG")
    return buffer.getvalue()


def draw_from(instance: Instance, source: object, prompt: object = "a cat") -> tuple[str, str]:
    """Draw on the page, starting from `source`; return the last thing that it is told, and everything."""
    told = Visitor(instance.url).draw(source=source, prompt=prompt)
    return told[-1], "".join(told)


def upload(instance: Instance, data: bytes, name: str = "a.png") -> httpx.Response:
    return httpx.post(f"{instance.url}/gradio_api/upload", files={"files": (name, data)}, timeout=30)


def test_an_uploaded_picture_is_drawn_from(instance: Instance) -> None:
    path = upload(instance, png()).json()[0]
    _, answer = draw_from(instance, {"path": path, "meta": META})
    assert "stage done" in answer, answer[-600:]


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/shadow", "{folder}/../secret.png", "/no/such/file"])
def test_a_file_that_was_not_uploaded_is_refused_and_nothing_is_said_about_it(
    instance: Instance, path: str
) -> None:
    folder = Path(upload(instance, png()).json()[0]).parents[1]
    (folder.parent / "secret.png").write_bytes(png())
    end, answer = draw_from(instance, {"path": path.format(folder=folder), "meta": META})
    assert "was not uploaded here" in end
    assert '"success":false' in end
    assert "stage done" not in answer


@pytest.mark.parametrize("field", ["source", "prompt"])
def test_an_address_in_place_of_a_file_is_never_fetched(instance: Instance, field: str) -> None:
    asked = threading.Event()

    class Trap(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()

    with HTTPServer(("127.0.0.1", 0), Trap) as trap:
        threading.Thread(target=trap.serve_forever, daemon=True).start()
        file = {"path": f"http://127.0.0.1:{trap.server_port}/a.png", "meta": META}
        end, _ = draw_from(instance, file) if field == "source" else draw_from(instance, None, prompt=file)
        url = f"{instance.url}/gradio_api/file={file['path']}"
        assert httpx.get(url).status_code == 404
        assert httpx.get(f"{instance.url}/gradio_api/proxy={file['path']}").status_code == 404
        trap.shutdown()
    assert "was not uploaded here" in end
    assert not asked.is_set()


def test_a_picture_of_a_few_kilobytes_that_claims_gigabytes_is_refused_in_words(instance: Instance) -> None:
    path = upload(instance, png(13000, 13000)).json()[0]
    _, answer = draw_from(instance, {"path": path, "meta": META})
    assert "must be a PNG, JPEG or WebP of at most" in answer


def test_what_is_no_picture_is_refused_in_words(instance: Instance) -> None:
    path = upload(instance, b"no picture").json()[0]
    end, _ = draw_from(instance, {"path": path, "meta": META})
    assert "cannot be read" in end


def test_an_upload_larger_than_allowed_is_refused(steady: TestClient) -> None:
    body = b"x" * (21 * 2**20)
    assert steady.post("/gradio_api/upload", files={"files": ("a.png", body)}).status_code == 413


def test_an_uploaded_page_is_downloaded_and_not_shown(instance: Instance) -> None:
    path = upload(instance, b"<script>alert(1)</script>", "a.html").json()[0]
    answer = httpx.get(f"{instance.url}/gradio_api/file={path}")
    assert answer.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize("path", ["/etc/passwd", "{folder}/../x.png", "etc/passwd", "//etc/passwd"])
def test_the_files_of_gradio_end_at_its_own_folder(steady: TestClient, page_dir: Path, path: str) -> None:
    (page_dir.parent / "x.png").write_bytes(b"x")
    answer = steady.get(f"/gradio_api/file={path.format(folder=str(page_dir).replace('..', '%2e%2e'))}")
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "path",
    ["proxy=http://a/b", "deep_link", "vibe-code", "runs", "openapi.json", "component_server", "token"],
)
def test_routes_of_gradio_that_the_page_does_not_use_are_closed(steady: TestClient, path: str) -> None:
    assert steady.get(f"/gradio_api/{path}").status_code == 404


def write(path: Path, size: int, age: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_files_go_when_they_are_old_and_so_do_the_folders_left_empty(tmp_path: Path) -> None:
    old, young = (
        write(tmp_path / "ab" / "old.png", 10, 2 * DAY),
        write(tmp_path / "cd" / "young.png", 10, 0.5 * DAY),
    )
    os.utime(old.parent, (time.time() - DAY,) * 2)
    assert clean(tmp_path, DAY, 1000) == (1, 10)
    assert not old.exists()
    assert young.exists()
    os.utime(old.parent, (time.time() - DAY,) * 2)
    clean(tmp_path, DAY, 1000)
    assert not old.parent.exists()


def test_the_oldest_files_go_when_there_is_too_much_and_the_newest_never(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{age}.png", 100, age) for age in (50000, 40000, 30000, 10)]
    assert clean(tmp_path, DAY, 250) == (2, 200)
    assert [path.exists() for path in paths] == [False, False, True, True]
    assert clean(tmp_path, DAY, 50) == (1, 100)
    assert paths[-1].exists()  # it may not even have been shown yet


def test_one_instance_cleans_at_a_time(tmp_path: Path) -> None:
    old = write(tmp_path / "old.png", 10, 2 * DAY)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert clean(tmp_path, DAY, 1000) == (0, 0)
    assert old.exists()
    os.close(handle)
    assert clean(tmp_path, DAY, 1000) == (1, 10)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    kept = write(tmp_path / "elsewhere" / "kept.png", 10, 2 * DAY)
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "link").symlink_to(kept.parent)
    os.utime(folder / "link", (time.time() - 2 * DAY,) * 2, follow_symlinks=False)
    clean(folder, DAY, 1000)
    assert kept.exists()
