"""The run doctor on recorded runs of the trainer (record_runs.py), each of which shows what its rule is for."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotation.models import Project, User
from tests.training import rows
from training.doctor import RULES, WINDOW, Finding, diagnose, examine
from training.models import Metric, Run
from training.rlhf.config import KINDS, describe

RECORDED = Path(__file__).parent / "recorded"
SHOWN_BY = {
    "first_ratio": "first_ratio",
    "negative_kl": "negative_kl",
    "over_optimised": "over_optimised",
    "no_end": "no_end",
    "kl_runaway": "kl_runaway",
    "entropy_collapse": "entropy_collapse",
    "out_of_range": "out_of_range",
    "saturated": "entropy_collapse",
    "unexplained": "unexplained",
    "length_drift": "length_drift",
    "learns_nothing": "learns_nothing",
    "overfitted": "overfitted",
}
"""The recording that shows each rule."""


def recorded(name: str) -> tuple[str, dict[str, Any], list[dict[str, float]]]:
    """Kind, settings and measurements by step."""
    head, *steps = map(json.loads, (RECORDED / f"{name}.jsonl").read_text().splitlines())
    return head["kind"], head["settings"], steps


def findings(name: str) -> list[Finding]:
    kind, settings, steps = recorded(name)
    return diagnose(kind, steps[: 4 * WINDOW], steps[-4 * WINDOW :], settings)


def test_every_rule_has_a_run_that_shows_it() -> None:
    assert {rule.__name__ for rules in RULES.values() for rule in rules} == set(SHOWN_BY)


@pytest.mark.parametrize("rule", SHOWN_BY)
def test_a_rule_finds_what_a_run_shows(rule: str) -> None:
    found = {finding.rule: finding for finding in findings(SHOWN_BY[rule])}
    assert rule in found
    assert found[rule].sentence.endswith(".")
    assert "%(" not in found[rule].sentence + found[rule].advice


def test_a_rule_names_a_setting_of_its_kind() -> None:
    for name in set(SHOWN_BY.values()):
        names = {each.name for each in describe(KINDS[recorded(name)[0]])}
        assert {finding.setting for finding in findings(name)} <= names


@pytest.mark.parametrize("num_steps", [0, 1, 5, 24])
def test_a_healthy_run_is_left_in_peace(num_steps: int) -> None:
    kind, settings, steps = recorded("healthy")
    assert diagnose(kind, steps[:num_steps], steps[:num_steps], settings) == []


def test_the_worst_comes_first() -> None:
    found = findings("no_end")
    assert len(found) > 1
    assert [finding.is_bad for finding in found] == sorted((finding.is_bad for finding in found), reverse=True)


def written(run: Run, name: str) -> None:
    steps = recorded(name)[2]
    Metric.objects.bulk_create(
        Metric(run=run, step=step, time=0.0, values=values) for step, values in enumerate(steps, start=1)
    )


@pytest.fixture
def hasty(project: Project) -> Run:
    """A run under way whose curves are those of the recording."""
    run = rows.run(project, "policy", status="running", config=recorded("entropy_collapse")[1])
    written(run, "entropy_collapse")
    return run


def test_the_cost_of_a_look_does_not_grow(hasty: Run, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2):
        assert [finding.rule for finding in examine(hasty)] == ["entropy_collapse", "saturated"]


def test_the_page_says_it_with_the_setting(client: Client, hasty: Run, dana: User) -> None:
    client.force_login(dana)
    page = client.get(reverse("training:run", args=[hasty.pk])).content.decode()
    assert "entropy fell from" in page
    assert "<code>entropy_coef</code>" in page
