"""Verdicts, and tables as Markdown and as JSON."""

import json
from pathlib import Path

import pytest

from loadtest.quality import tables
from loadtest.quality.measures import Coverage, Rate, delays_of
from loadtest.quality.plan import Section
from loadtest.quality.report import Report
from loadtest.quality.tables import BEGIN, END, Result, Table, Verdict

_RESULT = Result(
    [Table("Delays", ("change", "found"), (("mean | sd", "1"),), "In values.")],
    [Verdict("a", "<= 1", "2", False), Verdict("b", "<= 1", "1", True)],
)
_SECTION = Section("delays", "Delays of all kinds", "few", lambda plan: _RESULT)


def test_table_as_markdown() -> None:
    assert tables.markdown(_RESULT.tables[0]) == (
        "#### Delays\n\nIn values.\n\n| change | found |\n| --- | --- |\n| mean \\| sd | 1 |\n"
    )


@pytest.mark.parametrize(
    ("measured", "error", "held"), [(9.9, 5.0, True), (11.0, 1.0, None), (12.0, 1.0, False)]
)
def test_a_mean_is_judged_within_its_error(
    measured: float, error: float, held: bool | None
) -> None:
    assert tables.at_most("x", measured, 10.0, error).held is held


@pytest.mark.parametrize(
    ("measured", "upper", "held"),
    [(0.96, None, True), (0.9, None, False), (0.9, 0.97, None), (0.9, 0.93, False)],
)
def test_a_share_is_judged_within_its_bound(
    measured: float, upper: float | None, held: bool | None
) -> None:
    assert tables.at_least("x", measured, 0.95, upper).held is held


@pytest.mark.parametrize(
    ("each", "upper", "lower", "held"),
    [(0.8, 1.2, 0.5, True), (0.8, 2.0, 0.1, None), (1.3, 2.0, 0.1, None), (9.0, 12.0, 7.0, False)],
)
def test_a_rate_is_judged_by_its_bound(
    each: float, upper: float, lower: float, held: bool | None
) -> None:
    assert tables.bounded("x", each, upper, lower, 1.25).held is held


def test_cells() -> None:
    assert tables.rate_cell(Rate(10, 1_000_000)) == "1 (< 1.7) [10]"
    found = delays_of([9, 11], [0, 0], [1_000, 1_000], 100)
    assert tables.delay_cell(found) == "11.0 ± 1.0 / 11"
    late = delays_of([9, 100, 100], [0, 0, 0], [1_000] * 3, 100)
    assert tables.delay_cell(late) == "70.0 ± 30.0 / - [0.33]"
    assert tables.delay_cell(delays_of([100], [0], [1_000], 100)) == "never"
    noisy = delays_of([1, 1], [9, 9], [1_000, 1_000], 1_000)
    assert tables.delay_cell(noisy).endswith("†")
    assert tables.coverage_cell(Coverage(19, 20, 7.0)) == "95.0% of 20 (width 7)"


def test_tally_counts_verdicts() -> None:
    verdicts = [*_RESULT.verdicts, Verdict("c", "", "", None)]
    assert tables.tally(verdicts) == "1 reached, 1 missed, 1 open"
    assert tables.tally([]) == "nothing measured"


def test_results_survive_json() -> None:
    tree = json.loads(json.dumps(tables.as_tree(_RESULT)))
    assert tables.of_tree(tree) == _RESULT


def test_text_goes_between_the_markers() -> None:
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert tables.between_markers(document, "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    for broken in ("nothing", f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"):
        with pytest.raises(ValueError, match="quality"):
            tables.between_markers(broken, "new")


def test_report_keeps_what_is_not_measured_anew(tmp_path: Path) -> None:
    file = tmp_path / "docs" / "quality.json"
    first = Report.read(file)
    first.put("other", Result([], []), seed=1, effort=1.0, seconds=1.0)
    first.write(file)
    second = Report.read(file)
    second.put("delays", _RESULT, seed=7, effort=0.5, seconds=61.4)
    second.write(file)
    assert set(json.loads(file.read_text())) == {"other", "delays"}
    text = Report.read(file).markdown({"delays": _SECTION})
    assert "## Delays of all kinds\n\n`delays`, seed 7, effort 0.5, 61 s of one core." in text
    assert "| Delays of all kinds | few | 1 reached, 1 missed |" in text
    assert "| a | <= 1 | 2 | missed |" in text


def test_summary_goes_into_the_readme() -> None:
    report = Report({})
    report.put("delays", _RESULT, seed=1, effort=1.0, seconds=1.0)
    text = report.into(f"# x\n{BEGIN}\n{END}\n", {"delays": _SECTION})
    assert text.splitlines()[2:-1] == [
        "| what | to be reached | verdicts |",
        "| --- | --- | --- |",
        "| Delays of all kinds | few | 1 reached, 1 missed |",
        "",
        "Missed:",
        "",
        "- a: 2, where <= 1 was to be reached",
    ]


def test_summary_begins_with_mean_delays() -> None:
    report = Report({})
    heads = ("change", "horizon", "optimum", "streamdrift", "streamdrift ADWIN", "river ADWIN")
    row = ("mean +1 sd", "20,000", "21.0 ± 0.1 / 20", "24.5 ± 0.2 / 23", "1 / 1", "never")
    table = Table("Delay", heads, (row,))
    report.put("shifts", Result([table], []), seed=1, effort=1.0, seconds=1.0)
    section = _SECTION._replace(name="shifts")
    assert report.summary({"shifts": section}).splitlines()[2:5] == [
        "| change | optimum | streamdrift | river ADWIN |",
        "| --- | --- | --- | --- |",
        "| mean +1 sd | 21.0 | 24.5 | never |",
    ]
    assert report.summary({"shifts": section}).endswith("Nothing was missed.\n")
