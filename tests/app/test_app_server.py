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
from gradio.queueing import Queue

from tests.app.conftest import MakeSettings, create, until
from tests.app.fakes import FakeEngine
from tests.app.visitor import Visitor
from z_image_turbo import server
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

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def generate_later(self) -> Future[httpx.Response]:
        url = f"{self.url}/v1/images/generations"
        return self._callers.submit(httpx.post, url, json={"prompt": "a cat"}, timeout=30)

    def signal(self) -> None:
        self.server.handle_exit(signal.SIGTERM, None)

    def seconds_to_end(self) -> float:
        begin = time.monotonic()
        self.thread.join(20)
        assert not self.thread.is_alive()
        return time.monotonic() - begin


Run = Callable[..., Running]


@pytest.fixture
def run(engine: FakeEngine, settings_for: MakeSettings, page_dir: Path) -> Iterator[Run]:
    started: list[Running] = []

    def start(drain_seconds: float, **options: object) -> Running:
        settings = settings_for(drain_seconds=drain_seconds, **options)
        started.append(Running(Service(settings, engine), page_dir))
        return started[-1]

    yield start
    engine.go.set()
    for one in started:
        if one.thread.is_alive():
            one.signal()
            one.thread.join(20)


def test_an_idle_instance_leaves_at_once(run: Run) -> None:
    running = run(60)
    running.signal()
    assert running.seconds_to_end() < 2


def test_what_the_drain_cannot_finish_in_time_is_answered_503(engine: FakeEngine, run: Run) -> None:
    running = run(0.1)
    engine.go.clear()
    cut_off = [running.generate_later() for _ in range(2)]
    until(lambda: running.service.queue.depth == 1)
    running.signal()
    for answer in (one.result(20) for one in cut_off):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "shutting_down")
    assert running.seconds_to_end() < 8


def test_a_job_of_the_page_that_another_instance_draws_is_waited_for(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ANSWER_SECONDS", 1)
    drawing = run(60)
    leaving = run(60, pool_url=drawing.url)
    engine.go.clear()
    visitor = Visitor(leaving.url)
    visitor.click_draw()
    with visitor.listen() as messages:
        until(lambda: drawing.service.queue.running)
        leaving.signal()
        leaving.thread.join(3)
        engine.go.set()
        assert "stage done" in "".join(messages)
    assert leaving.seconds_to_end() < 5


def test_a_call_of_the_page_that_is_no_job_yet_when_the_signal_comes_is_waited_for(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving = run(60, pool_url=run(60).url)
    begin, look = threading.Event(), Queue.get_events
    monkeypatch.setattr(Queue, "get_events", lambda queue: look(queue) if begin.is_set() else None)
    visitor = Visitor(leaving.url)
    visitor.click_draw()
    leaving.signal()
    leaving.thread.join(1)
    begin.set()
    with visitor.listen() as messages:
        assert "stage done" in "".join(messages)
    assert leaving.seconds_to_end() < 5


def test_a_call_whose_result_nobody_fetches_does_not_keep_the_instance(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CALL_SECONDS", 1)
    leaving = run(60, pool_url=run(60).url)
    Visitor(leaving.url).click_draw()
    leaving.signal()
    assert leaving.seconds_to_end() < 10


def test_a_second_signal_leaves_at_once(engine: FakeEngine, run: Run) -> None:
    running = run(60)
    engine.go.clear()
    running.generate_later()
    until(lambda: running.service.queue.running)
    running.signal()
    until(lambda: running.service.lifecycle.state is State.DRAINING)
    running.signal()
    assert running.seconds_to_end() < 2


HEAD = b"POST /v1/images/generations HTTP/1.1\r\nHost: here\r\n"


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(HEAD + b"X: " + b"x" * 100_000 + b"\r\n\r\n", id="a header of 100 KB"),
        pytest.param(HEAD + b"X-Request-Id: a\nSet-Cookie: b\r\n\r\n", id="a header with a line end"),
        pytest.param(HEAD + b"X-Request-Id: a\0b\r\n\r\n", id="a header with NUL"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\n", id="a negative length"),
        pytest.param(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", id="two lengths"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\n", id="a huge chunk"
        ),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", id="TLS"),
    ],
)
def test_what_is_no_http_is_refused_and_the_server_goes_on(run: Run, wire: bytes) -> None:
    running = run(60)
    with socket.create_connection(running.listener.getsockname()[:2], timeout=20) as client:
        client.sendall(wire)
        assert client.recv(4096).startswith(b"HTTP/1.1 400 ")
    assert running.generate_later().result(20).status_code == 200
