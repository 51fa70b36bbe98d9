"""The same clients where the gateway asks who calls, and the limits as a user meets them."""

import base64
import io

import chromium
import gradio_client
import httpx
import lab
import openai
import pytest
import webuiapi
from PIL import Image
from playwright.sync_api import expect, sync_playwright

NAME, PASSWORD = "alice", "correct horse battery"
KEY = "zit-alice-0123456789-abcdefghijklmnopqrstuvwxyz"
SIZE = {"width": 256, "height": 256}


@pytest.fixture(scope="module")
def guarded(url):
    """Have the gateway ask who calls, with limits no higher than its own, until the tests are over."""
    users = [{"name": NAME, "password": PASSWORD, "api_keys": [KEY]}]
    limits = {"gateway_address_generation_rate": "1r/s", "gateway_address_generation_burst": 10}
    changed = lab.play("site.yml", limit="gw1", tags="gateway", gateway_users=users, **limits)
    assert changed.rc == 0, changed.output
    yield url
    restored = lab.play("site.yml", limit="gw1", tags="gateway")
    assert restored.rc == 0, restored.output


def open_page(playwright, url, refused, **options):
    """Return the page in a new browser, which notes the requests that were refused."""
    browser = chromium.launch(playwright)
    page = browser.new_context(**options).new_page()
    page.on(
        "response",
        lambda answer: refused.append((answer.status, answer.url)) if answer.status >= 400 else None,
    )
    page.goto(url)
    return page


def test_a_browser_with_the_password_shows_the_page_and_draws_and_is_never_limited(guarded):
    credentials = {"username": NAME, "password": PASSWORD}
    with sync_playwright() as playwright:
        refused = []
        page = open_page(playwright, guarded, refused, http_credentials=credentials)
        for _ in range(2):
            page.reload()
        page.locator("#prompt textarea").fill("a red circle")
        page.locator("#generate").click()
        expect(page.locator("#picture img")).to_be_visible(timeout=60_000)
    # A browser asks once without the password, and is told to send it.
    assert [(status, address) for status, address in refused if status != 401] == []
    assert {address for _, address in refused} <= {f"{guarded}/"}


def test_a_browser_without_the_password_gets_nothing(guarded):
    assert httpx.get(guarded).status_code == 401
    assert httpx.get(guarded).headers["WWW-Authenticate"].startswith("Basic ")
    assert httpx.get(f"{guarded}/manifest.json").status_code != 401


def test_the_openai_library_draws_with_a_key_and_is_told_that_another_is_wrong(guarded):
    client = openai.OpenAI(base_url=f"{guarded}/v1", api_key=KEY)
    answer = client.images.generate(model="z-image-turbo", prompt="a red circle", size="256x256")
    assert Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json))).size == (256, 256)
    with pytest.raises(openai.AuthenticationError) as refusal:
        openai.OpenAI(base_url=f"{guarded}/v1", api_key="zit-wrong").models.list()
    assert refusal.value.code == "invalid_api_key"


def test_the_webui_library_draws_with_the_password(guarded):
    client = webuiapi.WebUIApi(host=guarded.removeprefix("http://"), port=80)
    client.set_auth(NAME, PASSWORD)
    assert client.txt2img(prompt="a red circle", seed=7, **SIZE).image.size == (256, 256)


def test_the_gradio_library_draws_with_a_key(guarded, tmp_path):
    headers = {"Authorization": f"Bearer {KEY}"}
    client = gradio_client.Client(guarded, verbose=False, headers=headers, download_files=tmp_path)
    path, _ = client.predict("a red circle", "256x256", 7, api_name="/generate")
    assert Image.open(path).size == (256, 256)


def ask_often(client):
    """Ask for pictures of a size that there is none of: these count like all others, and draw nothing."""
    for _ in range(60):
        with pytest.raises(openai.BadRequestError):
            client.images.generate(model="z-image-turbo", prompt="a red circle", size="250x250")


def test_the_openai_library_meets_the_limit_as_one_that_it_knows(guarded):
    with pytest.raises(openai.RateLimitError) as refusal:
        ask_often(openai.OpenAI(base_url=f"{guarded}/v1", api_key=KEY, max_retries=0))
    assert refusal.value.code == "rate_limit_exceeded"
    assert refusal.value.response.headers["Retry-After"] == "2"
