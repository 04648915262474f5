"""The loop gone round once with real runs of a model of two layers, for the tests of the pages that show them.

Every step is the product's own: people and simulated annotators label through the queue, the labels are frozen, the
real trainer runs. It is made once a module and kept as rows and folders; the next test loads the rows.
"""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass
from pathlib import Path

from django.core.management import call_command

from annotation import actions as labelling
from annotation import queue
from annotation.models import Project, Role, User
from tests.annotation.conftest import make_tasks
from tests.training.trainers import SHORT, carry_out_here
from training import actions, answers, likelihoods, snapshots
from training.models import ModelVersion, Round, Run, Snapshot, Sweep

NUM_TASKS, BY_ALICE, NUM_STEPS = 24, 8, 4
REWARD = {**SHORT, "max_steps": 8, "epochs": 8, "batch_size": 8, "evaluate_every": 2, "learning_rate": 0.01}
POLICY = {
    **SHORT, "max_response_tokens": 6, "num_steps": NUM_STEPS, "rollout_batch_size": 8, "sample_every": 2,
    "num_sample_prompts": 2, "replace_missing_eos": False, "learning_rate": 0.01,
}  # fmt: skip
ROWS = "rows.json"


@dataclass(frozen=True)
class LoopWorld:
    """What the tests ask for; everything is looked up by what it is."""

    @property
    def project(self) -> Project:
        return Project.objects.get()

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot.objects.get()

    @property
    def sweep(self) -> Sweep:
        return Sweep.objects.get()

    @property
    def round(self) -> Round:
        return Round.objects.get()

    def run(self, kind: str) -> Run:
        return Run.objects.get(kind=kind, sweep=None)

    def person(self, name: str) -> User:
        return User.objects.get(username=name)

    @property
    def starter(self) -> ModelVersion:
        return ModelVersion.objects.get(name="starter")

    @property
    def scorer(self) -> ModelVersion:
        return ModelVersion.objects.get(run=self.run("reward"))

    @property
    def tuned(self) -> ModelVersion:
        return ModelVersion.objects.get(run=self.run("policy"))

    @property
    def diff(self) -> str:
        return f"/models/compare/?a={self.starter.pk}&b={self.tuned.pk}"


def loop_world(folder: Path) -> LoopWorld:
    """Made in the folder by the first who asks; loaded from it for the others."""
    if (folder / ROWS).exists():
        call_command("loaddata", str(folder / ROWS), verbosity=0)
    else:
        go_round(folder)
        call_command("dumpdata", "annotation", "training", output=str(folder / ROWS), verbosity=0)
    return LoopWorld()


def go_round(folder: Path) -> None:
    # Loads torch, which the other browser tests do not need.
    from tests.rlhf.nano import save_nano_policy  # noqa: PLC0415

    project = labelling.create_project("Support replies", by=None, guidelines="## Be kind", overlap=1)
    people = {}
    for name, role in (("alice", Role.ANNOTATOR), ("rita", Role.REVIEWER), ("carol", Role.ADMIN)):
        people[name] = User.objects.create(username=name)
        labelling.add_member(project, user=people[name], role=role)
    carol = people["carol"]
    make_tasks(project, NUM_TASKS)
    for _task in range(BY_ALICE):
        judge_next(project, people["alice"])
    simulate(project, NUM_TASKS)
    snapshot = snapshots.freeze(project, by=carol, validation_share=0.2, test_share=0.2)
    starter = actions.register_version(project, path=save_nano_policy(folder / "starter"), name="starter", kind="base")
    inputs = {"snapshot": snapshot, "model": starter, "by": carol}
    scorer = made(actions.start_run(project, kind="reward", config=REWARD, **inputs))
    inputs["reward_model"] = scorer
    tuned = made(actions.start_run(project, kind="policy", config=POLICY, **inputs))
    for run in actions.start_sweep(project, kind="policy", config=POLICY, num_seeds=2, **inputs).runs.all():
        carry_out_here(run)
    for run in answers.start_missing(starter, tuned, by=carol):
        run.config |= SHORT
        run.save(update_fields=["config"])
        carry_out_here(run)
    carry_out_here(likelihoods.start_reading(starter, tuned, by=carol))
    actions.publish_round(tuned, opponent=starter, num=8, random_share=0.5, by=carol)
    simulate(project, 8)


def judge_next(project: Project, person: User) -> None:
    """Prefers the longer answer."""
    lent = queue.claim(person, project=project)
    assert lent
    preferred = max(lent.shown, key=lambda answer: len(answer.text))
    labelling.judge(lent, by=person, submission_key=uuid.uuid4(), preferred=preferred, strength=2, rationale="Fuller.")


def simulate(project: Project, num: int) -> None:
    call_command("simulate_annotators", project=project.slug, annotators=2, judgments=num, seed=0, stdout=io.StringIO())


def made(run: Run) -> ModelVersion:
    version: ModelVersion = carry_out_here(run).version
    return version
