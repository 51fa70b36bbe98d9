"""The server's way out, over the fake engine and a real socket."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.app.conftest import MakeSettings, create, until
from tests.app.fakes import FakeEngine
from z_image_turbo.lifecycle import State
from z_image_turbo.server import DrainingServer
from z_image_turbo.service import Service


class Running:
    """A server in a thread, where no signal arrives: they are handed to it here."""

    def __init__(self, service: Service, page_dir: Path) -> None:
        self.service = service
        self.server = DrainingServer(create(service, page_dir), service)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],))
        self.thread.start()
        until(lambda: self.server.started and service.lifecycle.state is State.READY)
        self._callers = ThreadPoolExecutor(4)

    def generate_later(self) -> Future[httpx.Response]:
        url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1/images/generations"
        return self._callers.submit(httpx.post, url, json={"prompt": "a cat"}, timeout=30)

    def signal(self) -> None:
        self.server.handle_exit(signal.SIGTERM, None)

    def seconds_to_end(self) -> float:
        begin = time.monotonic()
        self.thread.join(20)
        assert not self.thread.is_alive()
        return time.monotonic() - begin


@pytest.fixture
def run(
    engine: FakeEngine, settings_for: MakeSettings, page_dir: Path
) -> Iterator[Callable[[float], Running]]:
    started: list[Running] = []

    def start(drain_seconds: float) -> Running:
        settings = settings_for(drain_seconds=drain_seconds)
        started.append(Running(Service(settings, engine), page_dir))
        return started[-1]

    yield start
    engine.go.set()
    for one in started:
        if one.thread.is_alive():
            one.signal()
            one.thread.join(20)


def test_an_idle_instance_leaves_at_once(run: Callable[[float], Running]) -> None:
    running = run(60)
    running.signal()
    assert running.seconds_to_end() < 2


def test_what_the_drain_cannot_finish_in_time_is_answered_503(
    engine: FakeEngine, run: Callable[[float], Running]
) -> None:
    running = run(0.1)
    engine.go.clear()
    cut_off = [running.generate_later() for _ in range(2)]
    until(lambda: running.service.queue.depth == 1)
    running.signal()
    for answer in (one.result(20) for one in cut_off):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "shutting_down")
    assert running.seconds_to_end() < 8


def test_a_second_signal_leaves_at_once(engine: FakeEngine, run: Callable[[float], Running]) -> None:
    running = run(60)
    engine.go.clear()
    running.generate_later()
    until(lambda: running.service.queue.running)
    running.signal()
    until(lambda: running.service.lifecycle.state is State.DRAINING)
    running.signal()
    assert running.seconds_to_end() < 2
