"""What a model diff can start: the answers it lacks, their reading by both models, questions to people."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from annotation.models import Role
from annotation.progress import Work, telling
from training import actions, answers, diffs, likelihoods
from training.diff_choice import Choice
from training.models import ModelVersion
from training.tasks import execute_run
from training.views.compare import address, pair_of, why_not
from training.views.requests import LONGEST_NUMBER, PersonRequest, asked_number


@login_required
@require_POST
def compare_generate(request: PersonRequest) -> HttpResponse:
    """Start the generate runs without which the two cannot be compared."""
    a, b = pair_of(request, request.POST, role=Role.ADMIN)
    if why_not(a, b):
        return redirect(address(a, b))  # whose page says it
    try:
        started = answers.start_missing(a, b, by=request.user)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect(address(a, b))
    for run in started:
        execute_run.delay_on_commit(run.pk)
    return redirect(address(a, b))


@login_required
@require_POST
def compare_tokens(request: PersonRequest) -> HttpResponse:
    """Start the run in which both read the answers of both."""
    a, b = pair_of(request, request.POST, role=Role.ADMIN)
    if why_not(a, b):
        return redirect(address(a, b))  # whose page says it
    try:
        run = likelihoods.start_reading(a, b, by=request.user)
    except ValueError as error:
        messages.error(request, str(error))
    else:
        execute_run.delay_on_commit(run.pk)
    return redirect(address(a, b))


@login_required
@require_POST
def compare_send(request: PersonRequest) -> HttpResponse:
    """Ask people which answer is better: of the pairs that were chosen, or of the first so many in this order."""
    a, b = pair_of(request, request.POST, role=Role.ADMIN)
    if why_not(a, b):
        return redirect(address(a, b))  # whose page says it
    choice = Choice.read(request.POST)
    with telling(Work.PAIRS, request.user) as told:
        pairs = asked_about(request, a, b, choice)
        num = actions.send_to_annotators(a.project, pairs=pairs, telling=told)
    if not pairs:
        messages.error(request, _("Nothing was sent: choose pairs whose answers differ, or how many."))
        return redirect(address(a, b, **choice.query))
    said = ngettext("%(num)d new comparison waits for people.", "%(num)d new comparisons wait for people.", num)
    messages.success(request, said % {"num": num})
    return redirect(address(a, b, **choice.query))


def asked_about(request: PersonRequest, a: ModelVersion, b: ModelVersion, choice: Choice) -> list[tuple[int, int]]:
    """The two responses of each pair that was ticked, else of the first so many; only where they differ."""
    ticked = request.POST.getlist("prompt")
    prompts = [int(each) for each in ticked if each.isascii() and each.isdigit() and len(each) <= LONGEST_NUMBER]
    diff = diffs.diff_versions(a, b, prompt_ids=prompts if ticked else None, with_texts=bool(choice.search))
    pairs = [(pair.a.response_id, pair.b.response_id) for pair in choice.of(diff) if pair.a.text != pair.b.text]
    return pairs if ticked else pairs[: asked_number(request.POST, "num") or 0]
