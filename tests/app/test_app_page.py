"""The page, seen from the server's side."""

import re
from pathlib import Path

import gradio as gr
import pytest
from fastapi.testclient import TestClient

from tests.app.conftest import MakeSettings
from tests.app.fakes import FakeEngine
from z_image_turbo.page import build_page, size_choices
from z_image_turbo.page_texts import CHINESE, ENGLISH, texts_for
from z_image_turbo.pictures import make_order, read_size
from z_image_turbo.service import Service

# Named in meta tags and examples of the interface description, which browsers do not load.
NEVER_LOADED = {"https://raw.githubusercontent.com", "https://gradio.app", "http://www.w3.org"}


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


def test_it_offers_program_callers_one_endpoint_with_named_parameters(steady: TestClient) -> None:
    endpoints = steady.get("/gradio_api/info").json()["named_endpoints"]
    assert list(endpoints) == ["/generate"]
    names = [parameter["parameter_name"] for parameter in endpoints["/generate"]["parameters"]]
    assert names == ["prompt", "size", "seed"]


def test_its_elements_have_the_names_that_browser_tests_rely_on(steady: TestClient) -> None:
    components = steady.get("/config").json()["components"]
    names = {component["props"].get("elem_id") for component in components}
    assert {"prompt", "size", "seed", "dice", "generate", "picture", "seed_used"} <= names


def test_it_speaks_english_and_chinese(steady: TestClient) -> None:
    config = steady.get("/config").json()
    assert {"en", "zh-CN"} <= set(config["i18n_translations"])
    assert set(ENGLISH) == set(CHINESE)
    assert texts_for("zh-CN,zh;q=0.9,en;q=0.8") is CHINESE
    assert texts_for("de,en;q=0.8") is texts_for("") is ENGLISH


@pytest.mark.parametrize("side", [128, 512, 1024])
def test_every_size_it_offers_can_be_drawn_and_the_first_is_the_default(
    settings_for: MakeSettings, side: int
) -> None:
    settings = settings_for(side_default=side)
    sizes = [read_size(value) for _, value in size_choices(settings)]
    assert sizes[0] == (side, side)
    for width, height in sizes:
        make_order(settings, prompt="a cat", width=width, height=height)


def test_a_file_that_was_not_uploaded_is_refused_as_input(steady: TestClient) -> None:
    """The page takes no files; this holds the check that mounting leaves off, for the day it does."""
    assert steady.app is not None
    mounted = [route.app for route in steady.app.routes if hasattr(route, "app")]  # type: ignore[attr-defined]
    pages = [app.get_blocks() for app in mounted if hasattr(app, "get_blocks")]
    assert [page.has_launched for page in pages] == [True]


def test_the_files_of_gradio_end_at_its_own_folder(steady: TestClient, tmp_path: Path) -> None:
    private = tmp_path / "private.png"
    private.write_bytes(b"x")
    assert steady.get(f"/gradio_api/file={private}").status_code == 403


def test_a_large_upload_is_refused(steady: TestClient) -> None:
    assert steady.post("/gradio_api/upload", files={"files": ("a.png", b"x" * 5000)}).status_code == 413


def test_its_own_queue_never_holds_jobs_back(settings_for: MakeSettings, tmp_path: Path) -> None:
    page = build_page(Service(settings_for(), FakeEngine()), tmp_path)
    assert isinstance(page, gr.Blocks)
    drawing = [function for function in page.fns.values() if function.api_name == "generate"]
    assert [function.concurrency_limit for function in drawing] == [None]
