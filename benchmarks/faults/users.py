"""Users of the service, each asking for one picture after the other with a client that people really use."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import gradio_client
import httpx
import openai
from playwright.sync_api import Page, sync_playwright

SIZE = 256
PATIENCE_SECONDS = 60.0  # then a user gives up
THINK_SECONDS = 2.0  # between two pictures: the subject is the balancer, not how fast this machine draws
STREAM_SECONDS = 5.0  # one that broke is never seen to end
PICTURES_MAX = 2000  # of one user, so that a run always ends
BROWSER_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

Draw = Callable[[int], None]


@dataclass
class Try:
    """One picture that somebody asked for; `begin` counts seconds since the load began."""

    kind: str
    user: int
    begin: float
    seconds: float
    error: str


@dataclass
class Load:
    """Users who ask until told to stop, and what became of their requests."""

    url: str
    tries: list[Try] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _begin: float = field(default_factory=time.monotonic)

    def start(self, counts: dict[str, int]) -> None:
        """Start so many users of each kind."""
        for kind, count in counts.items():
            for user in range(count):
                thread = threading.Thread(target=self._use, args=(kind, user), name=f"{kind} {user}")
                self._threads.append(thread)
                thread.start()

    def stop(self) -> None:
        """Let every user finish the picture at hand."""
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE_SECONDS)

    def _use(self, kind: str, user: int) -> None:
        with ExitStack() as stack:
            draw: Draw | None = None
            for number in range(PICTURES_MAX):
                if self._stop.is_set():
                    return
                begin, error = time.monotonic(), ""
                try:
                    draw = draw or stack.enter_context(KINDS[kind](self.url))
                    draw(user * PICTURES_MAX + number)
                except Exception as problem:  # noqa: BLE001 - whatever a client raises is a failure its user sees
                    error = f"{type(problem).__name__}: {problem}".splitlines()[0][:160]
                seconds = time.monotonic() - begin
                self.tries.append(Try(kind, user, begin - self._begin, seconds, error))
                self._stop.wait(THINK_SECONDS)


@contextmanager
def sdapi_user(url: str) -> Iterator[Draw]:
    """Ask like a client of the web UI: plain requests, nothing is repeated."""
    with httpx.Client(base_url=url, timeout=PATIENCE_SECONDS) as client:

        def draw(seed: int) -> None:
            wanted = {"prompt": "a red circle", "seed": seed, "width": SIZE, "height": SIZE}
            client.post("/sdapi/v1/txt2img", json=wanted).raise_for_status().json()["images"][0]

        yield draw


@contextmanager
def script_user(url: str) -> Iterator[Draw]:
    """Ask like a script that runs curl: each request on a connection of its own, nothing is repeated."""

    def draw(seed: int) -> None:
        wanted = {"prompt": "a red circle", "seed": seed, "width": SIZE, "height": SIZE}
        answer = httpx.post(f"{url}/sdapi/v1/txt2img", json=wanted, timeout=PATIENCE_SECONDS)
        answer.raise_for_status().json()["images"][0]

    yield draw


@contextmanager
def openai_user(url: str) -> Iterator[Draw]:
    """Ask with OpenAI's library, its own repetitions switched off: they would hide what the gateway does."""
    with openai.OpenAI(
        base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=PATIENCE_SECONDS
    ) as client:

        def draw(seed: int) -> None:
            answer = client.images.generate(
                model="z-image-turbo", prompt="a red circle", size="256x256", extra_body={"seed": seed}
            )
            if not answer.data or not answer.data[0].b64_json:
                raise ValueError("an answer without a picture")

        yield draw


@contextmanager
def gradio_user(url: str) -> Iterator[Draw]:
    """Ask with Gradio's library, which keeps the cookies that it got first."""
    client = gradio_client.Client(url, verbose=False, httpx_kwargs={"timeout": PATIENCE_SECONDS})

    def draw(seed: int) -> None:
        _wait_for_the_end_of_the_stream(client)
        client.submit("a red circle", "256x256", seed, api_name="/generate").result(PATIENCE_SECONDS)

    yield draw


def _wait_for_the_end_of_the_stream(client: gradio_client.Client) -> None:
    """Return when the library has seen the last stream end: a call that begins before that is lost by it."""
    deadline = time.monotonic() + STREAM_SECONDS
    while client.stream_open and time.monotonic() < deadline:
        time.sleep(0.01)


@contextmanager
def browser_user(url: str) -> Iterator[Draw]:
    """Click in a browser, and look for a picture that was not there before."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=BROWSER_ARGUMENTS)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_SECONDS * 1000)
        seen: set[str] = set()
        open_page: list[bool] = []

        def draw(seed: int) -> None:
            if not open_page:
                page.goto(url)
                open_page.append(True)
            try:
                page.locator("#prompt textarea").fill(f"a red circle {seed}")
                page.locator("#generate").click()
                seen.add(_new_picture(page, seen))
            except Exception:
                open_page.clear()  # what a person does: load the page again
                raise

        yield draw
        browser.close()


def _new_picture(page: Page, seen: set[str]) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found: Any = page.evaluate(
            "() => [...document.querySelectorAll('#picture img')]"
            ".filter(image => image.complete && image.naturalWidth >= 256).map(image => image.src)"
        )
        for source in found:
            if source not in seen and "/gradio_api/file=" in source:
                return str(source)
        page.wait_for_timeout(50)
    raise TimeoutError("no new picture on the page")


USERS: dict[str, Callable[[str], Any]] = {
    "browser": browser_user,
    "gradio_client": gradio_user,
    "openai": openai_user,
    "sdapi": sdapi_user,
}

# Those whom the comparison leaves out as well.
KINDS: dict[str, Callable[[str], Any]] = {**USERS, "script": script_user}
