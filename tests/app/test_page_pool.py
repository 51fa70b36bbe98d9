"""Two instances: the page of the one draws on the other."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.app.conftest import MakeSettings, until
from tests.app.process import Instance, free_port
from tests.app.served import Serve, Served, serving
from tests.app.test_page_files import META, png
from tests.app.visitor import Visitor
from z_image_turbo.jobs import Job, Outcome

StartInstance = Callable[..., Instance]
STEP = re.compile(r"step [1-9]\d* of")
PICTURE = re.compile(r"gradio_api/file=(/[^\"'\\]+\.png)")
LONG = {"steps": 100}  # five seconds


@pytest.fixture(scope="module")
def serve(settings_for: MakeSettings, page_dir: Path) -> Iterator[Serve]:
    with serving(settings_for, page_dir) as start:
        yield start


class Observer:
    """Sees every job that an instance accepts."""

    def __init__(self, served: Served) -> None:
        self.jobs: list[Job] = []
        served.service.observe(self)

    def accepted(self, job: Job) -> None:
        self.jobs.append(job)

    def refused(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def drawing(serve: Serve) -> Served:
    """Be the instance that draws."""
    return serve(name="other", caller_max=1, queue_max=1)


@pytest.fixture(scope="module")
def asked(serve: Serve, drawing: Served) -> Served:
    """Be the instance whose page is open; it has the other one for its pool."""
    return serve(name="asked", pool_url=drawing.url)


@pytest.fixture
def jobs(drawing: Served) -> list[Job]:
    """Be the jobs that the other instance has accepted since the test began."""
    return Observer(drawing).jobs


@pytest.fixture(autouse=True)
def calm(asked: Served, drawing: Served) -> Iterator[None]:
    yield
    until(lambda: drawing.idle)
    assert asked.engine.drawn == []  # whatever happened, it left the drawing to the other one


def pictures(told: list[str]) -> list[Path]:
    return [Path(path) for path in dict.fromkeys(PICTURE.findall(told[-2] + told[-1]))]


def wait_for_step(messages: Iterator[str]) -> None:
    next(message for message in messages if STEP.search(message))


def test_the_other_instance_draws_with_progress_previews_and_the_callers_name(
    asked: Served, jobs: list[Job]
) -> None:
    headers = {"X-Principal": "lin", "X-Request-Id": "request-77"}
    told = Visitor(asked.url, headers).draw(width=256, height=128, steps=8, count=2)
    everything = "".join(told)
    assert re.search(r"step [1-7] of 8", everything)
    assert "data:image/jpeg;base64," in everything
    assert [Image.open(path).size for path in pictures(told)] == [(256, 128)] * 2
    assert [(job.caller, job.request) for job in jobs] == [("lin", "request-77")]


def test_it_draws_from_a_picture_too(asked: Served, jobs: list[Job]) -> None:
    path = httpx.post(f"{asked.url}/gradio_api/upload", files={"files": ("a.png", png())}).json()[0]
    told = Visitor(asked.url).draw(source={"path": path, "meta": META}, steps=8, strength=0.5)
    assert [Image.open(path).size for path in pictures(told)] == [(128, 128)]
    assert [job.order.steps_drawn for job in jobs] == [4]


def test_cancel_on_the_page_stops_the_job_on_the_other_instance_within_a_step(
    asked: Served, drawing: Served, jobs: list[Job]
) -> None:
    visitor = Visitor(asked.url)
    visitor.click_draw(**LONG)
    with visitor.listen() as messages:
        wait_for_step(messages)
        visitor.click_cancel()
        rest = "".join(messages)
    assert "Cancelled. Nothing was drawn." in rest
    until(lambda: drawing.idle)
    assert jobs[0].outcome is Outcome.CANCELLED
    assert jobs[0].step < 60  # of 100: a fraction of a second, on a busy machine too


def test_closing_the_tab_stops_it_too(asked: Served, drawing: Served, jobs: list[Job]) -> None:
    visitor = Visitor(asked.url)
    visitor.click_draw(**LONG)
    with visitor.listen() as messages:
        wait_for_step(messages)
    until(lambda: drawing.idle)
    assert jobs[0].outcome is Outcome.CANCELLED


def test_nobody_cancels_what_another_caller_draws(asked: Served) -> None:
    visitor = Visitor(asked.url, {"X-Principal": "lin"})
    visitor.click_draw(steps=20)
    with visitor.listen() as messages:
        wait_for_step(messages)
        Visitor(asked.url, {"X-Principal": "mallory"}).click_cancel(visitor.session)
        rest = "".join(messages)
    assert "stage done" in rest


@pytest.mark.parametrize(
    ("language", "words"), [("zh-CN", "当前排队的人太多。请在 "), ("en", "Too many people are drawing")]
)
def test_a_full_pool_is_told_in_words(asked: Served, jobs: list[Job], language: str, words: str) -> None:
    waiting = [Visitor(asked.url, {"X-Principal": f"caller-{number}"}) for number in range(2)]
    for number, visitor in enumerate(waiting):
        visitor.click_draw(**LONG)
        until(lambda number=number: len(jobs) == number + 1)  # type: ignore[misc]
    told = Visitor(asked.url, {"Accept-Language": language}).draw()
    for visitor in waiting:
        visitor.click_cancel()
    assert words in str([json.loads(message) for message in told])


def test_the_place_in_the_queue_of_the_other_instance_is_told(asked: Served, jobs: list[Job]) -> None:
    first = Visitor(asked.url, {"X-Principal": "first"})
    first.click_draw(**LONG)
    until(lambda: jobs and jobs[0].step)
    second = Visitor(asked.url)
    second.click_draw()
    with second.listen() as messages:
        assert any("jobs ahead of yours: 1" in message for message in messages)
    first.click_cancel()


def test_a_pool_that_cannot_be_reached_leaves_the_drawing_to_the_instance_itself(serve: Serve) -> None:
    alone = serve(name="alone", pool_url=f"http://127.0.0.1:{free_port()}, http://127.0.0.1:{free_port()}")
    assert pictures(Visitor(alone.url).draw())
    assert len(alone.engine.drawn) == 1


def test_the_second_address_of_a_pool_serves_when_the_first_one_is_gone(
    serve: Serve, drawing: Served, jobs: list[Job]
) -> None:
    page = serve(name="patient", pool_url=f"http://127.0.0.1:{free_port()},{drawing.url}")
    assert pictures(Visitor(page.url).draw())
    assert (len(jobs), page.engine.drawn) == (1, [])


class Breaking(BaseHTTPRequestHandler):
    """Stands between the page and the instance, and breaks the first streams after an event."""

    target = ""
    breaks = 0
    calls: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name: self.headers[name] for name in ("Content-Type", "X-Principal")}
        self.calls.append(self.headers["X-Request-Id"])
        with httpx.stream(
            "POST", self.target + self.path, content=body, headers=headers, timeout=60
        ) as answer:
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers["content-type"])
            self.end_headers()
            for number, line in enumerate(answer.iter_lines()):
                self.wfile.write(line.encode() + b"\n")
                if number == 2 and len(self.calls) <= self.breaks:
                    return

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("breaks", "outcome"), [(1, "stage done"), (2, "stopped, twice")])
def test_a_stream_that_breaks_is_tried_once_more_and_not_for_ever(
    serve: Serve, drawing: Served, breaks: int, outcome: str
) -> None:
    calls: list[str] = []
    facts: dict[str, Any] = {"target": drawing.url, "calls": calls, "breaks": breaks}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Breaking,), facts)) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        page = serve(name="patient", pool_url=f"http://127.0.0.1:{proxy.server_port}")
        told = Visitor(page.url).draw(steps=8)
        proxy.shutdown()
    assert outcome in "".join(told)
    assert len(calls) == 2
    assert len(set(calls)) == 1  # one request, whoever serves it
    assert page.engine.drawn == []


def test_with_real_processes_one_that_is_killed_in_the_middle_costs_nobody_the_picture(
    start_instance: StartInstance,
) -> None:
    doomed = start_instance(name="doomed")
    page = start_instance(name="survivor", pool_url=doomed.url)
    until(doomed.ready, 120)
    until(page.ready, 120)
    visitor = Visitor(page.url)
    visitor.click_draw(width=512, height=512, count=4, steps=8)
    with visitor.listen() as messages:
        wait_for_step(messages)
        doomed.kill()
        rest = list(messages)
    assert len(pictures(rest)) == 4
    assert "job accepted" in doomed.log.read_text()
    assert "job done" in page.log.read_text()
