"""What a run's and a diff's page compute: intervals, the comparison with length, log lines, samples."""

import json
from pathlib import Path

import pytest

from annotation.models import Project
from tests.training import rows
from training import diff_report, reports
from training.diffs import Answer, Diff, PairDiff
from training.reward_report import RewardReport


def test_wilson_interval_worked_by_hand() -> None:
    """8 of 10: centre (0.8 + 0.19207)/1.38415 = 0.71674, half width 0.22657 (Wilson 1927, z = 1.96)."""
    low, high = diff_report.wilson(0.8, 10)
    assert low == pytest.approx(0.4902, abs=1e-4)
    assert high == pytest.approx(0.9433, abs=1e-4)


def test_histogram_counts_every_value_once() -> None:
    bins = diff_report.histogram([-1.0, -0.99, 0.0, 1.0], low=-1, high=1)
    assert len(bins) == diff_report.NUM_BINS
    assert [count for _middle, count in bins if count] == [2, 1, 1]
    assert diff_report.histogram([0.0, 0.0], low=0, high=0) == []


def test_a_reward_model_beats_length_only_when_its_whole_interval_does() -> None:
    report = RewardReport.read(rows.REWARD_SUMMARY)
    assert report is not None
    assert report.beats_length
    narrow = RewardReport.read({**rows.REWARD_SUMMARY, "length_baseline_accuracy": 0.75})
    assert narrow is not None
    assert narrow.beats_length is False
    assert RewardReport.read({}) is None
    assert RewardReport.read({"accuracy": None}) is None


def test_the_calibration_diagrams_stay_inside_their_squares() -> None:
    report = RewardReport.read(rows.REWARD_SUMMARY)
    assert report is not None
    for drawn in (report.calibration, report.calibrated):
        assert drawn is not None
        assert len(drawn.diagram) == 10
        assert all(0 <= dot["cx"] <= 100 and 0 <= dot["cy"] <= 100 and 0 < dot["r"] < 10 for dot in drawn.diagram)


def test_what_an_older_trainer_did_not_measure_is_left_out() -> None:
    report = RewardReport.read({"accuracy": 0.8, "ece": 0.1})
    assert report is not None
    assert report.ceiling is report.heads is report.calibrated is report.temperature is None
    assert report.calibration is not None and report.calibration.bins == []


def pair(number: int, before: float, after: float) -> PairDiff:
    a, b = (Answer(number, "text", reward, 1, 5, True) for reward in (before, after))
    return PairDiff(number, [{"role": "user", "content": "?"}], a, b)


def test_the_figures_of_a_diff() -> None:
    """Changes +1, +1, +1, −1: b wins 3 of 4; mean .5; sd 1, so the interval is .5 ± 1.96·1/√4 = ±.98."""
    report = diff_report.DiffReport(Diff([pair(1, 0, 1), pair(2, 0, 1), pair(3, 0, 1), pair(4, 0, -1)], 0, 0))
    assert report.wins is not None
    assert report.wins.value == 0.75
    assert report.change is not None
    assert report.change.value == pytest.approx(0.5)
    assert report.change.low == pytest.approx(0.5 - 0.98, abs=1e-3)
    assert sum(count for _middle, count in report.spread) == 4


def test_the_figures_of_a_diff_without_rewards() -> None:
    a, b = (Answer(number, "text", None, None, 5, True) for number in (1, 2))
    report = diff_report.DiffReport(Diff([PairDiff(1, [], a, b)], 0, 0))
    assert report.wins is None
    assert report.change is None
    assert report.spread == []


def test_the_tail_of_a_log_starts_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "stderr.txt"
    assert reports.tail(path) == []
    path.write_text("first line\nsecond line\nthird line\n")
    assert reports.tail(path) == ["first line", "second line", "third line"]
    assert reports.tail(path, num_bytes=15) == ["third line"]


def test_events_as_lines_of_the_log() -> None:
    event = {"seq": 1, "time": 0.0, "type": "warning", "message": "a prompt was cut"}
    assert reports.event_line(json.dumps(event)) == "00:00:00  warning: a prompt was cut"
    assert reports.event_line(json.dumps({"seq": 2, "time": 0.0, "type": "metrics"})) is None
    assert reports.event_line('{"seq": 3, "ti') is None


def test_samples_show_the_first_the_newest_and_some_between(project: Project) -> None:
    run = rows.run(project, "policy")
    rows.samples(run, list(range(0, 200, 10)))
    page = reports.RunPage(run, can_change=False)
    prompts = page.samples
    assert len(prompts) == len(rows.QUESTIONS)
    steps = [sample.step for sample in prompts[0].answers]
    assert len(steps) == reports.SAMPLE_STEPS
    assert (steps[0], steps[-1]) == (0, 190)
    assert prompts[0].change == pytest.approx(190 / 30)


def test_a_poll_learns_which_part_has_changed(project: Project) -> None:
    run = rows.run(project, "policy", status="running", step=3)
    rows.samples(run, [0])
    before = reports.RunPage(run, can_change=False).state
    rows.samples(run, [10])
    changed = reports.RunPage(run, can_change=False).changed_since(before)
    assert changed == {"progress": False, "samples": True, "log": False}
    assert all(reports.RunPage(run, can_change=False).changed_since("").values()) is False


def test_measurements_are_named_with_their_units_and_the_others_follow_as_they_are() -> None:
    measured = reports.measured(
        {"reward/mean/first": -0.012, "reward/mean": 0.961, "kl/sequence/first": -0.001, "kl/sequence": 4.71}
        | {"response/length/first": 35.2, "response/length": 38.4, "response/ended": 1.0, "steps": 40, "note": "text"}
    )
    assert [(each.label or each.name, each.value) for each in measured] == [
        ("Reward", "\u22120.01 → 0.96"),
        ("KL", "0.0 → 4.7 nats"),
        ("Length", "35 → 38 tokens"),
        ("Ended by itself", "100\u202f%"),
        ("steps", "40"),
    ]
