"""The one writer of the list of servers while the agent runs: paced, and on any doubt all stays as it was."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from z_image_turbo_gateway import nginx
from z_image_turbo_gateway.nginx import NginxError
from z_image_turbo_gateway.rendering import render, revision_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from z_image_turbo_gateway.fleet import Fleet
    from z_image_turbo_gateway.levels import Level

LOOK_SECONDS = 5.0  # between questions to Nginx which list it runs
AGAIN_SECONDS = 60.0  # until a list that Nginx refused is tried again


class Writer:
    """Has Nginx follow what was decided."""

    def __init__(self, paths: nginx.Paths) -> None:
        """Write to `paths`."""
        self._paths = paths
        self._running = ""
        self._looked = self._reloaded = float("-inf")
        self._refused: tuple[str, float] = "", 0.0
        self.applied = False  # whether Nginx runs what was decided
        self.error = ""

    async def follow(self, fleet: Fleet, levels: Mapping[str, Level], now: float) -> None:
        """Put what was decided to work, unless it is at work or it is too early."""
        text = render(fleet, levels)
        revision = revision_of(text)
        if now - self._looked >= LOOK_SECONDS:
            self._running = await asyncio.to_thread(nginx.running, fleet.options.health_url)
            self._looked = now
        current = nginx.on_disk(self._paths)
        self.applied = current == text and self._running == revision
        if self.applied:
            self.error = ""
        if self.applied or now - self._reloaded < fleet.options.reload_interval:
            return
        if self._refused[0] == text and now - self._refused[1] < AGAIN_SECONDS:
            return
        try:
            await self._replace(current, text, fleet.options.health_url)
        except (NginxError, OSError) as error:
            self._refused, self.error = (text, now), str(error)
        else:
            self.error, self.applied = "", self._running == revision

    async def _replace(self, current: str, text: str, health_url: str) -> None:
        with nginx.locked(self._paths):
            if current != text:
                await nginx.check(text, self._paths)
                nginx.write(text, self._paths.servers)
            if not self._running:
                return  # Nginx is not there; it will start with what is on disk
            self._reloaded = self._looked = time.monotonic()
            try:
                await nginx.reload(revision_of(text), health_url)
            except NginxError:
                if current:
                    nginx.write(current, self._paths.servers)
                raise
            self._running = revision_of(text)
