"""A process of the deployment, watched from outside while it lives."""

import threading
import time
from dataclasses import dataclass
from statistics import median

import psutil

from loadtest.faults.progress import Look
from tests.exactly_once import Life

_SHARDS = 'streamdrift_assigned_partitions{role="detect"}'
_LOOK_EVERY = 0.1
_SAMPLE_EVERY = 1.0
_WARM = 60.0
"""Seconds in which a life compiles, fills its buffers and learns its references."""
_LONG = 150.0
"""A life is long enough to tell growth by if it goes on for so many seconds after that."""
_MORE_MEMORY = 1.10
_MORE_BYTES = 8 << 20
_MORE_DESCRIPTORS = 8


@dataclass(frozen=True, slots=True)
class Growth:
    """What a life held at first and at last: medians of the first and the last third.

    The first minute of a life is left out.
    """

    seconds: float
    first_bytes: float
    last_bytes: float
    first_descriptors: float
    last_descriptors: float

    @property
    def flat(self) -> bool:
        """Whether it does not grow: by no more than 10 % and 8 MiB, nor 8 descriptors."""
        return (
            self.last_bytes <= self.first_bytes * _MORE_MEMORY + _MORE_BYTES
            and self.last_descriptors <= self.first_descriptors + _MORE_DESCRIPTORS
        )

    def __str__(self) -> str:
        return (
            f"a life of {self.seconds:.0f} s: resident "
            f"{self.first_bytes / 2**20:.1f} -> {self.last_bytes / 2**20:.1f} MiB, descriptors "
            f"{self.first_descriptors:.0f} -> {self.last_descriptors:.0f}"
            f"{'' if self.flat else ' (GROWS)'}"
        )


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    resident: int
    descriptors: int


class Watched:
    """Asks a process ten times a second how far it is, and for what it holds once."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.commits: list[float] = []
        """When commits were seen, on the clock that never jumps."""
        self.looks: list[Look] = []
        self._samples: list[_Sample] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        self.looks.append(Look(time.monotonic(), 0.0, 0.0))

    def growth(self, warm: float = _WARM, long: float = _LONG) -> Growth | None:
        """Return what it held at first and at last, None of a life too short to tell."""
        samples = self._samples
        if not samples or samples[-1].at - samples[0].at < warm + long:
            return None
        samples = [each for each in samples if each.at >= samples[0].at + warm]
        third = len(samples) // 3
        first, last = samples[:third], samples[-third:]
        return Growth(
            seconds=self._samples[-1].at - self._samples[0].at,
            first_bytes=median(each.resident for each in first),
            last_bytes=median(each.resident for each in last),
            first_descriptors=median(each.descriptors for each in first),
            last_descriptors=median(each.descriptors for each in last),
        )

    def _watch(self) -> None:
        process, sampled, commits = psutil.Process(self.life.process.pid), 0.0, 0.0
        while not self._over.wait(_LOOK_EVERY):
            seen = dict(self.life.series(timeout=0.5))
            now = time.monotonic()
            before, commits = commits, seen.get("streamdrift_commit_seconds_count", commits)
            self.commits += [now] * round(commits - before)
            watermark = seen.get("streamdrift_watermark_timestamp_seconds", 0.0)
            # One process alone has all there is. Before anything is observed, the time is none.
            shards = seen.get(_SHARDS, 0.0) if self.life.shards else 1.0
            self.looks.append(Look(now, shards if watermark > 0 else 0.0, watermark))
            if now >= sampled + _SAMPLE_EVERY and seen:
                sampled = now
                self._sample(process)

    def _sample(self, process: psutil.Process) -> None:
        try:
            with process.oneshot():
                resident, descriptors = process.memory_info().rss, process.num_fds()
        except psutil.Error:
            return  # It has just died.
        self._samples.append(_Sample(time.monotonic(), resident, descriptors))
