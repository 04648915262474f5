"""Overlays and sweeps in numbers: /runs/overlay/ and /runs/sweeps/<pk>/, table/<chart>/ and curves.csv."""

import csv
import io
import re
from typing import Any

import pytest
from django.test import Client

from annotation.models import Project, User
from tests.training import rows
from tests.training.test_sweeps import seeds
from training import overlaid
from training.curves import POLICY
from training.models import Metric, Run

CHARTS = {chart.key: chart for chart in POLICY}


@pytest.fixture
def runs(project: Project) -> list[Run]:
    """Three seeds over 40 steps; the third has not measured the last ten."""
    made = seeds(project, [1.0, 2.0, 6.0])
    Metric.objects.filter(run=made[2], step__gt=30).delete()
    return made


@pytest.fixture
def reader(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


def lines_of(client: Client, address: str) -> list[dict[str, str]]:
    text = b"".join(client.get(address).streaming_content).decode()  # type: ignore[attr-defined]
    return list(csv.DictReader(io.StringIO(text)))


def query(runs: list[Run]) -> str:
    return "&".join(f"run={run.pk}" for run in runs)


def test_a_table_has_the_steps_that_any_run_has(runs: list[Run]) -> None:
    found = dict(overlaid.table(runs, CHARTS["reward"], has_band=True))
    assert len(found) == 20 and {1, 40} <= set(found)
    # Of each run reward and reward minus KL, which was not measured; then mean, lowest and highest of both.
    assert found[1] == [1 / 40, None, 2 / 40, None, 6 / 40, None, pytest.approx(3 / 40), 1 / 40, 6 / 40, *[None] * 3]
    assert found[40] == [1.0, None, 2.0, None, None, None, *[None] * 6], "a band is of all seeds or is not"


def test_a_path_has_both_of_its_coordinates_and_no_band(runs: list[Run]) -> None:
    Metric.objects.filter(run=runs[0], step=40).update(values={"reward/mean": 1.0, "kl/sequence": 9.0})
    chart = CHARTS["reward_by_kl"]
    assert [len(group.heads) for group in overlaid.groups(runs, chart, has_band=True)] == [2, 2, 2]
    assert overlaid.table(runs, chart, has_band=True)[-1] == (40, [3.0, 1.0, None, 2.0, None, None])


def test_as_many_heads_as_cells(runs: list[Run]) -> None:
    for key in ("reward", "reward_by_kl"):
        for has_band in (False, True):
            heads = [head for group in overlaid.groups(runs, CHARTS[key], has_band=has_band) for head in group.heads]
            cells = overlaid.table(runs, CHARTS[key], has_band=has_band)[0][1]
            assert len(heads) == len(cells)


def test_the_cost_does_not_grow_with_the_runs(runs: list[Run], django_assert_num_queries: Any) -> None:
    for some in (runs[:2], runs):
        with django_assert_num_queries(2):
            overlaid.table(some, CHARTS["reward"])


def test_the_csv_of_a_sweep_has_its_band(reader: Client, runs: list[Run]) -> None:
    there = f"/runs/sweeps/{runs[0].sweep_id}/curves.csv"
    found = lines_of(reader, there)
    assert [int(line["step"]) for line in found] == list(range(1, 41))
    last, whole = found[-1], found[29]
    assert [last[f"reward/mean:{run.pk}"] for run in runs] == ["1.0", "2.0", ""]
    assert (last[f"time:{runs[0].pk}"], last[f"time:{runs[2].pk}"]) == ("40.0", "")
    assert [last[f"reward/mean:{part}"] for part in overlaid.BAND] == ["", "", ""]
    assert [float(whole[f"reward/mean:{part}"]) for part in overlaid.BAND] == pytest.approx([2.25, 0.75, 4.5])
    one = reader.get(f"{there}?chart=reward")
    assert one["Content-Disposition"] == f'attachment; filename="sweep-{runs[0].sweep_id}-reward.csv"'
    assert reader.get(f"{there}?chart=nothing").status_code == 404


def test_the_csv_of_an_overlay(reader: Client, runs: list[Run]) -> None:
    chosen = runs[:2]
    for run in chosen:
        rows.metrics(run, 5, first=41)
    everything = lines_of(reader, f"/runs/overlay/curves.csv?{query(chosen)}")
    measured = Metric.objects.get(run=chosen[1], step=45).values
    assert {name: float(everything[-1][f"{name}:{chosen[1].pk}"]) for name in measured} == measured
    assert not any(name.endswith(overlaid.BAND) for name in everything[0])
    of_one = lines_of(reader, f"/runs/overlay/curves.csv?{query(chosen)}&chart=reward_by_kl")
    columns = ("time", "kl/sequence", "reward/mean")
    assert list(of_one[0]) == ["step", *(f"{name}:{run.pk}" for run in chosen for name in columns)]


def test_runs_without_a_value_leave_only_the_head(reader: Client, project: Project) -> None:
    empty = [rows.run(project, "policy"), rows.run(project, "policy")]
    answer = reader.get(f"/runs/overlay/curves.csv?{query(empty)}")
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    assert text == f"step,time:{empty[0].pk},time:{empty[1].pk}\r\n"
    assert "Nothing measured yet." in reader.get(f"/runs/overlay/table/reward/?{query(empty)}").content.decode()


def test_each_chart_leads_to_its_table_and_this_to_its_file(reader: Client, runs: list[Run]) -> None:
    for page in (f"/runs/overlay/?{query(runs)}", f"/runs/sweeps/{runs[0].sweep_id}/"):
        overview = reader.get(page).content.decode()
        address = re.findall(r'hx-get="([^"]+/table/reward/[^"]*)"', overview)[0].replace("&amp;", "&")
        whole = reader.get(address).content.decode()
        assert page.replace("&", "&amp;") in whole
        fragment = reader.get(address, headers={"HX-Request": "true"}).content.decode()
        assert "<html" not in fragment and fragment.count("<tr>") == 22
        file = re.findall(r'href="([^"]+curves\.csv[^"]*)"', fragment)[0].replace("&amp;", "&")
        assert len(lines_of(reader, file)) == 40


def test_an_overlay_that_cannot_be_drawn_has_no_numbers(reader: Client, charlie: User, runs: list[Run]) -> None:
    for some in (runs[:1], [*runs[:1], rows.run(runs[0].project, "reward")]):
        assert reader.get(f"/runs/overlay/table/reward/?{query(some)}").status_code == 404
    assert reader.get(f"/runs/overlay/table/nothing/?{query(runs)}").status_code == 404
    reader.force_login(charlie)
    assert reader.get(f"/runs/overlay/curves.csv?{query(runs)}").status_code == 404
