"""What looks at the sums of e-detectors find: candidates, and who is none any more."""

from collections.abc import Container, Sequence
from functools import partial

import numpy as np

from streamdrift.changes import StepKind
from streamdrift.detectors.bank import Expected
from streamdrift.detectors.banks import Banks, Watcher
from streamdrift.detectors.block import Block
from streamdrift.detectors.candidates import Candidates, Seen, none_any_more
from streamdrift.detectors.judge import Judge, Sign
from streamdrift.detectors.looks import WITHDRAW, Look
from streamdrift.detectors.scoring import Copies, Scoring, urn_at
from streamdrift.detectors.sums import evidence_of


class Lookout:
    """Shows `candidates` what looks found; what is to be said of it is made only if it is said.

    `expected` are those of all signals, of which `banks`, `scoring` and `judge` are, too.
    """

    def __init__(
        self,
        candidates: Candidates,
        expected: Sequence[Expected],
        banks: Banks,
        scoring: Scoring,
        judge: Judge,
    ) -> None:
        self._candidates = candidates
        self._expected = expected
        self._banks = banks
        self._scoring = scoring
        self._judge = judge

    def let_go(self, column: int) -> None:
        """Let candidates be none any more that lost the detector with their evidence."""
        for signal in np.flatnonzero(self._candidates.there & ~self._banks.summed).tolist():
            self._candidates.see(none_any_more(column, signal))

    def see(
        self,
        entry: Watcher,
        looks: Sequence[Look],
        block: Block,
        copies: Copies | None = None,
        raised: Container[int] = (),
    ) -> None:
        """See which looks found candidates, and which found that a signal is none any more.

        `copies` are of where the signals were before the block; None where they are at the looks.
        Of what is recent of signals that `raised` an alarm, nothing will be left soon.
        """
        thresholds = entry.bank.readings()[1] if looks else np.empty(0)
        for look in looks:
            signal, threshold = int(entry.signals[look.slot]), float(thresholds[look.slot])
            stream = self._expected[signal].stream
            evidence = evidence_of(look.statistic, threshold, look.age, stream)
            known = bool(self._candidates.there[signal])
            # Who is one stays one as long as there is evidence: others were weighed with it.
            stays = look.statistic >= WITHDRAW * self._banks.lengths.patience[signal]
            if not stays or (not known and self._judge.dismisses(signal, evidence)):
                if known:
                    self._candidates.see(none_any_more(look.row, signal))
                continue
            share = look.statistic / threshold
            kind, name = StepKind.CANDIDATE, entry.bank.name
            urn = partial(self._scoring.urn, signal)
            if copies is not None:
                urn = partial(urn_at, signal, copies, look.row)
            say = partial(
                self._judge.sign, signal, kind, name, evidence, block, look.row, share, urn
            )
            if signal in raised:
                say = partial(_as_it_is, say())
            self._candidates.see(Seen(look.row, signal, share, say))


def _as_it_is(sign: Sign) -> Sign:
    return sign
