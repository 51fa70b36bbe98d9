"""Drawing on other instances: jobs go to a balancer's address, and are told of as if they were drawn here."""

from __future__ import annotations

import base64
import io
import json
import logging
from contextlib import aclosing
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import httpx
from httpx_sse import EventSource
from PIL import Image

from z_image_turbo.encoding import as_png
from z_image_turbo.errors import ServiceError
from z_image_turbo.logs import request_id
from z_image_turbo.watching import Finished, Progress, Unfinished

if TYPE_CHECKING:
    from collections.abc import Sequence

    from z_image_turbo.pictures import Order
    from z_image_turbo.settings import Settings
    from z_image_turbo.watching import Happenings

CONNECT_SECONDS = 3.0
SILENCE_SECONDS = 45.0  # the stream has a comment each 15 s
PREVIEWS = 3  # as many as the API gives
TRIES = 2

log = logging.getLogger(__name__)


class PoolUnreachable(Exception):  # noqa: N818 - an outcome, named as one
    """None of the pool's addresses takes connections."""


class PoolRefused(ServiceError):  # noqa: N818 - as above
    """The pool's own answer to a job, in its words."""

    def __init__(self, status: int, error: dict[str, Any], retry_after: str | None) -> None:
        """Take over what an error envelope of the OpenAI API says."""
        seconds = int(retry_after) if retry_after and retry_after.isdecimal() else None
        message = str(error.get("message") or f"The service answered with status {status}.")
        super().__init__(message, retry_after_seconds=seconds)
        self.status = status
        self.word = str(error.get("code") or "pool_failed")


class _Broken(Exception):  # noqa: N818 - as above
    """The stream ended before the pictures came; another try may do."""


class Pool:
    """The instances behind the addresses of the setting `pool_url`."""

    def __init__(self, settings: Settings) -> None:
        """Open nothing yet."""
        # Once, for it takes milliseconds, and reads a file of the environment.
        self._tls = httpx.create_ssl_context(trust_env=False)
        self._urls = settings.pool_urls
        self._header = settings.principal_header
        self._model = settings.model_name

    async def draw(self, order: Order, caller: str, previews: bool = False) -> Happenings:
        """Have `order` drawn for `caller`, and tell of it as `watching.watch` does.

        Raises `PoolUnreachable` before anything was told, and the `ServiceError` that the pool answers with.
        A stream that breaks is tried once more: the same seed gives the same picture. Whoever closes the
        iterator hangs up, which cancels the job.
        """
        timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        async with httpx.AsyncClient(timeout=timeout, verify=self._tls, trust_env=False) as client:
            urls = list(self._urls)
            for attempt in range(TRIES):
                try:
                    async with aclosing(self._draw_once(client, urls, order, caller, previews)) as told:
                        async for happened in told:
                            yield happened
                except _Broken as broken:
                    log.warning("a stream of the pool broke: %s", broken, extra={"attempt": attempt + 1})
                    urls.append(urls.pop(0))
                else:
                    return
        raise ServiceError("The instance that drew this picture stopped, twice; try again.")

    async def _draw_once(
        self, client: httpx.AsyncClient, urls: Sequence[str], order: Order, caller: str, previews: bool
    ) -> Happenings:
        for url in urls:
            try:
                async with client.stream(
                    "POST",
                    f"{url}/v1/images/{'edits' if order.source else 'generations'}",
                    headers=self._headers(caller),
                    **_body(order, previews, self._model),
                ) as answer:
                    async with aclosing(_events(answer, order)) as told:
                        async for happened in told:
                            yield happened
                    return
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                log.warning("the pool cannot be reached at %s: %s", url, error)
            except httpx.TransportError as error:
                raise _Broken(f"{url}: {error or type(error).__name__}") from error
        raise PoolUnreachable

    def _headers(self, caller: str) -> dict[bytes, bytes]:
        headers = {self._header.encode(): caller.encode("latin-1", "replace")}
        return headers | ({b"X-Request-Id": known.encode()} if (known := request_id.get()) else {})


def _body(order: Order, previews: bool, model: str) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "model": model,
        "prompt": order.prompt,
        "n": order.count,
        "size": f"{order.width}x{order.height}",
        "seed": order.seed,
        "num_inference_steps": order.steps,
        "stream": True,
        "partial_images": PREVIEWS if previews else 0,
        "progress": True,
    }
    if order.loras:
        wanted["lora"] = [{"name": lora.name, "weight": lora.weight} for lora in order.loras]
    if order.source is None:
        return {"json": wanted}
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in wanted.items()}
    return {
        "data": texts | {"strength": str(order.strength)},
        "files": {"image": ("source.png", as_png(order.source), "image/png")},
    }


async def _events(answer: httpx.Response, order: Order) -> Happenings:
    if answer.status_code != httpx.codes.OK:
        await answer.aread()
        raise _refusal(answer)
    begun: list[Image.Image] = []
    done: list[Image.Image] = []
    async for event in EventSource(answer).aiter_sse():
        data = json.loads(event.data)
        match event.event.rpartition(".")[2]:
            case "progress":
                yield Progress(**{field.name: data[field.name] for field in fields(Progress)})
            case "partial_image":
                begun.append(_picture(data))
                if len(begun) == order.count:
                    yield Unfinished(begun)
                    begun = []
            case "completed":
                done.append(_picture(data))
            case "error":
                raise _failure(data["error"])
    if len(done) < order.count:
        raise _Broken("it ended before the pictures came")
    yield Finished(done)


def _refusal(answer: httpx.Response) -> Exception:
    """Return what to raise for an answer that is no stream."""
    if answer.status_code in {httpx.codes.BAD_GATEWAY, httpx.codes.GATEWAY_TIMEOUT}:
        return _Broken(f"status {answer.status_code}")
    try:
        error = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        error = {}
    return PoolRefused(
        answer.status_code, error if isinstance(error, dict) else {}, answer.headers.get("retry-after")
    )


def _failure(error: dict[str, Any]) -> Exception:
    """Return what to raise for an error on the stream: an instance that leaves is like one that broke."""
    if error.get("code") in {"shutting_down", "instance_failed"}:
        return _Broken(str(error.get("message")))
    return PoolRefused(500, error, None)


def _picture(data: dict[str, Any]) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(data["b64_json"])), formats=("PNG",))
    image.load()
    return image
