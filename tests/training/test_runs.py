"""/runs/: all runs, filtered, paged, followed while they move."""

import pytest
from django.test import Client

from annotation.models import Project, User
from tests.training import rows
from training.models import Run
from training.views.runs import PAGE_SIZE


@pytest.fixture
def reader(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


def test_it_works(reader: Client, project: Project) -> None:
    base, frozen = rows.base(project), rows.snapshot(project, num_simulated=3)
    rows.reward_model(project, model=base, snapshot=frozen)
    text = reader.get("/runs/").content.decode()
    for part in ("Reward model", "succeeded", "starter", "simulated", "reward-"):
        assert part in text
    assert "New run" not in text, "a reviewer starts none"


def test_runs_without_a_snapshot_are_marked_by_what_their_models_learned_from(reader: Client, project: Project) -> None:
    base, frozen = rows.base(project), rows.snapshot(project, num_simulated=3)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    tuned = rows.run(project, "policy", model=base, reward_model=scorer)
    assert tuned.num_simulated == 3
    assert rows.run(project, "generate", model=base).num_simulated == 0
    assert rows.run(project, "generate", model=scorer).num_simulated == 3
    assert reader.get("/runs/").content.decode().count('class="badge simulated"') == 3


def test_an_admin_is_offered_a_new_run(client: Client, dana: User) -> None:
    client.force_login(dana)
    assert "/runs/new/" in client.get("/runs/").content.decode()


def test_anonymous(client: Client) -> None:
    assert client.get("/runs/")["Location"].startswith("/login/")


@pytest.mark.parametrize("name", ["alice", "charlie"])
def test_others_see_no_run(name: str, request: pytest.FixtureRequest, client: Client, project: Project) -> None:
    rows.run(project, "reward")
    client.force_login(request.getfixturevalue(name))
    page = client.get("/runs/")
    assert page.status_code == 200
    assert "No runs here" in page.content.decode()


def test_wrong_method(reader: Client) -> None:
    assert reader.post("/runs/").status_code == 405


def test_filters(reader: Client, project: Project) -> None:
    rows.run(project, "reward")
    failed = rows.run(project, "policy", status="failed")
    assert [run.pk for run in reader.get("/runs/?status=failed").context["page"]] == [failed.pk]
    assert [run.pk for run in reader.get("/runs/?kind=policy&project=support").context["page"]] == [failed.pk]
    assert not list(reader.get("/runs/?kind=nonsense&page=seven").context["page"])


def test_pages_and_queries(reader: Client, project: Project, django_assert_max_num_queries) -> None:  # type: ignore[no-untyped-def]
    base, frozen = rows.base(project), rows.snapshot(project)
    for _ in range(PAGE_SIZE + 5):
        rows.run(project, "sft", model=base, snapshot=frozen)
    with django_assert_max_num_queries(10):
        first = reader.get("/runs/")
    assert len(first.context["page"]) == PAGE_SIZE
    assert "?page=2" in first.content.decode()
    assert len(reader.get("/runs/?page=2").context["page"]) == 5


def test_the_list_follows_runs_that_move(reader: Client, project: Project) -> None:
    run = rows.run(project, "sft", status="running", step=3)
    page = reader.get("/runs/")
    assert "every 2s" in page.content.decode()
    htmx = {"HTTP_HX-Request": "true"}
    address = f"/runs/?seen={page.context['state']}"
    assert reader.get(address, **htmx).status_code == 204
    Run.objects.filter(pk=run.pk).update(step=4)
    assert reader.get(address, **htmx).status_code == 200
    Run.objects.filter(pk=run.pk).update(status="succeeded")
    ended = reader.get(address, **htmx)
    assert ended.status_code == 286
    assert "every 2s" not in ended.content.decode()
