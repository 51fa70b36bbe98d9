"""A person's tour of the page: both languages, a desk and a phone, light and dark.

With SCREENSHOTS=<folder> it leaves pictures of what it saw there.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect

from scripts.nano.world import Scene, describe
from tests.app.conftest import until as until_soon
from tests.app.process import Instance
from tests.app.served import Served
from tests.page import accessibility
from z_image_turbo.page_texts import CHINESE, ENGLISH, ERRORS, Texts

SECONDS = 60  # for what takes one on a machine that has nothing else to do
expect.set_options(timeout=SECONDS * 1000)
until = partial(until_soon, seconds=SECONDS)
ASKED = {
    "en": ("a red circle on a blue background", Scene("circle", "red", "blue")),
    "zh": ("蓝色背景上的黄色三角形", Scene("triangle", "yellow", "blue")),
}


@dataclass
class Tour:
    """Somebody with a language, a screen and a theme."""

    language: Literal["en", "zh"]
    width: int
    height: int
    theme: Literal["light", "dark"]
    page: Page = field(init=False)
    complaints: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.language}-{'phone' if self.width < 500 else 'desk'}-{self.theme}"

    @property
    def texts(self) -> Texts:
        return ENGLISH if self.language == "en" else CHINESE

    def go(self, browser: Browser, url: str) -> None:
        context = browser.new_context(
            viewport={"width": self.width, "height": self.height},
            locale="en-US" if self.language == "en" else "zh-CN",
            color_scheme=self.theme,
        )
        self.page = context.new_page()
        self.page.set_default_timeout(SECONDS * 1000)
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda asked: self._note_request(asked.url, url))
        self.page.goto(url)
        self.expect_ready()

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def _note_request(self, asked: str, own: str) -> None:
        if not asked.startswith((own, "data:", "blob:")):
            self.complaints.append(f"asked elsewhere: {asked}")

    def expect_ready(self) -> None:
        expect(self.page.locator("#generate")).to_be_enabled()
        expect(self.page.locator("#generate")).to_have_text(self.texts["generate"])

    def write(self, prompt: str) -> None:
        self.page.locator("#prompt textarea").fill(prompt)

    def draw(self) -> None:
        self.page.locator("#generate").click()

    def expect_picture(self) -> None:
        expect(self.page.locator("#picture .done img").first).to_be_visible()
        self.page.wait_for_function("document.querySelector('#picture .done img')?.naturalWidth > 0")
        expect(self.page.locator("#generate")).to_be_enabled()

    def set(self, name: str, value: int) -> None:
        self.page.locator(f"#{name} input[type=number]").fill(str(value))
        self.page.keyboard.press("Tab")

    def value(self, name: str) -> str:
        return self.page.locator(f"#{name} input[type=number], #{name} textarea").input_value()

    def open(self, name: str) -> None:
        self.page.locator(f"#{name} > button").click()

    def shoot(self, what: str) -> None:
        if folder := os.environ.get("SCREENSHOTS"):
            self.page.evaluate("document.activeElement?.blur(); scrollTo(0, 0)")
            path = Path(folder) / f"{self.name}-{what}.png"
            self.page.screenshot(path=path, full_page=self.width < 500)
            Image.open(path).quantize(255).save(path, optimize=True)


TOURS = [
    ("en", 1280, 800, "light"),
    ("zh", 1280, 800, "dark"),
    ("en", 400, 850, "dark"),
    ("zh", 400, 850, "light"),
]


@pytest.fixture(params=TOURS, ids=lambda tour: "-".join(map(str, tour)))
def tour(request: pytest.FixtureRequest, browser: Browser, nano: Instance) -> Iterator[Tour]:
    made = Tour(*request.param)
    made.go(browser, nano.url)
    yield made
    assert made.complaints == []
    made.page.context.close()


@pytest.fixture
def desk(browser: Browser, nano: Instance) -> Iterator[Tour]:
    made = Tour("en", 1280, 800, "light")
    made.go(browser, nano.url)
    yield made
    assert made.complaints == []
    made.page.context.close()


def test_somebody_draws_what_they_ask_for_sees_it_come_and_finds_it_again(tour: Tour, tmp_path: Path) -> None:
    page, texts = tour.page, tour.texts
    prompt, scene = ASKED[tour.language]
    tour.shoot("welcome")

    tour.open("advanced")
    expect(page.locator("#steps input[type=number]")).to_have_value("8")
    tour.write(prompt)
    tour.set("steps", 30)  # long enough to be watched
    page.locator("#prompt textarea").press("Control+Enter")
    expect(page.locator("#picture [role=status]")).to_have_text(
        re.compile(re.escape(texts["drawing"]).replace(r"\{step\}", r"\d+").replace(r"\{steps\}", "30")),
    )
    expect(page.locator("#picture .preview")).to_be_visible()
    tour.shoot("drawing")
    tour.expect_picture()

    with page.expect_download() as downloading:
        page.get_by_role("link", name=texts["download"]).click()
    saved = tmp_path / downloading.value.suggested_filename
    downloading.value.save_as(saved)
    assert re.fullmatch(r"z-image-\d+\.png", saved.name)
    assert describe(Image.open(saved)) == scene
    tour.set("steps", 8)
    page.locator("#advanced > button").click()
    tour.shoot("picture")

    seed = page.locator("#picture .seed").inner_text().removeprefix("# ")
    assert tour.value("seed") == "-1"
    page.get_by_role("button", name=texts["use_seed"]).click()
    until(lambda: tour.value("seed") == seed)
    tour.write("something else")
    page.get_by_role("button", name=texts["use_prompt"]).click()
    until(lambda: tour.value("prompt") == prompt)

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert accessibility.problems(page) == []

    page.reload()
    tour.expect_picture()
    assert (tour.value("prompt"), tour.value("seed")) == (prompt, seed)
    assert page.locator("#gallery li").count() == 1


def test_cancel_ends_the_job_within_a_step(desk: Tour, nano: Instance) -> None:
    desk.open("advanced")
    expect(desk.page.locator("#steps input[type=number]")).to_have_value("8")
    desk.write("a red circle")
    desk.set("count", 4)
    desk.set("steps", 100)
    desk.draw()
    expect(desk.page.locator("#picture [role=status]")).to_contain_text("step")
    desk.page.locator("#cancel").click()
    expect(desk.page.locator("#picture")).to_contain_text(ENGLISH["cancelled"])
    expect(desk.page.locator("#generate")).to_be_enabled()
    expect(desk.page.locator("#cancel")).to_be_hidden()
    until(lambda: nano.jobs() == 0)


def test_a_refused_job_is_explained_and_an_empty_prompt_is_asked_for(
    browser: Browser, nano: Instance
) -> None:
    visitor = Tour("zh", 1280, 800, "light")
    visitor.go(browser, nano.url)
    visitor.draw()
    expect(visitor.page.locator("#picture")).to_contain_text(CHINESE["no_prompt"])
    visitor.write("一只猫")
    visitor.set("width", 250)
    visitor.draw()
    expect(visitor.page.locator("#picture [role=alert]")).to_contain_text("width: must be a multiple of 16")
    visitor.set("width", 256)
    long = {"size": "512x512", "num_inference_steps": 100}
    first = nano.generate_later(**long)
    until(lambda: nano.step() > 0)  # from then on nobody joins its batch
    waiting = [first, *(nano.generate_later(**long) for _ in range(2))]
    until(lambda: nano.jobs() == 3)
    visitor.draw()
    expect(visitor.page.locator("#picture [role=alert]")).to_contain_text(ERRORS["caller_queue_full"][1])
    visitor.shoot("refused")
    httpx.post(f"{nano.url}/sdapi/v1/interrupt")
    assert {call.result(30).status_code for call in waiting} == {409}
    assert visitor.complaints == []
    visitor.page.context.close()


def test_a_form_that_the_browser_kept_comes_back_within_todays_limits(desk: Tour) -> None:
    page = desk.page
    page.locator("#ratio input[value='16:9']").check(force=True)
    desk.set("count", 3)
    desk.set("seed", 77)
    desk.set("height", 9000)
    page.reload()
    until(lambda: desk.value("count") == "3")
    values = [desk.value(name) for name in ("width", "height", "seed")]
    assert values == ["336", "512", "77"]
    expect(page.locator("#ratio input[value=free]")).to_be_checked()


def test_what_is_typed_while_the_page_still_loads_stays(browser: Browser, nano: Instance) -> None:
    page = browser.new_page(locale="en-US")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/gradio_api/queue/join*", hold)
    page.route("**/gradio_api/run/**", hold)
    page.goto(nano.url)
    page.locator("#prompt textarea").fill("a red circle")
    expect(page.locator("#generate")).to_be_disabled()
    until(lambda: page.evaluate("1") and held)
    for route in held:
        route.continue_()
    expect(page.locator("#generate")).to_be_enabled()
    assert page.locator("#prompt textarea").input_value() == "a red circle"
    page.close()


def test_the_language_can_be_switched_and_stays(desk: Tour) -> None:
    page = desk.page
    desk.write("a red circle")
    page.get_by_role("button", name="中文").click()
    expect(page.locator("#generate")).to_have_text(CHINESE["generate"])
    expect(page.locator("#picture")).to_contain_text(CHINESE["welcome"])
    assert desk.value("prompt") == "a red circle"
    page.reload()
    expect(page.locator("#generate")).to_have_text(CHINESE["generate"])
    page.get_by_role("button", name="English").click()
    expect(page.locator("#generate")).to_have_text(ENGLISH["generate"])


def test_the_theme_can_be_switched_and_stays(desk: Tour) -> None:
    page = desk.page
    page.locator("[data-theme-switch]").click()
    assert page.evaluate("document.body.classList.contains('dark')")
    page.reload()
    expect(page.locator("#generate")).to_be_visible()
    until(lambda: page.evaluate("document.body.classList.contains('dark')"))


def test_shapes_set_the_sides_and_sides_the_shape(desk: Tour) -> None:
    page = desk.page
    page.locator("#ratio input[value='16:9']").check(force=True)
    until(lambda: (desk.value("width"), desk.value("height")) == ("336", "192"))
    desk.set("height", 208)
    expect(page.locator("#ratio input[value=free]")).to_be_checked()
    desk.set("height", 192)
    expect(page.locator("#ratio input[value='16:9']")).to_be_checked()


def test_several_pictures_of_one_prompt_are_shown_together(desk: Tour) -> None:
    desk.page.locator("#examples button").first.click()
    until(lambda: desk.value("prompt") == ASKED["en"][0])
    desk.set("count", 4)
    desk.draw()
    desk.expect_picture()
    assert desk.page.locator("#picture figure").count() == desk.page.locator("#gallery li").count() == 4
    desk.shoot("four")
    desk.page.locator("#gallery li button").nth(2).click()
    expect(desk.page.locator("#picture figure")).to_have_count(1)


def test_a_picture_can_be_started_from_another_one(desk: Tour, tmp_path: Path) -> None:
    source = tmp_path / "source.png"
    Image.new("RGB", (300, 200), (40, 80, 210)).save(source)
    desk.write(ASKED["en"][0])
    desk.open("source_fold")
    desk.page.locator("#source input[type=file]").set_input_files(source)
    expect(desk.page.locator("#source img")).to_be_visible()
    desk.draw()
    desk.expect_picture()
    desk.page.get_by_role("button", name=ENGLISH["start_from"]).click()
    expect(desk.page.locator("#source img")).to_be_visible()


def test_a_picture_that_is_gone_leaves_no_broken_frame(desk: Tour) -> None:
    desk.write(ASKED["en"][0])
    desk.draw()
    desk.expect_picture()
    desk.page.route("**/gradio_api/file=**", lambda route: route.fulfill(status=404))
    desk.page.reload()
    expect(desk.page.locator("#generate")).to_be_visible()
    expect(desk.page.locator("#gallery li, #picture figure")).to_have_count(0)
    desk.complaints.clear()  # the browser's own about the 404


def test_form_and_gallery_survive_the_move_to_another_instance(
    browser: Browser, nano: Instance, other: Served
) -> None:
    """The browser meets another instance under the same address, as behind a gateway."""
    visitor = Tour("en", 1280, 800, "light")
    visitor.go(browser, nano.url)
    visitor.write(ASKED["en"][0])
    visitor.draw()
    visitor.expect_picture()

    def reroute(route: Route) -> None:
        url = route.request.url
        if "/file=" in url:  # a gateway finds the host of a file by its path
            route.continue_()
        else:
            route.fulfill(response=route.fetch(url=url.replace(nano.url, other.url)))

    visitor.page.route("**/*", reroute)
    visitor.page.reload()
    visitor.expect_picture()
    assert visitor.value("prompt") == ASKED["en"][0]
    assert visitor.page.locator("#gallery li").count() == 1
    visitor.page.context.close()
