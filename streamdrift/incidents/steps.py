"""Steps written out as a snapshot's tree, and read back."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from streamdrift.changes import Change, Effect, Estimate, Onset, Step, StepKind, Summary
from streamdrift.records import AlertKind, ColumnKey, Group, Signal, SignalKind, State
from streamdrift.trees import array, integer, text, tree, trees, values


def step_state(step: Step) -> State:
    """Return a step as a tree."""
    return {
        "kind": step.kind.value,
        "model": step.model,
        "version": step.version,
        "time": step.time,
        "signal": _signal_state(step.signal),
        "change": None if step.change is None else _change_state(step.change),
    }


def read_step(state: State) -> Step:
    """Return the step that `step_state` wrote."""
    return Step(
        kind=StepKind(text(state, "kind")),
        model=text(state, "model"),
        version=text(state, "version"),
        signal=_read_signal(tree(state, "signal")),
        time=integer(state, "time"),
        change=None if state["change"] is None else _read_change(tree(state, "change")),
    )


def _signal_state(signal: Signal) -> State:
    return {
        "ordinal": signal.ordinal,
        "name": signal.name,
        "column": None if signal.column is None else list(signal.column),
        "kind": signal.kind.value,
        "alert_kind": signal.alert_kind.value,
        "segment": signal.segment,
    }


def _read_signal(state: State) -> Signal:
    column = None
    if state["column"] is not None:
        group, name = values(state, "column")
        column = ColumnKey(Group(str(group)), str(name))
    return Signal(
        ordinal=integer(state, "ordinal"),
        name=text(state, "name"),
        column=column,
        kind=SignalKind(text(state, "kind")),
        alert_kind=AlertKind(text(state, "alert_kind")),
        segment=None if state["segment"] is None else text(state, "segment"),
    )


def _change_state(change: Change) -> State:
    return {
        "detector": change.detector,
        "figures": np.array([change.statistic, change.threshold]),
        "effect": None if change.effect is None else np.array(_flat(change.effect)),
        "before": _summary_state(change.before),
        "after": _summary_state(change.after),
        "onset": None if change.onset is None else _onset_state(change.onset),
        "share": np.array([change.share]),
    }


def _read_change(state: State) -> Change:
    statistic, threshold = array(state, "figures").astype(np.float64).tolist()
    return Change(
        detector=text(state, "detector"),
        statistic=statistic,
        threshold=threshold,
        effect=None if state["effect"] is None else _read_effect(array(state, "effect")),
        before=_read_summary(tree(state, "before")),
        after=_read_summary(tree(state, "after")),
        onset=None if state["onset"] is None else _read_onset(tree(state, "onset")),
        share=float(array(state, "share").astype(np.float64)[0]),
    )


def _flat(effect: Effect) -> list[float]:
    return [*effect.shift, *effect.spread, *effect.variation]


def _read_effect(figures: NDArray[np.generic]) -> Effect:
    shift, spread, variation = figures.astype(np.float64).reshape(3, 3).tolist()
    return Effect(Estimate(*shift), Estimate(*spread), Estimate(*variation))


def _summary_state(summary: Summary) -> State:
    return {
        "mean": np.array([summary.mean]),
        "quantiles": _figures_state(summary.quantiles),
        "shares": _figures_state(summary.shares),
    }


def _read_summary(state: State) -> Summary:
    return Summary(
        mean=float(array(state, "mean").astype(np.float64)[0]),
        quantiles=_read_figures(tree(state, "quantiles")),
        shares=_read_figures(tree(state, "shares")),
    )


def _figures_state(figures: Mapping[str, float]) -> State:
    """Keep floats in an array, which holds infinities and NaN as they are."""
    return {
        "names": list(figures),
        "values": np.array(list(figures.values()), dtype=np.float64),
    }


def _read_figures(state: State) -> Mapping[str, float]:
    names = [str(name) for name in values(state, "names")]
    return dict(zip(names, array(state, "values").astype(np.float64).tolist(), strict=True))


def _onset_state(onset: Onset) -> State:
    return {
        "earliest": onset.earliest,
        "latest": onset.latest,
        "offsets": [
            {"topic": topic, "partition": partition, "first": first, "last": last}
            for topic, partitions in onset.offsets.items()
            for partition, (first, last) in partitions.items()
        ],
    }


def _read_onset(state: State) -> Onset:
    offsets: dict[str, dict[int, tuple[int, int]]] = {}
    for span in trees(state, "offsets"):
        partitions = offsets.setdefault(text(span, "topic"), {})
        partitions[integer(span, "partition")] = integer(span, "first"), integer(span, "last")
    return Onset(integer(state, "earliest"), integer(state, "latest"), offsets)
