"""/runs/<pk>/steps/<step>/: what a point of a curve stands for, and where it comes from."""

from typing import Any

import pytest
from django.test import Client

from annotation.models import Project, User
from tests.training import rows
from tests.training.fence import Cast, check
from training.models import Metric, ModelVersion
from training.rlhf.spread import spread


@pytest.fixture
def tuned(project: Project) -> ModelVersion:
    base, frozen = rows.base(project), rows.snapshot(project, num_simulated=400)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    return rows.policy(project, model=base, scorer=scorer, snapshot=frozen)


def page(client: Client, by: User, version: ModelVersion, step: int) -> str:
    client.force_login(by)
    return client.get(f"/runs/{version.run_id}/steps/{step}/").content.decode()


def test_a_point_has_its_answers_and_its_origin(client: Client, bob: User, tuned: ModelVersion) -> None:
    Metric.objects.filter(run=tuned.run, step=14).update(spreads={"reward": spread([0.0, 1.0])})
    text = page(client, bob, tuned, 14)
    assert "answered last after step 10" in text and "After 10 steps I would say" in text
    assert "After 20 steps" not in text
    assert f'href="/runs/{tuned.run_id}/steps/13/"' in text and f'href="/runs/{tuned.run_id}/steps/15/"' in text
    assert tuned.run and f'href="/snapshots/{tuned.run.snapshot_id}/"' in text
    assert f'href="/snapshots/{tuned.run.snapshot_id}/?prompt=0"' in text
    assert "Rewards of the answers" in text and "400 simulated" in text
    assert "answered right after this step" in page(client, bob, tuned, 20)


def test_the_table_of_a_chart_leads_there(client: Client, bob: User, tuned: ModelVersion) -> None:
    client.force_login(bob)
    table = client.get(f"/runs/{tuned.run_id}/table/reward/").content.decode()
    assert f'<a href="/runs/{tuned.run_id}/steps/40/">40</a>' in table


def test_a_run_without_samples(client: Client, bob: User, tuned: ModelVersion) -> None:
    assert tuned.run and tuned.run.reward_model
    text = page(client, bob, tuned.run.reward_model, 10)
    assert "What it answered" not in text and "What it had learned from" in text


@pytest.mark.parametrize("step", [0, 41, 10**30])
def test_a_step_that_measured_nothing(client: Client, bob: User, tuned: ModelVersion, step: int) -> None:
    client.force_login(bob)
    assert client.get(f"/runs/{tuned.run_id}/steps/{step}/").status_code == 404


def test_fence(cast: Cast, tuned: ModelVersion) -> None:
    check(cast, f"/runs/{tuned.run_id}/steps/20/")


def test_queries(client: Client, bob: User, tuned: ModelVersion, django_assert_max_num_queries: Any) -> None:
    client.force_login(bob)
    with django_assert_max_num_queries(16):
        client.get(f"/runs/{tuned.run_id}/steps/20/")
