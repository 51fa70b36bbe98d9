"""What people and programs do with the service, with the clients that they use, through the gateway."""

import base64
import io
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import chromium
import gradio_client
import httpx
import lab
import openai
import pytest
import webuiapi
from PIL import Image, ImageChops
from playwright.sync_api import expect, sync_playwright

from scripts.nano.world import Scene, describe

ASKED = {
    "a red circle on a blue background": Scene("circle", "red", "blue"),
    "蓝色背景上的红色圆形": Scene("circle", "red", "blue"),
    "a yellow triangle on a green background": Scene("triangle", "yellow", "green"),
    "白色背景上的黑色正方形": Scene("square", "black", "white"),
}
INSTANCES = {"gpu1-a", "gpu1-b", "gpu1-c", "gpu2-a"}
SIZE = {"width": 256, "height": 256}


def picture(encoded):
    """Return the picture of a base64 string, decoded in full."""
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    image.load()
    return image


def test_a_hundred_sdapi_calls_by_ten_threads_all_succeed_on_all_instances(url):
    with httpx.Client(base_url=url, timeout=120) as client, ThreadPoolExecutor(10) as threads:

        def call(seed):
            return client.post("/sdapi/v1/txt2img", json={"prompt": f"call {seed}", "seed": seed, **SIZE})

        answers = list(threads.map(call, range(100)))
    assert Counter(answer.status_code for answer in answers) == {200: 100}
    assert {picture(answer.json()["images"][0]).size for answer in answers} == {(256, 256)}
    assert {answer.headers["X-Served-By"] for answer in answers} == INSTANCES


@pytest.mark.parametrize("prompt", ASKED)
def test_the_picture_is_the_one_asked_for_whichever_instance_draws_it(url, prompt):
    with httpx.Client(base_url=url, timeout=120) as client, ThreadPoolExecutor(4) as threads:

        def call(seed):
            return client.post("/sdapi/v1/txt2img", json={"prompt": prompt, "seed": seed, **SIZE})

        answers = list(threads.map(call, range(8)))
    assert len({answer.headers["X-Served-By"] for answer in answers}) > 1
    shown = Counter(describe(picture(answer.json()["images"][0])) for answer in answers)
    assert shown[ASKED[prompt]] >= 7, shown


def test_a_hundred_gradio_calls_by_ten_clients_all_succeed(url, tmp_path):
    def calls(number):
        client = gradio_client.Client(url, verbose=False, download_files=tmp_path / str(number))
        results = []
        for turn in range(10):
            results.append(client.predict(f"{number} {turn}", "256x256", turn, api_name="/generate"))
            # The library loses a call that begins before it has seen the stream of the last one end.
            lab.wait_until(lambda: not client.stream_open, 20)
        return results

    with ThreadPoolExecutor(10) as threads:
        results = [result for ten in threads.map(calls, range(10)) for result in ten]
    assert len(results) == 100
    assert {Image.open(path).size for path, _ in results} == {(256, 256)}


def test_ten_clicks_in_a_browser_show_ten_pictures(url):
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        page = browser.new_page()
        refused = []
        page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
        page.goto(url)
        seen = set()
        for click in range(10):
            page.locator("#prompt textarea").fill(f"click {click}")
            page.locator("#generate").click()
            expect(page.locator("#generate")).to_be_enabled(timeout=60_000)
            source = lab.wait_until(lambda: new_picture(page, seen), 60)
            seen.add(source)
        browser.close()
    assert len(seen) == 10
    assert refused == []


def new_picture(page, seen):
    """Return the source of the shown picture if it is another one than before and has arrived."""
    shown = page.locator("#picture .done img")
    if not shown.count():
        return None
    source, width = shown.first.evaluate("image => [image.src, image.naturalWidth]")
    return source if width == 256 and source not in seen else None


def test_the_openai_library_draws(url):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    answer = client.images.generate(model="z-image-turbo", prompt="a red circle", n=2, size="256x256")
    assert [picture(item.b64_json).size for item in answer.data] == [(256, 256)] * 2


def test_the_openai_library_gets_previews_as_a_stream(url):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    events = client.images.generate(
        model="z-image-turbo", prompt="a red circle", size="256x256", stream=True, partial_images=2
    )
    assert [event.type.removeprefix("image_generation.") for event in events] == [
        "partial_image",
        "partial_image",
        "completed",
    ]


def test_the_openai_library_tells_a_bad_request_from_an_outage(url):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    with pytest.raises(openai.BadRequestError) as refusal:
        client.images.generate(model="z-image-turbo", prompt="a red circle", size="250x250")
    assert refusal.value.param == "size"


def test_the_webui_library_draws(url):
    client = webuiapi.WebUIApi(host=url.removeprefix("http://"), port=80)
    result = client.txt2img(prompt="a red circle", seed=7, **SIZE)
    assert result.image.size == (256, 256)
    assert result.info["seed"] == 7


def test_the_webui_library_draws_from_a_picture(url):
    client = webuiapi.WebUIApi(host=url.removeprefix("http://"), port=80)
    result = client.img2img(
        images=[Image.new("RGB", (256, 256), "red")], prompt="a red circle", seed=7, **SIZE
    )
    assert result.image.size == (256, 256)


def test_the_same_seed_gives_the_same_picture_whichever_instance_draws_it(url):
    with httpx.Client(base_url=url, timeout=120) as client, ThreadPoolExecutor(4) as threads:

        def call(_):
            return client.post("/sdapi/v1/txt2img", json={"prompt": "the same", "seed": 42, **SIZE})

        answers = list(threads.map(call, range(20)))
    assert len({answer.headers["X-Served-By"] for answer in answers}) > 1
    first, *others = [picture(answer.json()["images"][0]) for answer in answers]
    # Those that shared a batch may differ by the rounding of sums.
    assert max(max(ImageChops.difference(first, other).tobytes()) for other in others) <= 1


def test_progress_and_interrupt_are_for_the_callers_jobs_on_all_instances(url):
    order = {"prompt": "given up", "width": 1024, "height": 1024, "batch_size": 4, "steps": 8}
    with httpx.Client(base_url=url, timeout=120) as client, ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(client.post, "/sdapi/v1/txt2img", json=order) for _ in range(8)]
        lab.wait_until(lambda: client.get("/sdapi/v1/progress").json()["state"]["job_count"] == len(calls))
        assert client.post("/sdapi/v1/interrupt").json() == {}
        assert Counter(call.result().status_code for call in calls) == {409: len(calls)}
        # What is being drawn ends with the step at hand.
        lab.wait_until(lambda: client.get("/sdapi/v1/progress").json()["state"]["job_count"] == 0, 60)


@pytest.mark.parametrize("path", ["/metrics", "/docs", "/openapi.json", "/monitoring/summary"])
def test_what_is_for_operators_is_not_for_users(url, path):
    assert httpx.get(url + path).status_code == 404
