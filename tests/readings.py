"""Readings one by one, for tests."""

from streamdrift.detectors.watch import Watch
from streamdrift.monitoring.standing import Standing
from streamdrift.readings import rows


def readings_of(watch: Watch) -> list[tuple[int, str, float, float]]:
    """Return (signal, detector, statistic, threshold) of every signal and detector."""
    return [
        (signal, bank.detector, statistic, threshold)
        for bank in watch.readings()
        for signal, statistic, threshold in zip(
            bank.signals.tolist(), bank.statistics.tolist(), bank.thresholds.tolist(), strict=True
        )
    ]


def comparable(standing: Standing) -> tuple[object, ...]:
    """Return what equals that of another with the same numbers."""
    return (rows(standing.readings), *standing[1:])
