"""Django's admin shows the training rows and changes none."""

import pytest
from django.test import Client

from annotation.models import User
from training.models import ModelVersion, Run

MODELS = ["snapshot", "run", "modelversion", "generation"]


@pytest.fixture
def superuser(db: None, client: Client) -> User:
    user = User.objects.create_superuser("root", password="a long enough password")
    client.force_login(user)
    return user


@pytest.mark.parametrize("model", MODELS)
def test_lists_open_and_nothing_can_be_added(model: str, client: Client, superuser: User, run: Run) -> None:
    assert client.get(f"/admin/training/{model}/").status_code == 200
    assert client.get(f"/admin/training/{model}/add/").status_code == 403


def test_a_row_is_shown_and_not_changed(client: Client, superuser: User, run: Run, base: ModelVersion) -> None:
    for address in (f"/admin/training/run/{run.pk}/change/", f"/admin/training/modelversion/{base.pk}/change/"):
        assert client.get(address).status_code == 200
        assert client.post(address, {"status": "succeeded", "name": "other"}).status_code == 403
    run.refresh_from_db()
    assert run.status == Run.Status.QUEUED
