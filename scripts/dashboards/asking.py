"""Asks a Prometheus what a panel of Grafana would ask it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_LABEL = 60


class Line(NamedTuple):
    """One series: what it is called, its labels, and points of (seconds since 1970, value)."""

    name: str
    labels: Mapping[str, str]
    points: list[tuple[float, float]]


class Prometheus:
    """A Prometheus, and the span of time that is looked at."""

    def __init__(self, url: str, start: float, end: float) -> None:
        """Look at `start` to `end`, in seconds since 1970."""
        self._client = httpx.Client(base_url=f"{url.rstrip('/')}/api/v1", timeout=30)
        self.start, self.end = start, end
        self._step = max(1.0, (end - start) / 300)

    def lines(self, expr: str, legend: str) -> list[Line]:
        """Return the series of an expression, without the points that are not numbers."""
        span = {"start": self.start, "end": self.end, "step": self._step}
        answer = self._client.get("/query_range", params={"query": expr, **span})
        if answer.is_error:
            raise ValueError(f"{expr}: {answer.text}")
        found = []
        for series in answer.json()["data"]["result"]:
            labels = series["metric"]
            points = [(float(when), float(value)) for when, value in series["values"]]
            finite = [point for point in points if math.isfinite(point[1])]
            if finite:
                found.append(Line(called(legend, labels), labels, finite))
        return sorted(found, key=lambda line: line.name)


def called(legend: str, labels: Mapping[str, str]) -> str:
    """Return what a series is called, by the pattern of its legend."""
    pattern = legend or ", ".join(f"{name}={value}" for name, value in labels.items())
    named = re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found.group(1), ""), pattern)
    return named[:LONGEST_LABEL]
