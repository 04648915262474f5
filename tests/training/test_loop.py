"""The loop once around with the real trainer: labels, snapshot, reward model, policy, fresh answers, diff, tasks."""

import uuid
from typing import Any

from annotation import intake
from annotation.actions import judge
from annotation.models import Project, Response, User
from annotation.queue import claim
from training import actions
from training.diffs import diff_versions
from training.models import Generation, ModelVersion, Run
from training.snapshots import freeze
from training.tasks import execute_run

SHORT = {"max_prompt_tokens": 32, "max_response_tokens": 6, "device": "cpu"}


def carried_out(project: Project, *, kind: str, **inputs: Any) -> Run:
    run = actions.start_run(project, kind=kind, by=None, **inputs)
    execute_run(run.pk)
    run.refresh_from_db()
    assert run.status == Run.Status.SUCCEEDED, f"{kind}: {run.error}"
    return run


def test_once_around(project: Project, base: ModelVersion, alice: User, dana: User) -> None:
    for number in range(24):
        prompt = intake.add_prompt(project, f"q {number}")
        pair = intake.add_responses(prompt, [intake.NewResponse(text=text, source="file") for text in ("77", "yy")])
        intake.add_comparisons(project, [(pair[0], pair[1])])
    while assignment := claim(alice, project=project):
        better = next(side for side in (assignment.left, assignment.right) if side and side.text == "77")
        judge(assignment, by=alice, submission_key=uuid.uuid4(), preferred=better, strength=3)
    snapshot = freeze(project, by=dana, validation_share=0.2, test_share=0.2)

    config: dict[str, Any] = {
        **SHORT,
        "max_steps": 8,
        "epochs": 8,
        "batch_size": 4,
        "evaluate_every": 4,
        "learning_rate": 0.01,
    }
    reward_run = carried_out(project, kind="reward", config=config, snapshot=snapshot, model=base)
    reward_model = reward_run.version
    assert (reward_model.kind, reward_model.parent) == ("reward", base)
    assert reward_model.metrics["num_pairs"] == snapshot.counts["splits"]["test"]["pairs"]
    assert 0 <= reward_model.metrics["accuracy_low"] <= reward_model.metrics["accuracy"] <= 1

    config = {**SHORT, "num_steps": 2, "rollout_batch_size": 8, "sample_every": 1, "num_sample_prompts": 2}
    config["replace_missing_eos"] = False  # a random model never ends by itself
    policy_run = carried_out(
        project, kind="policy", config=config, snapshot=snapshot, model=base, reward_model=reward_model
    )
    policy = policy_run.version
    assert (policy.kind, policy.parent) == ("policy", base)
    assert policy_run.metrics.count() == 2
    assert {"reward/mean", "kl/sequence", "policy/entropy"} <= policy_run.metrics.get(step=2).values.keys()
    assert policy_run.samples.filter(step=2).count() == 2

    measured = carried_out(
        project, kind="evaluate", config=SHORT, snapshot=snapshot, model=policy, reward_model=reward_model
    )
    assert {"reward/mean", "kl/sequence"} <= measured.summary.keys(), measured.summary

    for version in (base, policy):
        carried_out(project, kind="generate", config=SHORT, snapshot=snapshot, model=version, reward_model=reward_model)
    num_written = Generation.objects.filter(version=policy).count()
    assert num_written == Response.objects.filter(source=policy.name).count() > 0

    diff = diff_versions(base, policy)
    assert diff.pairs and len(diff.reward_changes) == len(diff.pairs)
    changed = [pair for pair in diff.in_order("gain") if pair.a.text != pair.b.text]
    pairs = [(pair.a.response_id, pair.b.response_id) for pair in changed]
    assert actions.send_to_annotators(project, pairs=pairs) == len(pairs)
