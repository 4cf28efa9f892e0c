"""The dashboard of the models: budgets, incidents, and each signal against its threshold."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.panels import (
    CALM,
    GREEN,
    RED,
    YELLOW,
    Query,
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
_WITHOUT = "without (instance, pod)"
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
    for part in (_overview, _budgets, _nearest, _drill_down):
        part(made)
    return made


def _overview(made: Dashboard) -> None:
    warm_up = f"max {_WITHOUT} (streamdrift_warm_up_ratio{_OF_VERSION})"
    changed = f"max {_WITHOUT} (streamdrift_signal_changed{_OF_VERSION})"
    made.with_row(Row("Now"))
    made.with_panel(
        numbers(
            "Open incidents",
            "Incidents that are not resolved.",
            Query(f"sum by (job) (job_model_version:streamdrift_incidents_open:sum{_OF_VERSION})"),
            unit="none",
            steps=((None, GREEN), (1, RED)),
            span=5,
        )
    )
    made.with_panel(
        numbers(
            "Signals changed",
            "Signals that are neither back nor accepted as the new normal.",
            Query(f"sum by (job) (max without (detector) ({changed}))"),
            unit="none",
            steps=((None, GREEN), (1, RED)),
            span=5,
        )
    )
    made.with_panel(
        numbers(
            "Versions watched",
            "Model versions whose reference is complete.",
            Query(f"sum by (job) ({warm_up} == bool 1)"),
            unit="none",
            span=5,
        )
    )
    made.with_panel(
        numbers(
            "Versions warming up",
            "Model versions whose reference is still collected: they raise no alerts.",
            Query(f"sum by (job) ({warm_up} < bool 1)"),
            unit="none",
            steps=((None, GREEN), (1, YELLOW)),
            span=5,
        )
    )
    made.with_panel(
        numbers(
            "Signals not shown",
            "Prometheus has the 2,000 signals nearest to their thresholds; all are watched.",
            Query('sum by (job) (streamdrift_signals_left_out{job=~"$job"})'),
            unit="none",
            span=4,
        )
    )
    made.with_panel(
        lines(
            "Open incidents",
            "Of the twenty model versions that have the most.",
            [
                Query(
                    f"topk(20, job_model_version:streamdrift_incidents_open:sum{_OF_VERSION})",
                    "{{model}}/{{version}}",
                )
            ],
            unit="none",
        )
    )
    made.with_panel(
        bars(
            "Warm-up",
            "How far the reference of each model version is, the least first.",
            Query(f"sort(bottomk(20, {warm_up}))", "{{model}}/{{version}}"),
            unit="percentunit",
            steps=((None, YELLOW), (1, GREEN)),
            most=1,
        )
    )


def _budgets(made: Dashboard) -> None:
    made.with_row(Row("Alert budgets"))
    budget = f"max {_WITHOUT} (streamdrift_alert_budget_per_week{_OF_MODEL})"
    realised = f"max {_WITHOUT} (streamdrift_realised_alerts_per_week{_OF_MODEL})"
    opened = f"max {_WITHOUT} (streamdrift_alerts_opened_total{_OF_MODEL})"
    joined = f"max {_WITHOUT} (streamdrift_changes_joined_total{_OF_MODEL})"
    made.with_panel(
        bars(
            "Incidents beside the budget",
            "Incidents opened a week, in shares of the false ones that alert_budget allows. True "
            "changes count too: above 1 is no fault where they were true.",
            Query(f"topk(20, job_model:streamdrift_budget_used:ratio{_OF_MODEL})", "{{model}}"),
            unit="percentunit",
            steps=((None, GREEN), (1, YELLOW), (2, RED)),
            most=3,
            span=8,
        )
    )
    made.with_panel(
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
        )
    )


def _nearest(made: Dashboard) -> None:
    share = (
        f"max {_WITHOUT} (streamdrift_signal_statistic{_OF_VERSION}) "
        f"/ max {_WITHOUT} (streamdrift_signal_threshold{_OF_VERSION})"
    )
    labels = {"model": "model", "version": "version", "signal": "signal", "detector": "detector"}
    made.with_row(Row("Signals nearest to their thresholds"))
    made.with_panel(
        rows(
            "Nearest now",
            "The statistic in shares of its threshold: at 1 the signal has changed.",
            {"of the threshold": f"topk(30, {share})"},
            columns=labels,
            first="of the threshold",
            unit="percentunit",
            span=12,
        )
    )
    made.with_panel(
        lines(
            "Nearest over time",
            "The statistic in shares of its threshold, of the ten that are nearest at each time.",
            [Query(f"topk(10, {share})", _SIGNAL)],
            unit="percentunit",
            logarithmic=True,
        )
    )
    changed = f"max {_WITHOUT} (streamdrift_signal_changed{_OF_VERSION})"
    once = f"max {_WITHOUT} (max_over_time(streamdrift_signal_changed{_OF_VERSION}[$__range]))"
    made.with_panel(
        states(
            "Signals that changed",
            "Red from a signal's change to its return or acceptance, of those that changed in this "
            "time.",
            Query(f"{changed} and {once} == 1", _SIGNAL),
        )
    )


def _drill_down(made: Dashboard) -> None:
    made.with_row(Row("The signal chosen above"))
    made.with_panel(
        lines(
            "Statistic and threshold",
            "Choose a model, a version and a signal above. A change is where both meet.",
            [
                Query(
                    f"max {_WITHOUT} (streamdrift_signal_statistic{_OF_SIGNAL})",
                    f"{_SIGNAL} ({{{{detector}}}})",
                ),
                Query(
                    f"max {_WITHOUT} (streamdrift_signal_threshold{_OF_SIGNAL})",
                    f"threshold of {_SIGNAL}",
                ),
            ],
            unit="short",
            logarithmic=True,
            span=16,
        )
    )
    made.with_panel(
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
        )
    )
    made.with_panel(
        rows(
            "Findings by signal",
            "What was found in each signal's reference; the log and `streamdrift state show` say "
            "it in words.",
            {"found": f"max {_WITHOUT} (streamdrift_signal_finding{_OF_VERSION})"},
            columns={
                "model": "model",
                "version": "version",
                "signal": "signal",
                "finding": "finding",
            },
            first="model",
        )
    )
