"""The HTTP server, which finishes the accepted jobs between the signal to stop and the end."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from socket import socket
    from types import FrameType

    from fastapi import FastAPI

    from z_image_turbo.service import Service

log = logging.getLogger(__name__)

POLL_SECONDS = 0.05
COLLECT_SECONDS = 2.0
CALL_SECONDS = 5.0
ANSWER_SECONDS = 5


class DrainingServer(uvicorn.Server):
    """Serves until SIGTERM or SIGINT, then drains; a second signal leaves at once.

    uvicorn closes its sockets first when it is told to stop, and only then tells the application. Here the
    order is reversed: while jobs are being finished the sockets stay open, so that health checks get a true
    answer and new requests a 503 that sends them to another instance.
    """

    def __init__(self, app: FastAPI, service: Service) -> None:
        """Serve `app` over `service` on the sockets that `run` is given."""
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                proxy_headers=False,  # the application does it itself, see `TrustedProxies`
                server_header=False,
                # The page's open tabs hold streams that never end; answers still under way get this long.
                timeout_graceful_shutdown=ANSWER_SECONDS,
            )
        )
        self._service = service
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leaving: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket] | None = None) -> None:
        """Serve until told to leave by a signal."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Take a signal over from the signal handler, which may run between any two lines."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._on_signal, signal.Signals(sig).name)

    def _on_signal(self, name: str) -> None:
        if self._leaving is None:
            log.info("%s: finishing the accepted jobs", name)
            self._service.begin_drain(f"draining after {name}")
            self._leaving = asyncio.get_running_loop().create_task(self._leave())
        else:
            log.warning("%s again: leaving at once", name)
            self.force_exit = True
            self.should_exit = True

    async def _leave(self) -> None:
        service = self._service
        if not service.idle or service.expecting:
            with suppress(TimeoutError):
                async with asyncio.timeout(service.settings.drain_seconds):
                    await self._finish()
            service.cut_off()
            # Callers of the page come back for the file of their picture; let them in once more.
            await asyncio.sleep(COLLECT_SECONDS)
        self.should_exit = True

    async def _finish(self) -> None:
        """Return when the jobs have ended; calls of the page have a moment to become some, or be fetched."""
        service, clock = self._service, asyncio.get_running_loop().time
        last = clock()
        while not service.idle or (service.expecting and clock() - last < CALL_SECONDS):
            if not service.idle:
                last = clock()
            await asyncio.sleep(POLL_SECONDS)  # the worker's thread knows no loop
