"""What the tests of the application share. Nothing here talks to the outside world."""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response  # what Starlette's test client answers with

from tests.app import process
from tests.app.fakes import FakeEngine
from tests.app.process import Instance
from z_image_turbo.engine import DiffusersEngine, Engine
from z_image_turbo.lifecycle import State
from z_image_turbo.service import Service
from z_image_turbo.settings import Settings

# Before PyTorch and Gradio are imported, which the tests do late.
os.environ |= {"HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False", "OMP_NUM_THREADS": "1"}
for variable in [name for name in os.environ if name.startswith("ZIMAGE_")]:
    del os.environ[variable]

NANO = Path(__file__).parents[2] / "models" / "nano"
SMALL = {
    "side_default": 128,
    "side_min": 64,
    "side_max": 1024,
    "pixels_max": 1024 * 1024,
    "threads": 1,
    "batch_images_max": 1,  # what is about batches turns them on
}

MakeSettings = Callable[..., Settings]
Later = Callable[..., Future[Response]]
MakeClient = Callable[..., TestClient]

until = process.until


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """Be the nano model; it means what it draws at 256x256 only, and does everything else at any size."""
    return NANO


@pytest.fixture(scope="session")
def settings_for(tiny_model: Path) -> MakeSettings:
    """Make settings for small pictures by the tiny model, with the given ones on top."""

    def make(**values: object) -> Settings:
        return Settings.model_validate({"model_path": tiny_model, **SMALL, **values})

    return make


@pytest.fixture(scope="session")
def page_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Be Gradio's folder; it is read once, so all applications of a test run share it."""
    folder = tmp_path_factory.mktemp("page")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    return folder


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    fake = FakeEngine()
    yield fake
    fake.load_go.set()
    fake.go.set()


@pytest.fixture
def service(engine: FakeEngine, settings_for: MakeSettings) -> Service:
    """Be an instance over the fake engine, not started, with room for two waiting jobs."""
    return Service(settings_for(queue_max=2, name="under-test"), engine)


@pytest.fixture
def client(service: Service, page_dir: Path) -> Iterator[TestClient]:
    """Be the whole application over the fake engine, ready."""
    with open_client(service, page_dir) as opened:
        until(lambda: service.lifecycle.state is State.READY)
        yield opened


@pytest.fixture
def later(client: TestClient) -> Later:
    """Post in the background."""
    callers = ThreadPoolExecutor(8)
    return lambda path, **body: callers.submit(client.post, path, json=body)


@pytest.fixture(scope="session")
def steady(settings_for: MakeSettings, page_dir: Path) -> Iterator[TestClient]:
    """Be the same for all tests that leave it as it was."""
    service = Service(settings_for(name="under-test"), FakeEngine())
    with open_client(service, page_dir) as opened:
        until(lambda: service.lifecycle.state is State.READY)
        yield opened


@pytest.fixture(scope="session")
def tiny_engine(settings_for: MakeSettings) -> Engine:
    engine = DiffusersEngine(settings_for())
    engine.load()
    return engine


@pytest.fixture(scope="session")
def tiny_client(settings_for: MakeSettings, page_dir: Path) -> Iterator[TestClient]:
    """Be the whole application over the real pipeline with the tiny model, ready."""
    settings = settings_for()
    service = Service(settings, DiffusersEngine(settings))
    with open_client(service, page_dir) as opened:
        until(lambda: service.lifecycle.state is State.READY, 60)
        yield opened


def create(service: Service, page_dir: Path) -> FastAPI:
    from z_image_turbo.application import create_application  # noqa: PLC0415 - imports Gradio

    return create_application(service, page_dir)


def open_client(service: Service, page_dir: Path) -> TestClient:
    return TestClient(create(service, page_dir), raise_server_exceptions=False)


@pytest.fixture(scope="session")
def start_instance(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Instance]]:
    """Run the real command with the tiny model; what is still running at the end is killed."""
    started: list[Instance] = []

    def start(**settings: object) -> Instance:
        log = tmp_path_factory.mktemp("instance") / "log"
        instance = Instance(sys.executable, log, {"model_path": tiny_model, **SMALL, **settings})
        started.append(instance)
        return instance

    yield start
    for instance in started:
        instance.kill()


@pytest.fixture(scope="session")
def instance(start_instance: Callable[..., Instance]) -> Instance:
    """Be one instance, ready, for all tests that leave it running."""
    running = start_instance(name="shared")
    until(running.ready, 60)
    return running
