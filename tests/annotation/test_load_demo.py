"""The demo: a project with people, criteria, guidelines and pairs; loaded once, and refused on a shared server."""

import io
import re
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from annotation.models import Project, Response, Role, Task, User
from annotation.queue import claim


def load(**options: Any) -> str:
    out = io.StringIO()
    call_command("load_demo", stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def laptop(settings: Any, db: None) -> None:
    settings.IS_LAPTOP = True


def test_it_works(laptop: None) -> None:
    said = load()
    passwords = dict(re.findall(r"^\s*(alice|bob|carol)\b.*?(\S+)\s*$", said, re.M))
    assert set(passwords) == {"alice", "bob", "carol"}
    project = Project.objects.get(slug="support-replies")
    for name, role in (("alice", Role.ANNOTATOR), ("bob", Role.REVIEWER), ("carol", Role.ADMIN)):
        user = User.objects.get(username=name)
        assert user.check_password(passwords[name]) and project.role_of(user) == role and not user.is_simulated
    assert {criterion.key for criterion in project.criteria.all()} == {"helpful", "polite", "correct"}
    assert project.current_guidelines and project.current_guidelines.text.startswith("#")
    comparisons = Task.objects.filter(kind="comparison")
    assert comparisons.count() == 500 and Task.objects.filter(kind="rating").count() == 12
    assert sum(comparisons.values_list("overlap", flat=True)) > 600
    assert set(Response.objects.values_list("source", flat=True)) == {"starter"}


def test_a_first_visitor_meets_comparisons(laptop: None) -> None:
    load()
    project = Project.objects.get(slug="support-replies")
    first = claim(User.objects.get(username="alice"), project=project)
    assert first and first.task.kind == Task.Kind.COMPARISON and first.task.overlap == 2


def test_loading_again_changes_nothing(laptop: None) -> None:
    load()
    before = User.objects.get(username="alice").password, Task.objects.count(), Response.objects.count()
    assert "password" not in load().replace("changepassword", "")
    assert (User.objects.get(username="alice").password, Task.objects.count(), Response.objects.count()) == before
    assert Project.objects.count() == 1


def test_a_first_start_leaves_other_projects_alone(laptop: None) -> None:
    Project.objects.create(slug="ours", name="Ours")
    assert load(unless_any_project=True) == ""
    assert not User.objects.exists()


def test_it_is_refused_where_debug_is_off(settings: Any, db: None) -> None:
    settings.IS_LAPTOP = False
    with pytest.raises(CommandError, match="DEBUG is off"):
        load()
    assert not User.objects.exists() and not Project.objects.exists()


def test_a_person_of_that_name_keeps_their_password(laptop: None) -> None:
    alice = User.objects.create_user("alice", password="her own long password")
    said = load()
    alice.refresh_from_db()
    assert alice.check_password("her own long password") and "alice" not in said
    assert Project.objects.get(slug="support-replies").role_of(alice) is None
