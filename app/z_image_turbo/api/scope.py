"""What surrounds every request: its identifier, the instance's name, the access log and the last resort."""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from z_image_turbo.api.errors import answer, too_large
from z_image_turbo.api.json_body import is_json
from z_image_turbo.errors import BodyTooLarge, ServiceError
from z_image_turbo.logs import request_id

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
API_PATHS = ("/sdapi/", "/v1/", "/images/")  # the rest is health checks and the page's many small files


class RequestScope:
    """ASGI middleware: X-Request-Id is taken from the request or made, X-Served-By names the instance."""

    def __init__(self, app: ASGIApp, instance: str) -> None:
        """Surround `app`."""
        self._app = app
        self._instance = instance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        identifier = given if ACCEPTED_ID.fullmatch(given) else uuid.uuid4().hex
        path = scope["path"]
        status = 0
        replaced = False
        begin = time.perf_counter()

        async def send_with_names(message: Message) -> None:
            nonlocal status, replaced
            if message["type"] == "http.response.start":
                status = message["status"]
                replaced = _in_plain_words(path, message)
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = identifier
                headers["X-Served-By"] = self._instance
                headers["X-Process-Time"] = f"{time.perf_counter() - begin:.4f}"  # as the web UI tells it
            if not replaced:
                await send(message)

        token = request_id.set(identifier)
        try:
            await self._app(scope, receive, send_with_names)
            if replaced:
                await answer(path, too_large())(scope, receive, send_with_names)
        except Exception:
            log.exception("an error that nobody expected")
            if status:
                raise
            message = f"Something went wrong; the log tells what under request {identifier}."
            await answer(path, ServiceError(message))(scope, receive, send_with_names)
        finally:
            log.log(
                logging.INFO if path.startswith(API_PATHS) else logging.DEBUG,
                "request",
                extra={
                    "method": scope["method"],
                    "path": path,
                    "status": status,
                    "seconds": round(time.perf_counter() - begin, 3),
                },
            )
            request_id.reset(token)


def _in_plain_words(path: str, start: Message) -> bool:
    """Tell whether an answer that begins with `start` is the body limiter's own, which knows no envelope."""
    kind = MutableHeaders(scope=start).get("content-type", "")
    return start["status"] == BodyTooLarge.status and path.startswith(API_PATHS) and not is_json(kind)
