"""The model diff: two versions, the same prompts, both answers side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Page, Paginator
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from annotation.models import Project, Role
from training import answers, diffs, likelihoods
from training.diff_choice import ORDERS, Choice
from training.diff_figures import AWAITED, Chosen, awaiting
from training.human_wins import Said, human_wins
from training.models import ModelVersion, Review, Run
from training.origins import differences, shared_labels
from training.views.requests import PersonRequest, asked_number, find_version, poll

PAGE_SIZE = 20
NUM_TO_SEND = 50


@login_required
@require_safe
def compare(request: PersonRequest) -> HttpResponse:
    """Any two versions of one project. Without two in the address it asks for them."""
    if None in (asked_number(request.GET, "a"), asked_number(request.GET, "b")):
        return render(request, "training/compare_choose.html", {"groups": choices(request)})
    a, b = pair_of(request, request.GET)
    if refusal := why_not(a, b):
        choose = {"groups": choices(request), "refusal": refusal}
        return render(request, "training/compare_choose.html", choose, status=422)
    running = [*answers.runs_under_way(a, b), *likelihoods.runs_of(a, b).unfinished().select_related("model")]
    if request.htmx and request.htmx.target not in AWAITED:
        response = poll(
            request,
            "training/compare.html#running",
            {"a": a, "b": b, "running": running},
            state=moved(running),
            is_over=not running,
        )
        if not running:
            response["HX-Refresh"] = "true"  # the answers are there: the whole page has changed
        return response
    choice = Choice.read(request.GET)
    parts = awaiting(a, b, choice)
    figures, figures_wait = parts.figures.on(request)
    chosen, pairs_wait = parts.chosen.on(request)
    reviews = list(Review.objects.of_pair(a, b).select_related("a", "b", "opened_by", "closed_by"))
    people = human_wins(a, b) if figures else Said(None, None)  # they stand beside the figures
    context = {
        "a": a,
        "b": b,
        "figures": figures,
        "figures_wait": figures_wait,
        "chosen": chosen,
        "pairs_wait": pairs_wait,
        "choice": choice,
        "orders": ORDERS.items(),
        "people": people.asked,
        "people_in_chats": people.in_chats,
        "differences": differences(a, b),
        "shared_labels": shared_labels(a, b),
        "reviews": reviews,
        "diff_review": next((each for each in reviews if each.is_open), reviews[0] if reviews else None),
        "page": page_of(request, a, b, chosen) if chosen else None,
        "weights": likelihoods.weight_changes(a, b),
        "running": running,
        "state": moved(running),
        "missing": answers.missing(a, b),
        "scorer": answers.scorer(a, b),
        "num_prompts": a.project.prompts.count(),
        "num_simulated": simulated_labels(a, b),
        "num_to_send": NUM_TO_SEND,
        "can_change": a.project.role_of(request.user) == Role.ADMIN,
    }
    return render(request, "training/compare.html", context)


def pair_of(
    request: PersonRequest, query: QueryDict, *, role: Role = Role.REVIEWER
) -> tuple[ModelVersion, ModelVersion]:
    """404 unless the person may see both and both belong to one project."""
    first, second = asked_number(query, "a"), asked_number(query, "b")
    if first is None or second is None:
        raise Http404(_("Name two versions to compare."))
    a, b = (find_version(request, pk, role=role) for pk in (first, second))
    if a.project_id != b.project_id:
        raise Http404(_("The two versions belong to different projects: they have no prompts in common."))
    return a, b


@dataclass(frozen=True)
class Side:
    """One of the two answers as the page draws it."""

    version: ModelVersion
    answer: diffs.Answer
    words: list[diffs.Segment]
    heat: likelihoods.HeatMap | None


@dataclass(frozen=True)
class ShownPair:
    pair: diffs.PairDiff
    sides: list[Side]


def page_of(request: PersonRequest, a: ModelVersion, b: ModelVersion, chosen: Chosen) -> Page[Any]:
    """The page that was asked for, or that on which the pair of a prompt stands: links from a review lead to a pair."""
    place = chosen.place_of(asked_number(request.GET, "prompt"))
    page = Paginator(chosen.prompts, PAGE_SIZE).get_page(request.GET.get("page") or place // PAGE_SIZE + 1)
    by_prompt = {pair.prompt_id: pair for pair in diffs.diff_versions(a, b, prompt_ids=list(page.object_list)).pairs}
    found = [by_prompt[prompt] for prompt in page.object_list if prompt in by_prompt]
    page.object_list = shown(a, b, found)  # type: ignore[assignment]
    return page


def shown(a: ModelVersion, b: ModelVersion, pairs: Sequence[diffs.PairDiff]) -> list[ShownPair]:
    """The pairs of one page, with their words compared and their tokens fetched."""
    heat = likelihoods.heat_maps(a, b, pairs)
    return [
        ShownPair(
            pair,
            [
                Side(a, pair.a, pair.words.before, heat.get(pair.a.response_id)),
                Side(b, pair.b, pair.words.after, heat.get(pair.b.response_id)),
            ],
        )
        for pair in pairs
    ]


def why_not(a: ModelVersion, b: ModelVersion) -> str | None:
    """The sentence that refuses a pair of which no two answers could differ, or one that writes none."""
    if a == b:
        return gettext("A model is compared with another one: choose two.")
    scorer = next((version for version in (a, b) if version.kind == ModelVersion.Kind.REWARD), None)
    if scorer:
        return gettext("%(model)s is a reward model: it scores answers and writes none to compare.") % {"model": scorer}
    return None


def choices(request: PersonRequest) -> list[tuple[Project, list[ModelVersion]]]:
    """The versions that write answers, by project."""
    projects = Project.objects.with_role(request.user, Role.REVIEWER)
    versions = list(ModelVersion.objects.visible_to(request.user).policies())
    return [(project, [each for each in versions if each.project_id == project.pk]) for project in projects]


def moved(running: list[Run]) -> str:
    return "-".join(f"{run.pk}.{run.status}.{run.step}" for run in running)


def simulated_labels(a: ModelVersion, b: ModelVersion) -> int:
    """Labels by programs behind the two versions, and behind the rewards that are shown."""
    versions = [version for version in (a, b, answers.scorer(a, b)) if version]
    return max((version.run.num_simulated for version in versions if version.run), default=0)


def address(a: ModelVersion, b: ModelVersion, **query: str) -> str:
    return f"{reverse('training:compare')}?{urlencode({'a': str(a.pk), 'b': str(b.pk), **query})}"
