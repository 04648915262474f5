"""Every page of the admin site opens, and none of them changes what only actions may change."""

import uuid

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from annotation import actions, queue
from annotation.models import Assignment, AuditEntry, Guidelines, Judgment, Project, Prompt, Response, Task, User
from tests.annotation.conftest import make_tasks


@pytest.fixture
def root(client: Client, project: Project, alice: User) -> Client:
    actions.publish_guidelines(project, text="Be kind.", by=alice)
    make_tasks(project, 1)
    held = queue.claim(alice, project=project)
    actions.judge(held, by=alice, submission_key=uuid.uuid4(), strength=0)
    client.force_login(User.objects.create(username="root", is_staff=True, is_superuser=True))
    return client


def registered() -> list[type]:
    return [model for model in apps.get_app_config("annotation").get_models() if admin.site.is_registered(model)]


def test_every_list_and_row_opens(root: Client) -> None:
    models = registered()
    assert {Project, User, Prompt, Response, Task, Assignment, Judgment, Guidelines} <= set(models)
    for model in models:
        name = f"admin:annotation_{model._meta.model_name}"
        assert root.get(reverse(f"{name}_changelist")).status_code == 200
        row = model.objects.first()
        assert root.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200


@pytest.mark.parametrize("model", [Project, Task, Assignment, Judgment, Guidelines, Prompt, Response])
def test_what_actions_keep_is_read_only(root: Client, model: type) -> None:
    name, row = f"admin:annotation_{model._meta.model_name}", model.objects.first()
    assert root.get(reverse(f"{name}_add")).status_code == 403
    assert root.post(reverse(f"{name}_change", args=[row.pk]), {"x": 1}).status_code == 403
    assert root.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403


def test_members_and_criteria_are_not_changed_past_the_log(root: Client, project: Project) -> None:
    page = root.get(reverse("admin:annotation_project_change", args=[project.pk])).content.decode()
    assert "alice" in page
    assert [name for name in ("memberships-0-role", "memberships-1-role", "name") if f'name="{name}"' in page] == []


def test_the_log_is_told_of_accounts_made_and_changed(root: Client, alice: User) -> None:
    password = "correct horse battery staple"
    new = {"username": "zoe", "password1": password, "password2": password, "usable_password": "true"}
    assert root.post(reverse("admin:annotation_user_add"), new).status_code == 302
    zoe = User.objects.get(username="zoe")
    change = {"username": "zoe", "is_staff": "on", "date_joined_0": "2026-01-01", "date_joined_1": "12:00:00"}
    page = reverse("admin:annotation_user_change", args=[zoe.pk])
    assert root.post(page, change | {"language": zoe.language}).status_code == 302
    assert User.objects.get(pk=zoe.pk).is_staff
    other = {"password1": password + "!", "password2": password + "!", "usable_password": "true"}
    assert root.post(reverse("admin:auth_user_password_change", args=[zoe.pk]), other).status_code == 302
    entries = AuditEntry.objects.filter(about=zoe).order_by("pk")
    assert [entry.verb for entry in entries] == ["account.created", "account.changed", "account.changed"]
    assert {entry.actor.username for entry in entries} == {"root"}
    assert "Staff status" in entries[1].details["fields"] and password not in str([e.details for e in entries])
    assert root.post(reverse("admin:annotation_user_delete", args=[alice.pk]), {"post": "yes"}).status_code == 403


def test_a_person_without_staff_rights_is_sent_to_the_login(client: Client, alice: User) -> None:
    client.force_login(alice)
    response = client.get(reverse("admin:annotation_judgment_changelist"))
    assert response.status_code == 302
    assert "login" in response["Location"]
