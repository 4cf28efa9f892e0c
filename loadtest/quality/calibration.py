"""Settings of river's detectors at which they alarm as rarely as is asked, found by trying.

What was found is kept in a JSON file, as it takes minutes: a setting depends on the stream, on
the run length and on nothing else. The reference and the length of a run are those of the
sections, as ADWIN alarms ever more rarely the longer it has been quiet.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

from loadtest.quality import peers
from loadtest.quality.peers import River
from loadtest.quality.streams import Stream
from loadtest.quality.trials import LENGTH, false_alarms

_HALVINGS = 7
_ALARMS = 40
"""A setting is tried on so many run lengths: its rate is then right to some 15 %."""


class Calibration:
    """Finds settings, and remembers them in a file; None remembers nothing."""

    def __init__(self, file: Path | None, seed: int) -> None:
        self._file = file
        self._seed = seed
        known = file is not None and file.exists()
        self._found: dict[str, float] = json.loads(file.read_text()) if known and file else {}

    def adwin(self, stream: Stream, run_length: float) -> River:
        """Return river's ADWIN at this run length on this stream."""
        delta = self._setting("adwin", stream, run_length, peers.adwin, 1e-6, 0.9)
        return River(f"ADWIN at {run_length:.0e}".replace("e+0", "e"), peers.adwin(delta).make)

    def page_hinkley(self, stream: Stream, run_length: float) -> River:
        """Return river's Page-Hinkley at this run length on this stream."""
        threshold = self._setting("page_hinkley", stream, run_length, peers.page_hinkley, 5e3, 5.0)
        return River(
            f"Page-Hinkley at {run_length:.0e}".replace("e+0", "e"),
            peers.page_hinkley(threshold).make,
        )

    def _setting(
        self,
        kind: str,
        stream: Stream,
        run_length: float,
        make: Callable[[float], River],
        rare: float,
        frequent: float,
    ) -> float:
        """Halve between a setting that alarms too rarely and one that does too often."""
        key = f"{kind}, {stream.name}, {run_length:g}"
        if key not in self._found:
            low, high = math.log(rare), math.log(frequent)
            runs = max(math.ceil(_ALARMS * run_length / LENGTH), 1)
            for _ in range(_HALVINGS):
                middle = 0.5 * (low + high)
                rate = false_alarms(make(math.exp(middle)), stream, runs, seed=self._seed)
                if rate.alarms * run_length > rate.values:
                    high = middle
                else:
                    low = middle
            self._found[key] = math.exp(0.5 * (low + high))
            if self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._file.write_text(json.dumps(self._found, indent=2, sort_keys=True) + "\n")
        return self._found[key]
