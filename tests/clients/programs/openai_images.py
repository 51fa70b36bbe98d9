"""OpenAI's Python client, version 2 or 3: prints what it saw of the service, as JSON."""

import asyncio
import base64
import json
import os
import struct
import threading
import time
from typing import Any

import httpx
import openai

URL, DIRECT = os.environ["SERVICE_URL"], bool(os.environ["SERVICE_DIRECT"])
MODEL = "gpt-image-1"
WANTED = {"model": MODEL, "prompt": "a red circle on a blue background", "size": "256x128"}
LONG = {"model": MODEL, "prompt": "a red circle", "size": "768x768"}

sent: list[str] = []


def count(request: httpx.Request) -> None:
    sent.append(request.url.path)


def client(retries: int = 0) -> openai.OpenAI:
    hooked = httpx.Client(event_hooks={"request": [count]})
    return openai.OpenAI(
        base_url=f"{URL}/v1", api_key=os.environ["SERVICE_KEY"], max_retries=retries, http_client=hooked
    )


def asynchronous() -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=os.environ["SERVICE_KEY"], max_retries=0)


def size_of(text: str) -> list[int]:
    """Return width and height in the head of a PNG file."""
    data = base64.b64decode(text)
    assert data.startswith(b"\x89PNG")
    return list(struct.unpack(">II", data[16:24]))


def told(error: openai.APIStatusError) -> list[Any]:
    return [type(error).__name__, error.code, error.param, error.type, bool(error.request_id)]


def refused(**wanted: Any) -> list[Any]:
    try:
        client().images.generate(**{**WANTED, **wanted})
    except openai.APIStatusError as error:
        return told(error)
    return []


def events_of(events: list[Any]) -> dict[str, Any]:
    return {
        "types": [event.type for event in events],
        "size": size_of(events[-1].b64_json),
        "tokens": events[-1].usage.output_tokens,
        "indices": [event.partial_image_index for event in events if hasattr(event, "partial_image_index")],
    }


async def at_once() -> dict[str, Any]:
    async with asynchronous() as many:
        first, second, stream = await asyncio.gather(
            many.images.generate(**WANTED, extra_body={"seed": 5}),
            many.images.generate(**WANTED, extra_body={"seed": 5}),
            many.images.generate(**WANTED, stream=True, partial_images=1),
        )
        return {
            "same": first.data[0].b64_json == second.data[0].b64_json,
            "stream": events_of([event async for event in stream]),
        }


def interrupt_when_begun() -> None:
    while not httpx.get(f"{URL}/sdapi/v1/progress?skip_current_image=true").json()["state"]["job_count"]:
        time.sleep(0.05)
    httpx.post(f"{URL}/sdapi/v1/interrupt")


def cancelled() -> dict[str, Any]:
    """Give a job up by another call: the client must not send it again."""
    sent.clear()
    threading.Thread(target=interrupt_when_begun).start()
    try:
        client(retries=2).images.generate(**LONG)
    except openai.ConflictError as error:
        return {"error": told(error), "requests": len(sent)}
    return {}


def full() -> dict[str, Any]:
    """Ask while the queue is full: the client must wait and send it again by itself."""

    patient = client(retries=8)

    async def crowd() -> Any:
        async with asynchronous() as many:
            held = [asyncio.ensure_future(many.images.generate(**LONG))]
            await asyncio.sleep(0.2)
            held += [asyncio.ensure_future(many.images.generate(**WANTED)) for _ in range(6)]
            await asyncio.wait(held, return_when=asyncio.FIRST_COMPLETED)  # one that got no place
            answer = await asyncio.to_thread(patient.images.generate, **WANTED)
            await asyncio.gather(*held, return_exceptions=True)
            return answer

    sent.clear()
    answer = asyncio.run(crowd())
    return {"size": size_of(answer.data[0].b64_json), "requests": len(sent)}


def main() -> dict[str, Any]:
    one = client()
    drawn = one.images.with_raw_response.generate(**WANTED, n=2, extra_body={"seed": 3})
    answer = drawn.parse()
    nulls = dict.fromkeys(["background", "moderation", "quality", "style", "user", "output_format"])
    picture = ("a.png", base64.b64decode(answer.data[0].b64_json))
    asked = {**WANTED, "image": picture, "extra_body": {"strength": 0.5}}
    keyed = {"extra_headers": {"Idempotency-Key": f"key-{time.time()}"}}
    seen = {
        "version": openai.__version__,
        "generate": {
            "sizes": [size_of(image.b64_json) for image in answer.data],
            "size": answer.size,
            "tokens": [
                answer.usage.input_tokens > 0,
                answer.usage.output_tokens,
                answer.usage.total_tokens > 256,
            ],
            "request_id": bool(drawn.headers["x-request-id"]),
        },
        "nulls": size_of(one.images.generate(**WANTED, extra_body=nulls).data[0].b64_json),
        "stream": events_of(list(one.images.generate(**WANTED, stream=True, partial_images=2))),
        "edit": size_of(one.images.edit(**asked).data[0].b64_json),
        "edit_stream": events_of(list(one.images.edit(**asked, stream=True, partial_images=1))),
        "same_key": len({one.images.generate(**WANTED, **keyed).data[0].b64_json for _ in range(2)}),
        "models": [model.id for model in one.models.list()],
        "alias": one.models.retrieve("dall-e-3").id,
        "at_once": asyncio.run(at_once()),
        "refusals": {
            "size": refused(size="1000x1000"),
            "model": refused(model="sdxl"),
            "n": refused(n=99),
            "links": refused(response_format="url"),
        },
    }
    if DIRECT:
        seen |= {"cancelled": cancelled(), "full": full()}
    return seen


print(json.dumps(main()))
