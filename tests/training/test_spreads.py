"""How a run's rewards are spread: from what the trainer writes to panels, a table and a file."""

import itertools
from typing import Any

import pytest
from django.test import Client

from annotation.models import Project, User
from tests.training import rows
from training import spreads
from training.models import Metric, Run
from training.rlhf.spread import spread


def counted(run: Run, values_of: dict[int, list[float]]) -> None:
    Metric.objects.bulk_create(
        Metric(run=run, step=step, time=0.0, values={"reward/mean": 1.0}, spreads={"reward": spread(values)})
        for step, values in values_of.items()
    )


@pytest.fixture
def run(project: Project) -> Run:
    """A hundred steps whose rewards rise and draw together."""
    run = rows.run(project, "policy", model=rows.base(project), config={})
    counted(run, {step: [step / 50 - 2 / step, step / 50, step / 50 + 2 / step] for step in range(1, 101)})
    return run


def test_steps_of_different_widths_are_added_up_exactly() -> None:
    values = [[-3.0, -0.2, 0.1, 9.9], [0.1, 0.1, 0.13], [5.0]]
    (first, second) = spreads.over_common_bins(
        [([1, 2], [spread(values[0]), spread(values[1])]), ([9], [spread(values[2])])]
    )
    assert (first.first_step, first.last_step, second.first_step) == (1, 2, 9)
    assert [each.low for each in first.bins] == [each.low for each in second.bins]
    assert len(first.bins) <= spreads.MOST_BINS
    for panel, group in ((first, [*values[0], *values[1]]), (second, values[2])):
        assert panel.num == len(group)
        for each in panel.bins:
            assert each.count == sum(each.low <= value < each.high for value in group)


def test_bins_far_apart_are_widened_until_they_are_few() -> None:
    panels = spreads.over_common_bins([([1], [spread([0.0, 0.01])]), ([2], [spread([1000.0, 1000.01])])])
    assert len(panels[0].bins) <= spreads.MOST_BINS
    assert [panel.num for panel in panels] == [2, 2]


def test_panels_lie_over_the_whole_run(run: Run, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(3):
        panels = spreads.panels(run)
    assert len(panels) == spreads.PANELS
    assert panels[0].first_step == 1 and panels[-1].last_step == 100
    assert all(panel.num == 3 * spreads.STRETCH for panel in panels)
    assert all(a.last_step < b.first_step for a, b in itertools.pairwise(panels))


@pytest.mark.parametrize("num", [1, 2, 5, 7, 13])
def test_short_runs_have_as_many_panels_as_steps(project: Project, num: int) -> None:
    run = rows.run(project, "policy", config={})
    counted(run, {step: [0.0, 1.0] for step in range(1, num + 1)})
    panels = spreads.panels(run)
    assert len(panels) == min(num, spreads.PANELS)
    assert (panels[0].first_step, panels[-1].last_step) == (1, num)


def test_an_older_run_says_nothing(client: Client, bob: User, project: Project) -> None:
    run = rows.run(project, "policy", config={})
    rows.metrics(run, 5)
    assert spreads.panels(run) == []
    client.force_login(bob)
    assert "Rewards of the answers" not in client.get(f"/runs/{run.pk}/").content.decode()
    assert "has kept no spread" in client.get(f"/runs/{run.pk}/rewards/").content.decode()


def test_the_page_its_table_and_its_file(client: Client, bob: User, run: Run) -> None:
    client.force_login(bob)
    page = client.get(f"/runs/{run.pk}/").content.decode()
    assert "Rewards of the answers" in page and "steps 93 to 100" in page
    table = client.get(f"/runs/{run.pk}/rewards/").content.decode()
    assert f'<a href="/runs/{run.pk}/">' in table and "step 100" in table
    lines = b"".join(client.get(f"/runs/{run.pk}/rewards.csv")).decode().splitlines()  # type: ignore[arg-type]
    assert lines[0] == "step,low,high,answers"
    by_step: dict[int, int] = {}
    for line in lines[1:]:
        step, low, high, num = line.split(",")
        assert float(low) < float(high)
        by_step[int(step)] = by_step.get(int(step), 0) + int(num)
    assert by_step == dict.fromkeys(range(1, 101), 3)


def test_an_evaluation_shows_its_one_spread(client: Client, bob: User, project: Project) -> None:
    run = rows.run(project, "evaluate", summary={"reward/mean": 0.5, "reward/spread": spread([0.0, 0.5, 1.0])})
    client.force_login(bob)
    page = client.get(f"/runs/{run.pk}/").content.decode()
    assert "Rewards of the answers" in page and "3 answers" in page
    assert b"0,0.0,0.0625,1" in b"".join(client.get(f"/runs/{run.pk}/rewards.csv"))  # type: ignore[arg-type]
