"""Write the table of docs/faults.md: molecule/faults/vars/faults.yml with the figures of results.json.

usage: python scripts/faults_table.py [--results FILE]    FILE, from a run of the scenario, replaces figures
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
FAULTS = ROOT / "molecule" / "faults" / "vars" / "faults.yml"
RESULTS = ROOT / "molecule" / "faults" / "results.json"
PAGE = ROOT / "docs" / "faults.md"
BEGIN = "<!-- scripts/faults_table.py writes from here -->\n"
END = "<!-- to here -->\n"
HEAD = "| fault | what happens | users notice | over after | told by | test |\n|---|---|---|---|---|---|\n"


def faults() -> list[tuple[str, dict[str, str]]]:
    """Return each fault with its area, in order."""
    areas = yaml.safe_load(FAULTS.read_text())["areas"]
    return [(area["area"], fault) for area in areas for fault in area["faults"]]


def is_measured(fault: dict[str, str]) -> bool:
    """Tell whether the test of a fault measures; of the others the list says what users notice."""
    return "notice" not in fault


def name_of(fault: dict[str, str]) -> str:
    """Return the name by which a fault's figures are known."""
    return fault["test"].partition("::")[2].removeprefix("test_")


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the table, area by area."""
    parts, last = [], ""
    for area, fault in faults():
        if area != last:
            parts.append(f"\n### {area}\n\n{HEAD}")
            last = area
        parts.append(_row(fault, results.get(name_of(fault))))
    return "".join(parts).lstrip("\n")


def _row(fault: dict[str, str], figures: dict[str, Any] | None) -> str:
    if not is_measured(fault):
        notice, over = fault["notice"], ""
    elif figures is None:
        notice, over = "not measured yet", ""
    else:
        notice, over = _notice(figures), _seconds(figures["over_seconds"])
    told = fault["told"]
    if figures and figures["told"]:
        told += f", after {_seconds(max(figures['told'].values()))}"
    folder = fault["test"].partition("/")[0]
    cells = (fault["fault"], fault["happens"], notice, over, told, f"`{folder}`")
    return f"| {' | '.join(cells)} |\n"


def _notice(figures: dict[str, Any]) -> str:
    text = f"{figures['failed']} of {figures['pictures']} pictures failed"
    if figures["failed_pages"]:
        text += f", and {figures['failed_pages']} of a page"
    if figures["slow"]:
        text += f"; {figures['slow']} slow, up to {figures['longest_seconds']:.0f} s"
    return text


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.0f} s"


def page(text: str, results: dict[str, dict[str, Any]]) -> str:
    """Return the page with the table in its place."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(results)}\n{END}{after}"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, help="figures of a run, such as .cache/faults.json")
    given = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if given.results:
        results |= json.loads(given.results.read_text())
        known = {name_of(fault) for _, fault in faults()}
        results = {name: figures for name, figures in results.items() if name in known}
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page(PAGE.read_text(), results))


if __name__ == "__main__":
    main()
