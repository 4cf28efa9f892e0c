"""The dashboard of the models: budgets, incidents, and each signal against its threshold."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import (
    CALM,
    GREEN,
    RED,
    YELLOW,
    Panel,
    Query,
    across,
    add_row,
    bars,
    board,
    chosen,
    lines,
    numbers,
    rows,
    states,
)

_OF_MODEL = '{job=~"$job", model=~"$model"}'
_OF_VERSION = '{job=~"$job", model=~"$model", version=~"$version"}'
_OF_SIGNAL = '{job=~"$job", model=~"$model", version=~"$version", signal=~"$signal"}'
_SIGNAL = "{{model}}/{{version}} {{signal}}"


def models() -> Dashboard:
    """Return the dashboard of the models."""
    made = board(
        "streamdrift-models",
        "streamdrift: models",
        "What changed in the models that a deployment of streamdrift watches, and what is near to.",
        refresh="30s",
        since="now-6h",
    )
    every = "streamdrift_warm_up_ratio"
    made.with_variable(
        chosen("model", "Model", f'label_values({every}{{job=~"$job"}}, model)', several=True)
    )
    made.with_variable(
        chosen("version", "Version", f"label_values({every}{_OF_MODEL}, version)", several=True)
    )
    signals = f"label_values(streamdrift_signal_statistic{_OF_VERSION}, signal)"
    made.with_variable(chosen("signal", "Signal", signals))
    for title, panels in (
        ("Now", _overview()),
        ("Alert budgets", _budgets()),
        ("Signals nearest to their thresholds", _nearest()),
        ("The signal chosen above", _drill_down()),
    ):
        add_row(made, title, panels)
    return made


def _overview() -> Sequence[Panel]:
    warm_up = across("max", f"streamdrift_warm_up_ratio{_OF_VERSION}")
    changed = across("max", f"streamdrift_signal_changed{_OF_VERSION}")
    return (
        numbers(
            "Open incidents",
            "Incidents that are not resolved, without those of planned changes.",
            Query(f"sum by (job) (job_model_version:streamdrift_incidents_open:sum{_OF_VERSION})"),
            unit="none",
            steps=((None, GREEN), (1, RED)),
            span=5,
        ),
        numbers(
            "Signals changed",
            "Signals that are neither back nor accepted as the new normal.",
            Query(f"sum by (job) (max without (detector) ({changed}))"),
            unit="none",
            steps=((None, GREEN), (1, RED)),
            span=5,
        ),
        numbers(
            "Versions watched",
            "Model versions whose reference is complete.",
            Query(f"sum by (job) ({warm_up} == bool 1)"),
            unit="none",
            span=5,
        ),
        numbers(
            "Versions warming up",
            "Model versions whose reference is still collected: they raise no alerts.",
            Query(f"sum by (job) ({warm_up} < bool 1)"),
            unit="none",
            steps=((None, GREEN), (1, YELLOW)),
            span=5,
        ),
        numbers(
            "Signals not shown",
            "Prometheus has the 2,000 signals nearest to their thresholds; all are watched.",
            Query('sum by (job) (streamdrift_signals_left_out{job=~"$job"})'),
            unit="none",
            span=4,
        ),
        lines(
            "Open incidents",
            "Of the twenty model versions that have the most; those of planned changes apart.",
            [
                Query(
                    f"topk(20, job_model_version:streamdrift_incidents_open:sum{_OF_VERSION})",
                    "{{model}}/{{version}}",
                ),
                Query(
                    f"topk(20, {across('sum', f'streamdrift_incidents_expected{_OF_VERSION}')})",
                    "{{model}}/{{version}}, planned",
                ),
            ],
            unit="none",
        ),
        bars(
            "Warm-up",
            "How far the reference of each model version is, the least first.",
            Query(f"sort(bottomk(20, {warm_up}))", "{{model}}/{{version}}"),
            unit="percentunit",
            steps=((None, YELLOW), (1, GREEN)),
            most=1,
        ),
    )


def _budgets() -> Sequence[Panel]:
    budget = across("max", f"streamdrift_alert_budget_per_week{_OF_MODEL}")
    realised = across("max", f"streamdrift_realised_alerts_per_week{_OF_MODEL}")
    opened = across("max", f"streamdrift_alerts_opened_total{_OF_MODEL}")
    joined = across("max", f"streamdrift_changes_joined_total{_OF_MODEL}")
    return (
        bars(
            "Incidents beside the budget",
            "Incidents opened a week, in shares of the false ones that alert_budget allows. True "
            "changes count too: above 1 is no fault where they were true.",
            Query(f"topk(20, job_model:streamdrift_budget_used:ratio{_OF_MODEL})", "{{model}}"),
            unit="percentunit",
            steps=((None, GREEN), (1, YELLOW), (2, RED)),
            most=3,
            span=8,
        ),
        rows(
            "Budget and what came of it",
            "In a week of event time since the first reference; less than a week counts as one.",
            {
                "budget a week": budget,
                "opened a week": realised,
                "opened in all": opened,
                "changes joined": joined,
            },
            columns={"model": "model"},
            first="opened a week",
            span=16,
        ),
    )


def _nearest() -> Sequence[Panel]:
    statistic = across("max", f"streamdrift_signal_statistic{_OF_VERSION}")
    threshold = across("max", f"streamdrift_signal_threshold{_OF_VERSION}")
    share = f"{statistic} / {threshold}"
    labels = {"model": "model", "version": "version", "signal": "signal", "detector": "detector"}
    changed = across("max", f"streamdrift_signal_changed{_OF_VERSION}")
    once = across("max", f"max_over_time(streamdrift_signal_changed{_OF_VERSION}[$__range])")
    return (
        rows(
            "Nearest now",
            "The statistic in shares of its threshold: at 1 the signal has changed.",
            {"of the threshold": f"topk(30, {share})"},
            columns=labels,
            first="of the threshold",
            unit="percentunit",
            span=12,
        ),
        lines(
            "Nearest over time",
            "The statistic in shares of its threshold, of the ten that are nearest at each time.",
            [Query(f"topk(10, {share})", _SIGNAL)],
            unit="percentunit",
            logarithmic=True,
        ),
        states(
            "Signals that changed",
            "Red from a signal's change to its return or acceptance, of those that changed in this "
            "time.",
            Query(f"{changed} and {once} == 1", _SIGNAL),
        ),
    )


def _drill_down() -> Sequence[Panel]:
    return (
        lines(
            "Statistic and threshold",
            "Choose a model, a version and a signal above. A change is where both meet.",
            [
                Query(
                    across("max", f"streamdrift_signal_statistic{_OF_SIGNAL}"),
                    f"{_SIGNAL} ({{{{detector}}}})",
                ),
                Query(
                    across("max", f"streamdrift_signal_threshold{_OF_SIGNAL}"),
                    f"threshold of {_SIGNAL}",
                ),
            ],
            unit="short",
            logarithmic=True,
            span=16,
        ),
        bars(
            "Findings",
            "What was found in the references of how many signals; the table beside names them.",
            Query(
                f"sort_desc(count by (finding) (streamdrift_signal_finding{_OF_VERSION}))",
                "{{finding}}",
            ),
            unit="none",
            steps=CALM,
            span=8,
        ),
        rows(
            "Findings by signal",
            "What was found in each signal's reference; the log and `streamdrift state show` say "
            "it in words.",
            {"found": across("max", f"streamdrift_signal_finding{_OF_VERSION}")},
            columns={
                "model": "model",
                "version": "version",
                "signal": "signal",
                "finding": "finding",
            },
            first="model",
        ),
    )
