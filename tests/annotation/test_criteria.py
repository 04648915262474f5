"""/projects/<slug>/settings/criteria/ : what people rate by, added and reworded while they are at work."""

import uuid
from typing import Any

import pytest

from annotation import actions, queue
from annotation.models import AuditEntry, Criterion, Gold, Project, User
from tests.annotation.conftest import browser_of, make_tasks, text_of

PATH = "/projects/support-replies/settings/"
NEW = {
    "name": "Desirable",
    "key": "desirable",
    "scale_max": "2",
    "low_anchor": "no",
    "high_anchor": "yes",
    "weight": "1",
}
SAME = {"name": "Kind", "low_anchor": "", "high_anchor": "", "description": "", "weight": "1.0", "place": "1"}


def add(user: User, **changed: str) -> Any:
    return browser_of(user).post(f"{PATH}criteria/", NEW | changed)


def change(user: User, criterion: Criterion, **changed: str) -> Any:
    return browser_of(user).post(f"{PATH}criteria/{criterion.pk}/", SAME | changed)


@pytest.fixture
def kind(project: Project) -> Criterion:
    return actions.add_criterion(project, key="kind", name="Kind")


def test_a_criterion_is_added_and_rated_by(project: Project, carol: User, alice: User) -> None:
    assert add(carol).status_code == 302
    criterion = project.criteria.get()
    assert (criterion.key, criterion.scale_max, criterion.high_anchor) == ("desirable", 2, "yes")
    entry = AuditEntry.objects.get(verb="criterion.added")
    assert (entry.actor, entry.subject, entry.details) == (carol, "desirable", {"scale_max": 2})
    assert "Desirable" in text_of(carol, PATH)
    make_tasks(project, 1, kind="rating")
    assert "Desirable" in text_of(alice, "/projects/support-replies/annotate/")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"key": "kind"}, "already has a criterion “kind”"),
        ({"key": "no spaces"}, "Enter a valid “slug”"),
        ({"scale_max": "10"}, "less than or equal to 9"),
        ({"scale_max": "1"}, "greater than or equal to 2"),
        ({"weight": "nan"}, "Enter a number"),
        ({"name": ""}, "This field is required"),
    ],
)
def test_bad_input_gets_a_sentence(
    kind: Criterion, project: Project, carol: User, changed: dict[str, str], sentence: str
) -> None:
    answer = add(carol, **changed)
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert list(project.criteria.all()) == [kind]


def test_its_words_weight_and_place_change_and_the_log_keeps_both(
    kind: Criterion, project: Project, carol: User
) -> None:
    others = [actions.add_criterion(project, key=key, name=key) for key in ("b", "c")]
    assert change(carol, kind, name="Kindness", weight="-0.5", place="3").status_code == 302
    assert list(project.criteria.all()) == [*others, kind]
    kind.refresh_from_db()
    assert (kind.name, kind.weight, kind.key, kind.scale_max) == ("Kindness", -0.5, "kind", 5)
    entry = AuditEntry.objects.get(verb="criterion.changed")
    assert entry.details == {"name": ["Kind", "Kindness"], "weight": [1.0, -0.5], "place": [1, 3]}


def test_key_and_steps_never_change(kind: Criterion, carol: User) -> None:
    assert change(carol, kind, key="other", scale_max="9").status_code == 302
    kind.refresh_from_db()
    assert (kind.key, kind.scale_max) == ("kind", 5)
    assert not AuditEntry.objects.filter(verb="criterion.changed").exists()


def test_some_criterion_keeps_a_weight(kind: Criterion, carol: User) -> None:
    assert "at least one criterion a weight" in change(carol, kind, weight="0").content.decode()
    assert "less than or equal to 1" in change(carol, kind, place="2").content.decode()


def test_one_nobody_rated_by_can_be_removed(kind: Criterion, project: Project, carol: User) -> None:
    assert "Remove it" in text_of(carol, f"{PATH}criteria/{kind.pk}/")
    browser_of(carol).post(f"{PATH}criteria/{kind.pk}/remove/")
    assert not project.criteria.exists()
    assert AuditEntry.objects.get(verb="criterion.removed").details == {"scale_max": 5}


@pytest.mark.parametrize("used_by", ["rating", "gold"])
def test_one_that_is_used_stays(kind: Criterion, project: Project, carol: User, alice: User, used_by: str) -> None:
    (task,) = make_tasks(project, 1, kind="rating")
    if used_by == "gold":
        Gold.objects.create(task=task, ratings={"kind": [4, 5]})
    else:
        held = queue.claim(alice, project=project)
        actions.judge(held, by=alice, submission_key=uuid.uuid4(), ratings={kind.pk: 3})
    assert "Remove it" not in text_of(carol, f"{PATH}criteria/{kind.pk}/")
    page = browser_of(carol).post(f"{PATH}criteria/{kind.pk}/remove/", follow=True).content.decode()
    assert "it stays" in page
    assert project.criteria.get() == kind
