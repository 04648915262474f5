"""Rounds: a version's answers become questions, and what people say of those drawn by chance is its win rate."""

import uuid
from typing import Any

import pytest
from django.test import Client

from annotation import actions as labelling
from annotation.models import AuditEntry, Project, Prompt, Task, User
from annotation.progress import Work, read, telling
from annotation.queue import claim
from tests.training import rows
from tests.training.fence import Cast, check
from training import actions
from training.actions import rounds
from training.models import Generation, ModelVersion, Round
from training.win_rates import WinRate, win_rates


@pytest.fixture
def prompts(project: Project) -> list[Prompt]:
    return rows.prompts(project, 20)


@pytest.fixture
def versions(project: Project, prompts: list[Prompt]) -> tuple[ModelVersion, ModelVersion]:
    """(starter, tuned), whose answers one reward model scored; the larger the prompt's number, the larger the gap."""
    starter, frozen = rows.base(project), rows.snapshot(project)
    scorer = rows.reward_model(project, model=starter, snapshot=frozen)
    tuned = rows.policy(project, model=starter, scorer=scorer, snapshot=frozen)
    rows.generations(starter, scorer=scorer, prompts=prompts, shift=0.0)
    rows.generations(tuned, scorer=scorer, prompts=prompts, shift=1.0)
    return starter, tuned


@pytest.fixture
def admin(client: Client, dana: User) -> Client:
    client.force_login(dana)
    return client


def published(version: ModelVersion, opponent: ModelVersion, **values: Any) -> Round:
    return actions.publish_round(version, opponent=opponent, **({"num": 10, "random_share": 0.4, "by": None} | values))


def test_a_round_asks_by_chance_and_by_doubt(
    versions: tuple[ModelVersion, ModelVersion], prompts: list[Prompt], dana: User
) -> None:
    starter, tuned = versions
    made = published(tuned, starter, by=dana, overlap=3, priority=5, seed=1)
    assert (made.number, made.num_random, made.num_doubtful, made.num_pairs, made.num_same) == (1, 4, 6, 20, 0)
    assert made.scorer == tuned.run.reward_model  # type: ignore[union-attr]
    tasks = Task.objects.filter(in_rounds__round=made)
    assert tasks.count() == 10
    assert set(tasks.values_list("overlap", "priority", "making")) == {(3, 5, made.making_id)}
    by_chance = set(made.questions.filter(is_random=True).values_list("task__prompt", flat=True))
    doubtful = set(made.questions.filter(is_random=False).values_list("task__prompt", flat=True))
    assert doubtful == set([prompt.pk for prompt in prompts if prompt.pk not in by_chance][:6])
    assert made.making and made.making.num_tasks == 10
    assert AuditEntry.objects.filter(verb="tasks.created", actor=dana, subject="round 1").exists()


def test_asked_in_parts_it_is_the_same_round_and_tells(
    versions: tuple[ModelVersion, ModelVersion], dana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    starter, tuned = versions
    whole = published(tuned, starter)
    drawn = list(whole.questions.order_by("pk").values_list("task__prompt", "is_random"))
    made = whole.making
    assert made and made.num_tasks == 10
    made.tasks.all().delete()
    monkeypatch.setattr(rounds, "PART", 3)
    with telling(Work.ROUND, dana) as told:
        again = published(tuned, starter, telling=told)
    assert list(again.questions.order_by("pk").values_list("task__prompt", "is_random")) == drawn
    assert again.making and again.making.num_tasks == again.making.tasks.count() == 10
    heard = read(Work.ROUND, dana)
    assert heard is not None and (heard.done, heard.total) == (10, 10)


def test_what_was_asked_before_is_part_of_the_round_and_not_asked_again(
    versions: tuple[ModelVersion, ModelVersion],
) -> None:
    starter, tuned = versions
    published(tuned, starter, num=20)
    again = published(tuned, starter, num=20, seed=9)
    assert (again.number, again.questions.count(), Task.objects.count()) == (2, 20, 20)
    assert again.making and again.making.num_tasks == 0


def test_bad_input_gets_a_sentence(versions: tuple[ModelVersion, ModelVersion], project: Project) -> None:
    starter, tuned = versions
    scorer = tuned.run.reward_model  # type: ignore[union-attr]
    silent = rows.base(project, "silent")
    elsewhere = rows.base(Project.objects.create(slug="other", name="Other"))
    for opponent, sentence in (
        (tuned, "samples_per_prompt"),
        (silent, "no prompt in common"),
        (scorer, "is a reward model"),
        (elsewhere, "another project"),
    ):
        with pytest.raises(ValueError, match=sentence):
            published(tuned, opponent)
    Generation.objects.filter(version=starter).delete()
    assert not Round.objects.exists()
    assert not Task.objects.exists()


def test_the_std_of_the_heads_comes_with_the_answers(versions: tuple[ModelVersion, ModelVersion]) -> None:
    """The same differences everywhere, but the heads disagree on one pair: it is asked first."""
    starter, tuned = versions
    Generation.objects.filter(version=starter).update(reward=0.0)
    Generation.objects.filter(version=tuned).update(reward=1.0)
    doubted = Generation.objects.filter(version=tuned).earliest("pk")
    Generation.objects.filter(pk=doubted.pk).update(reward_std=2.0)
    made = published(tuned, starter, num=1, random_share=0.0)
    assert made.questions.get().task.prompt_id == doubted.response.prompt_id


def judge_all(project: Project, by: User, *, winner: ModelVersion, ties: int = 0) -> None:
    """Everything that is open: for the winner's answers, after so many ties."""
    while lent := claim(by, project=project):
        ours = next(side for side in (lent.left, lent.right) if side and side.source == winner.name)
        ties, is_tie = ties - 1, ties > 0
        values: dict[str, Any] = {"strength": 0} if is_tie else {"preferred": ours, "strength": 2}
        labelling.judge(lent, by=by, submission_key=uuid.uuid4(), **values)


def test_the_win_rate_is_that_of_the_questions_drawn_by_chance(
    versions: tuple[ModelVersion, ModelVersion], project: Project, alice: User, bob: User
) -> None:
    starter, tuned = versions
    made = published(tuned, starter, num=10, random_share=0.4, overlap=2)
    assert win_rates([made]) == {made.pk: WinRate(None, 0, 4, 0, 0)}
    Task.objects.filter(in_rounds__is_random=False).update(is_withdrawn=True)
    judge_all(project, alice, winner=tuned)
    User.objects.filter(pk=bob.pk).update(is_simulated=True)
    judge_all(project, bob, winner=starter, ties=2)
    # Two questions: 1 and a tie, 0.75 each; two: 1 and 0, 0.5 each.
    rate = win_rates([made])[made.pk]
    assert rate.share and rate.share.value == pytest.approx(0.625)
    assert rate.share.low is not None and rate.share.high is not None
    assert rate.share.low < 0.625 < rate.share.high
    assert (rate.num_judged, rate.num_votes, rate.num_simulated) == (4, 8, 4)

    Task.objects.update(is_withdrawn=False)
    judge_all(project, alice, winner=starter)
    assert win_rates([made])[made.pk] == rate, "the doubtful ones do not count"


def test_rounds_do_not_meet_in_each_others_win_rate(
    versions: tuple[ModelVersion, ModelVersion], project: Project, alice: User
) -> None:
    """One question, two rounds, seen from both sides: what one wins the other loses."""
    starter, tuned = versions
    one, other = (published(a, b, num=20, random_share=1.0) for a, b in ((tuned, starter), (starter, tuned)))
    judge_all(project, alice, winner=tuned)
    found = win_rates([one, other])
    shares = [found[each.pk].share for each in (one, other)]
    assert [share and share.value for share in shares] == [1.0, 0.0]
    assert found[one.pk].num_votes == 20


def test_no_win_rate_against_oneself(base: ModelVersion, alice: User) -> None:
    run = rows.run(base.project, "generate", model=base)
    for prompt in rows.prompts(base.project, 2):
        for number in range(2):
            row = rows.answer(prompt, f"Sample {number}.", source=base.name)
            Generation.objects.create(response=row, version=base, run=run, logprob=-1.0)
    made = published(base, base)
    assert (made.num_random, made.scorer) == (2, None), "nothing is scored: all by chance"
    judge_all(base.project, alice, winner=base)
    assert win_rates([made])[made.pk] == WinRate(None, 2, 2, 2, 0)


def test_the_pages(admin: Client, versions: tuple[ModelVersion, ModelVersion], project: Project, alice: User) -> None:
    starter, tuned = versions
    address = f"/models/{tuned.pk}/round/"
    text = admin.get(address).content.decode()
    assert "starter · the baseline" in text
    assert "its own other answers" in text
    values = {"opponent": starter.pk, "num": 8, "random_percent": 50, "overlap": 1, "priority": 0, "seed": 0}
    answer = admin.post(address, values)
    made = Round.objects.get()
    assert answer["Location"] == f"/rounds/{made.pk}/"
    judge_all(project, alice, winner=tuned)
    text = admin.get(f"/rounds/{made.pk}/").content.decode()
    for part in (
        "Round 1",
        "100.0",
        "4 judged, 4 votes",
        "by chance",
        "by doubt",
        "1 vote",
        f"making={made.making_id}",
    ):
        assert part in text, part
    assert "Ask people about its answers" in admin.get(f"/models/{tuned.pk}/").content.decode()


def test_production_comes_first_and_what_is_missing_is_said(
    admin: Client, versions: tuple[ModelVersion, ModelVersion], project: Project
) -> None:
    _starter, tuned = versions
    silent = rows.base(project, "silent")
    ModelVersion.objects.filter(pk=silent.pk).update(kind="policy", stage="production")
    text = admin.get(f"/models/{tuned.pk}/round/").content.decode()
    assert f'<option value="{silent.pk}" selected>silent · in production' in text
    assert "no prompt in common" in text
    itself = admin.get(f"/models/{tuned.pk}/round/?opponent={tuned.pk}").content.decode()
    assert "samples_per_prompt" in itself
    scorer = tuned.run.reward_model  # type: ignore[union-attr]
    assert admin.get(f"/models/{scorer.pk}/round/")["Location"] == f"/models/{scorer.pk}/"


def test_wrong_values_come_back_with_a_sentence(admin: Client, versions: tuple[ModelVersion, ModelVersion]) -> None:
    _starter, tuned = versions
    answer = admin.post(f"/models/{tuned.pk}/round/", {"opponent": 999_999, "num": 0, "random_percent": "x"})
    assert answer.status_code == 422
    assert not Round.objects.exists()
    text = answer.content.decode()
    assert "Enter a whole number." in text
    assert "Select a valid choice" in text


def test_fences(cast: Cast, versions: tuple[ModelVersion, ModelVersion]) -> None:
    starter, tuned = versions
    made = published(tuned, starter)
    check(cast, f"/models/{tuned.pk}/round/", admin_only=True, allows="GET, POST")
    check(cast, f"/rounds/{made.pk}/")


@pytest.mark.parametrize("num", [4, 20])
def test_queries_do_not_grow(
    admin: Client, versions: tuple[ModelVersion, ModelVersion], num: int, django_assert_max_num_queries: Any
) -> None:
    starter, tuned = versions
    made = published(tuned, starter, num=num)
    with django_assert_max_num_queries(13):
        admin.get(f"/rounds/{made.pk}/")
    with django_assert_max_num_queries(12):
        admin.get(f"/models/{tuned.pk}/round/")
