"""What the dashboards are made of: panels of this project's kinds, from the types of Grafana's own SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import (
    dashboard,
    logs,
    loki,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.cog.variants import Dataquery

GREEN, YELLOW, RED, GREY, BLUE = "green", "yellow", "red", "gray", "blue"
METRICS = common.DataSourceRef("prometheus", "${datasource}")
LOGS = common.DataSourceRef("loki", "${logs}")
QUARTER, THIRD, HALF, FULL = 6, 8, 12, 24  # of Grafana's 24 columns


class About(NamedTuple):
    """What is said of a panel: its title, one line of help, the unit in Grafana's words.

    `empty` is what having no data means, where that is normal.
    """

    title: str
    text: str
    unit: str = "none"
    empty: str | None = None


class Query(NamedTuple):
    """One query, and what its lines are called: `{{label}}` stands for a label's value."""

    expr: str
    legend: str = ""


class State(NamedTuple):
    """What a number stands for."""

    text: str
    color: str


def lines(
    about: About,
    *queries: Query,
    limits: Mapping[float, str] | None = None,
    width: int = THIRD,
    stacked: bool = False,
) -> timeseries.Panel:
    """Return lines over time; `limits` are values from which on it is that colour."""
    panel = (
        timeseries.Panel()
        .span(width)
        .height(8)
        .min(0)
        .fill_opacity(25 if stacked else 8)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    if limits:
        style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel.thresholds(_thresholds(limits)).thresholds_style(style)
    return _described(panel, about, queries)


def number(
    about: About,
    *queries: Query,
    limits: Mapping[float, str] | None = None,
    base: str = GREEN,
    width: int = THIRD,
    decimals: int | None = None,
) -> stat.Panel:
    """Return the last value as a large number; it is `base` below the first of `limits`."""
    panel = (
        stat.Panel()
        .span(width)
        .height(5)
        .color_mode(common.BigValueColorMode.VALUE)
        .thresholds(_thresholds(limits or {}, base))
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    if decimals is not None:
        panel.decimals(decimals)
    return _described(panel, about, queries)


def states(
    about: About,
    *queries: Query,
    meaning: Mapping[int, State],
    width: int = HALF,
) -> statetimeline.Panel:
    """Return a band for each series that has the colour of what its number stands for."""
    results = {
        str(value): models.ValueMappingResult(text=state.text, color=state.color, index=index)
        for index, (value, state) in enumerate(meaning.items())
    }
    panel = (
        statetimeline.Panel()
        .span(width)
        .height(8)
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.8)
        .mappings([models.ValueMap(options=results)])
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .thresholds(_thresholds({}, GREY))
    )
    return _described(panel, about, queries)


def rows(about: About, *queries: Query, width: int = HALF) -> table.Panel:
    """Return a table with a row for each series and a column for each label."""
    hidden = {"Time": True, "Value": True, "__name__": True, "job": True, "group": True}
    columns = models.DataTransformerConfig(id_val="organize", options={"excludeByName": hidden})
    panel = table.Panel().span(width).height(6).with_transformation(columns)
    _describe(panel, about)
    for query in queries:
        panel.with_target(_target(query).instant().format(PromQueryFormat.TABLE))
    return panel


def lines_of_logs(title: str, text: str, expr: str, width: int = FULL) -> logs.Panel:
    """Return the lines of the logs that LogQL finds, newest first."""
    panel = (
        logs.Panel()
        .title(title)
        .description(text)
        .datasource(LOGS)
        .span(width)
        .height(7)
        .unit("none")
        .show_time(True)
        .wrap_log_message(True)
        .enable_log_details(True)
        .sort_order(common.LogsSortOrder.DESCENDING)
    )
    return panel.with_target(loki.Dataquery().expr(expr).query_type("range").ref_id("A"))


def selection(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """Return a choice among the values of a label, all of them unless somebody chooses."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(METRICS)
        .query(query)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .current(models.VariableOption(text=["All"], value=["$__all"], selected=True))
    )


def board(
    title: str,
    text: str,
    sections: Mapping[str, Iterable[Builder[models.Panel]]],
    variables: Iterable[Builder[models.VariableModel]] = (),
    *,
    with_logs: bool = False,
) -> models.Dashboard:
    """Return a dashboard with a heading for each section, and a link to each of the others."""
    built = (
        dashboard.Dashboard(title)
        .uid(f"z-image-turbo-{title.lower()}")
        .description(text)
        .tags(["z-image-turbo"])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Z-Image-Turbo")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["z-image-turbo"])
            .keep_time(True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Metrics").type("prometheus"))
    )
    if with_logs:
        built.with_variable(dashboard.DatasourceVariable("logs").label("Logs").type("loki"))
    for variable in variables:
        built.with_variable(variable)
    for heading, panels in sections.items():
        built.with_row(dashboard.Row(heading))
        for panel in panels:
            built.with_panel(panel)
    return built.build()


class _Panel(Protocol):
    """What the builders of panels have alike, without a type of their own for it."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def datasource(self, datasource: common.DataSourceRef) -> Self: ...
    def no_value(self, no_value: str) -> Self: ...
    def with_target(self, target: Builder[Dataquery]) -> Self: ...


P = TypeVar("P", bound=_Panel)


def _described(panel: P, about: About, queries: Iterable[Query]) -> P:
    _describe(panel, about)
    for index, query in enumerate(queries):
        panel.with_target(_target(query).ref_id(chr(ord("A") + index)).range())
    return panel


def _describe(panel: _Panel, about: About) -> None:
    panel.title(about.title).description(about.text).unit(about.unit).datasource(METRICS)
    if about.empty is not None:
        panel.no_value(about.empty)


def _target(query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expr).legend_format(query.legend)


def _thresholds(limits: Mapping[float, str], base: str = GREEN) -> dashboard.ThresholdsConfig:
    steps = [
        models.Threshold(None, base),
        *(models.Threshold(value, color) for value, color in limits.items()),
    ]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
