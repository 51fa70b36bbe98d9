"""The page, seen from the server's side."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.app.conftest import MakeSettings
from tests.app.fakes import FakeEngine
from z_image_turbo.errors import QueueFull
from z_image_turbo.page import build_page
from z_image_turbo.page_form import FREE, ratio_of, size_choices
from z_image_turbo.page_memory import kept_language, read_gallery
from z_image_turbo.page_stage import gallery, pictures
from z_image_turbo.page_texts import CHINESE, ENGLISH, ERRORS, say, texts_for
from z_image_turbo.pictures import make_order
from z_image_turbo.service import Service

# Named in meta tags and examples of the interface description, which browsers do not load.
NEVER_LOADED = {"https://raw.githubusercontent.com", "https://gradio.app", "http://www.w3.org"}
NAMES = {"prompt", "ratio", "width", "height", "count", "seed", "dice", "steps", "source", "strength"}
SHOWN = {"generate", "cancel", "examples", "picture", "gallery", "header"}
FILE = f"/srv/files/gpu1/{'0' * 64}/z-image-7.png"


def test_it_loads_nothing_from_elsewhere(steady: TestClient) -> None:
    html = steady.get("/").text
    pages = [html, steady.get("/theme.css").text, *(steady.get(path).text for path in stylesheets(html))]
    found = {host for page in pages for host in re.findall(r"https?://[\w.-]+", page)}
    assert found <= NEVER_LOADED | {"http://testserver"}


def stylesheets(html: str) -> list[str]:
    return re.findall(r'href="(?:\.)?(/[^"]+\.css)"', html)


def test_behind_a_gateway_its_addresses_are_the_gateways(steady: TestClient) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "pictures.example"}
    assert steady.get("/config", headers=headers).json()["root"] == "https://pictures.example"


def test_its_elements_have_the_names_that_browser_tests_rely_on(steady: TestClient) -> None:
    components = steady.get("/config").json()["components"]
    names = {component["props"].get("elem_id") for component in components}
    assert names >= NAMES | SHOWN


def test_it_speaks_english_and_chinese(steady: TestClient) -> None:
    config = steady.get("/config").json()
    assert {"en", "zh-CN"} <= set(config["i18n_translations"])
    assert set(ENGLISH) == set(CHINESE)
    assert texts_for("zh-CN,zh;q=0.9,en;q=0.8") is CHINESE
    assert texts_for("de,en;q=0.8") is texts_for("") is ENGLISH


def test_it_says_in_both_languages_what_went_wrong_and_when_to_try_again() -> None:
    error = QueueFull("32 jobs are waiting; try again later.", retry_after_seconds=7)
    assert say(error, ENGLISH) == f"{ERRORS['queue_full'][0]} Try again in 7 s."
    assert say(error, CHINESE) == f"{ERRORS['queue_full'][1]}请在 7 秒后重试。"


@pytest.mark.parametrize("side", [128, 512, 1024])
def test_every_size_it_offers_can_be_drawn_and_the_first_is_the_default(
    settings_for: MakeSettings, side: int
) -> None:
    settings = settings_for(side_default=side)
    sizes = list(size_choices(settings).values())
    assert sizes[0] == (side, side)
    for width, height in sizes:
        make_order(settings, prompt="a cat", width=width, height=height)
        assert ratio_of(width, height, settings) != FREE
    assert ratio_of(side, side + 16, settings) == FREE


def test_its_own_queue_never_holds_jobs_back(settings_for: MakeSettings, tmp_path: Path) -> None:
    page = build_page(Service(settings_for(), FakeEngine()), tmp_path)
    queued = [function for function in page.fns.values() if function.fn and function.queue]
    assert {function.concurrency_limit for function in queued} == {None}
    assert page._queue.max_thread_count >= 1000
    assert page._queue.max_size is None


@pytest.mark.parametrize("kept", [None, [], "x", {"language": "xx"}, {"language": ["en"]}, {}])
def test_what_is_no_language_leaves_the_choice_to_the_browser(kept: object) -> None:
    assert kept_language(kept) == ""
    assert kept_language({"language": "zh"}) == "zh"


ENTRY = {"file": FILE, "prompt": "<b>a cat</b>", "width": 8, "height": 8, "seed": 7, "steps": 8, "at": 2e9}


@pytest.mark.parametrize(
    "changed",
    [
        {"file": "/etc/passwd"},
        {"file": f"/srv/../etc/{'0' * 64}/z-image-7.png"},
        {"file": f"//host/{'0' * 64}/z-image-7.png"},
        {"file": f'/srv/"><script>/{"0" * 64}/z-image-7.png'},
        {"file": f"https://elsewhere/{'0' * 64}/z-image-7.png"},
        {"at": 0.0},
        {"seed": "<script>"},
    ],
)
def test_a_gallery_keeps_no_entry_that_is_not_the_pages_own_or_too_old(
    changed: dict[str, object], tmp_path: Path
) -> None:
    assert [entry.file for entry in read_gallery([ENTRY], tmp_path, 1)] == [FILE]
    assert read_gallery([ENTRY | changed, "x", None], tmp_path, 1) == []


def test_a_gallery_forgets_the_pictures_of_this_host_that_are_gone(tmp_path: Path) -> None:
    own = tmp_path / ("1" * 64) / "z-image-7.png"
    kept = [ENTRY, ENTRY | {"file": str(own)}]
    assert [entry.file for entry in read_gallery(kept, tmp_path, 1)] == [FILE]
    own.parent.mkdir()
    own.write_bytes(b"x")
    assert [entry.file for entry in read_gallery(kept, tmp_path, 1)] == [FILE, str(own)]


def test_what_people_wrote_is_never_html(tmp_path: Path) -> None:
    entries = read_gallery([ENTRY | {"prompt": "\"'><script>x</script>"}], tmp_path, 1)
    for html in (pictures(entries, 0, ENGLISH), gallery(entries, ENGLISH)):
        assert "<script" not in html
        assert "\"'" not in html
