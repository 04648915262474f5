"""How long a run may take, told from one that is over: more rows take longer, another family tells nothing."""

import math

import pytest

from annotation.models import Project
from tests.training import rows
from training import durations
from training.models import ModelVersion, Run, Snapshot

NUM_PAIRS = 378
"""To train on, of the 540 of rows.snapshot: 70 %."""


@pytest.fixture
def starter(project: Project) -> ModelVersion:
    return rows.base(project)


@pytest.fixture
def frozen(project: Project) -> Snapshot:
    found = rows.snapshot(project)
    found.counts["splits"]["train"]["pairs"] = NUM_PAIRS
    found.save()
    return found


def reward_run(frozen: Snapshot, model: ModelVersion, **config: object) -> Run:
    return Run(project=frozen.project, kind="reward", snapshot=frozen, model=model, config=config)


def test_a_run_is_expected_to_keep_the_pace_of_one_like_it(
    project: Project, starter: ModelVersion, frozen: Snapshot
) -> None:
    assert durations.expected(reward_run(frozen, starter)) is None, "nothing is over yet"
    learned = rows.reward_model(project, model=starter, snapshot=frozen)
    rows.Metric.objects.filter(run=learned.run, step__gt=11).delete()  # steps 1 to 11, a second each
    learned.run.config = {"batch_size": 16}
    learned.run.save()

    def seconds(model: ModelVersion = starter, **config: object) -> float:
        found = durations.expected(reward_run(frozen, model, **config))
        assert found and found.like == learned.run
        return found.seconds

    assert seconds(batch_size=16, epochs=1) == pytest.approx(math.ceil(NUM_PAIRS / 16))
    assert seconds(batch_size=16, epochs=3) == pytest.approx(3 * math.ceil(NUM_PAIRS / 16))
    assert seconds(batch_size=32, epochs=1) == pytest.approx(2 * math.ceil(NUM_PAIRS / 32)), "a step of twice the rows"
    assert seconds(batch_size=16, epochs=3, max_steps=5) == pytest.approx(5)
    assert seconds(batch_size=16, model=learned, epochs=1) == pytest.approx(math.ceil(NUM_PAIRS / 16)), "a descendant"


def test_a_policy_run_is_expected_by_its_rollouts(project: Project, starter: ModelVersion, frozen: Snapshot) -> None:
    scorer = rows.reward_model(project, model=starter, snapshot=frozen)
    learned = rows.policy(project, model=starter, scorer=scorer, snapshot=frozen)
    learned.run.config = {"rollout_batch_size": 64}
    learned.run.save()
    config = {"rollout_batch_size": 32, "total_episodes": 6400, "num_minibatches": 4}
    found = durations.expected(Run(project=project, kind="policy", model=starter, reward_model=scorer, config=config))
    assert found and found.like == learned.run and found.seconds == pytest.approx(100)


def test_what_is_of_no_use_tells_nothing(project: Project, starter: ModelVersion, frozen: Snapshot) -> None:
    learned = rows.reward_model(project, model=starter, snapshot=frozen)
    assert durations.expected(reward_run(frozen, starter)) is not None
    assert durations.expected(reward_run(frozen, rows.base(project, "another"))) is None, "another family"
    assert durations.expected(reward_run(frozen, starter, batch_size=0)) is None, "a setting that makes no sense"
    assert durations.expected(Run(project=project, kind="generate", model=starter)) is None
    assert durations.expected(Run(project=project, kind="sft", snapshot=frozen, model=starter)) is None, "another kind"
    rows.Metric.objects.filter(run=learned.run, step__gt=1).delete()
    assert durations.expected(reward_run(frozen, starter)) is None, "one step has no pace"
    rows.metrics(learned.run, 3, first=2)
    Run.objects.filter(pk=learned.run_id).update(attempt=1)
    assert durations.expected(reward_run(frozen, starter)) is None, "its seconds hold those in which nobody trained"
