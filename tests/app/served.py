"""The whole application over a fake engine, on a port of its own: for what a test client cannot do."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from PIL.Image import Image as Drawn

from tests.app.conftest import MakeSettings, create, until
from tests.app.fakes import FakeEngine
from tests.app.process import free_port
from z_image_turbo.engine import OnStep
from z_image_turbo.lifecycle import State
from z_image_turbo.pictures import Picture
from z_image_turbo.service import Service
from z_image_turbo.settings import Settings

STEP_SECONDS = 0.05


class SlowEngine(FakeEngine):
    """Takes its time over each step, and tells how many steps it has drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def draw(self, pictures: Sequence[Picture], on_step: OnStep) -> list[Drawn]:
        def slow(step: int, preview: object) -> None:
            self.steps += 1
            time.sleep(STEP_SECONDS)
            on_step(step, preview)  # type: ignore[arg-type]

        return super().draw(pictures, slow)


class Served:
    """A running instance; its jobs are seen from inside."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.engine = SlowEngine()
        self.service = Service(settings, self.engine)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                create(self.service, folder), port=self.port, log_config=None, timeout_graceful_shutdown=1
            )
        )
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()), daemon=True)

    def start(self) -> "Served":
        self._thread.start()
        until(lambda: self.service.lifecycle.state is State.READY and self._server.started)
        self.engine.drawn.clear()
        self.engine.steps = 0
        return self

    @property
    def idle(self) -> bool:
        return self.service.queue.idle

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)


Serve = Callable[..., Served]


@contextmanager
def serving(settings_for: MakeSettings, page_dir: Path) -> Iterator[Serve]:
    """Start as many as are asked for, each with its settings, and stop them all at the end."""
    started: list[Served] = []

    def start(**settings: object) -> Served:
        started.append(Served(settings_for(steps_max=100, **settings), page_dir).start())
        return started[-1]

    try:
        yield start
    finally:
        for served in started:
            served.stop()
