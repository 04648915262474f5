"""actions.add_member and remove_member: every change is recorded, and a project keeps an admin."""

import threading

import pytest
from django.db import connection

from annotation import actions
from annotation.models import AuditEntry, Project, Role, User, Verb
from tests.annotation.conftest import browser_of


def verbs_about(user: User) -> list[tuple[str, dict[str, object]]]:
    return list(AuditEntry.objects.filter(about=user).order_by("id").values_list("verb", "details"))


def test_every_change_is_recorded(project: Project, carol: User, charlie: User) -> None:
    membership = actions.add_member(project, user=charlie, by=carol)
    actions.add_member(project, user=charlie, role=Role.REVIEWER, by=carol)
    actions.add_member(project, user=charlie, role=Role.REVIEWER, by=carol)  # nothing changes
    actions.pause_member(membership, by=carol)
    actions.add_member(project, user=charlie, role=Role.REVIEWER, by=carol)
    actions.remove_member(membership, by=carol)
    assert verbs_about(charlie) == [
        (Verb.MEMBER_ADDED, {"role": 10}),
        (Verb.MEMBER_ROLE_CHANGED, {"role": [10, 20]}),
        (Verb.MEMBER_PAUSED, {}),
        (Verb.MEMBER_RESUMED, {}),
        (Verb.MEMBER_REMOVED, {"role": 20}),
    ]
    assert set(AuditEntry.objects.filter(about=charlie).values_list("actor", flat=True)) == {carol.pk}


def test_the_last_admin_stays(project: Project, carol: User, alice: User) -> None:
    own = project.memberships.get(user=carol)
    for change in (
        lambda: actions.add_member(project, user=carol, role=Role.REVIEWER, by=carol),
        lambda: actions.remove_member(own, by=carol),
        lambda: actions.pause_member(own, by=carol),
    ):
        with pytest.raises(ValueError, match="carol is the last admin of Support replies"):
            change()
    actions.add_member(project, user=alice, role=Role.ADMIN, by=carol)
    actions.remove_member(own, by=carol)
    assert project.role_of(carol) is None and project.role_of(alice) == Role.ADMIN


def test_an_admin_whose_account_is_off_does_not_count(project: Project, carol: User, alice: User) -> None:
    actions.add_member(project, user=alice, role=Role.ADMIN, by=carol)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    with pytest.raises(ValueError, match="last admin"):
        actions.remove_member(project.memberships.get(user=carol), by=carol)


def test_people_leave_and_admins_remove(project: Project, carol: User, alice: User, bob: User) -> None:
    paths = {
        user: f"/projects/{project.slug}/people/{project.memberships.get(user=user).pk}/remove/"
        for user in (alice, bob, carol)
    }
    assert browser_of(alice).post(paths[bob]).status_code == 403
    assert browser_of(alice).post(paths[alice])["Location"] == "/"
    assert project.role_of(alice) is None
    browser_of(carol).post(paths[bob])
    assert project.role_of(bob) is None
    answer = browser_of(carol).post(paths[carol], follow=True)
    assert "last admin" in answer.content.decode() and project.role_of(carol) == Role.ADMIN


@pytest.mark.django_db(transaction=True)
def test_two_admins_who_leave_at_once_leave_one() -> None:
    people = User.objects.bulk_create(User(username=f"admin-{number}") for number in range(4))
    project = actions.create_project("Support replies", by=people[0])
    own = [actions.add_member(project, user=person, role=Role.ADMIN) for person in people]
    start, refused = threading.Barrier(len(own)), []

    def leave(number: int) -> None:
        start.wait()
        try:
            actions.remove_member(own[number], by=people[number])
        except ValueError as error:
            refused.append(str(error))
        connection.close()

    threads = [threading.Thread(target=leave, args=(number,)) for number in range(len(own))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert project.memberships.filter(role=Role.ADMIN).count() == 1
