"""/projects/<slug>/adjudicate/ : disagreements worst first, what a reviewer decides, and taking it back."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection
from pytest_django.fixtures import DjangoAssertNumQueries

from annotation import actions
from annotation.disagreements import disagreement
from annotation.export import preferences
from annotation.models import Assignment, AuditEntry, Judgment, Project, Role, Task, User, Verdict
from tests.annotation.conftest import browser_of, make_tasks, member, text_of
from tests.annotation.test_consensus import said

PATH = "/projects/support-replies/adjudicate/"
WHOLE = {"cause": "mistake", "note": "The second invents a refund.", "choice": "3", "seen": ""}


@pytest.fixture
def people(project: Project) -> list[User]:
    return [member(project, name) for name in ("ann", "ben", "cat")]


@pytest.fixture
def tasks(project: Project, people: list[User]) -> list[Task]:
    """A disagreement of degree only, a slight one, agreement, the worst one, and one with a tie."""
    tasks = make_tasks(project, 5, overlap=2)
    for task, strengths in zip(tasks, ((1, 3), (1, -1), (2, 2), (3, -3), (0, -2)), strict=True):
        for user, strength in zip(people, strengths, strict=False):
            said(task, user, strength)
    return tasks


def order(project: Project) -> list[tuple[int, float]]:
    first = disagreement(project)
    places = range(1, first.num + 1) if first else []
    found = [disagreement(project, place) for place in places]
    return [(each.task_id, round(each.spread, 3)) for each in found if each]


def test_the_worst_come_first_and_degrees_alone_are_no_disagreement(project: Project, tasks: list[Task]) -> None:
    worst, slight, tie = tasks[3], tasks[1], tasks[4]
    assert order(project) == [(worst.pk, 1.0), (slight.pk, 0.333), (tie.pk, 0.333)]


def test_only_what_counts_is_a_disagreement(project: Project, tasks: list[Task], people: list[User]) -> None:
    Judgment.objects.filter(task=tasks[3], annotator=people[0]).update(is_current=False)
    Task.objects.filter(pk=tasks[1].pk).update(control="gold")
    Verdict.objects.create(task=tasks[4], strength=0, cause="ambiguous")
    assert order(project) == []
    other = actions.create_project("Other", by=None)
    assert disagreement(other) is None


def answered(task: Task, user: User) -> Judgment:
    assignment = Assignment.objects.create(
        task=task, annotator=user, status="judged", is_swapped=False, expires_at="2026-01-01T00:00Z"
    )
    Task.objects.filter(pk=task.pk).update(num_judged=task.judgments.count() + 1)
    return Judgment.objects.create(task=task, annotator=user, assignment=assignment)


def rating_task(project: Project, people: list[User], *values: dict[str, int]) -> Task:
    """One rated answer; values: criterion key to value, a person each."""
    criteria = {
        key: project.criteria.filter(key=key).first() or actions.add_criterion(project, key=key, name=key.title())
        for key in values[0]
    }
    task = make_tasks(project, 1, kind="rating", overlap=len(values))[0]
    for user, given in zip(people, values, strict=False):
        judgment = answered(task, user)
        for key, value in given.items():
            judgment.ratings.create(criterion=criteria[key], response=task.response_a, value=value)
    return task


def ranking_task(project: Project, people: list[User], *places: list[int]) -> Task:
    prompt = make_tasks(project, 1, is_withdrawn=True)[0].prompt
    prompt.responses.create(text="Third.", source="s", content_hash="third")
    answers = list(prompt.responses.order_by("pk"))
    ids = [answer.pk for answer in answers]
    task = project.tasks.create(
        prompt=prompt, kind="ranking", response_a=answers[0], candidate_ids=ids, overlap=len(places)
    )
    for answer in answers:
        task.candidates.create(response=answer)
    for user, given in zip(people, places, strict=False):
        judgment = answered(task, user)
        for answer, place in zip(answers, given, strict=True):
            judgment.ranks.create(response=answer, rank=place)
    return task


def test_ratings_two_steps_apart_on_a_criterion(project: Project, people: list[User]) -> None:
    task = rating_task(project, people, {"helpful": 2, "safe": 5}, {"helpful": 5, "safe": 4})
    assert order(project) == [(task.pk, 0.75)]
    task.judgments.first().ratings.filter(criterion__key="helpful").update(value=4)  # type: ignore[union-attr]
    assert order(project) == []


def test_rankings_whose_places_differ(project: Project, people: list[User]) -> None:
    task = ranking_task(project, people, [1, 2, 3], [3, 2, 1])
    assert order(project) == [(task.pk, 1.0)]
    assert order(actions.create_project("Other", by=None)) == []


def test_the_page_shows_who_said_what_and_why(project: Project, tasks: list[Task], bob: User) -> None:
    Judgment.objects.filter(task=tasks[3], annotator__username="ben").update(
        rationale="It invents a refund.", flags=["unsafe"]
    )
    page = text_of(bob, PATH)
    for text in (
        "Disagreement 1 of 3",
        "ann",
        "ben",
        "A much better",
        "B much better",
        "It invents a refund.",
        "unsafe",
    ):
        assert text in page
    assert "plain answer" in page, "the answer itself"
    assert "You judged this task yourself" not in page
    assert "checked" not in page, "nothing is chosen beforehand"


def test_sources_are_not_told_while_deciding(project: Project, tasks: list[Task], bob: User) -> None:
    project.prompts.first().responses.update(source="zebra-7")  # type: ignore[union-attr]
    tasks[3].prompt.responses.update(source="zebra-7")
    assert "zebra-7" not in text_of(bob, PATH)


def test_a_reviewer_who_judged_it_is_told_so(project: Project, people: list[User], bob: User) -> None:
    task = make_tasks(project, 1, overlap=2)[0]
    said(task, people[0], 2)
    said(task, bob, -2)
    page = text_of(bob, PATH)
    assert "You judged this task yourself" in page and "you</span>" in page


def test_deciding_goes_on_to_the_next_and_wins_in_the_consensus(project: Project, tasks: list[Task], bob: User) -> None:
    browser = browser_of(bob)
    answer = browser.post(f"{PATH}{tasks[3].pk}/?place=1", WHOLE, follow=True)
    page = answer.content.decode()
    assert "Decided." in page and "Disagreement 1 of 2" in page and "1 decided" in page
    verdict = Verdict.objects.get()
    assert (verdict.preferred, verdict.strength, verdict.both_bad) == (tasks[3].response_b, 3, False)
    assert (verdict.cause, verdict.note, verdict.decided_by) == ("mistake", "The second invents a refund.", bob)
    found = {each.response_a_id: each for each in preferences(project, consensus="majority")}
    assert (found[tasks[3].response_a_id].target, found[tasks[3].response_a_id].strength) == (0.0, -3)
    assert Judgment.objects.counted().filter(task=tasks[3]).count() == 2, "what people said stays"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"choice": ""}, "Choose which answer is better"),
        ({"choice": "9"}, "Choose which answer is better"),
        ({"cause": ""}, "Choose why people disagreed."),
        ({"cause": "moon"}, "Choose why people disagreed."),
        ({"note": "x" * 5001}, "at most 5000 characters"),
    ],
)
def test_what_will_not_do_comes_back_with_a_sentence(
    project: Project, tasks: list[Task], bob: User, change: dict[str, str], sentence: str
) -> None:
    answer = browser_of(bob).post(f"{PATH}{tasks[3].pk}/", WHOLE | change)
    assert answer.status_code == 422
    page = answer.content.decode()
    assert sentence in page
    if "note" not in change:
        assert "The second invents a refund." in page, "nothing typed is lost"
    assert not Verdict.objects.exists()


@pytest.mark.parametrize(("choice", "strength", "both_bad"), [("0", 0, False), ("both_bad", 0, True), ("-1", 1, False)])
def test_every_choice_of_the_scale(
    project: Project, tasks: list[Task], bob: User, choice: str, strength: int, both_bad: bool
) -> None:
    browser_of(bob).post(f"{PATH}{tasks[3].pk}/", WHOLE | {"choice": choice})
    verdict = Verdict.objects.get()
    assert (verdict.strength, verdict.both_bad) == (strength, both_bad)
    assert verdict.preferred == (tasks[3].response_a if choice == "-1" else None)
    page = text_of(bob, f"{PATH}{tasks[3].pk}/")
    assert page.count(" checked") == 2, "what was decided, and why"


def test_a_rating_is_decided_by_criterion(project: Project, people: list[User], bob: User) -> None:
    task = rating_task(project, people, {"helpful": 1}, {"helpful": 5})
    criterion = project.criteria.get()
    assert browser_of(bob).post(f"{PATH}{task.pk}/", {"cause": "guideline_gap", "seen": ""}).status_code == 422
    browser_of(bob).post(f"{PATH}{task.pk}/", {"cause": "guideline_gap", "seen": "", f"criterion_{criterion.pk}": "4"})
    assert Verdict.objects.get().ratings == {"helpful": 4}
    assert "helpful 4" in text_of(bob, PATH + "decided/")


def test_a_ranking_is_decided_by_places(project: Project, people: list[User], bob: User) -> None:
    task = ranking_task(project, people, [1, 2, 3], [3, 2, 1])
    answers = list(task.prompt.responses.order_by("pk"))
    places = {f"place_{answer.pk}": str(place) for answer, place in zip(answers, (2, 1, 2), strict=True)}
    page = text_of(bob, PATH)
    assert "Place of answer C" in page
    browser_of(bob).post(f"{PATH}{task.pk}/", {"cause": "ambiguous", "seen": "", **places})
    assert Verdict.objects.get().ranks == {str(answers[0].pk): 2, str(answers[1].pk): 1, str(answers[2].pk): 2}
    assert "A 2, B 1, C 2" in text_of(bob, PATH + "decided/")


def test_a_verdict_is_changed_and_withdrawn_and_nothing_of_it_is_lost(
    project: Project, tasks: list[Task], bob: User
) -> None:
    browser, path = browser_of(bob), f"{PATH}{tasks[3].pk}/"
    browser.post(path, WHOLE)
    first = Verdict.objects.get()
    browser.post(path, WHOLE | {"choice": "-1", "cause": "ambiguous", "seen": first.mark})
    second = Verdict.objects.get()
    assert (second.pk, second.preferred, second.cause) == (first.pk, tasks[3].response_a, "ambiguous")
    answer = browser.post(path + "withdraw/", {"seen": second.mark}, follow=True)
    entry = AuditEntry.objects.get(verb="verdict.withdrawn")
    assert (entry.actor, entry.subject) == (bob, f"task {second.task_id}")
    assert not Verdict.objects.exists() and len(order(project)) == 3
    page = answer.content.decode()
    assert "The second invents a refund." in page and page.count(" checked") == 2
    assert browser.post(path + "withdraw/", {"seen": ""}, follow=True).status_code == 200
    assert browser.post(path, WHOLE).status_code == 302 and Verdict.objects.exists()


def test_two_reviewers_do_not_overwrite_each_other_unseen(project: Project, tasks: list[Task], bob: User) -> None:
    eve, path = member(project, "eve", Role.REVIEWER), f"{PATH}{tasks[3].pk}/"
    browser_of(eve).post(path, WHOLE)
    answer = browser_of(bob).post(path, WHOLE | {"choice": "-3"})
    assert answer.status_code == 422
    assert "eve has decided this meanwhile" in answer.content.decode()
    assert Verdict.objects.get().decided_by == eve
    browser_of(bob).post(path + "withdraw/", {"seen": "2026-01-01"})
    assert Verdict.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_decisions_at_once_one_is_refused() -> None:
    project = actions.create_project("Support replies", by=None)
    task = make_tasks(project, 1, overlap=2)[0]
    reviewers = [member(project, name, Role.REVIEWER) for name in ("bob", "eve", "ann", "ben")]
    said(task, reviewers[2], 3)
    said(task, reviewers[3], -3)
    refused: list[str] = []
    start = threading.Barrier(4)

    def decide(user: User) -> None:
        start.wait()
        try:
            actions.adjudicate(task, by=user, seen="", cause="mistake", strength=0)
        except ValueError as error:
            refused.append(str(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=decide, args=[user]) for user in reviewers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Verdict.objects.count() == 1 and len(refused) == 3
    assert all("has decided this meanwhile" in sentence for sentence in refused)


def test_what_takes_no_verdict(project: Project, tasks: list[Task], bob: User, people: list[User]) -> None:
    unjudged = Task.objects.create(
        project=project, prompt=tasks[0].prompt, kind="rating", response_a=tasks[0].response_a
    )
    Task.objects.filter(pk=tasks[3].pk).update(control="gold")
    browser = browser_of(bob)
    for task in (unjudged, tasks[3]):
        assert browser.get(f"{PATH}{task.pk}/").status_code == 404
        assert browser.post(f"{PATH}{task.pk}/", WHOLE).status_code == 404
        with pytest.raises(ValueError, match=r"measures people|Nobody has judged"):
            actions.adjudicate(task, by=bob, seen="", cause="mistake", strength=0)
    other = actions.create_project("Other", by=bob)
    assert browser.get(f"/projects/{other.slug}/adjudicate/{tasks[1].pk}/").status_code == 404


def test_places_beyond_the_end_show_the_last_and_none_says_so(project: Project, tasks: list[Task], bob: User) -> None:
    assert "Disagreement 3 of 3" in text_of(bob, PATH, place="99")
    for place in ("0", "²", "-1", "9" * 4000, "x"):
        assert "Disagreement 1 of 3" in text_of(bob, PATH, place=place)
    Task.objects.update(is_withdrawn=True, num_judged=0)
    Judgment.objects.update(is_current=False)
    assert "No disagreement waits" in text_of(bob, PATH)


def test_the_decided_are_listed_by_cause(project: Project, tasks: list[Task], bob: User) -> None:
    for task, cause in ((tasks[1], "ambiguous"), (tasks[3], "guideline_gap")):
        actions.adjudicate(task, by=bob, seen="", cause=cause, strength=0, note=f"because of {cause}")
    everything, gaps = text_of(bob, PATH + "decided/"), text_of(bob, PATH + "decided/", cause="guideline_gap")
    assert "because of ambiguous" in everything and "because of guideline_gap" in everything
    assert "because of ambiguous" not in gaps and "/guidelines/" in gaps
    assert "because of ambiguous" in text_of(bob, PATH + "decided/", cause="nonsense")


def test_queries_do_not_grow_with_the_people(
    project: Project, bob: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    task = make_tasks(project, 1, overlap=12)[0]
    for number in range(12):
        said(task, member(project, f"person{number}"), 3 if number % 2 else -3)
    browser = browser_of(bob)
    with django_assert_max_num_queries(18):
        browser.get(PATH)
    actions.adjudicate(task, by=bob, seen="", cause="mistake", strength=0)
    with django_assert_max_num_queries(12):
        browser.get(PATH + "decided/")


def test_an_annotator_sees_none_of_it(project: Project, tasks: list[Task], alice: User) -> None:
    values: dict[str, Any] = WHOLE
    for path in (PATH, f"{PATH}{tasks[3].pk}/", PATH + "decided/"):
        assert browser_of(alice).get(path).status_code == 403
    assert browser_of(alice).post(f"{PATH}{tasks[3].pk}/", values).status_code == 403
    assert "Disagreements" not in text_of(alice, "/projects/support-replies/")
