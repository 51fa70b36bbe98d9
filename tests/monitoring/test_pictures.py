"""Pictures of dashboards: values have their units, series their names, states their colours."""

import re
from typing import Any

import pytest

from scripts.dashboards import charts
from scripts.dashboards.asking import Line, called

STEPS: list[dict[str, Any]] = [
    {"value": None, "color": "green"},
    {"value": 5, "color": "yellow"},
    {"value": 10, "color": "red"},
]
PANEL: dict[str, Any] = {
    "fieldConfig": {
        "defaults": {
            "unit": "s",
            "thresholds": {"steps": STEPS},
            "mappings": [{"options": {"1": {"text": "ready", "color": "green"}}}],
        }
    }
}
SERIES = [Line("gpu1-<a>", {"instance": "gpu1-<a>", "job": "x"}, [(0.0, 1.0), (60.0, 12.0)])]


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (0.995, "percentunit", "99.5%"),
        (1536, "bytes", "1.5 KiB"),
        (0, "bytes", "0 B"),
        (3 * 2**30, "Bps", "3 GiB/s"),
        (2.5, "s", "2.5 s"),
        (7, "none", "7"),
    ],
)
def test_a_value_is_written_in_its_unit(value: float, unit: str, written: str) -> None:
    assert charts.in_unit(value, unit) == written


@pytest.mark.parametrize(
    ("top", "base", "written"),
    [(9.9, 10, [0, 2.5, 5, 7.5]), (0.07, 10, [0, 0.02, 0.04, 0.06]), (1, 10, [0, 0.25, 0.5, 0.75, 1])],
)
def test_an_axis_has_round_values(top: float, base: int, written: list[float]) -> None:
    assert charts.marks(top, base) == pytest.approx(written)


@pytest.mark.parametrize(("value", "name"), [(0, "green"), (5, "yellow"), (99, "red")])
def test_a_number_has_the_colour_of_the_limit_that_it_reached(value: float, name: str) -> None:
    assert charts.color_of(value, STEPS) == charts.NAMED[name]


def test_a_series_is_called_by_its_legend_or_by_its_labels() -> None:
    assert called("{{host}}: {{instance}}", {"host": "gw1", "instance": "gpu1-a"}) == "gw1: gpu1-a"
    assert called("", {"a": "b"}) == "a=b"


def test_names_are_text_and_not_html() -> None:
    for drawn in (
        charts.numbers(PANEL, SERIES),
        charts.plot(PANEL, SERIES, (0, 60), (400, 200)),
        charts.bands(PANEL, SERIES, (0, 60), (400, 200)),
        charts.grid(SERIES),
    ):
        assert "gpu1-&lt;a&gt;" in drawn
        assert "<a>" not in drawn


def test_a_line_has_a_gap_where_there_was_no_data() -> None:
    points = [(0.0, 1.0), (1.0, 1.0), (60.0, 1.0), (61.0, 1.0)]
    drawn = charts.plot(PANEL, [Line("gpu1-a", {}, points)], (0, 100), (400, 200))
    (path,) = re.findall(r'<path d="([^"]*)" stroke="#73bf69" stroke-width', drawn)
    assert path.count("M") == 2
