"""The verbs of runs and versions: what they refuse and in which words, and what two people do at once."""

import datetime
import threading
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from annotation.models import AuditEntry, Project, User
from training import actions
from training.models import ModelVersion, Run, Snapshot

Status = Run.Status


@pytest.fixture
def reward_model(project: Project) -> ModelVersion:
    return ModelVersion.objects.create(project=project, name="rm", kind="reward", location="/nowhere/rm")


def stale(run: Run, **changes: object) -> None:
    """Running, in the hands of a worker that has been silent for an hour."""
    then = timezone.now() - datetime.timedelta(hours=1)
    Run.objects.filter(pk=run.pk).update(status=Status.RUNNING, worker="gone:1", heartbeat_at=then, **changes)


# start_run


def test_start_run_keeps_the_whole_config_without_paths(run: Run, dana: User) -> None:
    run.refresh_from_db()
    assert run.status == Status.QUEUED and run.created_by == dana
    assert run.config["epochs"] == 2 and run.config["batch_size"] == 32
    assert "model" not in run.config and "kind" not in run.config
    assert actions.trainer_config(run).model == run.model.location


@pytest.mark.parametrize(
    ("kind", "config", "sentence"),
    [
        ("reward", {"learning_rate": "abc"}, "learning_rate must be a number, got 'abc'"),
        ("reward", {"learnig_rate": 1.0}, "Did you mean 'learning_rate'?"),
        ("policy", {}, "Choose the reward model"),
        ("sft", {}, "holds no demonstrations"),
        ("dance", {}, "kind must be one of sft, reward"),
    ],
)
def test_start_run_refuses_in_a_sentence(
    project: Project, base: ModelVersion, snapshot: Snapshot, kind: str, config: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?")):
        actions.start_run(project, kind=kind, config=config, by=None, snapshot=snapshot, model=base)
    assert not Run.objects.exists()


def test_start_run_needs_its_data_and_models_from_this_project(
    project: Project, base: ModelVersion, snapshot: Snapshot, reward_model: ModelVersion
) -> None:
    other = Project.objects.create(slug="other", name="Other")
    with pytest.raises(ValueError, match="Choose the model version"):
        actions.start_run(project, kind="reward", config={}, by=None, snapshot=snapshot)
    with pytest.raises(ValueError, match="Choose a snapshot: this run needs its pairs"):
        actions.start_run(project, kind="reward", config={}, by=None, model=base)
    with pytest.raises(ValueError, match="belongs to another project"):
        actions.start_run(other, kind="reward", config={}, by=None, snapshot=snapshot, model=base)
    with pytest.raises(ValueError, match="rm is a reward model: choose a base model or a policy"):
        actions.start_run(project, kind="policy", config={}, by=None, model=reward_model, reward_model=reward_model)
    with pytest.raises(ValueError, match="starter is a base model: choose a reward model"):
        actions.start_run(project, kind="policy", config={}, by=None, model=base, reward_model=base)


def test_a_policy_steered_by_values_writes_but_is_not_trained_on(
    project: Project, base: ModelVersion, snapshot: Snapshot
) -> None:
    run = actions.start_run(project, kind="ilql", config={}, by=None, snapshot=snapshot, model=base)
    steered = ModelVersion.objects.create(project=project, name="ilql-1", kind="policy", location="x", run=run)
    assert actions.start_run(project, kind="generate", config={}, by=None, model=steered)
    with pytest.raises(ValueError, match="ilql-1 is steered by token values"):
        actions.start_run(project, kind="dpo", config={}, by=None, snapshot=snapshot, model=steered)
    with pytest.raises(ValueError, match="Choose a snapshot: this run needs its pairs"):
        actions.start_run(project, kind="ilql", config={}, by=None, model=base)


def test_a_pinned_revision_comes_from_the_version(project: Project, snapshot: Snapshot) -> None:
    hub = actions.register_version(project, path="org/model", revision="abc123", name="hub", kind="base")
    run = actions.start_run(project, kind="reward", config={}, by=None, snapshot=snapshot, model=hub)
    config = actions.trainer_config(run)
    assert (config.model, config.revision) == ("org/model", "abc123")


def test_rerun_changes_only_what_is_said(run: Run, dana: User) -> None:
    again = actions.rerun(run, by=dana, changes={"learning_rate": 0.5})
    assert again.pk != run.pk and again.status == Status.QUEUED
    assert again.config == {**run.config, "learning_rate": 0.5}
    assert (again.model, again.snapshot) == (run.model, run.snapshot)


# cancel_run, resume_run


def test_cancel_while_queued_ends_it_at_once(run: Run, dana: User) -> None:
    actions.cancel_run(run, by=dana)
    assert run.status == Status.CANCELLED and run.finished_at
    with pytest.raises(ValueError, match=r"already ended \(cancelled\)"):
        actions.cancel_run(run, by=dana)


def test_cancel_while_running_asks_the_worker(run: Run, dana: User) -> None:
    run.move(Status.QUEUED, Status.RUNNING)
    actions.cancel_run(run, by=dana)
    assert run.status == Status.RUNNING and run.is_cancel_requested


@pytest.mark.parametrize("ended", [Status.FAILED, Status.CANCELLED])
def test_resume_queues_it_again(run: Run, dana: User, ended: Run.Status) -> None:
    changes = {"error": "x", "attempt": 3, "is_cancel_requested": True, "finished_at": timezone.now()}
    run.move(Status.QUEUED, ended, **changes)
    actions.resume_run(run, by=dana)
    assert (run.status, run.error, run.attempt, run.is_cancel_requested) == (Status.QUEUED, "", 0, False)
    assert run.finished_at is None


def test_a_run_that_succeeded_is_not_resumed(run: Run, dana: User) -> None:
    run.move(Status.QUEUED, Status.SUCCEEDED)
    with pytest.raises(ValueError, match="this one is succeeded"):
        actions.resume_run(run, by=dana)


# fail_stale_runs


def test_the_sweeper_queues_an_abandoned_run_again(run: Run) -> None:
    stale(run)
    assert [swept.pk for swept in actions.fail_stale_runs()] == [run.pk]
    run.refresh_from_db()
    assert (run.status, run.attempt, run.worker) == (Status.QUEUED, 1, "")
    assert actions.fail_stale_runs() == []


def test_the_sweeper_gives_up_after_max_restarts(run: Run) -> None:
    stale(run, attempt=3)
    assert actions.fail_stale_runs() == []
    run.refresh_from_db()
    assert run.status == Status.FAILED and "lost 4 times" in run.error and run.finished_at


def test_the_sweeper_finishes_what_was_to_be_cancelled(run: Run) -> None:
    stale(run, is_cancel_requested=True)
    assert actions.fail_stale_runs() == []
    run.refresh_from_db()
    assert run.status == Status.CANCELLED


def test_the_sweeper_leaves_a_beating_heart_alone(run: Run) -> None:
    run.move(Status.QUEUED, Status.RUNNING, worker="here:1", heartbeat_at=timezone.now())
    assert actions.fail_stale_runs() == []
    run.refresh_from_db()
    assert run.status == Status.RUNNING


def test_a_lost_message_is_sent_again_once_in_a_while(run: Run) -> None:
    assert actions.fail_stale_runs() == []
    Run.objects.filter(pk=run.pk).update(queued_at=timezone.now() - datetime.timedelta(seconds=301))
    assert [sent.pk for sent in actions.fail_stale_runs()] == [run.pk]
    assert actions.fail_stale_runs() == []


def test_a_swept_worker_no_longer_moves_the_run(run: Run) -> None:
    stale(run)
    actions.fail_stale_runs()
    assert not run.move(Status.RUNNING, Status.SUCCEEDED, held_by="gone:1")
    Run.objects.filter(pk=run.pk).update(status=Status.RUNNING, worker="next:2")
    assert not run.move(Status.RUNNING, Status.SUCCEEDED, held_by="gone:1")
    assert run.move(Status.RUNNING, Status.SUCCEEDED, held_by="next:2")


@pytest.mark.django_db(transaction=True)
def test_of_many_claims_at_once_one_wins(run: Run) -> None:
    won: list[bool] = []
    start = threading.Barrier(8)

    def claim(number: int) -> None:
        try:
            mine = Run.objects.get(pk=run.pk)
            start.wait()
            won.append(mine.move(Status.QUEUED, Status.RUNNING, worker=f"w{number}"))
        finally:
            connection.close()

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]


# register_version


def test_register_version_keeps_a_copy(project: Project, base: ModelVersion, nano_policy: Path, settings) -> None:
    assert base.folder == settings.MODELS_DIR / "support" / "starter"
    assert (base.folder / "model.safetensors").read_bytes() == (nano_policy / "model.safetensors").read_bytes()
    assert len(base.checksum) == 64
    other = actions.register_version(project, path=nano_policy, name="starter-2", kind="base", parent=base)
    assert other.checksum == base.checksum and other.parent == base


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("starter", "base", "already has a version named “starter”"),
        ("a b", "base", "“a b” is no name for a version"),
        ("new", "tree", "kind must be one of base, policy, reward"),
        ("new", "reward", "its plumbline.json must say kind reward"),
    ],
)
def test_register_version_refuses_in_a_sentence(
    project: Project, base: ModelVersion, nano_policy: Path, name: str, kind: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        actions.register_version(project, path=nano_policy, name=name, kind=kind)


def test_register_version_wants_safetensors(project: Project, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs a config\.json"):
        actions.register_version(project, path=tmp_path, name="x", kind="base")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ValueError, match="holds no safetensors weights"):
        actions.register_version(project, path=tmp_path, name="x", kind="base")


# promote


def test_promote_archives_the_former_one(project: Project, base: ModelVersion, dana: User) -> None:
    better = ModelVersion.objects.create(project=project, name="policy-2", kind="base", location="/x")
    actions.promote(base, stage="production", by=dana, reason="the first")
    actions.promote(better, stage="production", by=dana, reason="wins 60 %")
    base.refresh_from_db()
    assert (base.stage, better.stage) == ("archived", "production")
    newest = base.stage_changes.first()
    assert newest is not None and newest.reason == "policy-2 took its place." and newest.by == dana
    log = AuditEntry.objects.filter(verb="model.promoted", subject=base.name).latest("pk")
    assert (log.actor, log.details) == (dana, {"stage": ["production", "archived"]})


def test_promote_refuses_in_a_sentence(base: ModelVersion, dana: User) -> None:
    with pytest.raises(ValueError, match="Say why"):
        actions.promote(base, stage="production", by=dana, reason="  ")
    with pytest.raises(ValueError, match="already at this stage"):
        actions.promote(base, stage="candidate", by=dana, reason="x")
    with pytest.raises(ValueError, match="stage must be one of"):
        actions.promote(base, stage="gold", by=dana, reason="x")


@pytest.mark.django_db(transaction=True)
def test_two_promotions_at_once_leave_one_in_production(project: Project, dana: User) -> None:
    versions = [
        ModelVersion.objects.create(project=project, name=f"v{number}", kind="base", location="/x")
        for number in range(6)
    ]
    errors: list[Exception] = []

    def run_promotion(version: ModelVersion) -> None:
        try:
            actions.promote(version, stage="production", by=dana, reason="race")
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run_promotion, args=(version,)) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert ModelVersion.objects.filter(stage="production").count() == 1
    assert ModelVersion.objects.filter(stage="archived").count() == 5
