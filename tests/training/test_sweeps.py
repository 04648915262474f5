"""Several seeds of one run: started together, drawn over one another with mean and band, the collapsed ones named."""

import pytest
from django.test import Client

from annotation.models import Project, User
from tests.training import rows
from tests.training.fence import Cast, check
from training import actions, sweeps
from training.curves import POLICY
from training.models import Metric, ModelVersion, Run, Snapshot, Sweep
from training.points import View

REWARD = [chart for chart in POLICY if chart.key == "reward"]


def seeds(project: Project, gains: list[float]) -> list[Run]:
    """Finished runs of one sweep whose reward rises by so much over 40 steps."""
    sweep = Sweep.objects.create(project=project)
    runs = [
        rows.run(project, "policy", sweep=sweep, config={"seed": number, "kl_coef": 0.1})
        for number in range(len(gains))
    ]
    Metric.objects.bulk_create(
        Metric(run=run, step=step, time=float(step), values={"reward/mean": gain * step / 40})
        for run, gain in zip(runs, gains, strict=True)
        for step in range(1, 41)
    )
    return runs


def test_a_sweep_starts_runs_that_differ_in_their_seed(
    project: Project, base: ModelVersion, snapshot: Snapshot, dana: User
) -> None:
    sweep = actions.start_sweep(
        project, kind="reward", config={"seed": 5, "epochs": 2}, by=dana, num_seeds=3, model=base, snapshot=snapshot
    )
    runs = list(sweep.runs.order_by("pk"))
    assert [run.config["seed"] for run in runs] == [5, 6, 7]
    assert sweeps.differing(runs) == [("seed", [5, 6, 7])]
    assert {run.status for run in runs} == {"queued"}


@pytest.mark.parametrize("num_seeds", [0, 1, 9])
def test_too_few_or_too_many_seeds_are_refused(
    project: Project, base: ModelVersion, snapshot: Snapshot, dana: User, num_seeds: int
) -> None:
    with pytest.raises(ValueError, match="2 to 8 seeds"):
        actions.start_sweep(
            project, kind="reward", config={}, by=dana, num_seeds=num_seeds, model=base, snapshot=snapshot
        )
    assert not Run.objects.exists() and not Sweep.objects.exists()


def test_collapsed_seeds_are_named(project: Project) -> None:
    found = sweeps.results(seeds(project, [2.0, 1.8, 0.1, 2.2, -1.0]))
    assert [result.is_collapsed for result in found] == [False, False, True, False, True]
    assert [result.seed for result in found] == [0, 1, 2, 3, 4]


def test_a_failed_seed_has_collapsed_and_one_under_way_has_not(project: Project) -> None:
    runs = seeds(project, [2.0, 0.0, 2.0])
    runs[0].status, runs[1].status = "failed", "running"
    assert [result.is_collapsed for result in sweeps.results(runs)] == [True, False, False]


def test_the_band_goes_from_the_lowest_to_the_highest_seed(project: Project) -> None:
    line = sweeps.band(seeds(project, [1.0, 2.0, 6.0]), REWARD, view=View())["reward:reward/mean:band"]
    assert line["x"] == list(range(1, 41))
    assert (line["low"][-1], line["y"][-1], line["high"][-1]) == (1.0, 3.0, 6.0)


def test_the_band_ends_where_the_slowest_seed_is(project: Project) -> None:
    runs = seeds(project, [1.0, 2.0])
    Metric.objects.filter(run=runs[1], step__gt=30).delete()
    assert sweeps.band(runs, REWARD, view=View(smooth=0.6))["reward:reward/mean:band"]["x"][-1] == 30


def test_the_pages(client: Client, dana: User, project: Project) -> None:
    runs = seeds(project, [2.0, 0.1, 2.2])
    client.force_login(dana)
    pk = runs[0].sweep_id
    page = client.get(f"/runs/sweeps/{pk}/").content.decode()
    assert page.count("collapsed") == 1
    found = client.get(f"/runs/sweeps/{pk}/curves.json?x=&smooth=0.9&after=-1").json()
    assert found["is_whole"] and found["is_finished"]
    assert len(found["lines"]["reward:reward/mean:band"]["low"]) == 40
    assert f"/runs/sweeps/{pk}/" in client.get(f"/runs/{runs[0].pk}/").content.decode()


def test_runs_over_one_another(client: Client, dana: User, project: Project) -> None:
    first, second, _third = seeds(project, [2.0, 0.1, 2.2])
    client.force_login(dana)
    page = client.get(f"/runs/overlay/?run={first.pk}&run={second.pk}&x=time&smooth=0.9&scale=log").content.decode()
    assert f"/runs/{first.pk}/curves.json?x=time&amp;smooth=0.9" in page
    assert f'data-source="reward:reward/mean:{second.pk}"' in page
    other = rows.run(project, "reward")
    for query, sentence in [
        ("", "Choose two runs or more"),
        (f"run={first.pk}", "Choose two runs or more"),
        (f"run={first.pk}&run={other.pk}", "Choose runs of one kind"),
        ("&".join(f"run={rows.run(project, 'policy').pk}" for _ in range(9)), "at most 8 runs"),
    ]:
        assert sentence in client.get(f"/runs/overlay/?{query}").content.decode()


def test_a_run_of_another_project_is_not_laid_over(client: Client, charlie: User, project: Project) -> None:
    first, second = seeds(project, [1.0, 2.0])
    client.force_login(charlie)
    assert "Choose two runs or more" in client.get(f"/runs/overlay/?run={first.pk}&run={second.pk}").content.decode()


def test_fence(cast: Cast, project: Project) -> None:
    pk = seeds(project, [1.0, 2.0])[0].sweep_id
    for page in ("", "curves.json", "curves.csv", "table/reward/"):
        check(cast, f"/runs/sweeps/{pk}/{page}")
