"""The lookup by many ids or texts at once finds what `__in` finds, with one parameter."""

from __future__ import annotations

import pytest

from annotation import intake
from annotation.models import Project, Prompt, Response

pytestmark = pytest.mark.django_db


@pytest.fixture
def responses(project: Project) -> list[Response]:
    prompt = intake.add_prompt(project, "What now?")
    return intake.add_responses(prompt, [intake.NewResponse(f"Answer {number}", "m") for number in range(6)])


def test_ids_texts_and_foreign_keys(project: Project, responses: list[Response]) -> None:
    some = [responses[0].pk, responses[4].pk]
    assert set(Response.objects.filter(pk__among=some).values_list("pk", flat=True)) == set(some)
    assert Response.objects.filter(prompt__among={responses[0].prompt_id}).count() == 6
    hashes = [responses[1].content_hash, "it's; none", "{}", '"']
    assert Response.objects.get(content_hash__among=hashes) == responses[1]
    assert Prompt.objects.filter(responses__among=some).distinct().count() == 1


def test_none_at_all_find_nothing(responses: list[Response]) -> None:
    assert not Response.objects.filter(pk__among=[]).exists()
    assert not Response.objects.filter(content_hash__among=()).exists()
    assert Response.objects.exclude(pk__among=[]).count() == 6


def test_thousands_are_one_parameter(responses: list[Response]) -> None:
    rows = Response.objects.filter(pk__among=range(10**9, 10**9 + 20_000))
    _sql, params = rows.query.sql_with_params()
    assert len(params) == 1
    assert not rows.exists()
