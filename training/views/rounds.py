"""A version's answers go back to people (/models/<pk>/round/), and what people said of them (/rounds/<pk>/)."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe

from annotation.models import Role
from annotation.progress import Work, telling
from training import actions, asking
from training.forms import RoundForm
from training.models import ModelVersion
from training.opponents import opponents
from training.views.requests import PersonRequest, asked_number, find_round, find_version
from training.win_rates import questions_of, win_rates

PAGE_SIZE = 20


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def round_new(request: PersonRequest, pk: int) -> HttpResponse:
    """What there is to ask of a version's answers, against the opponent that the address names; POST asks it."""
    version = find_version(request, pk, role=Role.ADMIN)
    if version.kind == ModelVersion.Kind.REWARD:
        messages.error(
            request,
            _("%(model)s is a reward model: it writes no answers that people could judge.") % {"model": version},
        )
        return redirect("training:model", pk=version.pk)
    choices = opponents(version)
    chosen = next((each for _why, each in choices if each.pk == asked_number(request.GET, "opponent")), choices[0][1])
    form = RoundForm(
        request.POST or None, opponents=choices, overlap=version.project.overlap, initial={"opponent": chosen.pk}
    )
    if request.method == "POST" and form.is_valid():
        try:
            return _asked(request, version, form.cleaned_data)
        except ValueError as error:
            form.add_error(None, str(error))
    found = asking.pairs_between(version, chosen)
    context = {
        "version": version,
        "opponent": chosen,
        "form": form,
        "found": found,
        "num_scored": sum(pair.margin is not None for pair in found.pairs),
        "why_nothing": "" if found.pairs else actions.why_nothing(version, chosen, found),
    }
    status = 422 if request.method == "POST" else 200
    return render(request, "training/round_new.html", context, status=status)


def _asked(request: PersonRequest, version: ModelVersion, values: dict[str, Any]) -> HttpResponseRedirect:
    share = values.pop("random_percent") / 100
    with telling(Work.ROUND, request.user) as told:
        made = actions.publish_round(version, by=request.user, random_share=share, telling=told, **values)
    num = made.num_random + made.num_doubtful
    said = ngettext("%(num)d question waits for people.", "%(num)d questions wait for people.", num)
    messages.success(request, said % {"num": num})
    return redirect("training:round_page", pk=made.pk)


@login_required
@require_safe
def round_page(request: PersonRequest, pk: int) -> HttpResponse:
    """How it was drawn, what people said, and each question with both answers."""
    found = find_round(request, pk)
    questions = found.questions.order_by("-is_random", "id")
    page = Paginator(questions, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "round": found,
        "rate": win_rates([found])[found.pk],
        "page": page,
        "questions": questions_of(found, list(page.object_list)),
        "can_change": found.project.role_of(request.user) == Role.ADMIN,
    }
    return render(request, "training/round_page.html", context)
