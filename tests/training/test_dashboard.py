"""/dashboard/: each step of the loop with its newest state, and the one thing to do next."""

import pytest
from django.test import Client

from annotation.models import Membership, Project, Role, Task, User
from tests.training import rows
from tests.training.fence import Cast, check
from training.loop import Loop
from training.models import Generation, Metric, ModelVersion, Run


@pytest.fixture
def reader(client: Client, dana: User) -> Client:
    client.force_login(dana)
    return client


def test_it_works(reader: Client, project: Project, alice: User) -> None:
    simulated = User.objects.create(username="rule", is_simulated=True)
    prompts = rows.prompts(project, 6)
    rows.label(project, by=alice, prompts=prompts[:2])
    rows.label(project, by=simulated, prompts=prompts[2:])
    frozen, base = rows.snapshot(project, num_simulated=4), rows.base(project)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    tuned = rows.policy(project, model=base, scorer=scorer, snapshot=frozen)
    rows.generations(tuned, scorer=scorer, prompts=prompts, shift=0.5)
    text = reader.get("/dashboard/").content.decode()
    for part in ("4 simulated", "540", "81.0", "+0.94", "by policy-", "Open the model diff", "Accuracy while training"):
        assert part in text, part


def test_fence(cast: Cast, project: Project) -> None:
    check(cast, f"/dashboard/?project={project.slug}")


def test_whoever_reviews_nothing_is_told_so(client: Client, charlie: User) -> None:
    client.force_login(charlie)
    page = client.get("/dashboard/")
    assert page.status_code == 200
    assert "Reviewers and admins of a project" in page.content.decode()


def test_projects_are_chosen_from_and_strangers_projects_are_not_offered(
    reader: Client, dana: User, project: Project
) -> None:
    second = Project.objects.create(slug="second", name="Second project")
    Project.objects.create(slug="secret", name="Secret project")
    Membership.objects.create(project=second, user=dana, role=Role.ADMIN)
    text = reader.get("/dashboard/?project=second").content.decode()
    assert '<option value="second" selected>' in text
    assert "Support replies" in text
    assert "Secret" not in text


def test_the_next_step_goes_round_the_loop(reader: Client, project: Project, alice: User) -> None:
    def said() -> str:
        text = reader.get("/dashboard/").content.decode()
        return text.split('aria-label="What to do next"')[1].split("</section>")[0]

    assert "Start labelling" in said()
    prompts = rows.prompts(project, 4)
    rows.label(project, by=alice, prompts=prompts)
    assert f"/projects/{project.slug}/freeze/" in said()
    frozen, base = rows.snapshot(project), rows.base(project)
    assert f"kind=reward&snapshot={frozen.pk}" in said()
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    assert f"kind=policy&snapshot={frozen.pk}&reward_model={scorer.pk}" in said()
    tuned = rows.policy(project, model=base, scorer=scorer, snapshot=frozen)
    assert "Write and compare answers" in said()
    rows.generations(tuned, scorer=scorer, prompts=prompts, shift=0.5)
    assert "Open the model diff" in said()
    Task.objects.update(num_judged=0)
    assert "Open the model diff" in said(), "first decide on the version, then label on"
    ModelVersion.objects.filter(pk=tuned.pk).update(stage="production")
    assert f"/models/{tuned.pk}/round/" in said()
    rows.round_of(tuned, base, tasks=list(project.tasks.all()))
    assert "4 tasks wait for people" in said()
    Task.objects.update(num_judged=1)
    assert "Open the model diff" in said()


def test_the_win_rate_of_every_round_stands_there(reader: Client, project: Project, alice: User) -> None:
    """Two rounds judged, one not: each with its interval, and only what was drawn by chance."""
    prompts = rows.prompts(project, 12)
    frozen, base = rows.snapshot(project), rows.base(project)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    tuned = rows.policy(project, model=base, scorer=scorer, snapshot=frozen)
    judged = [judgment.task for judgment in rows.label(project, by=alice, prompts=prompts[:8])]
    for task in judged[:6]:  # the preferred answer is the tuned version's; nobody's in the seventh
        Generation.objects.create(response=task.response_a, version=tuned, run=tuned.run, logprob=-1.0)
    first = rows.round_of(tuned, base, tasks=judged[:7], number=1)
    second = rows.round_of(tuned, base, tasks=judged[2:3], number=2)
    rows.round_of(tuned, base, tasks=[], number=3)
    rates = {each.number: rate for each, rate in Loop(project).rounds}
    assert [rates[number].share and rates[number].share.value for number in (1, 2, 3)] == [0.75, 1.0, None]  # type: ignore[union-attr]
    assert Loop(project).win_curve == [(1.0, 0.75), (2.0, 1.0)]
    text = reader.get("/dashboard/").content.decode()
    for part in ("75.0", "100.0", "4 of 4 by chance", "0 of 0 by chance", "Win rate by round", 'class="interval"'):
        assert part in text, part
    for each in (first, second):
        assert f"/rounds/{each.pk}/" in text


def test_a_failed_run_leaves_its_step_to_be_done(project: Project, alice: User) -> None:
    rows.label(project, by=alice, prompts=rows.prompts(project))
    rows.run(project, "reward", status="failed", model=rows.base(project), snapshot=rows.snapshot(project))
    assert Loop(project).next_step == "reward"


def test_many_new_labels_ask_for_a_new_snapshot(project: Project, alice: User) -> None:
    prompts = rows.prompts(project, 60)
    rows.label(project, by=alice, prompts=prompts[:30])
    frozen, base = rows.snapshot(project), rows.base(project)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    tuned = rows.policy(project, model=base, scorer=scorer, snapshot=frozen)
    rows.generations(tuned, scorer=scorer, prompts=prompts[:3], shift=0.5)
    rows.label(project, by=alice, prompts=prompts[30:49])
    assert Loop(project).next_step == "compare"
    rows.label(project, by=alice, prompts=prompts[49:50])
    assert Loop(project).next_step == "freeze"


def test_many_new_labels_are_frozen_before_a_policy_is_trained(project: Project, alice: User) -> None:
    prompts = rows.prompts(project, 50)
    rows.label(project, by=alice, prompts=prompts[:30])
    rows.reward_model(project, model=rows.base(project), snapshot=rows.snapshot(project))
    rows.label(project, by=alice, prompts=prompts[30:49])
    assert Loop(project).next_step == "policy"
    rows.label(project, by=alice, prompts=prompts[49:])
    assert Loop(project).next_step == "freeze"


def test_no_policy_is_trained_against_an_unmeasured_reward_model(project: Project, alice: User) -> None:
    prompts = rows.prompts(project, 5)
    rows.label(project, by=alice, prompts=prompts[:4])
    scorer = rows.reward_model(project, model=rows.base(project), snapshot=rows.snapshot(project))
    ModelVersion.objects.filter(pk=scorer.pk).update(metrics={"accuracy": None, "num_pairs": 2, "num_decided": 0})
    assert Loop(project).next_step == "freeze", "nobody can label more: another split may hold some out"
    Task.objects.filter(prompt=prompts[0]).update(num_judged=0)
    assert Loop(project).next_step == "label"
    rows.label(project, by=alice, prompts=prompts[4:])
    assert Loop(project).next_step == "freeze"


def test_a_handful_of_labels_is_not_frozen_while_people_can_give_more(project: Project, alice: User) -> None:
    prompts = rows.prompts(project, 52)
    rows.label(project, by=alice, prompts=prompts[:49])
    Task.objects.filter(prompt=prompts[0]).update(num_judged=0)  # one place is open again
    assert Loop(project).next_step == "label"
    rows.label(project, by=alice, prompts=prompts[49:50])
    assert Loop(project).next_step == "freeze"


def test_a_reviewer_is_not_offered_what_admins_do(client: Client, bob: User, alice: User, project: Project) -> None:
    rows.label(project, by=alice, prompts=rows.prompts(project))
    client.force_login(bob)
    text = client.get("/dashboard/").content.decode()
    assert "Waiting for an admin" in text
    assert f"/projects/{project.slug}/freeze/" not in text


def test_it_follows_a_run_and_stops_when_it_has_ended(reader: Client, project: Project, alice: User) -> None:
    rows.label(project, by=alice, prompts=rows.prompts(project))
    run = rows.run(project, "reward", status="running", model=rows.base(project), snapshot=rows.snapshot(project))
    page = reader.get("/dashboard/")
    assert "A run is under way" in page.content.decode()
    state = page.context["state"]
    htmx = {"HTTP_HX-Request": "true"}
    address = f"/dashboard/?project={project.slug}&seen={state}"
    assert reader.get(address, **htmx).status_code == 204
    Run.objects.filter(pk=run.pk).update(step=41)
    moved = reader.get(address, **htmx)
    assert (moved.status_code, "<html" in moved.content.decode()) == (200, False)
    Run.objects.filter(pk=run.pk).update(status="failed")
    assert reader.get(address, **htmx).status_code == 286


def test_queries_do_not_grow(reader: Client, project: Project, alice: User, django_assert_max_num_queries) -> None:  # type: ignore[no-untyped-def]
    prompts = rows.prompts(project, 30)
    rows.label(project, by=alice, prompts=prompts)
    frozen, base = rows.snapshot(project), rows.base(project)
    for _ in range(3):
        scorer = rows.reward_model(project, model=base, snapshot=frozen)
        tuned = rows.policy(project, model=base, scorer=scorer, snapshot=frozen)
    assert tuned.run
    rows.metrics(tuned.run, 10_000, first=41)
    rows.generations(tuned, scorer=scorer, prompts=prompts, shift=0.1)
    for number in range(1, 6):
        rows.round_of(tuned, base, tasks=list(project.tasks.all()), number=number)
    with django_assert_max_num_queries(28):
        page = reader.get("/dashboard/")
    assert len(page.content) < 70_000


@pytest.mark.parametrize(
    ("kind", "metric", "shown"),
    [("dpo", "validation/accuracy", "80.0"), ("dpo", "train/accuracy", "80.0"), ("ilql", "validation/loss", "0.800")],
)
def test_a_policy_that_learned_from_pairs_has_its_card(
    reader: Client, project: Project, alice: User, kind: str, metric: str, shown: str
) -> None:
    """And needs no reward model: the loop goes on with its answers."""
    prompts = rows.prompts(project, 4)
    rows.label(project, by=alice, prompts=prompts)
    frozen, base = rows.snapshot(project), rows.base(project)
    run = rows.run(project, kind, model=base, snapshot=frozen)
    Metric.objects.bulk_create(Metric(run=run, step=n, time=n, values={metric: 0.6 + n / 10}) for n in range(3))
    tuned = rows.version(run, "policy")
    assert Loop(project).next_step == "generate"
    text = reader.get("/dashboard/").content.decode()
    assert shown in text and f"/runs/{run.pk}/" in text and f"kind={kind}&snapshot={frozen.pk}" in text
    assert ("Loss while training" if kind == "ilql" else "Accuracy while training") in text
    rows.generations(tuned, scorer=None, prompts=prompts, shift=0.5)
    assert Loop(project).next_step == "compare"
    newer = rows.snapshot(project, name="newer")
    assert newer == Loop(project).snapshot
    assert Loop(project).next_step == "reward", "its pairs are no longer the newest"
