"""Rankings, gold tasks and repeats leave by export and come back by import as they were; controls are never votes."""

import json
import uuid
from typing import Any

import pytest

from annotation import actions, controls, export, queue
from annotation.intake import import_lines
from annotation.models import Assignment, Gold, Judgment, Project, Response, Task, User
from tests.annotation.conftest import make_rankings, make_tasks


def give(user: User, task: Task, **said: Any) -> Judgment:
    """A judgment of a task that the queue would lend later, or to others."""
    held = Assignment.objects.create(task=task, annotator=user, is_swapped=True, expires_at="2030-01-01T00:00Z")
    if task.kind == "ranking":
        held.order = list(reversed(task.candidate_ids))
        held.save()
    Task.objects.filter(pk=task.pk).update(num_leased=1)
    return actions.judge(held, by=user, submission_key=uuid.uuid4(), **said).judgment


@pytest.fixture
def judged(project: Project, alice: User, bob: User) -> Project:
    """A ranking by two people, and a comparison, its repeat, and gold tasks of all three kinds by one."""
    criterion = actions.add_criterion(project, key="helpful", name="Helpful")
    (ranking,) = make_rankings(project, 1, num=4, overlap=2)
    first, gold_pair, gold_rating = make_tasks(project, 3)
    a, b, c, d = ranking.candidate_ids
    give(alice, ranking, ranks={a: 1, b: 2, c: 2, d: 3}, corrections={d: "Better."})
    give(bob, ranking, ranks={a: 2, b: 1, c: 3, d: 4})
    give(alice, first, preferred=first.response_a, strength=2)
    controls.make_repeats([(first.pk, alice.pk)])
    give(alice, Task.objects.get(control="repeat"), strength=0)
    Task.objects.filter(pk=gold_rating.pk).update(kind="rating", response_b=None)
    gold_ranking = make_gold_ranking(project)
    controls.make_gold([
        Gold(task=gold_pair, preferred=gold_pair.response_b, note="It says so."),
        Gold(task=gold_rating, ratings={"helpful": [4, 5]}),
        Gold(task=gold_ranking, preferred=gold_ranking.response_a),
    ])  # fmt: skip
    for task in Task.objects.filter(control="gold"):
        said = {"comparison": {"preferred": task.response_a, "strength": 1}, "rating": {"ratings": {criterion.pk: 4}}}
        said["ranking"] = {"ranks": {pk: place for place, pk in enumerate(task.candidate_ids, start=1)}}
        give(alice, task, **said[task.kind])
    return project


def make_gold_ranking(project: Project) -> Task:
    prompt = project.prompts.create(messages=[{"role": "user", "content": "Gold?"}], content_hash="gold ranking")
    rows = [
        Response.objects.create(prompt=prompt, text=f"{side}", source="s", content_hash=f"gold {side}")
        for side in "xyz"
    ]
    ids = [row.pk for row in rows]
    task = Task.objects.create(project=project, prompt=prompt, kind="ranking", response_a=rows[0], candidate_ids=ids)
    for row in rows:
        task.candidates.create(response=row)
    return task


def exported(project: Project) -> list[dict[str, Any]]:
    """The judgments' lines, their responses in the order of the texts: which comes first is a matter of ids."""
    lines = []
    for raw in export.lines(project, format="judgments"):
        line: dict[str, Any] = json.loads(json.dumps(raw, default=str))
        for key in ("id", "guidelines_version", "leased_at"):
            del line[key]
        if line["kind"] == "ranking":
            line = by_text(line)
        lines.append(line)
    return sorted(lines, key=json.dumps)


def by_text(line: dict[str, Any]) -> dict[str, Any]:
    order = sorted(range(len(line["responses"])), key=lambda place: line["responses"][place]["text"])
    new_number = {old + 1: new for new, old in enumerate(order, start=1)}
    changed = {
        "responses": [line["responses"][place] for place in order],
        "ranks": [line["ranks"][place] for place in order],
        "shown": [new_number[number] for number in line["shown"]],
        "corrections": [{**correction, "of": new_number[correction["of"]]} for correction in line["corrections"]],
    }
    if "gold" in line:
        changed["gold"] = {"best": new_number[line["gold"]["best"]]}
    return {**line, **changed}


@pytest.fixture
def elsewhere(judged: Project, alice: User, bob: User) -> Project:
    other = actions.create_project("Elsewhere", by=alice)
    actions.add_member(other, user=bob, role=10)
    actions.add_criterion(other, key="helpful", name="Helpful")
    return other


def oriented(line: dict[str, Any]) -> dict[str, Any]:
    """A comparison with its first answer by text."""
    if "response_b" not in line or line["response_a"]["text"] <= line["response_b"]["text"]:
        return line
    other = {"a": "b", "b": "a", None: None, "ab": "ba", "ba": "ab"}
    line |= {"response_a": line["response_b"], "response_b": line["response_a"]}
    line |= {"preferred": other[line["preferred"]], "shown": other[line["shown"]]}
    if "gold" in line:
        line["gold"] = {**line["gold"], "preferred": other[line["gold"]["preferred"]]}
    return line


def test_judgments(judged: Project, elsewhere: Project) -> None:
    before = exported(judged)
    assert sorted(line["control"] for line in before) == ["", "", "", "gold", "gold", "gold", "repeat"]
    originals_first = sorted(before, key=lambda line: line["control"] == "repeat")
    for _again in range(2):
        report = import_lines(elsewhere, map(json.dumps, originals_first), source="copy")
        assert report.errors == []
        after = sorted(map(oriented, exported(elsewhere)), key=json.dumps)
        assert after == sorted(map(oriented, before), key=json.dumps)
        assert Gold.objects.filter(task__project=elsewhere).count() == 3
    assert {task.overlap for task in elsewhere.tasks.filter(control="gold")} == {Task.EVERYBODY}
    again = elsewhere.tasks.get(control="repeat")
    assert (again.reserved_for.username, again.repeat_of.num_judged, again.num_judged) == ("alice", 1, 1)


def test_a_ranking_becomes_pairs_that_share_one_weight(judged: Project) -> None:
    """Alice: a, then b and c tied, then d. Bob: b, a, c, d. So a against b is even, and b against c is ¾."""
    a, b, c, d = Task.objects.get(kind="ranking", control="").candidate_ids
    pairs = {(row.response_a_id, row.response_b_id): row for row in export.preferences(judged, origins=["ranking"])}
    assert {pair: row.target for pair, row in pairs.items()} == {
        (a, b): 0.5, (a, c): 1.0, (a, d): 1.0, (b, c): 0.75, (b, d): 1.0, (c, d): 1.0,
    }  # fmt: skip
    assert {row.strength for row in pairs.values()} == {0.0, 1.0, 2.0}
    assert {row.weight for row in pairs.values()} == {1 / 6}
    assert {row.num_judgments for row in pairs.values()} == {2}
    lines = [line for line in export.lines(judged, format="preferences") if line["origin"] == "ranking"]
    assert [line["weight"] for line in lines] == [1 / 6] * 5  # the even pair has no chosen answer


def test_controls_are_no_votes(judged: Project) -> None:
    origins = [row.origin for row in export.preferences(judged)]
    assert origins == ["comparison"] + ["ranking"] * 6 + ["correction"]
    assert list(export.ratings(judged)) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"responses": ["one", "two"]}, "a list of 3 to 6"),
        ({"responses": ["one", "two", "two"]}, "Two of the answers are the same"),
        ({"ranks": [1, 2]}, "“ranks” must be a list of 3 places"),
        ({"ranks": [1, 2, 4]}, "“ranks” must be a list of 3 places"),
        ({"ranks": [1, 2, True]}, "“ranks” must be a list of 3 places"),
        ({"ranks": None}, "“ranks” must be a list of 3 places"),
        ({"shown": [1, 1, 2]}, "“shown” must name each of the 3 responses"),
        ({"shown": ["a", {}, 3]}, "“shown” must name each of the 3 responses"),
        ({"corrections": [{"of": "a", "text": "!"}]}, '{"of": 1 or 2 or 3, "text": …}'),
        ({"gold": True}, "must be an object with the right answer"),
        ({"gold": {"best": 4}}, "needs “best”"),
        ({"gold": {"best": [1]}}, "needs “best”"),
        ({"annotator": ""}, "“annotator” is missing"),
    ],
)
def test_a_wrong_ranking_gets_a_sentence(project: Project, change: dict[str, Any], sentence: str) -> None:
    line = {"prompt": "?", "responses": ["one", "two", "three"], "ranks": [1, 2, 3], "annotator": "ann"} | change
    (error,) = import_lines(project, [json.dumps(line)], source="file").errors
    assert sentence in str(error)
    assert not Task.objects.exists()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ({"chosen": "a", "rejected": "b", "gold": "yes"}, "“gold” must be true"),
        ({"response_a": "a", "response_b": "b", "gold": {}}, "of a comparison needs “preferred”"),
        ({"response_a": "a", "response_b": "b", "gold": {"preferred": []}}, "of a comparison needs “preferred”"),
        ({"response_a": "a", "gold": {"ratings": {"helpful": [4]}}}, "of a rating needs “ratings”"),
        ({"response_a": "a", "gold": {"ratings": {"unknown": 4}}}, "no criterion “unknown”"),
        ({"response_a": "a", "gold": {"ratings": {"helpful": [5, 4]}}}, "the lowest right value first"),
    ],
)
def test_a_wrong_right_answer_gets_a_sentence(project: Project, line: dict[str, Any], sentence: str) -> None:
    actions.add_criterion(project, key="helpful", name="Helpful")
    (error,) = import_lines(project, [json.dumps({"prompt": "?"} | line)], source="file").errors
    assert sentence in str(error)
    assert not Task.objects.exists()


def test_gold_lines_without_an_annotator_make_tasks_and_no_judgment(project: Project, alice: User) -> None:
    actions.add_criterion(project, key="helpful", name="Helpful")
    lines = [
        {"prompt": "1", "chosen": "a", "rejected": "b", "gold": True},
        {"prompt": "2", "chosen": "a", "rejected": "b", "gold": {"note": "Because."}, "annotator": "alice"},
        {"prompt": "3", "response_a": "a", "response_b": "b", "gold": {"preferred": None}},
        {"prompt": "4", "response_a": "a", "gold": {"ratings": {"helpful": 5}}},
        {"prompt": "5", "kind": "ranking", "responses": ["a", "b", "c"], "gold": {"best": 2}},
    ]
    report = import_lines(project, map(json.dumps, lines), source="file")
    assert (report.errors, report.num_golds, report.num_judgments, report.num_tasks) == ([], 5, 1, 5)
    golds = {gold.task.prompt.messages[0]["content"]: gold for gold in Gold.objects.all()}
    assert [golds[name].preferred.text if golds[name].preferred else None for name in "12345"] == [
        "a", "a", None, None, "b",
    ]  # fmt: skip
    assert (golds["2"].note, golds["4"].ratings) == ("Because.", {"helpful": [5, 5]})
    assert queue.claim(alice, project=project) is None
