"""/projects/<slug>/leaderboard/ : from judgments in the database to the page and its files."""

import csv
import io
import json
import os
import uuid
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation import actions, intake, queue
from annotation.leaderboard import leaderboard, outcomes_of
from annotation.models import Judgment, Project, Response, Task, User
from annotation.votes import Voters
from tests.annotation.conftest import browser_of, make_tasks, member, text_of

THERE = "/projects/support-replies/leaderboard/"
FIRST = '<th scope="row" class="source-cell">'
"""What a row of the table begins with."""


def judge_all(user: User, project: Project, *, better: str) -> int:
    """The user prefers the answers of one source in every comparison they can get; returns how many there were."""
    num = 0
    while held := queue.claim(user, project=project):
        pair = [held.task.response_a, held.task.response_b]
        preferred = next((answer for answer in pair if answer and answer.source == better), None)
        said = {"preferred": preferred, "strength": 2 if preferred else 0}
        actions.judge(held, by=user, submission_key=uuid.uuid4(), **said)  # type: ignore[arg-type]
        num += 1
    return num


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_it_works(project: Project, alice: User, bob: User) -> None:
    make_tasks(project, 12)
    assert judge_all(alice, project, better="long answer") == 12
    page = text_of(bob, THERE)
    assert page.index(FIRST + "long answer") < page.index(FIRST + "plain answer")
    assert "One of these groups has always won" in page
    table = lines(text_of(bob, THERE + "csv/"))
    assert [(row["source"], row["comparisons"], row["prompts"]) for row in table] == [
        ("long answer", "12", "12"),
        ("plain answer", "12", "12"),
    ]
    assert float(table[0]["rating_low"]) > 1000 > float(table[1]["rating_high"])
    pairs = lines(text_of(bob, THERE + "csv/", table="matchups"))
    assert {(row["source"], row["share_won"]) for row in pairs} == {("long answer", "1.0"), ("plain answer", "0.0")}


def test_every_kind_of_label_makes_pairs_that_weigh_as_their_person_said(project: Project, alice: User) -> None:
    """A comparison, a ranking of three with a tie, and one person's ratings of three answers: one vote each."""
    criterion = actions.add_criterion(project, key="helpful", name="Helpful")
    prompt = intake.add_prompt(project, "Where is my parcel?")
    answers = intake.add_responses(
        prompt, [intake.NewResponse(text=f"answer {name}", source=name) for name in ("a", "b", "c")]
    )
    a, b, c = sorted(answers, key=lambda response: response.source)

    def by_id(response: Response) -> int:
        return response.pk

    def judged(kind: str, **fields: object) -> Judgment:
        task = Task.objects.create(project=project, prompt=prompt, kind=kind, num_judged=1, **fields)
        lent = task.assignments.create(annotator=alice, status="judged", is_swapped=False, expires_at=task.created_at)
        said = {"preferred": b, "strength": 1} if kind == "comparison" else {}
        return Judgment.objects.create(task=task, annotator=alice, assignment=lent, **said)

    judged("comparison", response_a=min(a, b, key=by_id), response_b=max(a, b, key=by_id))
    ranking = judged("ranking", response_a=a, candidate_ids=sorted(row.pk for row in answers))
    for response, rank in ((a, 2), (b, 1), (c, 2)):
        ranking.ranks.create(response=response, rank=rank)
    for response, value in ((a, 5), (b, 3), (c, 1)):
        judged("rating", response_a=response).ratings.create(criterion=criterion, response=response, value=value)

    def pairs(*, with_ratings: bool) -> dict[tuple[str, str], tuple[float, float]]:
        found = outcomes_of(project, with_ratings=with_ratings)
        by_pair: dict[tuple[str, str], tuple[float, float]] = {}
        for first, second, wins, num in zip(found.first, found.second, found.wins, found.num, strict=True):
            pair = found.sources[first], found.sources[second]
            before = by_pair.get(pair, (0.0, 0.0))
            by_pair[pair] = before[0] + float(wins), before[1] + float(num)
        return by_pair

    third = pytest.approx(1 / 3)
    found = pairs(with_ratings=False)
    assert found == {
        ("a", "b"): (0, pytest.approx(4 / 3)),
        ("a", "c"): (pytest.approx(1 / 6), third),
        ("b", "c"): (third, third),
    }
    found = pairs(with_ratings=True)
    assert found[("a", "b")] == (third, pytest.approx(5 / 3))
    assert found[("b", "c")] == (pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_gold_tasks_undone_and_simulated_labels_do_not_count(project: Project, alice: User, bob: User) -> None:
    make_tasks(project, 6, overlap=2)
    program = member(project, "program")
    User.objects.filter(pk=program.pk).update(is_simulated=True)
    judge_all(alice, project, better="long answer")
    judge_all(program, project, better="plain answer")
    gold = project.tasks.order_by("pk").first()
    assert gold
    Task.objects.filter(pk=gold.pk).update(control="gold")
    actions.undo(alice, project=project)
    by_voters = {voters: outcomes_of(project, voters=voters) for voters in Voters}
    assert {voters.value: int(found.votes.sum()) for voters, found in by_voters.items()} == {
        "people": 4, "simulated": 5, "all": 9,
    }  # fmt: skip
    assert "Nothing to rank" not in text_of(bob, THERE)
    page = text_of(bob, THERE, voters="simulated")
    assert "5 simulated" in page and page.index(FIRST + "plain answer") < page.index(FIRST + "long answer")


def test_without_labels_the_page_says_what_is_missing(project: Project, alice: User, bob: User) -> None:
    assert "Nothing to rank yet" in text_of(bob, THERE)
    assert lines(text_of(bob, THERE + "csv/")) == [] == lines(text_of(bob, THERE + "csv/", table="matchups"))
    make_tasks(project, 3)
    User.objects.filter(pk=alice.pk).update(is_simulated=True)
    judge_all(alice, project, better="long answer")
    assert "Show what simulated annotators chose" in text_of(bob, THERE)


def test_a_source_is_text_and_no_formula(project: Project, alice: User, bob: User) -> None:
    make_tasks(project, 3)
    Response.objects.filter(source="long answer").update(source="=cmd()<script>alert(1)</script>")
    judge_all(alice, project, better="plain answer")
    assert "<script>alert(1)" not in text_of(bob, THERE)
    names = {row["source"] for row in lines(text_of(bob, THERE + "csv/"))}
    assert names == {"plain answer", "'=cmd()<script>alert(1)</script>"}


def test_the_page_is_computed_anew_when_a_label_changes(project: Project, alice: User, carol: User) -> None:
    make_tasks(project, 8)
    judge_all(alice, project, better="long answer")
    assert "8 comparisons" in text_of(carol, THERE)
    actions.undo(alice, project=project)
    assert "7 comparisons" in text_of(carol, THERE)
    voiding = actions.void_judgments(project, annotator=alice, by=carol, reason="x")
    assert "Nothing to rank" in text_of(carol, THERE)
    actions.restore(voiding, by=carol)
    assert "7 comparisons" in text_of(carol, THERE)


def test_few_queries_however_many_labels(project: Project, alice: User, bob: User) -> None:
    make_tasks(project, 20)
    judge_all(alice, project, better="long answer")
    browser = browser_of(bob)
    with CaptureQueriesContext(connection) as queries:
        browser.get(THERE)
    assert len(queries) <= 17  # six of them keep the figures in the cache, which the web's processes share


def test_real_judgments_give_the_order_their_votes_say(project: Project) -> None:
    """960 votes of three people on answers of five models: the strengths reproduce every model's wins."""
    path = Path(os.environ.get("PLUMBLINE_SHARED", "")) / "data" / "pairwise_pandalm.jsonl"
    if not os.environ.get("PLUMBLINE_SHARED") or not path.exists():
        pytest.skip("the real judgments are not here: set PLUMBLINE_SHARED to the folder that holds data/")
    people = {name: member(project, name) for name in ("human1", "human2", "human3")}
    wins: dict[str, list[float]] = {}
    for line in map(json.loads, path.read_text().splitlines()):
        prompt = intake.add_prompt(project, line["instruction"] + "\n" + line["input"])
        pair = [intake.NewResponse(text=each["text"], source=each["model"]) for each in line["responses"]]
        if pair[0].source == pair[1].source or pair[0].text == pair[1].text:
            continue
        first, second = intake.add_responses(prompt, pair)
        (task,) = intake.add_comparisons(project, [(first, second)], overlap=3)
        for vote in line["annotations"]:
            person = people[vote["annotator"]]
            lent = task.assignments.create(
                annotator=person, status="judged", is_swapped=False, expires_at=task.created_at
            )
            preferred = {"a": first, "b": second, "tie": None}[vote["choice"]]
            strength = 2 if preferred else 0
            Judgment.objects.create(
                task=task, annotator=person, assignment=lent, preferred=preferred, strength=strength
            )
            for response in (first, second):
                score = 0.5 if preferred is None else float(preferred == response)
                wins.setdefault(response.source, []).append(score)
    board = leaderboard(outcomes_of(project))
    assert board is not None and board.has_converged and len(board.standings) == 5
    assert {each.source: each.num_votes for each in board.standings} == {name: len(got) for name, got in wins.items()}
    theta = {each.source: (each.rating.value - 1000) / 173.7178 for each in board.standings}
    for row, cells in zip(board.standings, board.matchups, strict=True):
        expected = sum(
            cell.num_votes / (1 + 2.718281828 ** (theta[column.source] - theta[row.source]))
            for column, cell in zip(board.standings, cells, strict=True)
            if cell is not None
        )
        assert sum(wins[row.source]) == pytest.approx(expected, abs=0.6), "but for the one virtual tie"
    assert board.groups == [sorted(theta)] and board.one_sided == []
