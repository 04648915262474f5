"""/models/, /models/<pk>/ and promotion: the family tree, one version, its stages."""

import pytest
from django.test import Client

from annotation.models import Project, User
from tests.training import rows
from tests.training.fence import Cast, check
from training import actions
from training.models import ModelVersion
from training.views.models import family_tree


@pytest.fixture
def family(project: Project) -> list[ModelVersion]:
    base, frozen = rows.base(project), rows.snapshot(project, num_simulated=9)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    return [base, scorer, rows.policy(project, model=base, scorer=scorer, snapshot=frozen)]


@pytest.fixture
def reader(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


@pytest.fixture
def admin(client: Client, dana: User) -> Client:
    client.force_login(dana)
    return client


def test_it_works(reader: Client, family: list[ModelVersion]) -> None:
    text = reader.get("/models/").content.decode()
    for part in ("starter", "reward-", "policy-", "9 simulated", "81.0", "compare with its parent"):
        assert part in text


def test_the_tree_has_every_version_under_its_parent(family: list[ModelVersion]) -> None:
    base, scorer, tuned = family
    grandchild = rows.version(rows.run(base.project, "policy", model=tuned), "policy")
    (root,) = family_tree([base, scorer, tuned, grandchild])
    assert [branch.version for branch in root.children] == [scorer, tuned]
    assert [branch.version for branch in root.children[1].children] == [grandchild]
    assert [branch.version for branch in family_tree([tuned, grandchild])] == [tuned], "a hidden parent is no loss"


def test_anonymous_stranger_and_wrong_method(client: Client, charlie: User, family: list[ModelVersion]) -> None:
    assert client.get("/models/")["Location"].startswith("/login/")
    client.force_login(charlie)
    assert "starter" not in client.get("/models/").content.decode()
    assert client.post("/models/").status_code == 405


def test_the_tree_takes_the_same_queries_however_large(
    reader: Client, family: list[ModelVersion], django_assert_max_num_queries
) -> None:  # type: ignore[no-untyped-def]
    parent = family[-1]
    for _ in range(20):
        parent = rows.version(rows.run(parent.project, "policy", model=parent), "policy")
    with django_assert_max_num_queries(8):
        reader.get("/models/")


def test_a_version(reader: Client, family: list[ModelVersion]) -> None:
    base, scorer, tuned = family
    text = reader.get(f"/models/{tuned.pk}/").content.decode()
    for part in ("starter", "candidate", "9 simulated", "c" * 64, "Compare with its parent", "Reward</dt>"):
        assert part in text
    assert "Move it to a stage" not in text, "a reviewer does not promote"
    assert "On held-out pairs" in reader.get(f"/models/{scorer.pk}/").content.decode()
    assert "registered by hand" in reader.get(f"/models/{base.pk}/").content.decode()


def test_fence_of_a_version(cast: Cast, family: list[ModelVersion], client: Client, bob: User) -> None:
    check(cast, f"/models/{family[0].pk}/")
    client.force_login(bob)
    assert client.get("/models/987654/").status_code == 404


def test_promote(admin: Client, cast: Cast, family: list[ModelVersion], dana: User) -> None:
    base, *_, tuned = family
    sent = {"stage": "production", "reason": "Wins 70 % of 200 pairs."}
    refused = admin.post(f"/models/{tuned.pk}/promote/", sent)
    assert refused.status_code == 422 and "wants an approval before production" in refused.content.decode()
    actions.close_review(actions.open_review(base, tuned, by=dana), status="approved", by=dana, reason="Kinder.")
    answer = admin.post(
        f"/models/{tuned.pk}/promote/", {"stage": "production", "reason": "Wins 70 % of 200 pairs."}, follow=True
    )
    tuned.refresh_from_db()
    assert tuned.stage == "production"
    text = answer.content.decode()
    assert "is now at this stage: production" in text
    assert "Wins 70 % of 200 pairs." in text
    change = tuned.stage_changes.get()
    assert (change.by, change.reason) == (dana, "Wins 70 % of 200 pairs.")
    check(cast, f"/models/{tuned.pk}/promote/", admin_only=True, method="post", allows="POST")


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"stage": "production", "reason": ""}, "This field is required."),
        ({"stage": "famous", "reason": "It is."}, "famous is not one of the available choices"),
        ({"stage": "candidate", "reason": "Again."}, "already at this stage"),
    ],
)
def test_bad_promotions_get_a_sentence(
    admin: Client, family: list[ModelVersion], sent: dict[str, str], sentence: str
) -> None:
    answer = admin.post(f"/models/{family[-1].pk}/promote/", sent)
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
