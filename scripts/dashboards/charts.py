"""Draws panels as SVG and HTML: enough to see what Grafana would show, where there is no Grafana."""

from __future__ import annotations

import math
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scripts.dashboards.asking import Line

COLORS = ["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#96d98d", "#ffa6b0"]
NAMED = {"green": "#73bf69", "yellow": "#f2cc0c", "red": "#f2495c", "gray": "#6e7680", "blue": "#5794f2"}
LEFT, TOP, BOTTOM = 62, 8, 20  # pixels around the plot
MOST_NAMES, FEW = 14, 3
ROUND = (1, 2, 2.5, 5, 10, 20, 50, 100, 200, 256, 512)
DAY = 86400
KIB = 1024
BYTES = {"bytes": "", "Bps": "/s"}
SUFFIXES = {"s": " s", "reqps": " req/s", "ops": " /s", "celsius": " °C", "watt": " W", "d": " days"}


def in_unit(value: float, unit: str) -> str:
    """Return a value as Grafana writes it in that unit, more or less."""
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit in BYTES:
        power = min(3, int(math.log(abs(value), KIB))) if abs(value) >= 1 else 0
        return f"{value / KIB**power:.4g} {('B', 'KiB', 'MiB', 'GiB')[power]}{BYTES[unit]}"
    return f"{value:.4g}{SUFFIXES.get(unit, '')}"


def color_of(value: float, steps: Sequence[dict[str, Any]]) -> str:
    """Return the colour of a value by the panel's thresholds."""
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return NAMED.get(reached[-1], COLORS[0]) if reached else COLORS[0]


def plot(panel: dict[str, Any], series: list[Line], span: tuple[float, float], size: tuple[int, int]) -> str:
    """Return lines over time, with their thresholds and their names."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    values = _stacked(series) if stacked else [line.points for line in series]
    top = max(value for points in values for _, value in points) * 1.08 or 1.0
    width, height = size
    across = _scale(span[0], span[1], LEFT, width - 8)
    up = _scale(0, top, height - BOTTOM, TOP)
    parts = [_grid(top, unit, width, up), _times(span, across, height)]
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    for step in steps:
        if step["value"] is not None and step["value"] <= top:
            y = up(step["value"])
            parts.append(
                f'<path d="M{LEFT} {y:.1f}H{width - 8}" stroke="{NAMED[step["color"]]}" '
                'stroke-dasharray="5 4" fill="none"/>'
            )
    for index, points in enumerate(values):
        path = "".join(
            f"{'M' if gap else 'L'}{across(when):.1f} {up(value):.1f}"
            for gap, (when, value) in zip(_gaps(points, span), points, strict=True)
        )
        color = COLORS[index % len(COLORS)]
        if len(points) == 1:
            when, value = points[0]
            parts.append(f'<circle cx="{across(when):.1f}" cy="{up(value):.1f}" r="2" fill="{color}"/>')
        parts.append(f'<path d="{path}" stroke="{color}" stroke-width="1.6" fill="none"/>')
    names = "".join(
        f'<span><i style="background:{COLORS[index % len(COLORS)]}"></i>{escape(line.name)}</span>'
        for index, line in enumerate(series[:MOST_NAMES])
    )
    more = f"<span>and {len(series) - MOST_NAMES} more</span>" if len(series) > MOST_NAMES else ""
    return (
        f'<svg width="{width}" height="{height}">{"".join(parts)}</svg><div class="names">{names}{more}</div>'
    )


def numbers(panel: dict[str, Any], series: list[Line]) -> str:
    """Return the last value of each series in large letters."""
    defaults = panel["fieldConfig"]["defaults"]
    shown = [
        f'<div><b style="color:{color_of(line.points[-1][1], defaults["thresholds"]["steps"])}">'
        f"{in_unit(line.points[-1][1], defaults['unit'])}</b><small>{escape(line.name)}</small></div>"
        for line in series
    ]
    small = " many" if len(shown) > FEW else ""
    return f'<div class="numbers{small}">{"".join(shown)}</div>'


def bands(panel: dict[str, Any], series: list[Line], span: tuple[float, float], size: tuple[int, int]) -> str:
    """Return a band for each series, coloured by what its values stand for."""
    meaning = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    width, height = size
    label = 150
    across = _scale(span[0], span[1], label, width - 8)
    row = min(26.0, (height - BOTTOM) / max(1, len(series)))
    parts = [_times(span, across, height)]
    for index, line in enumerate(series):
        y = TOP + index * row
        parts.append(f'<text x="4" y="{y + row * 0.6:.1f}">{escape(line.name[:26])}</text>')
        gap = (span[1] - span[0]) / 300
        for when, value in line.points:
            color = NAMED.get(meaning.get(f"{value:g}", {}).get("color", ""), "#333")
            wide = across(when + gap) - across(when) + 0.6
            parts.append(
                f'<rect x="{across(when):.1f}" y="{y:.1f}" width="{wide:.1f}" '
                f'height="{row * 0.8:.1f}" fill="{color}"/>'
            )
    names = "".join(
        f'<span><i style="background:{NAMED[state["color"]]}"></i>{escape(state["text"])}</span>'
        for state in meaning.values()
    )
    return f'<svg width="{width}" height="{height}">{"".join(parts)}</svg><div class="names">{names}</div>'


def grid(series: list[Line]) -> str:
    """Return a table with a row for each series and a column for each label."""
    columns = sorted({name for line in series for name in line.labels} - {"__name__", "job", "group"})
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(line.labels.get(name, ''))}</td>" for name in columns) + "</tr>"
        for line in series
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _gaps(points: list[tuple[float, float]], span: tuple[float, float]) -> list[bool]:
    """Tell of each point whether the one before it is missing."""
    longest = (span[1] - span[0]) / 100
    return [True, *(after[0] - before[0] > longest for before, after in pairwise(points))]


def _stacked(series: list[Line]) -> list[list[tuple[float, float]]]:
    below: dict[float, float] = {}
    result = []
    for line in series:
        points = [(when, value + below.get(when, 0.0)) for when, value in line.points]
        below |= dict(points)
        result.append(points)
    return result


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / ((high - low) or 1.0) * (end - start)


def _grid(top: float, unit: str, width: int, up: Callable[[float], float]) -> str:
    return "".join(
        f'<path d="M{LEFT} {up(mark):.1f}H{width - 8}" stroke="#2c3235"/>'
        f'<text x="{LEFT - 6}" y="{up(mark) + 4:.1f}" text-anchor="end">{in_unit(mark, unit)}</text>'
        for mark in marks(top, KIB if unit in BYTES else 10)
    )


def marks(top: float, base: int) -> list[float]:
    """Return up to five round values from 0 to `top`, for an axis."""
    power = float(base) ** math.floor(math.log(top / 4, base))
    step = next(power * times for times in ROUND if power * times * 4 >= top or times == ROUND[-1])
    return [step * index for index in range(math.floor(top / step) + 1)]


def _times(span: tuple[float, float], across: Callable[[float], float], height: int) -> str:
    start, end = span
    marks = [start + (end - start) * share for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
    return "".join(
        f'<text x="{across(mark):.1f}" y="{height - 5}" text-anchor="middle">'
        f"{int(mark % DAY // 3600):02}:{int(mark % 3600 // 60):02}:{int(mark % 60):02}</text>"
        for mark in marks
    )
