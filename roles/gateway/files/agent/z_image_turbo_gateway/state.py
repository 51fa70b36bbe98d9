"""What the agent keeps in files: the operator's drain markers, and what it decided last."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from z_image_turbo_gateway.levels import Level
from z_image_turbo_gateway.nginx import write

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path("/var/lib/z-image-turbo-gateway")
STATUS = Path("/run/z-image-turbo-gateway/status.json")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
STALE_SECONDS = 30.0  # a reload that fails keeps the agent busy for a while


class State:
    """The files. A file that is missing or broken says that nothing is drained and nothing was decided."""

    def __init__(self, folder: Path = FOLDER, status: Path = STATUS) -> None:
        """Keep them in `folder`, and what goes on now in `status`."""
        self.drains, self._removed, self._status = folder / "drain.d", folder / "removed.json", status

    def drained(self) -> set[str]:
        """Return the instances that the operator wants out of service."""
        try:
            return {path.name for path in self.drains.iterdir() if NAME.fullmatch(path.name)}
        except OSError:
            return set()

    def drain(self, name: str, by: str = "") -> None:
        """Mark an instance, in the operator's name or in another; a mark outlives agent and host.

        The operator's mark takes the place of any other one, and no other takes the place of his.
        """
        if not by or name not in self.drained():
            self.drains.mkdir(parents=True, exist_ok=True)
            write(by, self.drains / name)

    def undrain(self, name: str, by: str | None = None) -> None:
        """Take the mark away; with `by` only if it was made in that name."""
        if by is None or self.drained_by(name) == by:
            (self.drains / name).unlink(missing_ok=True)

    def drained_by(self, name: str) -> str | None:
        """Return in whose name an instance is marked, None when it is not."""
        try:
            return (self.drains / name).read_text()
        except OSError:
            return None

    def removed(self) -> dict[str, tuple[Level, str]]:
        """Return what was out of service by probes and failures when the agent last wrote."""
        try:
            content = json.loads(self._removed.read_text())
            return {str(name): (Level(level), str(reason)) for name, (level, reason) in content.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def remember(self, removed: Mapping[str, tuple[Level, str]]) -> None:
        """Write that down, if it is news."""
        if self.removed() != removed or not self._removed.exists():
            text = json.dumps({name: [int(level), reason] for name, (level, reason) in removed.items()})
            write(text + "\n", self._removed)

    def report(self, content: Mapping[str, Any]) -> None:
        """Tell everybody what goes on."""
        write(json.dumps({**content, "time": time.time()}) + "\n", self._status)

    def status(self) -> dict[str, Any] | None:
        """Return what the agent told last, None when that is no longer true."""
        try:
            content: dict[str, Any] = json.loads(self._status.read_text())
        except (OSError, ValueError):
            return None
        return content if abs(time.time() - content["time"]) < STALE_SECONDS else None
