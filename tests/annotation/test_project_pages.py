"""The pages of a project: overview, guidelines, people, tasks, and a new one. Who may see which, and what they do."""

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation import actions, queue
from annotation.intake import NewResponse, add_prompt, add_responses
from annotation.models import Guidelines, Membership, Project, Role, Task, User
from tests.annotation.conftest import browser_of, make_tasks, member

PAGES = ["", "guidelines/", "people/", "tasks/"]
ADMIN_PAGES = ["people/", "tasks/"]


def text_of(user: User, path: str, **values: Any) -> str:
    response = browser_of(user).get(path, values)
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize("page", PAGES)
def test_it_works(project: Project, carol: User, page: str) -> None:
    make_tasks(project, 2)
    assert "Support replies" in text_of(carol, f"/projects/{project.slug}/{page}")


@pytest.mark.parametrize("page", PAGES)
def test_who_may_see_it(project: Project, alice: User, bob: User, charlie: User, page: str) -> None:
    path = f"/projects/{project.slug}/{page}"
    assert browser_of(None).get(path).status_code == 302
    assert browser_of(charlie).get(path).status_code == 404
    assert browser_of(charlie).get("/projects/no-such/" + page).status_code == 404
    expected = 403 if page in ADMIN_PAGES else 200
    assert [browser_of(person).get(path).status_code for person in (alice, bob)] == [expected] * 2
    assert browser_of(alice).delete(path).status_code == 405


def test_a_missing_right_gets_a_sentence(project: Project, alice: User) -> None:
    page = browser_of(alice).get(f"/projects/{project.slug}/people/").content.decode()
    assert "needs the role “admin” in Support replies" in page


@pytest.mark.parametrize("page", [*ADMIN_PAGES, "guidelines/"])
def test_only_admins_change_it(project: Project, alice: User, bob: User, charlie: User, page: str) -> None:
    path = f"/projects/{project.slug}/{page}"
    assert [browser_of(person).post(path).status_code for person in (alice, bob, charlie)] == [403, 403, 404]


def judge_one(user: User, project: Project) -> None:
    held = queue.claim(user, project=project)
    assert held is not None
    actions.judge(held, by=user, submission_key=uuid.uuid4(), strength=0)


def test_overview_counts_and_marks_what_is_simulated(project: Project, alice: User, bob: User) -> None:
    make_tasks(project, 5)
    program = member(project, "program")
    User.objects.filter(pk=program.pk).update(is_simulated=True)
    judge_one(alice, project)
    judge_one(program, project)
    judge_one(program, project)
    page = text_of(bob, f"/projects/{project.slug}/")
    assert "<dd>3</dd>" in page and "2 simulated" in page
    assert "3 of 5 done" in page


def test_annotators_see_nothing_of_other_people_s_labels(project: Project, alice: User, bob: User) -> None:
    make_tasks(project, 5)
    for _time in range(3):
        judge_one(bob, project)
    page = text_of(alice, f"/projects/{project.slug}/")
    assert "You judged 0 so far" in page
    assert "Labels a day" not in page and "People" not in page


def test_overview_needs_few_queries(project: Project, bob: User) -> None:
    make_tasks(project, 20)
    for _time in range(5):
        judge_one(bob, project)
    browser = browser_of(bob)
    with CaptureQueriesContext(connection) as queries:
        browser.get(f"/projects/{project.slug}/")
    assert len(queries) <= 14


def test_guidelines_are_published_in_versions(project: Project, carol: User, alice: User) -> None:
    path = f"/projects/{project.slug}/guidelines/"
    assert "no guidelines yet" in text_of(alice, path)
    for text in ("# Be *kind*", "# Be *brief*"):
        assert browser_of(carol).post(path, {"text": text}).status_code == 302
    assert "<em>brief</em>" in text_of(alice, path)
    assert list(Guidelines.objects.values_list("version", flat=True)) == [1, 2]
    empty = browser_of(carol).post(path, {"text": "  "})
    assert empty.status_code == 422
    assert "The guidelines are empty" in empty.content.decode()


def test_guidelines_as_a_fragment(project: Project, alice: User) -> None:
    actions.publish_guidelines(project, text="Be kind", by=None)
    page = browser_of(alice).get(f"/projects/{project.slug}/guidelines/", headers={"HX-Request": "true"})
    assert "Be kind" in page.content.decode() and "<html" not in page.content.decode()


def test_an_admin_adds_people_and_changes_their_role(project: Project, carol: User, charlie: User) -> None:
    browser, path = browser_of(carol), f"/projects/{project.slug}/people/"
    browser.post(path, {"username": "charlie", "role": Role.ANNOTATOR})
    browser.post(path, {"username": "charlie", "role": Role.REVIEWER})
    assert project.role_of(charlie) == Role.REVIEWER
    assert "charlie" in browser.get(path).content.decode()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"username": "nobody", "role": 10}, "There is no user “nobody”"),
        ({"username": "charlie", "role": 99}, "Select a valid choice"),
        ({"username": "carol", "role": 10}, "You cannot take the admin role from yourself"),
    ],
)
def test_adding_people_wrongly_gets_a_sentence(
    project: Project, carol: User, charlie: User, values: dict[str, Any], sentence: str
) -> None:
    response = browser_of(carol).post(f"/projects/{project.slug}/people/", values)
    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert project.role_of(charlie) is None and project.role_of(carol) == Role.ADMIN


def test_a_member_is_paused_and_goes_on(project: Project, carol: User, alice: User) -> None:
    path = f"/projects/{project.slug}/people/{Membership.objects.get(user=alice).pk}/pause/"
    browser_of(carol).post(path, {"pause": "1"})
    assert project.role_of(alice) is None
    browser_of(carol).post(path, {"pause": "0"})
    assert project.role_of(alice) == Role.ANNOTATOR
    assert browser_of(alice).post(path, {"pause": "1"}).status_code == 403
    own = f"/projects/{project.slug}/people/{Membership.objects.get(user=carol).pk}/pause/"
    browser_of(carol).post(own, {"pause": "1"})
    assert project.role_of(carol) == Role.ADMIN


def test_a_member_of_another_project_cannot_be_paused_here(project: Project, carol: User, charlie: User) -> None:
    other = actions.create_project("Other", by=charlie)
    membership = other.memberships.get()
    path = f"/projects/{project.slug}/people/{membership.pk}/pause/"
    assert browser_of(carol).post(path, {"pause": "1"}).status_code == 404


@pytest.fixture
def answered(project: Project) -> Project:
    """Two prompts with answers by three sources."""
    for question in ("Where is my parcel?", "100% refund?"):
        prompt = add_prompt(project, question)
        add_responses(prompt, [NewResponse(f"{question} {source}", source) for source in ("a", "b", "c")])
    return project


@pytest.mark.parametrize(
    ("values", "num"),
    [
        ({"what": "all"}, 6),
        ({"what": "two", "source": "a", "against": "b"}, 2),
        ({"what": "baseline", "source": "a"}, 4),
    ],
)
def test_comparisons_are_created_from_the_answers(
    answered: Project, carol: User, values: dict[str, Any], num: int
) -> None:
    path = f"/projects/{answered.slug}/tasks/"
    page = browser_of(carol).post(path, {"overlap": 2, "priority": 3, **values}, follow=True).content.decode()
    assert f"{num} tasks are new" in page
    assert Task.objects.filter(overlap=2, priority=3).count() == num
    again = browser_of(carol).post(path, {"overlap": 2, "priority": 3, **values}, follow=True).content.decode()
    assert "Nothing new" in again


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"what": "two", "source": "a", "against": "a"}, "Choose two different sources."),
        ({"what": "baseline"}, "Choose the source"),
        ({"what": "all", "overlap": 0}, "greater than or equal to 1"),
        ({"what": "ratings"}, "no criteria to rate by"),
        ({"what": "nonsense"}, "Select a valid choice"),
    ],
)
def test_tasks_asked_for_wrongly_get_a_sentence(
    answered: Project, carol: User, values: dict[str, Any], sentence: str
) -> None:
    response = browser_of(carol).post(f"/projects/{answered.slug}/tasks/", {"overlap": 1, "priority": 0, **values})
    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert not Task.objects.exists()


def test_ratings_are_created_for_projects_with_criteria(answered: Project, carol: User) -> None:
    actions.add_criterion(answered, key="helpful", name="Helpful")
    browser_of(carol).post(
        f"/projects/{answered.slug}/tasks/", {"what": "ratings", "source": "a", "overlap": 1, "priority": 0}
    )
    assert Task.objects.filter(kind="rating").count() == 2


def test_tasks_are_filtered(answered: Project, carol: User) -> None:
    path = f"/projects/{answered.slug}/tasks/"
    browser_of(carol).post(path, {"what": "all", "overlap": 1, "priority": 0})
    assert "3 tasks" in text_of(carol, path, search="PARCEL")
    assert "3 tasks" in text_of(carol, path, search="100%")
    assert "6 tasks" in text_of(carol, path, state="open", kind="comparison")
    assert "0 tasks" in text_of(carol, path, state="done")
    assert "6 tasks" in text_of(carol, path, state="nonsense", page="99")
    fragment = browser_of(carol).get(path, {"search": "parcel"}, headers={"HX-Request": "true"}).content.decode()
    assert "3 tasks" in fragment and "<html" not in fragment


def test_the_list_of_tasks_needs_few_queries(project: Project, carol: User) -> None:
    make_tasks(project, 60)
    browser = browser_of(carol)
    with CaptureQueriesContext(connection) as queries:
        browser.get(f"/projects/{project.slug}/tasks/")
    assert len(queries) <= 10


NEW = {"name": "Second project", "overlap": 2, "daily_goal": 10}


def may_create(user: User) -> User:
    user.user_permissions.add(Permission.objects.get(codename="add_project"))
    return user


def test_a_project_is_created_with_its_guidelines_and_criteria(charlie: User) -> None:
    criteria = "Helpful | no help | just right\n\nSafe"
    values = NEW | {"guidelines": "Be kind", "criteria": criteria}
    response = browser_of(may_create(charlie)).post("/projects/new/", values)
    assert response["Location"] == "/projects/second-project/"
    project = Project.objects.get(slug="second-project")
    assert project.role_of(charlie) == Role.ADMIN
    assert project.overlap == 2
    assert list(project.criteria.values_list("key", "low_anchor")) == [("helpful", "no help"), ("safe", "")]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": ""}, "This field is required"),
        ({"slug": "support-replies"}, "already exists"),
        ({"name": "Support replies"}, "Another project has the address"),
        ({"slug": "new"}, "is the address of this page"),
        ({"name": "客服"}, "its name yields none"),
        ({"criteria": "a | b | c | d"}, "write the name, then the two anchor texts"),
        ({"criteria": "Safe\nSafe"}, "already has a criterion"),
        ({"overlap": 0}, "greater than or equal to 1"),
    ],
)
def test_a_new_project_asked_for_wrongly_gets_a_sentence(
    project: Project, charlie: User, values: dict[str, Any], sentence: str
) -> None:
    response = browser_of(may_create(charlie)).post("/projects/new/", NEW | values)
    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert Project.objects.count() == 1


def test_a_new_project_needs_the_permission(carol: User) -> None:
    assert browser_of(carol).get("/projects/new/").status_code == 403
    assert browser_of(None).get("/projects/new/").status_code == 302
    assert browser_of(may_create(carol)).get("/projects/new/").status_code == 200
