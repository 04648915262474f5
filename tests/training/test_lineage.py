"""Lineage: from an answer back to the judgments behind it, and from a judgment on to the runs that used it."""

from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from annotation.models import Judgment, Project, Prompt, User, Voiding
from tests.training import rows
from tests.training.fence import Cast, check
from training import lineage
from training.models import Generation, ModelVersion, Snapshot
from training.snapshots import remember_uses


@dataclass
class Family:
    """Twice round the loop: starter → first (first snapshot) → second (second snapshot)."""

    prompts: list[Prompt]
    judgments: list[Judgment]
    snapshots: list[Snapshot]
    scorers: list[ModelVersion]
    policies: list[ModelVersion]


@pytest.fixture
def family(project: Project, alice: User, dana: User) -> Family:
    prompts = rows.prompts(project, 6)
    starter = rows.base(project)
    judgments = rows.label(project, by=alice, prompts=prompts[:4]) + rows.label(project, by=dana, prompts=prompts[4:])
    snapshots = [rows.snapshot(project, name=name) for name in ("one", "two")]
    remember_uses(snapshots[0], [each.pk for each in judgments[:4]])
    remember_uses(snapshots[1], [each.pk for each in judgments])
    scorers, policies = [], [starter]
    for frozen in snapshots:
        scorers.append(rows.reward_model(project, model=starter, snapshot=frozen))
        policies.append(rows.policy(project, model=policies[-1], scorer=scorers[-1], snapshot=frozen))
    rows.generations(policies[-1], scorer=scorers[-1], prompts=prompts, shift=0.2)
    return Family(prompts, judgments, snapshots, scorers, policies[1:])


@pytest.fixture
def reader(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


def test_all_runs_behind_a_version_nearest_first(family: Family) -> None:
    second = family.policies[1]
    found = [run.pk for run in lineage.runs_behind(second)]
    behind = [second.run_id, family.scorers[1].run_id, family.policies[0].run_id, family.scorers[0].run_id]
    assert found == behind
    base = ModelVersion.objects.get(name="starter")
    assert lineage.runs_behind(base) == []


def test_a_judgment_knows_what_learned_from_it(family: Family, project: Project) -> None:
    early, late = (Judgment.objects.filter(pk=family.judgments[place].pk) for place in (0, 5))
    newest, oldest = lineage.uses_of(early, project=project)
    assert [newest.snapshot, oldest.snapshot] == family.snapshots[::-1]
    assert [run.version for run in oldest.runs] == [family.scorers[0], family.policies[0]]
    assert oldest.later == [family.policies[1]], "it started from the first policy"
    (only,) = lineage.uses_of(late, project=project)
    assert (only.snapshot, only.num, only.later) == (family.snapshots[1], 1, [])
    unused = Judgment.objects.filter(pk=0)
    assert lineage.uses_of(unused, project=project) == []


def test_the_page_of_a_snapshot_lists_its_judgments(reader: Client, family: Family, alice: User) -> None:
    voiding = Voiding.objects.create(project=family.snapshots[0].project, annotator=alice, reason="guessed")
    Judgment.objects.filter(pk=family.judgments[0].pk).update(is_current=False, voiding=voiding)
    address = f"/snapshots/{family.snapshots[1].pk}/"
    page = reader.get(address)
    text = page.content.decode()
    assert page.context["page"].paginator.count == 6
    for part in ("alice", "dana", "taken out of the count", family.scorers[1].name, family.policies[1].name):
        assert part in text, part
    of_one = reader.get(f"{address}?prompt={family.prompts[4].pk}")
    assert [each.pk for each, _ in of_one.context["judgments"]] == [family.judgments[4].pk]
    of_alice = reader.get(f"{address}?person={alice.pk}")
    assert of_alice.context["page"].paginator.count == 4
    assert "All of them" in of_alice.content.decode()


def test_the_page_of_an_answer_leads_to_the_judgments_behind_it(reader: Client, family: Family) -> None:
    written = Generation.objects.filter(version=family.policies[1]).earliest("pk")
    text = reader.get(f"/answers/{written.response_id}/").content.decode()
    for run in (family.policies[1].run_id, family.scorers[0].run_id):
        assert f"/runs/{run}/" in text
    prompt = written.response.prompt_id
    for frozen in family.snapshots:
        assert f"/snapshots/{frozen.pk}/?prompt={prompt}" in text
    judged = family.judgments[0].task.response_a
    text = reader.get(f"/answers/{judged.pk}/").content.decode()
    for part in ("import first", "alice", family.policies[1].name, f"/snapshots/{family.snapshots[0].pk}/"):
        assert part in text, part


def test_the_page_of_a_task_leads_to_what_learned_from_it(reader: Client, family: Family) -> None:
    task = family.judgments[0].task
    asked = rows.round_of(family.policies[1], family.policies[0], tasks=[task])
    text = reader.get(f"/tasks/{task.pk}/uses/").content.decode()
    for part in ("better", f"/rounds/{asked.pk}/", family.policies[0].name, family.policies[1].name, "import second"):
        assert part in text, part


def test_every_page_that_names_a_snapshot_leads_to_it(reader: Client, family: Family) -> None:
    address = f'href="/snapshots/{family.snapshots[1].pk}/"'
    tuned = family.policies[1]
    for page in ("/dashboard/", "/runs/", f"/runs/{tuned.run_id}/", f"/models/{tuned.pk}/"):
        assert address in reader.get(page).content.decode(), page


def test_fences(cast: Cast, family: Family) -> None:
    check(cast, f"/snapshots/{family.snapshots[0].pk}/")
    check(cast, f"/answers/{family.judgments[0].preferred_id}/")
    check(cast, f"/tasks/{family.judgments[0].task_id}/uses/")


def test_queries_do_not_grow(
    reader: Client, family: Family, project: Project, alice: User, django_assert_max_num_queries: Any
) -> None:
    more = rows.label(project, by=alice, prompts=rows.prompts(Project.objects.create(slug="o", name="O"), 3))
    remember_uses(family.snapshots[0], [each.pk for each in more])
    with django_assert_max_num_queries(16):
        reader.get(f"/snapshots/{family.snapshots[0].pk}/")
    with django_assert_max_num_queries(15):
        reader.get(f"/answers/{family.judgments[0].preferred_id}/")
    with django_assert_max_num_queries(15):
        reader.get(f"/tasks/{family.judgments[0].task_id}/uses/")
