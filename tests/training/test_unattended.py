"""`manage.py loop`: a whole round with the real trainer and simulated annotators, and what it refuses."""

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from annotation import intake
from annotation.models import Judgment, Project, Response, Task, User
from annotation.simulation import score
from tests.training import rows
from training import unattended
from training.models import Generation, ModelVersion, Round, Run, Snapshot
from training.reward_report import Share
from training.snapshots import Splitter

SHORT = {"max_prompt_tokens": 64, "max_response_tokens": 6, "device": "cpu"}
REWARD = {**SHORT, "max_steps": 3, "batch_size": 8, "evaluate_every": 3}
POLICY = {
    **SHORT,
    "num_steps": 1,
    "rollout_batch_size": 8,
    "num_sample_prompts": 2,
    "replace_missing_eos": False,
    "learning_rate": 0.05,
}
GOOD = "I am sorry. I have called the courier, and your parcel arrives by Thursday. Thank you for telling us."


@pytest.fixture
def shop(project: Project, base: ModelVersion) -> Project:
    """Thirty questions, each with a good reply and a poor one."""
    for number in range(30):
        prompt = intake.add_prompt(project, f"Where is parcel {number}?")
        pair = intake.add_responses(prompt, [intake.NewResponse(text, "file") for text in (GOOD, f"No {number}.")])
        intake.add_comparisons(project, [(pair[0], pair[1])])
    return project


def loop(**options: Any) -> str:
    said = io.StringIO()
    usual = {"rounds": 1, "annotators": 2, "judgments": 40, "questions": 6, "reward": REWARD, "policy": POLICY}
    call_command("loop", project="support", stdout=said, **(usual | options))
    return said.getvalue()


def test_one_round(shop: Project, base: ModelVersion) -> None:
    said = loop()
    made = Round.objects.get()
    assert (made.number, made.opponent, made.num_random, made.num_doubtful) == (1, base, 3, 3)
    assert list(Run.objects.order_by("pk").values_list("kind", "status").distinct()) == [
        (kind, "succeeded") for kind in ("reward", "policy", "generate", "generate")
    ]
    tuned, scorer = made.version, made.scorer
    assert tuned.run and tuned.run.reward_model == scorer
    assert (tuned.parent, tuned.stage) == (base, "candidate"), "nothing is promoted by itself"
    assert not Judgment.objects.filter(annotator__is_simulated=False).exists()
    frozen = Snapshot.objects.get()
    assert frozen.num_simulated == frozen.counts["judgments"] == 30
    assert tuned.run.num_simulated == 30, "what was trained on simulated labels says so"
    assert not Task.objects.open().exists(), "the newest version's questions are judged too"
    assert Generation.objects.filter(version__in=[base, tuned], run__reward_model=scorer).count() == 60
    for part in ("Round 1: 30 simulated judgments", "rule's points", "3 questions by chance, 3 by doubt", "policy-"):
        assert part in said, said
    assert scorer and scorer.run and tuned.run.config["seed"] == scorer.run.config["seed"] == made.seed == 1
    assert f"Round 1: {tuned} wins" in said
    assert unattended.first_version(shop) == tuned, "called again, it goes on from there"


def test_a_run_that_fails_ends_the_loop_with_its_own_sentence(shop: Project, base: ModelVersion) -> None:
    with pytest.raises(CommandError, match="learning_rate"):
        loop(reward={**REWARD, "learning_rate": -1})

    def fail(run: Run) -> None:
        run.move(Run.Status.QUEUED, Run.Status.FAILED, error="Too large: halve batch_size.")

    with pytest.raises(ValueError, match=r"^Run \d+ \(reward model\) failed: Too large"):
        unattended.turn(shop, base, unattended.Plan(reward=REWARD, policy=POLICY), carry_out=fail)
    assert not Round.objects.exists()


def test_labels_by_people_are_not_mixed_with_simulated_ones(project: Project, base: ModelVersion, alice: User) -> None:
    rows.label(project, by=alice, prompts=rows.prompts(project))
    with pytest.raises(CommandError, match="labels by people"):
        loop()
    assert not Run.objects.exists()


def test_what_is_missing_is_said(project: Project) -> None:
    with pytest.raises(CommandError, match="There is no version to begin with"):
        loop()
    with pytest.raises(CommandError, match="There is no project 'nothing'"):
        call_command("loop", project="nothing")


def test_the_gold_score_is_the_rules_mean_over_held_out_prompts(shop: Project, base: ModelVersion) -> None:
    """Good replies to the held-out prompts and poor ones to the others, then one poor one among the good."""
    frozen = rows.snapshot(shop)
    frozen.settings = {"validation_share": 0.0, "test_share": 0.5, "seed": 0}
    scorer = rows.reward_model(shop, model=base, snapshot=frozen)
    run = rows.run(shop, "generate", model=base, reward_model=scorer)
    splitter = Splitter(**frozen.settings)
    held_out = [prompt for prompt in shop.prompts.order_by("pk") if splitter.split_of(prompt.content_hash) == "test"]
    assert 8 < len(held_out) < 22
    for prompt in shop.prompts.all():
        reply = rows.answer(prompt, GOOD if prompt in held_out else "No.", source=base.name)
        Generation.objects.create(response=reply, version=base, run=run, logprob=-1.0)

    def gold() -> Share:
        return unattended.mean_of(list(unattended.points(base, scorer, frozen).values()))

    good, poor = (score(str(held_out[0]), text) for text in (GOOD, "No."))
    assert good > 7 > 2 > poor
    assert gold() == Share(good, good, good)

    Response.objects.filter(generation__run=run, prompt=held_out[0]).update(text="No.")
    found = gold()
    assert found.value == pytest.approx(good - (good - poor) / len(held_out))
    assert found.low is not None and found.high is not None
    assert found.low < found.value < found.high
    frozen.settings["test_share"] = 0.0
    with pytest.raises(ValueError, match="Fewer than two prompts are held out"):
        gold()


def test_a_round_goes_a_part_of_the_way() -> None:
    own = {"learning_rate": 1e-3, "total_episodes": 640, "rollout_batch_size": 64, "kl_coef": 0.1}
    assert unattended.small_steps(own, 0.5) == {**own, "learning_rate": 5e-4, "num_steps": 5}
    assert unattended.small_steps({**own, "num_steps": 20}, 0.1)["num_steps"] == 2
    assert unattended.small_steps({"total_episodes": 64}, 0.1)["num_steps"] == 1, "one step at least"
    assert unattended.small_steps({}, 1.0) == {"num_steps": 64, "learning_rate": 1e-5}, "a run's own defaults"


def test_every_round_of_every_seed_has_a_seed_of_its_own(shop: Project) -> None:
    plans = [unattended.Plan(seed=seed, reward={}, policy={}) for seed in range(3)]
    assert len({plan.seed_of(number) for plan in plans for number in range(1, 10)}) == 27
    with pytest.raises(CommandError, match="stride must be above 0 and at most 1, got 2"):
        loop(stride=2.0)
