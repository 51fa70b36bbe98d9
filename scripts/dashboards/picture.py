"""Makes pictures of the dashboards with a Prometheus' data, in Chromium, where there is no Grafana."""

from __future__ import annotations

import argparse
import json
import time
from html import escape
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from scripts.dashboards import charts
from scripts.dashboards.asking import Line, Prometheus
from scripts.dashboards.queries import dashboards, filled

COLUMN, ROW, GAP = 60, 38, 8  # pixels: of Grafana's 24 columns, of its rows, between panels
HEAD = 64  # pixels of a panel that are its title and its names
STYLE = """
body { background: #111217; color: #ccccdc; font: 12px sans-serif; margin: 0; position: relative; }
h1 { font-size: 20px; margin: 0; padding: 12px 10px 0; } h1 small { color: #8e8e9a; font-size: 13px; }
.panel, h2 { position: absolute; box-sizing: border-box; }
.panel { background: #181b1f; border: 1px solid #25282d; border-radius: 3px; padding: 6px 8px; }
.panel { overflow: hidden; }
h2 { font-size: 15px; margin: 0; padding-top: 12px; }
h3 { font-size: 13px; font-weight: 600; margin: 0 0 4px; } h3 small { color: #8e8e9a; font-weight: 400; }
svg text { fill: #8e8e9a; font-size: 10px; }
.names { overflow: hidden; max-height: 30px; line-height: 14px; }
.names span { margin-right: 10px; white-space: nowrap; display: inline-block; }
.names i { display: inline-block; height: 3px; width: 12px; margin-right: 4px; vertical-align: middle; }
.numbers { display: flex; gap: 24px; padding-top: 18px; justify-content: space-around; }
.numbers b { font-size: 30px; display: block; }
.many b { font-size: 20px; }
.numbers small, .none { color: #8e8e9a; }
.none { padding: 30px; text-align: center; font-size: 14px; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; color: #6e9fff; }
td, th { border-bottom: 1px solid #25282d; padding: 4px 6px; }
"""


def drawn(panel: dict[str, Any], prometheus: Prometheus) -> str:
    """Return a panel as HTML."""
    place = panel["gridPos"]
    width, height = place["w"] * COLUMN - GAP, place["h"] * ROW - GAP
    inner = width - 18, height - HEAD
    heading = f"<h3>{escape(panel['title'])} <small>{escape(panel['description'])}</small></h3>"
    style = (
        f"left:{place['x'] * COLUMN + GAP}px;top:{place['y'] * ROW + 50}px;width:{width}px;height:{height}px"
    )
    return f'<div class="panel" style="{style}">{heading}{_inside(panel, prometheus, inner)}</div>'


def _inside(panel: dict[str, Any], prometheus: Prometheus, size: tuple[int, int]) -> str:
    if panel["datasource"]["type"] != "prometheus":
        return f'<div class="none">Lines of logs: {escape(panel["targets"][0]["expr"])}</div>'
    series: list[Line] = []
    for target in panel["targets"]:
        series += prometheus.lines(filled(target["expr"]), target.get("legendFormat", ""))
    if not series:
        return f'<div class="none">{escape(panel["fieldConfig"]["defaults"].get("noValue", "No data"))}</div>'
    span = prometheus.start, prometheus.end
    match panel["type"]:
        case "stat":
            return charts.numbers(panel, series)
        case "state-timeline":
            return charts.bands(panel, series, span, size)
        case "table":
            return charts.grid([line for line in series if line.points[-1][0] >= prometheus.end - 60])
    return charts.plot(panel, series, span, size)


def page(path: Path, prometheus: Prometheus) -> tuple[str, int]:
    """Return a dashboard as HTML, and how many pixels high it is."""
    board = json.loads(path.read_text())
    parts, bottom = [], 0
    for panel in board["panels"]:
        place = panel["gridPos"]
        bottom = max(bottom, place["y"] + place["h"])
        if panel["type"] == "row":
            parts.append(
                f'<h2 style="left:{GAP}px;top:{place["y"] * ROW + 44}px">{escape(panel["title"])}</h2>'
            )
        else:
            parts.append(drawn(panel, prometheus))
    title = f"<h1>{escape(board['title'])} <small>{escape(board['description'])}</small></h1>"
    height = bottom * ROW + 60
    body = f"<body style='height:{height}px'>{title}{''.join(parts)}</body>"
    return f"<!doctype html><style>{STYLE}</style>{body}", height


def main() -> None:
    """Draw every dashboard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="its address")
    parser.add_argument("--minutes", type=float, default=30, help="how far back to look")
    parser.add_argument("--to", type=Path, default=Path("docs/screenshots"), help="folder of the pictures")
    parser.add_argument("--only", help="the name of a dashboard; all of them otherwise")
    options = parser.parse_args()
    end = time.time()
    prometheus = Prometheus(options.prometheus, end - options.minutes * 60, end)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for path in dashboards():
            if options.only in (None, path.stem):
                html, height = page(path, prometheus)
                sheet = browser.new_page(viewport={"width": 24 * COLUMN + 2 * GAP, "height": height})
                sheet.set_content(html)
                sheet.screenshot(path=options.to / f"dashboard-{path.stem}.png")
                print(f"drew {path.stem}")
        browser.close()


if __name__ == "__main__":
    main()
