"""The page for programs: Gradio's own API in one and in two requests, its client, and MCP."""

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, ImageContent, TextContent

from tests.app.conftest import MakeSettings, until
from tests.app.served import Serve, Served, serving
from z_image_turbo.jobs import Outcome

CALL = "/gradio_api/call/generate"
MCP = "/gradio_api/mcp/"
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def serve(settings_for: MakeSettings, page_dir: Path) -> Iterator[Serve]:
    with serving(settings_for, page_dir) as start:
        yield start


@pytest.fixture(scope="module")
def served(serve: Serve) -> Served:
    return serve(name="gpu1-a", queue_max=100, caller_max=100, mcp_origins="https://chat.example")


def test_it_offers_two_endpoints_with_named_parameters(served: Served) -> None:
    endpoints = httpx.get(f"{served.url}/gradio_api/info").json()["named_endpoints"]
    assert set(endpoints) == {"/generate", "/draw"}
    for endpoint in endpoints.values():
        parameters = endpoint["parameters"]
        assert [one["parameter_name"] for one in parameters] == ["prompt", "size", "seed", "steps"]
        assert [one["parameter_has_default"] for one in parameters] == [False, True, True, True]


def test_two_requests_by_curl_draw_and_the_first_names_the_instance(served: Served, serve: Serve) -> None:
    serve(name="gpu1-b")  # in the same process here, which must not matter
    event = httpx.post(served.url + CALL, json={"data": ["a cat", "128x128", 7, 8]}).json()["event_id"]
    assert re.fullmatch(r"gpu1-a~[0-9a-f]{32}", event)
    told = httpx.get(f"{served.url}{CALL}/{event}", timeout=30).text
    picture, seed = json.loads(told.rpartition("event: complete\ndata: ")[2])
    assert seed == 7
    answer = httpx.get(f"{served.url}/gradio_api/file={picture['path']}")
    assert answer.headers["content-type"] == "image/png"


def test_one_request_draws_too(served: Served) -> None:
    url = f"{served.url}/gradio_api/run/draw"
    answer = httpx.post(url, json={"data": ["a cat", "128x128", 7, 8]}, timeout=30).json()
    assert answer["data"][1] == 7
    assert answer["data"][0]["path"].endswith(".png")


def test_the_gradio_client_leaves_out_what_it_likes(served: Served, tmp_path: Path) -> None:
    client = Client(served.url, verbose=False, download_files=str(tmp_path))
    path, seed = client.predict("a cat", seed=3, api_name="/generate")
    assert Path(path).is_file()
    assert seed == 3


def test_who_hangs_up_gives_the_job_up(served: Served) -> None:
    event = httpx.post(served.url + CALL, json={"data": ["a dog", "128x128", 7, 100]}).json()["event_id"]
    with httpx.stream("GET", f"{served.url}{CALL}/{event}"):
        until(lambda: served.service.queue.running)
        (job,) = served.service.queue.running
    until(lambda: served.idle)
    assert job.outcome is Outcome.CANCELLED


def test_gradio_holds_nobody_back_however_many_there_are(served: Served) -> None:
    served.engine.go.clear()
    body = {"data": ["a cat", "128x128", 7, 1]}
    with ThreadPoolExecutor(10) as callers:
        answers = list(callers.map(lambda _: httpx.post(served.url + CALL, json=body).json(), range(60)))
    until(lambda: served.service.queue.depth == 59)  # one is being drawn
    served.engine.go.set()
    for answer in answers:
        assert "event: complete" in httpx.get(f"{served.url}{CALL}/{answer['event_id']}", timeout=60).text


def use_mcp(url: str, headers: dict[str, str] | None = None, **arguments: Any) -> Any:
    """Return the tools, the answer to a call, and the progress told on the way."""
    heard: list[str | None] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001
        heard.append(message)

    async def talk() -> Any:
        async with (
            streamable_http_client(url + MCP, http_client=httpx.AsyncClient(headers=headers)) as (
                read,
                write,
                _,
            ),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            return tools, await session.call_tool("generate", arguments, progress_callback=note), heard

    return asyncio.run(talk())


def text_of(result: CallToolResult) -> str:
    return " ".join(part.text for part in result.content if isinstance(part, TextContent))


def test_mcp_has_one_tool_and_it_draws_for_its_caller_and_tells_how_far_it_is(served: Served) -> None:
    headers = {"X-Principal": "lin", "X-Forwarded-Host": "pictures.example", "X-Forwarded-Proto": "https"}
    callers: list[str] = []
    accepted = served.service.submit

    def submit(*arguments: Any, **more: Any) -> Any:
        job = accepted(*arguments, **more)
        callers.append(job.caller)
        return job

    served.service.submit = submit  # type: ignore[method-assign]
    tools, result, progress = use_mcp(served.url, headers, prompt="a cat", size="128x128", seed=7, steps=40)
    assert [tool.name for tool in tools] == ["generate"]
    schema = tools[0].inputSchema
    assert set(schema["properties"]) == {"prompt", "size", "seed", "steps"}
    assert "English or Chinese" in schema["properties"]["prompt"]["description"]
    assert not result.isError, result
    assert [part.mimeType for part in result.content if isinstance(part, ImageContent)] == ["image/png"]
    assert "7" in text_of(result)
    assert any(re.fullmatch(r"step \d+ of 40", message or "") for message in progress)
    assert callers == ["lin"]


def test_mcp_tells_what_is_wrong_in_words(served: Served) -> None:
    _, result, _ = use_mcp(served.url, prompt="a cat", size="100x100")
    assert result.isError
    assert "must be a multiple of 16" in text_of(result)


def test_an_mcp_client_that_hangs_up_gives_the_job_up(served: Served) -> None:
    call = {"name": "generate", "arguments": {"prompt": "a dog", "size": "128x128", "steps": 100}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    with httpx.stream("POST", served.url + MCP, json=body, headers=ACCEPT):
        until(lambda: served.service.queue.running)
        (job,) = served.service.queue.running
    until(lambda: served.idle)
    assert job.outcome is Outcome.CANCELLED


def test_mcp_is_not_for_web_pages_unless_they_are_named(served: Served) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}

    def status(**headers: str) -> int:
        return httpx.post(served.url + MCP, json=body, headers=ACCEPT | headers).status_code

    assert status() == 200
    assert status(Origin="https://chat.example") == 200
    assert status(Origin="https://evil.example") == 403
    # A page whose own name was made to lead here is of the same origin, and no more welcome.
    assert status(Origin=served.url) == status(Origin="http://evil.example", Host="evil.example") == 403


def test_mcp_can_be_switched_off(serve: Serve) -> None:
    off = serve(name="off", mcp=False)
    assert httpx.post(off.url + MCP, json={}).status_code in {404, 405}
