"""What `loadtest.demo_seeds` says of the demo's seeds, and that it says it truly."""

import pytest

from loadtest import demo_seeds
from loadtest.demo_seeds import EPOCH, Outcome, main, problems, run
from streamdrift.demo.injections import Injection, Touched, schedule
from streamdrift.demo.scorer import Published, Score, Verdict
from streamdrift.records import SignalKind

_INJECTION = Injection("shift", "fraud", (Touched("amount", SignalKind.VALUE),), 10.0, 14.0, 20.0)
_ALERT = Published(EPOCH + 12_000_000, {"data": {"summary": "amount changed"}})
_FOUND = Score((Verdict(_INJECTION, _ALERT, 2.0),), ())
_MISSED = Score((Verdict(_INJECTION, None, None),), ())
_QUIET = Score((), ())
_GOOD = Outcome(7, _FOUND, _QUIET, _MISSED)


def test_all_found_nothing_false_and_nothing_without_detectors_is_no_problem() -> None:
    assert problems(_GOOD) == []


@pytest.mark.parametrize(
    ("outcome", "problem"),
    [
        (_GOOD._replace(injected=_MISSED), "seed 7: missed shift"),
        (
            _GOOD._replace(injected=Score(_FOUND.verdicts, (_ALERT,))),
            "seed 7: false at 12.0 s: amount changed",
        ),
        (
            _GOOD._replace(quiet=Score((), (_ALERT,))),
            "seed 7: false without injections at 12.0 s: amount changed",
        ),
        (_GOOD._replace(blind=_FOUND), "seed 7: found shift with the detectors off"),
        (
            _GOOD._replace(blind=Score(_MISSED.verdicts, (_ALERT,))),
            "seed 7: false alarm with the detectors off",
        ),
    ],
)
def test_problems_are_named(outcome: Outcome, problem: str) -> None:
    assert problems(outcome) == [problem]


@pytest.mark.parametrize("good", [True, False])
def test_exit_code_tells_of_problems(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], good: bool
) -> None:
    def simulated(
        seed: int, injections: tuple[Injection, ...], seconds: float, *, detect: bool = True
    ) -> Score:
        found = detect and (good or seed != 2)
        verdicts = tuple(
            Verdict(injection, _ALERT, 2.0) if found else Verdict(injection, None, None)
            for injection in injections
        )
        return Score(verdicts, ())

    monkeypatch.setattr(demo_seeds, "run", simulated)
    assert main(["--seeds", "3"]) == (0 if good else 1)
    assert ("seed 2: missed type break" in capsys.readouterr().out) is not good


@pytest.mark.parametrize("seed", [1, 2])
def test_seed_has_no_problem(seed: int) -> None:
    injections = schedule(60.0)
    blind = run(seed, injections, 60.0, detect=False)
    outcome = Outcome(seed, run(seed, injections, 60.0), run(seed, (), 60.0), blind)
    assert len(outcome.injected.verdicts) == 10
    assert problems(outcome) == []
