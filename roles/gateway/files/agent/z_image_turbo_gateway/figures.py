"""What Prometheus reads of the agent, by way of the node exporter's folder of text files."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from z_image_turbo_gateway.levels import Level

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = Path("/var/lib/prometheus/node-exporter/z_image_turbo_gateway.prom")
INTERVAL_SECONDS = 5.0
METRIC = "z_image_turbo_gateway_"


class FiguresFile:
    """Writes the agent's report as figures, every few seconds; where there is no folder for it, nothing."""

    def __init__(self, path: Path = FILE) -> None:
        """Write to `path`."""
        self._path = path
        self._written = float("-inf")

    def follow(self, report: Mapping[str, Any], now: float) -> None:
        """Take note of a report, at a time of the monotonic clock."""
        if now - self._written < INTERVAL_SECONDS or not self._path.parent.is_dir():
            return
        self._written = now
        beside = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):  # a full disk is no reason to watch the instances no more
            beside.write_text(exposition(report))
            beside.chmod(0o644)
            beside.replace(self._path)


def exposition(report: Mapping[str, Any]) -> str:
    """Return what a report says, in Prometheus' text format."""
    instances: Mapping[str, Mapping[str, Any]] = report["instances"]
    blocks = {
        "level": [
            f'{{instance="{name}",level="{level.name.lower()}"}} {int(row["level"] == level.name.lower())}'
            for name, row in instances.items()
            for level in Level
        ],
        "drained": [f'{{instance="{name}"}} {int(row["drained"])}' for name, row in instances.items()],
        "connections": [f'{{instance="{name}"}} {row["connections"]}' for name, row in instances.items()],
        "applied": [f" {int(bool(report['applied']))}"],
        "fleet_info": [f'{{source="{report["source"]}",program="{report["program"]}"}} 1'],
        "written_timestamp_seconds": [f" {time.time():.0f}"],
    }
    lines = [
        line
        for name, rows in blocks.items()
        for line in (f"# TYPE {METRIC}{name} gauge", *(f"{METRIC}{name}{row}" for row in rows))
    ]
    return "\n".join(lines) + "\n"
