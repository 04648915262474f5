"""Over-optimisation as people see it, on a recorded run and the votes on its answers (record_runs.py)."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from annotation.models import Assignment, Judgment, Project, Task, User
from tests.training import rows
from training import fresh_labels
from training.models import Generation, ModelVersion, Run

RECORDED = Path(__file__).parent / "recorded" / "people_disagree.jsonl"
HEAD, *VOTES = map(json.loads, RECORDED.read_text().splitlines())
SUMMARY: dict[str, float] = HEAD["summary"]


def tuned(model: ModelVersion, summary: dict[str, float]) -> ModelVersion:
    run = rows.run(model.project, "policy", model=model, config=HEAD["settings"], summary=summary)
    return rows.version(run, "policy")


def ask(version: ModelVersion, opponent: ModelVersion, votes: list[dict[str, Any]], *, by: User, number: int) -> None:
    """A round whose questions are these, all drawn by chance; vote 1: the version's answer is better."""
    project, tasks = version.project, []
    for place, each in enumerate(votes):
        prompt = project.prompts.create(messages=[{"role": "user", "content": "?"}], content_hash=f"{number}-{place}")
        ours = rows.answer(prompt, f"{place}: {each['ours']}", source=version.name)
        theirs = rows.answer(prompt, f"{place}, before: {each['theirs']}", source=opponent.name)
        for response, writer in ((ours, version), (theirs, opponent)):
            Generation.objects.create(response=response, version=writer, run=version.run)
        task = Task.objects.create(
            project=project, prompt=prompt, kind="comparison", response_a=ours, response_b=theirs, num_judged=1
        )
        lent = Assignment.objects.create(
            task=task, annotator=by, status="judged", is_swapped=False, expires_at=timezone.now()
        )
        preferred = {1: ours, -1: theirs}.get(each["vote"])
        strength = abs(each["vote"])
        Judgment.objects.create(task=task, annotator=by, assignment=lent, preferred=preferred, strength=strength)
        tasks.append(task)
    made = rows.round_of(version, opponent, tasks=tasks, number=number)
    made.questions.update(is_random=True)


@pytest.fixture
def start(project: Project) -> ModelVersion:
    return rows.base(project)


def test_the_recording_shows_it() -> None:
    assert SUMMARY["reward/mean"] > SUMMARY["reward/mean/first"]
    assert len(VOTES) > 60


def test_people_disagree_with_a_reward_that_rose(client: Client, start: ModelVersion, alice: User, bob: User) -> None:
    version = tuned(start, SUMMARY)
    ask(version, start, VOTES, by=alice, number=1)
    run = Run.objects.get(version=version)
    (found,) = fresh_labels.findings(run)
    assert (found.rule, found.setting, found.is_bad) == ("people_disagree", "kl_coef", True)
    assert f"of {len(VOTES)} questions" in found.sentence and "over-optimisation" in found.sentence
    client.force_login(bob)
    assert "people prefer the answers of starter" in client.get(f"/runs/{run.pk}/").content.decode()


def test_no_alarm_where_people_agree_or_say_too_little(start: ModelVersion, alice: User) -> None:
    version = tuned(start, SUMMARY)
    assert fresh_labels.findings(version.run) == [], "nobody was asked"  # type: ignore[arg-type]
    ask(version, start, VOTES[:3], by=alice, number=1)
    assert fresh_labels.findings(version.run) == [], "three votes are no proof"  # type: ignore[arg-type]
    better = tuned(start, SUMMARY)
    ask(better, start, [{**each, "vote": -each["vote"]} for each in VOTES], by=alice, number=2)
    assert fresh_labels.findings(better.run) == []  # type: ignore[arg-type]


def test_a_reward_that_fell_is_no_over_optimisation(start: ModelVersion, alice: User) -> None:
    version = tuned(start, {"reward/mean/first": 1.0, "reward/mean": 0.5})
    ask(version, start, VOTES, by=alice, number=1)
    assert fresh_labels.findings(version.run) == []  # type: ignore[arg-type]


def test_the_gain_that_people_see_is_gone(start: ModelVersion, alice: User) -> None:
    """The first version won clearly, the second wins half of its questions while its reward rose as well."""
    first = tuned(start, SUMMARY)
    ask(
        first, start, [{**each, "vote": 1 if place % 5 else -1} for place, each in enumerate(VOTES)], by=alice, number=1
    )
    second = tuned(first, SUMMARY)
    even = [{**each, "vote": 1 if place % 2 else -1} for place, each in enumerate(VOTES)]
    ask(second, first, even, by=alice, number=2)
    (found,) = fresh_labels.findings(second.run)  # type: ignore[arg-type]
    assert (found.rule, found.is_bad) == ("people_gain_less", False)
    assert f"preferred {first} in 8" in found.sentence.replace("79", "80")
    assert fresh_labels.findings(first.run) == []  # type: ignore[arg-type]


def test_queries(start: ModelVersion, alice: User, django_assert_max_num_queries: Any) -> None:
    version = tuned(start, SUMMARY)
    ask(version, start, VOTES, by=alice, number=1)
    run = Run.objects.select_related("version").get(version=version)
    with django_assert_max_num_queries(4):
        fresh_labels.findings(run)
