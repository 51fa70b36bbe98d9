"""The dashboards: made from their sources, in words that help, with queries that are ones."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.dashboards.__main__ import DASHBOARDS, text_of
from scripts.dashboards.queries import FOLDER, asked, dashboards, panels_of
from tests.monitoring.rule_cases import all_rules, program

NODE = Path(__file__).parents[2] / ".cache" / "monitoring" / "node"
UNREADABLE = [
    '{service="z_image_turbo"',
    '{service="z_image_turbo"} |= ',
    'sum by (x) rate({a="b"}[5m]',
]
each_panel = pytest.mark.parametrize(
    "panel",
    [
        pytest.param(panel, id=f"{path.stem}: {panel['title']}")
        for path in dashboards()
        for panel in panels_of(path)
    ],
)


def wrong_logql(queries: list[str]) -> list[str]:
    """Return what Grafana's own parser has to say against queries of logs."""
    assert NODE.is_dir(), f"there is no {NODE}: run scripts/bootstrap test"
    done = subprocess.run(
        ["node", "--input-type=module"],
        cwd=NODE,
        input=Path(__file__).with_name("logql.mjs").read_text(),
        env={**os.environ, "QUERIES": json.dumps(queries)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def wrong_promql(queries: list[str], folder: Path) -> str:
    """Return what Prometheus' own parser has to say against queries."""
    rules = [{"record": f"query:{index}", "expr": query} for index, query in enumerate(queries)]
    file = folder / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(
        [program("promtool"), "check", "rules", file], capture_output=True, text=True, check=False
    )
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_a_dashboard_is_what_its_source_makes(name: str) -> None:
    committed = (FOLDER / f"{name}.json").read_text()
    assert committed == text_of(DASHBOARDS[name]()), "run python -m scripts.dashboards"


def test_there_is_no_dashboard_without_a_source() -> None:
    assert [path.stem for path in dashboards()] == sorted(DASHBOARDS)


@each_panel
def test_a_panel_says_in_a_line_what_it_shows_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert "\n" not in panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]


def test_every_query_of_figures_is_one_for_prometheus(tmp_path: Path) -> None:
    queries = [query.expr for path in dashboards() for query in asked(path) if query.kind == "prometheus"]
    assert len(queries) > 60
    assert not wrong_promql(queries, tmp_path)


def test_every_query_of_logs_is_one_for_loki() -> None:
    queries = [query.expr for path in dashboards() for query in asked(path) if query.kind == "loki"]
    assert queries
    assert not wrong_logql(queries)


def test_a_query_that_is_none_would_be_noticed(tmp_path: Path) -> None:
    assert wrong_promql(["sum by (host) rate(up[5m])"], tmp_path)
    assert len(wrong_logql(UNREADABLE)) == len(UNREADABLE)


def test_recorded_figures_that_dashboards_show_are_recorded() -> None:
    recorded = {rule["record"] for _, rule in all_rules() if "record" in rule}
    exprs = " ".join(query.expr for path in dashboards() for query in asked(path))
    shown = set(re.findall(r"[a-z_]+:[a-z_]+:[a-z0-9]+", exprs))
    assert shown
    assert shown <= recorded


@pytest.mark.parametrize("path", dashboards(), ids=lambda path: path.stem)
def test_titles_are_told_apart(path: Path) -> None:
    titles = [panel["title"] for panel in panels_of(path)]
    assert len(titles) == len(set(titles))
