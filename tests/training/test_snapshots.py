"""Freezing real judgments: split by prompt, the same content the same hash, and a refusal where there is nothing."""

import json
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from annotation import intake
from annotation.actions import judge
from annotation.models import Project, Prompt, User
from annotation.queue import claim
from training import actions, snapshots
from training.models import ModelVersion, Run, Snapshot
from training.rlhf.data import read_demonstrations, read_preferences, read_prompts
from training.snapshots import Splitter, freeze


def ask(project: Project, count: int) -> list[Prompt]:
    """So many prompts with two answers each, compared."""
    prompts = [intake.add_prompt(project, f"Where is parcel {number}?") for number in range(count)]
    for prompt in prompts:
        answers = [intake.NewResponse(text=text, source=f"model-{text[0]}") for text in ("kind words", "no idea")]
        first, second = intake.add_responses(prompt, answers)
        intake.add_comparisons(project, [(first, second)])
    return prompts


def label(user: User, project: Project, *, corrections: bool = False) -> int:
    """The user prefers the kind answer in every open task; returns how many there were."""
    count = 0
    while assignment := claim(user, project=project):
        sides = [side for side in (assignment.left, assignment.right) if side is not None]
        kind, other = sorted(sides, key=lambda response: response.text)
        fixed = {other.pk: "I will find out."} if corrections else {}
        judge(
            assignment, by=user, submission_key=uuid.uuid4(), preferred=kind, strength=2, corrections=fixed
        )  # fmt: skip
        count += 1
    return count


def read(snapshot: Snapshot, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (snapshot.folder / f"{name}.jsonl").read_text().splitlines()]


def test_it_works_and_the_trainer_reads_it(project: Project, alice: User, dana: User) -> None:
    ask(project, 40)
    assert label(alice, project) == 40
    snapshot = freeze(project, by=dana, validation_share=0.2, test_share=0.2)
    assert snapshot.counts["pairs"] == snapshot.counts["prompts"] == snapshot.counts["judgments"] == 40
    assert snapshot.counts["demonstrations"] == snapshot.num_simulated == 0
    by_split = {split: counts["pairs"] for split, counts in snapshot.counts["splits"].items()}
    assert sum(by_split.values()) == 40 and all(by_split.values())

    pairs = read_preferences(snapshot.folder / "preferences.jsonl")
    prompts = read_prompts(snapshot.folder / "prompts.jsonl")
    assert len(pairs) == len(prompts) == 40
    for pair in pairs:
        better = pair.response_a if pair.target == 1 else pair.response_b
        assert better == "kind words" and abs(pair.strength) == 2
    assert {pair.prompt_id: pair.split for pair in pairs} == {prompt.id: prompt.split for prompt in prompts}


def test_a_pair_keeps_its_votes_and_not_whose_they_are(project: Project, alice: User, bob: User) -> None:
    """What the ceiling of a reward model is measured by."""
    Project.objects.filter(pk=project.pk).update(overlap=2)
    project.refresh_from_db()
    ask(project, 3)
    for person, strength in ((alice, 2), (bob, 3)):
        while assignment := claim(person, project=project):
            first, second = sorted((assignment.left, assignment.right), key=lambda response: response.text)
            preferred = first if person == alice else second
            judge(assignment, by=person, submission_key=uuid.uuid4(), preferred=preferred, strength=strength)
    snapshot = freeze(project, by=None, validation_share=0, test_share=0)
    for line in read(snapshot, "preferences"):
        ours, theirs = (2, -3) if line["response_a"] == "kind words" else (-2, 3)
        assert line["votes"] == sorted([ours, theirs]) and line["target"] == 0.5
    pairs = read_preferences(snapshot.folder / "preferences.jsonl")
    assert {pair.votes for pair in pairs} <= {(-3.0, 2.0), (-2.0, 3.0)}


def test_the_same_content_is_the_same_snapshot(project: Project, alice: User, dana: User) -> None:
    ask(project, 12)
    label(alice, project)
    first = freeze(project, by=dana)
    assert freeze(project, by=alice) == first
    assert freeze(project, by=dana, seed=1).content_hash != first.content_hash
    ask(project, 13)
    label(alice, project)
    more = freeze(project, by=dana)
    assert more != first and more.counts["pairs"] == 13
    before = {line["prompt_id"]: line["split"] for line in read(first, "preferences")}
    after = {line["prompt_id"]: line["split"] for line in read(more, "preferences")}
    assert before.items() <= after.items(), "a prompt has moved to another split"


def test_corrections_are_pairs_and_demonstrations(project: Project, alice: User) -> None:
    ask(project, 6)
    label(alice, project, corrections=True)
    snapshot = freeze(project, by=None, validation_share=0, test_share=0)
    assert (snapshot.counts["pairs"], snapshot.counts["demonstrations"]) == (12, 6)
    assert snapshot.counts["judgments"] == 6, "a judgment counts once, however many lines it gives"
    demonstrations = read_demonstrations(snapshot.folder / "demonstrations.jsonl")
    assert {line.response for line in demonstrations} == {"I will find out."}
    assert len(read_preferences(snapshot.folder / "preferences.jsonl")) == 12


def test_simulated_judgments_are_counted_and_can_be_left_out(project: Project, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_simulated=True)
    ask(project, 5)
    label(alice, project)
    assert freeze(project, by=None, validation_share=0, test_share=0).num_simulated == 5
    with pytest.raises(ValueError, match="nothing to train on"):
        freeze(project, by=None, include_simulated=False)


def test_prompts_carry_what_the_base_model_answered(project: Project, base: ModelVersion, alice: User) -> None:
    prompts = ask(project, 3)
    label(alice, project)
    intake.add_responses(prompts[0], [intake.NewResponse(text="the starter's answer", source=base.name)])
    snapshot = freeze(project, by=None, validation_share=0, test_share=0)
    references = {line["id"]: line.get("reference") for line in read(snapshot, "prompts")}
    assert references[str(prompts[0].pk)] == "the starter's answer"
    assert references[str(prompts[1].pk)] is None


@pytest.mark.parametrize(
    ("shares", "sentence"),
    [
        ({"validation_share": 0.6, "test_share": 0.5}, "leave nothing to train on"),
        ({"validation_share": -0.1}, "validation_share must be from 0 to below 1"),
        ({"validation_share": 0.5, "test_share": 0.4999999}, "All 1 pairs fell into the validation and test splits"),
    ],
)
def test_shares_that_leave_nothing_are_refused(
    project: Project, alice: User, shares: dict[str, float], sentence: str
) -> None:
    ask(project, 1)
    label(alice, project)
    with pytest.raises(ValueError, match=sentence):
        freeze(project, by=None, **shares)  # type: ignore[arg-type]
    assert not Snapshot.objects.exists()


def test_nothing_to_train_on_is_refused_and_leaves_nothing_behind(project: Project, settings: Any) -> None:
    ask(project, 3)
    with pytest.raises(ValueError, match="There is nothing to train on yet: compare or correct"):
        freeze(project, by=None)
    assert list((settings.VAR_DIR / "snapshots").iterdir()) == []


def test_a_split_follows_from_content_and_seed_alone() -> None:
    splitter = Splitter(validation_share=0.1, test_share=0.2, seed=3)
    splits = [splitter.split_of(f"hash {number}") for number in range(10_000)]
    assert abs(splits.count("test") - 2000) < 150 and abs(splits.count("validation") - 1000) < 120
    larger = Splitter(validation_share=0.1, test_share=0.3, seed=3)
    grown = [larger.split_of(f"hash {number}") for number in range(10_000)]
    assert all(new == "test" for old, new in zip(splits, grown, strict=True) if old == "test")


@pytest.mark.django_db(transaction=True)
def test_many_freezes_at_once_give_one_snapshot(project: Project, alice: User) -> None:
    ask(project, 10)
    label(alice, project)
    found: list[Snapshot] = []
    errors: list[Exception] = []

    def freeze_once() -> None:
        try:
            found.append(freeze(project, by=None))
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=freeze_once) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and len(found) == 6
    assert Snapshot.objects.count() == 1
    assert [path.name for path in found[0].folder.parent.iterdir()] == [found[0].content_hash]


def test_a_run_shares_the_snapshots_files(frozen: Snapshot, sft_run: Run) -> None:
    snapshots.fill_run_folder(sft_run)
    for name in ("preferences.jsonl", "prompts.jsonl", "demonstrations.jsonl"):
        assert (sft_run.folder / name).samefile(frozen.folder / name)


def test_a_run_without_a_snapshot_gets_the_projects_prompts_once(project: Project, base: ModelVersion) -> None:
    run = actions.start_run(project, kind="generate", config={}, by=None, model=base)
    with pytest.raises(ValueError, match="has no prompts yet"):
        snapshots.fill_run_folder(run)
    ask(project, 4)
    snapshots.fill_run_folder(run)
    before = (run.folder / "prompts.jsonl").read_bytes()
    assert len(read_prompts(run.folder / "prompts.jsonl")) == 4
    ask(project, 9)
    snapshots.fill_run_folder(run)
    assert (run.folder / "prompts.jsonl").read_bytes() == before


# publish_responses, send_to_annotators


def write_responses(run: Run, prompts: list[Prompt], text: str, *, reward: float | None = None) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {
            "prompt_id": str(prompt.pk),
            "prompt": prompt.messages,
            "sample": 0,
            "text": text,
            "num_tokens": 3,
            "ended": True,
            "logprob": -1.5,
            "reward": reward,
        }
        for prompt in prompts
    ]
    Path(run.folder / "responses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_answers_are_published_once_with_who_wrote_them(project: Project, base: ModelVersion) -> None:
    prompts = ask(project, 3)
    run = actions.start_run(project, kind="generate", config={"temperature": 0.5}, by=None, model=base)
    write_responses(run, prompts, "a fresh answer", reward=0.25)
    first = actions.publish_responses(run)
    assert [row.source for row in first] == ["starter"] * 3
    assert actions.publish_responses(run) == first
    generation = first[0].generation
    assert (generation.version, generation.run, generation.reward) == (base, run, 0.25)
    assert (generation.num_tokens, generation.logprob, generation.settings["temperature"]) == (3, -1.5, 0.5)

    again = actions.start_run(project, kind="generate", config={}, by=None, model=base)
    write_responses(again, prompts, "a fresh answer", reward=0.75)  # the same words, scored anew
    assert actions.publish_responses(again) == first
    generation.refresh_from_db()
    assert (generation.run, generation.reward) == (again, 0.75)


def test_lost_prompts_are_left_out_and_silence_is_not(project: Project, base: ModelVersion) -> None:
    prompts = ask(project, 2)
    run = actions.start_run(project, kind="generate", config={}, by=None, model=base)
    write_responses(run, prompts, "")
    assert [row.text for row in actions.publish_responses(run)] == ["", ""]
    write_responses(run, prompts, "wor\0ds")
    Prompt.objects.filter(pk=prompts[0].pk).delete()
    (published,) = actions.publish_responses(run)
    assert (published.prompt, published.text) == (prompts[1], "wor\ufffdds")


def test_chosen_answers_are_sent_to_annotators(project: Project, base: ModelVersion, alice: User) -> None:
    prompts = ask(project, 2)
    label(alice, project)
    run = actions.start_run(project, kind="generate", config={}, by=None, model=base)
    write_responses(run, prompts, "a fresh answer")
    fresh = actions.publish_responses(run)
    older = [prompt.responses.order_by("id").first() for prompt in prompts]
    pairs = [(row.pk, old.pk) for row, old in zip(fresh, older, strict=True) if old]
    assert actions.send_to_annotators(project, pairs=pairs) == 2
    assert actions.send_to_annotators(project, pairs=pairs) == 0
    assert claim(alice, project=project) is not None
    other = Project.objects.create(slug="other", name="Other")
    with pytest.raises(ValueError, match="Other has no response"):
        actions.send_to_annotators(other, pairs=pairs)
