"""A real instance with the nano model, and a browser in front of it."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.app.conftest import until
from tests.app.process import Instance
from tests.app.served import Served
from z_image_turbo.settings import Settings

ROOT = Path(__file__).parents[2]
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
EXAMPLES = "a red circle on a blue background | 蓝色背景上的黄色三角形 | a green square on a white background"


NANO = {
    "model_path": ROOT / "models" / "nano",
    "side_default": 256,
    "side_min": 128,
    "side_max": 512,
    "steps_max": 100,
    "caller_max": 2,
    "threads": 1,
    "page_examples": EXAMPLES,
}


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """Run the real command with the nano model."""
    instance = Instance(
        sys.executable, tmp_path_factory.mktemp("instance") / "log", NANO | {"name": "gpu1-a"}
    )
    until(instance.ready, 180)
    yield instance
    instance.kill()


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Be an instance of another host, which has not drawn anything."""
    folder = tmp_path_factory.mktemp("gpu2")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    served = Served(Settings.model_validate(NANO | {"name": "gpu2-a"}), folder).start()
    yield served
    served.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        yield running
        running.close()
