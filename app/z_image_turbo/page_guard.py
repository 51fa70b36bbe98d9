"""What keeps requests to Gradio inside their bounds.

Gradio would fetch an address that a request names in place of a file, and a mounted page reads any file of
the host: its check begins with `launch()`, which mounting replaces.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.exceptions import ComponentProcessingError
from gradio_client import utils as client_utils
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from pathlib import Path

    from gradio.blocks import BlockFunction
    from gradio.state_holder import SessionState
    from starlette.types import ASGIApp, Receive, Scope, Send

    from z_image_turbo.settings import Settings

PREFIX = "/gradio_api/"
# What the page and the programs use of Gradio's routes. The others fetch addresses, or are for development.
ROUTES = re.compile(
    r"info|app_id|startup-events|upload|upload_progress|cancel|reset|heartbeat/[^/]+|queue/(join|data|status)"
    r"|(call|run|api)/[^/]+|call/v2/[^/]+|call/(v2/)?[^/]+/[^/]+|file=/.+|mcp(/.*)?"
)
FILE = "file="
UPLOAD = "upload"
BODY_BYTES = 2**20
MCP = "mcp"
UNREADABLE = "What was sent cannot be read. 无法读取发送的内容。"


class GuardedBlocks(gr.Blocks):  # type: ignore[misc]
    """A page whose inputs name no files but those that were uploaded to it."""

    def guard(self, name: str, folder: Path) -> None:
        """Be the page of the instance `name`, with uploads in `folder`, which must be Gradio's own."""
        self.instance_name = name
        self.folder = folder

    @property
    def is_expecting(self) -> bool:
        """Whether a call was accepted whose result was not fetched."""
        return any(self._queue.pending_event_ids_session.values())

    async def preprocess_data(
        self,
        block_fn: BlockFunction,
        inputs: list[Any],
        state: SessionState | None,
        explicit_call: bool = False,
    ) -> list[Any]:
        """Refuse files that were not uploaded, then read the inputs as ever."""
        client_utils.traverse(inputs, self._require_upload, client_utils.is_file_obj)
        try:
            read: list[Any] = await super().preprocess_data(block_fn, inputs, state, explicit_call)
        except ComponentProcessingError:
            raise gr.Error(UNREADABLE, print_exception=False) from None
        return read

    def _require_upload(self, file: dict[str, Any]) -> dict[str, Any]:
        path = str(file.get("path") or "")
        # By the text alone: not even whether a file exists may be learned. `normpath` takes `..` away.
        if not os.path.normpath(path).startswith(f"{self.folder}{os.sep}"):
            raise gr.Error("The file was not uploaded here.", print_exception=False)
        return file


class PageGuard:
    """ASGI middleware: of Gradio's routes only those in use are served, MCP to no foreign web pages.

    It also bounds the bodies of requests.
    """

    def __init__(self, app: ASGIApp, settings: Settings, folder: Path) -> None:
        """Surround `app`, whose page has its files in `folder`."""
        self._app = RequestBodyLimitMiddleware(app, BODY_BYTES)
        self._uploads = RequestBodyLimitMiddleware(app, settings.upload_bytes_max)
        self._pages = settings.mcp_pages
        self._folder = f"{folder}{os.sep}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        path = scope.get("path", "")
        if scope["type"] == "http" and path.startswith(PREFIX):
            route = path.removeprefix(PREFIX)
            if not self._is_served(route):
                await JSONResponse({"detail": "Not Found"}, 404)(scope, receive, send)
                return
            if route.startswith(MCP) and not self._may_use_mcp(scope):
                await JSONResponse({"detail": "Web pages of other origins may not use MCP."}, 403)(
                    scope, receive, send
                )
                return
        bounded = self._uploads if path == PREFIX + UPLOAD else self._app
        await bounded(scope, receive, send)  # routes that have a bound of their own go by that

    def _is_served(self, route: str) -> bool:
        if route.startswith(FILE):
            return os.path.normpath(route.removeprefix(FILE)).startswith(self._folder)
        return ROUTES.fullmatch(route) is not None

    def _may_use_mcp(self, scope: Scope) -> bool:
        """Tell whether the caller is a program, which names no origin, or a page that the settings name.

        That the origin is the host asked for says nothing: a page can have its own name lead here.
        """
        origins = {value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"}
        return origins <= self._pages
