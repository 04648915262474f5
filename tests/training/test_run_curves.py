"""/runs/<pk>/curves.json, curves.csv and table/<chart>/: a run's points, all of them once and then the new ones."""

import csv
import io

import pytest
from django.test import Client

from annotation.models import Project, User
from tests.training import rows
from tests.training.fence import Cast, check
from training import points
from training.models import Metric, Run


@pytest.fixture
def run(project: Project) -> Run:
    run = rows.run(project, "policy", status="running")
    rows.metrics(run, 20)
    return run


@pytest.fixture
def reader(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


def test_it_works(reader: Client, run: Run) -> None:
    found = reader.get(f"/runs/{run.pk}/curves.json").json()
    line = found["lines"]["reward:reward/mean"]
    assert line["x"] == list(range(1, 20)), "the newest step of an unfinished run may still gain values"
    assert len(line["y"]) == 19
    assert line["y"][0] == pytest.approx(rows.values_at("policy", 1)["reward/mean"], rel=1e-5)
    assert found["after"] == 19
    assert not found["is_finished"]


def test_fence(cast: Cast, run: Run) -> None:
    for page in ("curves.json", "curves.csv", "table/reward/"):
        check(cast, f"/runs/{run.pk}/{page}")


def test_only_what_is_new_is_sent(reader: Client, run: Run) -> None:
    rows.metrics(run, 5, first=21)
    found = reader.get(f"/runs/{run.pk}/curves.json?after=19").json()
    assert found["lines"]["kl:kl/sequence"]["x"] == [20, 21, 22, 23, 24]
    assert found["after"] == 24
    assert reader.get(f"/runs/{run.pk}/curves.json?after=24").json() == {"lines": {}, "after": 24, "is_finished": False}


def test_asking_step_by_step_gives_the_same_as_asking_once(reader: Client, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(status="succeeded")
    whole = reader.get(f"/runs/{run.pk}/curves.json").json()
    assert whole["is_finished"]
    assert whole["after"] == 20
    pieces: list[float] = []
    for after in range(0, 20, 4):
        piece = reader.get(f"/runs/{run.pk}/curves.json?after={after}").json()["lines"]["reward:reward/mean"]
        pieces += [y for x, y in zip(piece["x"], piece["y"], strict=True) if x <= after + 4]
    assert pieces == whole["lines"]["reward:reward/mean"]["y"]


def test_bad_input_gets_a_sentence(reader: Client, run: Run) -> None:
    answer = reader.get(f"/runs/{run.pk}/curves.json?after=yesterday")
    assert answer.status_code == 400
    assert "whole number" in answer.json()["error"]


def test_ten_thousand_steps_are_thinned_on_the_server(reader: Client, run: Run, django_assert_max_num_queries) -> None:  # type: ignore[no-untyped-def]
    rows.metrics(run, 10_000, first=21)
    with django_assert_max_num_queries(8):
        answer = reader.get(f"/runs/{run.pk}/curves.json")
    lengths = {name: len(line["x"]) for name, line in answer.json()["lines"].items()}
    assert max(lengths.values()) <= points.MAX_POINTS
    assert min(lengths.values()) > 1_000
    assert len(answer.content) < 1_000_000


def test_csv_has_every_value(reader: Client, run: Run) -> None:
    answer = reader.get(f"/runs/{run.pk}/curves.csv")
    lines = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [line["step"] for line in lines] == [str(step) for step in range(1, 21)]
    assert float(lines[-1]["reward/mean"]) == rows.values_at("policy", 20)["reward/mean"]
    assert answer["Content-Disposition"] == f'attachment; filename="run-{run.pk}.csv"'


def test_csv_of_one_curve(reader: Client, run: Run) -> None:
    there = f"/runs/{run.pk}/curves.csv?chart="
    lines = list(csv.reader(io.StringIO(b"".join(reader.get(there + "reward").streaming_content).decode())))
    assert lines[0] == ["step", "time", "reward/mean", "reward/with_kl"]
    measured = Metric.objects.filter(run=run, values__has_key="reward/mean").order_by("step")
    assert [(int(line[0]), float(line[2])) for line in lines[1:]] == [
        (each.step, each.values["reward/mean"]) for each in measured
    ]
    assert reader.get(there + "nothing").status_code == 404
    assert "curves.csv?chart=reward" in reader.get(f"/runs/{run.pk}/table/reward/").content.decode()


def test_csv_of_steps_that_measured_different_things(reader: Client, project: Project) -> None:
    run = rows.run(project, "reward")
    rows.metrics(run, 10)
    text = b"".join(reader.get(f"/runs/{run.pk}/curves.csv").streaming_content).decode()
    lines = list(csv.DictReader(io.StringIO(text)))
    assert lines[8]["validation/loss"] == ""
    assert float(lines[9]["validation/loss"]) > 0


def test_csv_of_a_run_without_values_has_only_its_header(reader: Client, project: Project) -> None:
    run = rows.run(project, "reward")
    assert b"".join(reader.get(f"/runs/{run.pk}/curves.csv").streaming_content) == b"step,time\r\n"


def test_the_table_of_a_chart(reader: Client, run: Run) -> None:
    page = reader.get(f"/runs/{run.pk}/table/reward_by_kl/")
    assert "√KL" in page.content.decode()
    fragment = reader.get(f"/runs/{run.pk}/table/reward/", **{"HTTP_HX-Request": "true"}).content.decode()
    assert "<html" not in fragment
    assert fragment.count("<tr>") == 21
    assert reader.get(f"/runs/{run.pk}/table/unknown/").status_code == 404
