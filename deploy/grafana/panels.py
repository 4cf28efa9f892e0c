"""The kinds of panels that both dashboards are made of, over queries of Prometheus."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as shown
from grafana_foundation_sdk.models import dashboard as dashboard_models
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef("prometheus", "${datasource}")
HEIGHT = 8
GREEN, YELLOW, RED = "green", "yellow", "red"
Steps = Sequence[tuple[float | None, str]]
"""From which value on which colour; the first has none."""
CALM: Steps = ((None, "text"),)


Panel = Builder[dashboard_models.Panel]


class Query(NamedTuple):
    """An expression, and what its series are called."""

    expression: str
    legend: str = "__auto"


def across(how: str, expression: str) -> str:
    """Return what the processes of a deployment have together: their `sum`, `max` or `min`."""
    return f"{how} without (instance, pod) ({expression})"


def numbers(
    title: str, what: str, query: Query, *, unit: str, steps: Steps = CALM, span: int = 4
) -> stat.Panel:
    """Return one number with its course behind it; `what` says what it is and when it is bad."""
    return (
        stat.Panel()
        .title(title)
        .description(what)
        .datasource(SOURCE)
        .unit(unit)
        .thresholds(_thresholds(steps))
        .color_scheme(_by_thresholds())
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.AREA)
        .reduce_options(_last())
        .with_target(_target(query, "A"))
        .span(span)
        .height(4)
    )


def lines(
    title: str,
    what: str,
    queries: Sequence[Query],
    *,
    unit: str,
    span: int = 12,
    stacked: bool = False,
    logarithmic: bool = False,
) -> timeseries.Panel:
    """Return curves over time, those of all queries in one frame."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(what)
        .datasource(SOURCE)
        .unit(unit)
        .targets([_target(query, chr(65 + place)) for place, query in enumerate(queries)])
        .tooltip(
            common.VizTooltipOptions()
            .mode(shown.TooltipDisplayMode.MULTI)
            .sort(shown.SortOrder.DESCENDING)
        )
        .fill_opacity(30 if stacked else 5)
        .no_value("nothing so far")
        .span(span)
        .height(HEIGHT)
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(shown.StackingMode.NORMAL))
    if logarithmic:
        scale = common.ScaleDistributionConfig().type(shown.ScaleDistribution.LOG).log(10)
        return panel.scale_distribution(scale)
    return panel.min(0)


def bars(
    title: str,
    what: str,
    query: Query,
    *,
    unit: str,
    steps: Steps,
    most: float | None = None,
    span: int = 12,
) -> bargauge.Panel:
    """Return a bar for each series, as it is now; `most` fills it, by default the longest."""
    panel = (
        bargauge.Panel()
        .title(title)
        .description(what)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .thresholds(_thresholds(steps))
        .color_scheme(_by_thresholds())
        .display_mode(BarGaugeDisplayMode.BASIC)
        .orientation(shown.VizOrientation.HORIZONTAL)
        .reduce_options(_last())
        .with_target(_target(query, "A").instant())
        .span(span)
        .height(HEIGHT)
    )
    return panel if most is None else panel.max(most)


def states(title: str, what: str, query: Query, *, span: int = 24) -> statetimeline.Panel:
    """Return a strip for each series, red while it is 1."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(what)
        .datasource(SOURCE)
        .thresholds(_thresholds(((None, GREEN), (1, RED))))
        .color_scheme(_by_thresholds())
        .show_value(shown.VisibilityMode.NEVER)
        .with_target(_target(query, "A"))
        .span(span)
        .height(HEIGHT)
    )


def rows(
    title: str,
    what: str,
    queries: Mapping[str, str],
    *,
    columns: Mapping[str, str],
    first: str,
    unit: str = "none",
    span: int = 24,
) -> table.Panel:
    """Return a table of labels and of what they have now.

    `queries` are expressions by the name of their column, joined where all labels are equal;
    `columns` are the labels that are shown, with their headings, in order; the rows with the
    most of `first` come first.
    """
    # Of one query Grafana calls the column Value, of several Value #A, Value #B, ...
    values = {
        f"Value #{chr(65 + place)}" if len(queries) > 1 else "Value": name
        for place, name in enumerate(queries)
    }
    names = {**columns, **values}
    panel = (
        table.Panel()
        .title(title)
        .description(what)
        .datasource(SOURCE)
        .unit(unit)
        .with_transformation(DataTransformerConfig("merge", options={}))
        .with_transformation(
            DataTransformerConfig("filterFieldsByName", options={"include": {"names": [*names]}})
        )
        .with_transformation(
            DataTransformerConfig(
                "organize",
                options={
                    "indexByName": {name: place for place, name in enumerate(names)},
                    "renameByName": names,
                },
            )
        )
        .sort_by([common.TableSortByFieldState().display_name(first).desc(True)])
        .filterable(True)
        .span(span)
        .height(HEIGHT)
    )
    for place, expression in enumerate(queries.values()):
        target = _target(Query(expression), chr(65 + place))
        panel.with_target(target.instant().format(PromQueryFormat.TABLE))
    return panel


def board(uid: str, title: str, what: str, refresh: str, since: str) -> dashboard.Dashboard:
    """Return an empty dashboard with the variables that both have, linked with the other one."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(what)
        .tags(["streamdrift"])
        .readonly()
        .refresh(refresh)
        .time(since, "now")
        .timezone("browser")
        .link(
            dashboard.DashboardLink("streamdrift")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["streamdrift"])
            .keep_time(True)
            .include_vars(True)
        )
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
        .with_variable(chosen("job", "Deployment", "label_values(streamdrift_build_info, job)"))
    )


def add_row(made: dashboard.Dashboard, title: str, panels: Sequence[Panel]) -> None:
    """Add panels under a title."""
    made.with_row(dashboard.Row(title))
    for panel in panels:
        made.with_panel(panel)


def chosen(name: str, label: str, query: str, *, several: bool = False) -> dashboard.QueryVariable:
    """Return a variable whose values are those of a label; `several` may be chosen, or all."""
    variable = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )
    return variable.multi(True).include_all(True).all_value(".*") if several else variable


def _target(query: Query, name: str) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .expr(query.expression)
        .legend_format(query.legend)
        .ref_id(name)
        .datasource(SOURCE)
    )


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value, colour) for value, colour in steps])
    )


def _by_thresholds() -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS)


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])
