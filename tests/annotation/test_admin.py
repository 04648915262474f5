"""Every page of the admin site opens, and none of them changes what only actions may change."""

import uuid

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from annotation import actions, queue
from annotation.models import Assignment, Guidelines, Judgment, Project, Prompt, Response, Task, User
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


@pytest.mark.parametrize("model", [Task, Assignment, Judgment, Guidelines, Prompt, Response])
def test_what_actions_keep_is_read_only(root: Client, model: type) -> None:
    name, row = f"admin:annotation_{model._meta.model_name}", model.objects.first()
    assert root.get(reverse(f"{name}_add")).status_code == 403
    assert root.post(reverse(f"{name}_change", args=[row.pk]), {"x": 1}).status_code == 403
    assert root.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403


def test_a_person_without_staff_rights_is_sent_to_the_login(client: Client, alice: User) -> None:
    client.force_login(alice)
    response = client.get(reverse("admin:annotation_judgment_changelist"))
    assert response.status_code == 302
    assert "login" in response["Location"]
