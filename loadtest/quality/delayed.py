"""Sections on independent numeric values that change: levels, spreads and shapes."""

from loadtest.quality import changes, contest, peers, streams, subjects
from loadtest.quality.contest import Entry
from loadtest.quality.measures import share_upper
from loadtest.quality.plan import Plan, Section
from loadtest.quality.tables import Result, Verdict, at_least, at_most
from streamdrift.detectors import AdwinSettings, PageHinkleySettings

RUN_LENGTH = 1e5

SHIFTS = {0.25: 290.0, 0.5: 84.0, 1.0: 26.0, 2.0: 8.0}
SPREADS = {
    "sd x 1.5": 57.0,
    "sd x 2": 20.0,
    "sd x 0.5": 40.0,
    "lognormal x 1.5": 125.0,
    "t3 + 1 sd": 21.0,
}


def _entries(plan: Plan) -> list[Entry]:
    normal = streams.INDEPENDENT["normal"]
    return [
        contest.ours(RUN_LENGTH),
        Entry("streamdrift ADWIN", lambda _: subjects.of(AdwinSettings(), RUN_LENGTH), 0.5),
        Entry(
            "streamdrift Page-Hinkley",
            lambda _: subjects.of(PageHinkleySettings(), RUN_LENGTH),
            0.5,
        ),
        contest.always(plan.calibration.adwin(normal, RUN_LENGTH), 0.25),
        contest.always(plan.calibration.page_hinkley(normal, RUN_LENGTH), 0.25),
        contest.always(peers.ADWIN, 0.25),
    ]


def levels(plan: Plan) -> Result:
    table, found, _ = contest.compare(
        plan,
        "Delay, independent values, run length 1e5",
        [*changes.SHIFTS.values(), *changes.SPREADS.values(), *changes.TAILS.values()],
        _entries(plan),
        runs=1_000,
        run_length=RUN_LENGTH,
    )
    reaches = {changes.SHIFTS[shift].name: reach for shift, reach in SHIFTS.items()} | SPREADS
    verdicts = [
        at_most(name, found[name].mean, reach, found[name].error, ",.1f")
        for name, reach in reaches.items()
    ]
    return Result([table], verdicts)


def shapes(plan: Plan) -> Result:
    table, found, _ = contest.compare(
        plan,
        "Delay of changes of shape alone, at equal mean and standard deviation, run length 1e5",
        changes.SHAPES,
        [contest.ours(RUN_LENGTH), contest.always(peers.ADWIN, 0.1)],
        runs=400,
        run_length=RUN_LENGTH,
    )
    verdicts: list[Verdict] = []
    for change in changes.SHAPES:
        delays = found[change.name]
        count = len(delays.delays)
        hits = round(delays.found * count)
        verdicts.append(
            at_least(
                f"{change.name}, found within {change.horizon:,}",
                delays.found,
                0.95,
                share_upper(hits, count),
            )
        )
    return Result([table], verdicts)


SECTIONS = (
    Section(
        "shifts",
        "Delays: levels and spreads",
        "at a run length of 1e5, mean + 0.25 / 0.5 / 1 / 2 sd within 290 / 84 / 26 / 8 values, "
        "sd x 1.5 / 2 / 0.5 within 57 / 20 / 40, lognormal x 1.5 within 125, t3 + 1 sd within 21",
        levels,
    ),
    Section(
        "shapes",
        "Delays: changes of shape alone",
        "95 % found within 1,500 values; two humps at .7 within 6,000",
        shapes,
    ),
)
