"""What the panels of Grafana's JSON ask, as a data source gets it: for tests, and for pictures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[2] / "roles" / "monitoring" / "files" / "dashboards"
FILLED = {"__rate_interval": "1m", "host": ".*", "instance": ".*", "gpu": ".*", "request_id": "", "text": ""}


class Asked(NamedTuple):
    """One query of a panel. `may_be_empty` is what no data means there; without it, there has to be some."""

    dashboard: str
    panel: str
    kind: str  # of data source: "prometheus" or "loki"
    expr: str
    legend: str
    may_be_empty: str


def dashboards() -> list[Path]:
    """Return the files of all dashboards."""
    return sorted(FOLDER.glob("*.json"))


def panels_of(path: Path) -> list[dict[str, Any]]:
    """Return the panels of a dashboard, headings aside."""
    found: list[dict[str, Any]] = json.loads(path.read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def asked(path: Path) -> Iterator[Asked]:
    """Return every query of a dashboard."""
    for panel in panels_of(path):
        nothing = panel["fieldConfig"]["defaults"].get("noValue", "")
        kind = panel["datasource"]["type"]
        for target in panel["targets"]:
            legend = target.get("legendFormat", "")
            yield Asked(path.stem, panel["title"], kind, filled(target["expr"]), legend, nothing)


def filled(expr: str) -> str:
    """Put into an expression what Grafana puts there when nobody has chosen anything."""
    return re.sub(r"\$(\w+)", lambda found: FILLED[found.group(1)], expr)
