"""Simulated annotators go through the real queue and the real verbs, and are marked as what they are."""

import io
import random

import pytest
from django.core.management import CommandError, call_command

from annotation import actions
from annotation.management.commands.simulate_annotators import simulate, simulated_annotator
from annotation.models import Judgment, Project, Prompt, Response, Task, User
from annotation.simulation import score
from training.starter import corpus


@pytest.fixture
def tasks(project: Project) -> list[Task]:
    """40 comparisons of two corpus replies each, for two people."""
    return make_support_tasks(project, 40, overlap=2)


def make_support_tasks(project: Project, num: int, *, overlap: int, kind: str = "comparison") -> list[Task]:
    rng = random.Random(0)
    made = []
    for ask in corpus.asks(1, num):
        messages = [{"role": "user", "content": ask.text}]
        prompt = Prompt.objects.create(project=project, messages=messages, content_hash=Prompt.hash_of(messages))
        pair = [corpus.reply(ask, rng), corpus.reply(ask, rng) + " Bye."]
        first, second = [
            Response.objects.create(prompt=prompt, text=text, source="corpus", content_hash=Response.hash_of(text))
            for text in pair
        ]
        other = second if kind == "comparison" else None
        made.append(
            Task.objects.create(
                project=project, prompt=prompt, kind=kind, response_a=first, response_b=other, overlap=overlap
            )
        )
    return made


def run(project: Project, **options: int) -> str:
    out = io.StringIO()
    call_command("simulate_annotators", project=project.slug, stdout=out, **options)
    return out.getvalue()


def test_it_works(project: Project, tasks: list[Task]) -> None:
    said = run(project, annotators=3, judgments=60, seed=0)
    assert "60 simulated judgments by 3 annotators" in said
    judgments = Judgment.objects.counted()
    assert judgments.count() == 60
    assert judgments.filter(annotator__is_simulated=True).count() == 60
    assert {judgment.annotator.username for judgment in judgments} == {f"simulated-{n}" for n in (1, 2, 3)}
    assert {judgment.strength for judgment in judgments} > {1, 2}
    assert all(task.num_judged <= 2 and task.num_leased == 0 for task in Task.objects.all())


def test_the_better_reply_is_preferred(project: Project, tasks: list[Task]) -> None:
    run(project, annotators=2, judgments=80)
    agreed = disagreed = 0
    for judgment in Judgment.objects.counted().exclude(preferred=None).select_related("task__prompt", "preferred"):
        task, prompt = judgment.task, judgment.task.prompt.messages[-1]["content"]
        other = task.response_b if judgment.preferred == task.response_a else task.response_a
        assert other is not None and judgment.preferred is not None
        difference = score(prompt, judgment.preferred.text) - score(prompt, other.text)
        agreed += difference > 0
        disagreed += difference < 0
    assert agreed > 3 * disagreed > 0, "people err, but not often"


def test_it_stops_with_a_sentence_when_no_task_is_left(project: Project, tasks: list[Task]) -> None:
    said = run(project, annotators=3, judgments=1000)
    assert "80 simulated judgments" in said and "No open task is left" in said


def test_what_is_said_of_a_pair_does_not_depend_on_the_order_of_work(project: Project, tasks: list[Task]) -> None:
    first = simulated_annotator(project, 1)
    simulate(project, annotators=[first], judgments=40, seed=0)
    said = {judgment.task_id: judgment.signed_strength for judgment in Judgment.objects.counted()}
    Judgment.objects.all().delete()
    first.assignments.all().delete()
    Task.objects.update(num_judged=0)
    for place, task in enumerate(reversed(tasks)):
        Task.objects.filter(pk=task.pk).update(priority=place)
    simulate(project, annotators=[first], judgments=40, seed=0)
    assert {judgment.task_id: judgment.signed_strength for judgment in Judgment.objects.counted()} == said


def test_ratings_by_criterion(project: Project) -> None:
    helpful = actions.add_criterion(project, key="helpful", name="Helpful")
    polite = actions.add_criterion(project, key="polite", name="Polite", scale_max=7)
    make_support_tasks(project, 5, overlap=1, kind="rating")
    run(project, annotators=1, judgments=5)
    for judgment in Judgment.objects.counted():
        values = {rating.criterion: rating.value for rating in judgment.ratings.all()}
        assert set(values) == {helpful, polite} and 1 <= values[helpful] <= 5 and 1 <= values[polite] <= 7


def test_a_simulated_annotator_cannot_log_in(project: Project) -> None:
    user = simulated_annotator(project, 1)
    assert user.is_simulated and not user.has_usable_password()
    assert simulated_annotator(project, 1) == user


def test_a_person_of_that_name_is_not_taken_over(project: Project, tasks: list[Task]) -> None:
    User.objects.create(username="simulated-1")
    with pytest.raises(CommandError, match="is a person"):
        run(project, annotators=1)
    assert not Judgment.objects.exists()


def test_an_unknown_project_is_a_sentence(project: Project) -> None:
    with pytest.raises(CommandError, match=r"no project 'nothing'\. Projects: support-replies"):
        call_command("simulate_annotators", project="nothing")
    with pytest.raises(CommandError, match="at least 1"):
        call_command("simulate_annotators", project=project.slug, judgments=0)
