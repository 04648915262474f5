"""The points of a curve: as they were measured, thinned without losing a spike, smoothed, summed up for long runs."""

import json
import math
from typing import Any

import pytest

from annotation.models import Project
from tests.training import rows
from training import curves, points
from training.follow import follow
from training.models import Metric, MetricBlock, Run
from training.points import Point, View, thin
from training.rlhf.rundir import RunDir

BY_KEY = {chart.key: chart for chart in curves.POLICY}
REWARD, BY_KL = BY_KEY["reward"], BY_KEY["reward_by_kl"]
MEAN = "reward:reward/mean"


@pytest.fixture
def run(project: Project) -> Run:
    return rows.run(project, "policy")


def written(run: Run, values: dict[int, dict[str, float]]) -> None:
    Metric.objects.bulk_create(
        Metric(run=run, step=step, time=1000.0 + 6 * step, values=each) for step, each in values.items()
    )


def at(step: int) -> Point:
    return Point(step, 0.0, float(step))


def test_points_of_a_line_over_the_steps(run: Run) -> None:
    written(run, {step: {"reward/mean": step / 10} for step in range(5)})
    found = points.lines(run, [REWARD])
    assert (found.lines[MEAN].x, found.lines[MEAN].y) == ([0, 1, 2, 3, 4], [0, 0.1, 0.2, 0.3, 0.4])
    assert found.last == 4


def test_points_over_minutes(run: Run) -> None:
    written(run, {step: {"reward/mean": 1.0} for step in (1, 11, 21)})
    assert points.lines(run, [REWARD], view=View(by_time=True)).lines[MEAN].x == [0, 1, 2]


def test_a_step_without_the_metric_has_no_point(run: Run) -> None:
    written(run, {1: {"reward/mean": 1.0}, 2: {"optim/grad_norm": 3.0}, 3: {"reward/mean": 2.0}})
    assert points.lines(run, [REWARD]).lines[MEAN].x == [1, 3]


def test_reward_against_the_root_of_kl(run: Run) -> None:
    """√(step²) is the step; a KL estimate below 0 counts as 0."""
    written(run, {step: {"reward/mean": 1.0, "kl/sequence": float(step * step)} for step in range(1, 5)})
    written(run, {5: {"reward/mean": 1.0, "kl/sequence": -0.5}})
    assert points.lines(run, [BY_KL]).lines["reward_by_kl:reward/mean"].x == [1, 2, 3, 4, 0]


def test_a_line_is_smoothed_without_a_bias_towards_its_start(run: Run) -> None:
    written(run, {step: {"reward/mean": 5.0} for step in range(10)})
    found = points.lines(run, [REWARD], view=View(smooth=0.9)).lines[MEAN + points.SMOOTHED]
    assert found.y == [5.0] * 10
    values = [Point(step, 0.0, value) for step, value in enumerate((0.0, 1.0, 1.0))]
    smooth = [point.value for point in points.smoothed([(each, 1) for each in values], 0.5)]
    assert smooth == pytest.approx([0.0, 2 / 3, 6 / 7])


def test_asked_piece_by_piece_a_smoothed_line_is_the_same(run: Run) -> None:
    written(run, {step: {"reward/mean": math.sin(step)} for step in range(400)})
    view = View(smooth=0.9)
    whole = points.lines(run, [REWARD], view=view).lines[MEAN + points.SMOOTHED].y
    piece = points.lines(run, [REWARD], view=view, after=299).lines[MEAN + points.SMOOTHED].y
    assert piece == pytest.approx(whole[300:], abs=2e-3)


def test_few_points_are_left_alone() -> None:
    assert thin([at(step) for step in range(10)], 10) == [at(step) for step in range(10)]
    assert thin([], 10) == []


def test_thinning_keeps_both_ends_the_order_and_every_spike() -> None:
    curve = [Point(step, 0.0, math.sin(step / 50)) for step in range(10_000)]
    curve[6_543] = Point(6_543, 0.0, 99.0)
    curve[1_234] = Point(1_234, 0.0, -99.0)
    kept = thin(curve, 2_000)
    assert 1_500 < len(kept) <= 2_000
    assert (kept[0], kept[-1]) == (curve[0], curve[-1])
    assert kept == sorted(kept)
    assert curve[6_543] in kept and curve[1_234] in kept


def test_the_table_is_evenly_spaced_and_ends_with_the_newest_step(run: Run) -> None:
    assert points.table(run, REWARD) == []
    written(run, {step: {"reward/mean": float(step)} for step in range(101)})
    table = points.table(run, REWARD, num_rows=5)
    assert [row["step"] for row in table] == [0, 25, 50, 75, 100]
    assert table[-1]["cells"] == [100.0, None]


# --- Long runs ---


def happened(run: Run, steps: range, *, value: Any = float) -> None:
    """The trainer has written these steps, and somebody has read them."""
    folder = RunDir(run.folder)
    folder.path.mkdir(parents=True, exist_ok=True)
    with folder.events.open("a") as file:
        for step in steps:
            event = {"type": "metrics", "step": step, "time": 1000.0 + step, "values": {"reward/mean": value(step)}}
            file.write(json.dumps(event) + "\n")
    follow(run)


def test_a_long_run_is_read_from_its_summaries_and_keeps_its_spikes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    happened(run, range(1, 1_931), value=lambda step: 99.0 if step == 777 else math.sin(step / 100))
    whole = points.lines(run, [REWARD]).lines[MEAN]
    monkeypatch.setattr(points, "RAW_STEPS", 100)
    found = points.lines(run, [REWARD]).lines[MEAN]
    assert len(found.x) < len(whole.x) / 10
    assert (777, 99.0) in zip(found.x, found.y, strict=True)
    assert (found.x[-1], found.y[-1]) == (1930, whole.y[-1])
    assert found.x == sorted(set(found.x))
    exact = dict(zip(whole.x, whole.y, strict=True))
    assert all(exact[x] == y for x, y in zip(found.x, found.y, strict=True))


def test_summaries_do_not_depend_on_how_the_events_came(run: Run, project: Project) -> None:
    happened(run, range(1, 301))
    other = rows.run(project, "policy")
    for start in range(1, 301, 7):
        happened(other, range(start, min(start + 7, 301)))
    fields = ("number", "last_step", "last_time", "values")
    blocks = list(run.blocks.values_list(*fields))
    assert list(other.blocks.values_list(*fields)) == blocks
    assert [block[0] for block in blocks] == [0, 1, 2, 3, 4, 5]


def test_steps_written_again_are_summed_up_again(run: Run) -> None:
    happened(run, range(1, 201))
    happened(run, range(60, 71), value=lambda _step: -5.0)  # a trainer resumed from an older checkpoint
    lowest = MetricBlock.objects.get(run=run, number=1).values["reward/mean"][0]
    assert lowest[2] == -5.0


def test_the_cost_of_a_look_does_not_grow(
    run: Run, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    happened(run, range(1, 1_001))
    monkeypatch.setattr(points, "RAW_STEPS", 100)
    with django_assert_max_num_queries(3):
        points.lines(run, [REWARD])
