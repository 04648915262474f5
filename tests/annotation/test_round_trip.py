"""What leaves by export comes back by import as it was."""

import json
import uuid

import pytest

from annotation import actions, export, queue
from annotation.intake import import_lines
from annotation.models import Judgment, Project, User
from tests.annotation.conftest import make_tasks


@pytest.fixture
def judged(project: Project, alice: User, bob: User) -> Project:
    """Comparisons with every kind of answer by two people, and a rating by one."""
    actions.add_criterion(project, key="helpful", name="Helpful", scale_max=7)
    make_tasks(project, 2, overlap=2)
    for user in (alice, bob):
        held = queue.claim(user, project=project)
        said = {"preferred": held.task.response_a, "strength": 3, "rationale": "Kind — 很好", "flags": ["unsafe"]}
        said |= {"corrections": {held.left.pk: f"{user}'s words"}, "active_seconds": 2.5}
        actions.judge(held, by=user, submission_key=uuid.uuid4(), **said)
        held = queue.claim(user, project=project)
        actions.judge(held, by=user, submission_key=uuid.uuid4(), both_bad=user == alice, strength=0)
    first = project.tasks.first()
    rating = project.tasks.create(kind="rating", prompt=first.prompt, response_a=first.response_a)
    held = queue.claim(alice, project=project)
    assert held.task == rating
    actions.judge(held, by=alice, submission_key=uuid.uuid4(), ratings={project.criteria.get().pk: 6})
    User.objects.filter(pk=bob.pk).update(is_simulated=True)
    return project


def exported(project: Project, format: export.FileFormat) -> list[dict[str, object]]:
    lines = []
    for line in export.lines(project, format=format):
        line = json.loads(json.dumps(line, default=str))
        if format == "judgments":
            # These belong to the installation they come from.
            del line["id"], line["guidelines_version"], line["leased_at"]
        if format == "preferences":
            del line["prompt_id"]
        if format == "prompts":
            line["responses"].sort(key=json.dumps)
        lines.append(oriented(line))
    return sorted(lines, key=json.dumps)


def oriented(line: dict[str, object]) -> dict[str, object]:
    """The line with its two responses in the order of their texts: which is a and which is b is a matter of ids."""
    if "response_b" not in line or line["response_a"]["text"] <= line["response_b"]["text"]:
        return line
    other = {"a": "b", "b": "a", None: None, "ab": "ba", "ba": "ab"}
    corrections = [{**correction, "of": other[correction["of"]]} for correction in line["corrections"]]
    return {
        **line,
        "response_a": line["response_b"],
        "response_b": line["response_a"],
        "preferred": other[line["preferred"]],
        "shown": other[line["shown"]],
        "corrections": corrections,
    }


@pytest.fixture
def elsewhere(judged: Project) -> Project:
    """Another project, in which Alice labels too; Bob is a stranger there."""
    other = actions.create_project("Elsewhere", by=User.objects.get(username="alice"))
    actions.add_criterion(other, key="helpful", name="Helpful", scale_max=7)
    return other


def test_judgments(judged: Project, elsewhere: Project) -> None:
    before = exported(judged, "judgments")
    assert len(before) == 5
    report = import_lines(elsewhere, map(json.dumps, before), source="copy")
    assert (report.errors, report.num_judgments, report.num_tasks) == ([], 5, 3)
    after = exported(elsewhere, "judgments")
    # Bob is nobody in the other project, so his judgments are another user's there, who cannot log in.
    stand_in = User.objects.get(username="bob (imported 1)")
    assert (stand_in.is_active, stand_in.has_usable_password(), stand_in.is_simulated) == (False, False, True)
    for line in after:
        line["annotator"] = line["annotator"].removesuffix(" (imported 1)")
    assert sorted(after, key=json.dumps) == before
    assert exported(elsewhere, "preferences") == exported(judged, "preferences")
    assert all(task.num_judged == task.overlap for task in elsewhere.tasks.all())


def test_the_same_file_again_changes_nothing(judged: Project, elsewhere: Project) -> None:
    before = [json.dumps(line) for line in exported(judged, "judgments")]
    import_lines(elsewhere, before, source="copy")
    num_users = User.objects.count()
    report = import_lines(elsewhere, before, source="copy")
    assert (report.num_judgments, report.num_known_judgments, report.num_prompts) == (0, 5, 0)
    assert (report.num_responses, report.num_tasks, report.errors) == (0, 0, [])
    assert Judgment.objects.in_project(elsewhere).count() == 5
    assert User.objects.count() == num_users


def test_preferences(judged: Project, elsewhere: Project) -> None:
    """The tie (and both bad) has no chosen answer; the correction of each person is a pair of its own."""
    before = exported(judged, "preferences")
    assert sorted(line["origin"] for line in before) == ["comparison", "correction", "correction"]
    report = import_lines(elsewhere, map(json.dumps, before), source="copy")
    assert (report.errors, report.num_judgments) == ([], len(before))
    after = exported(elsewhere, "preferences")
    kept = ("prompt", "chosen", "rejected", "chosen_source", "rejected_source")
    assert [[line[key] for key in kept] for line in after] == [[line[key] for key in kept] for line in before]


def test_prompts(judged: Project, elsewhere: Project) -> None:
    before = exported(judged, "prompts")
    assert len(before) == 2
    report = import_lines(elsewhere, map(json.dumps, before), source="copy")
    assert (report.errors, report.num_prompts, report.num_responses, report.num_tasks) == ([], 2, 4, 0)
    assert exported(elsewhere, "prompts") == before
