"""A review of two versions: blind votes pair by pair, what they come to, comments, the verdict."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from annotation.models import Project, Role
from training import actions, diffs
from training.forms import CloseReviewForm, CommentForm
from training.models import Review
from training.reviewing import Desk
from training.views.compare import address, pair_of, shown
from training.views.requests import PersonRequest, asked_number


def find_review(request: PersonRequest, pk: int) -> Review:
    """404 for strangers; 403 for a member of the project below a reviewer."""
    reviews = Review.objects.filter(project__in=Project.objects.visible_to(request.user))
    reviews = reviews.select_related("project", "a", "b", "opened_by", "closed_by")
    review = get_object_or_404(reviews, pk=pk)
    review.project.require(request.user, Role.REVIEWER)
    return review


def find_pair(desk: Desk, prompt: int) -> diffs.PairDiff:
    if prompt not in desk.pairs:
        raise Http404(_("The two versions have no two answers to this prompt."))
    return desk.pairs[prompt]


@login_required
@require_POST
def review_open(request: PersonRequest) -> HttpResponse:
    """From the model diff. Where a review of the pair is open already, that one is shown."""
    a, b = pair_of(request, request.POST)
    try:
        opened = actions.open_review(a, b, by=request.user)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect(address(a, b))
    return redirect("training:review", pk=opened.pk)


@login_required
@require_safe
def review(request: PersonRequest, pk: int) -> HttpResponse:
    return _page(request, Desk(find_review(request, pk), request.user))


def _page(request: PersonRequest, desk: Desk, *, status: int = 200, **forms: object) -> HttpResponse:
    context = {"desk": desk, "review": desk.review, "form": CloseReviewForm(), "comment_form": CommentForm()}
    return render(request, "training/review.html", context | forms, status=status)


@login_required
@require_safe
def review_next(request: PersonRequest, pk: int) -> HttpResponse:
    """The next pair without a vote of one's own; the review when there is none."""
    desk = Desk(find_review(request, pk), request.user)
    if pair := desk.next_pair:
        return redirect("training:review_pair", pk=pk, prompt=pair.prompt_id)
    messages.info(request, _("You have voted on all pairs of this review, or it is closed."))
    return redirect("training:review", pk=pk)


@login_required
@require_safe
def review_pair(request: PersonRequest, pk: int, prompt: int) -> HttpResponse:
    """One pair: two answers without names until the own vote is given, then whose they are and what others said."""
    desk = Desk(find_review(request, pk), request.user)
    pair = find_pair(desk, prompt)
    context: dict[str, object] = {"desk": desk, "review": desk.review, "pair": pair}
    if not desk.is_revealed(prompt):
        texts = [pair.a.text, pair.b.text]
        if actions.is_swapped(desk.review, prompt, request.user):
            texts.reverse()
        return render(request, "training/review_vote.html", context | {"first": texts[0], "second": texts[1]})
    context |= {
        "a": desk.review.a,
        "b": desk.review.b,
        "shown": shown(desk.review.a, desk.review.b, [pair])[0],
        "own_vote": desk.own_votes.get(prompt),
        "votes": desk.votes_on(prompt),
        "comments": desk.comments_on(prompt),
        "comment_form": CommentForm(),
    }
    return render(request, "training/review_pair.html", context)


@login_required
@require_POST
def review_vote(request: PersonRequest, pk: int, prompt: int) -> HttpResponse:
    desk = Desk(find_review(request, pk), request.user)
    pair = find_pair(desk, prompt)
    try:
        actions.vote_on_pair(desk.review, pair, by=request.user, choice=request.POST.get("choice", ""))
    except ValueError as error:
        messages.error(request, str(error))
    return redirect("training:review_pair", pk=pk, prompt=prompt)


@login_required
@require_POST
def review_comment(request: PersonRequest, pk: int) -> HttpResponse:
    """On the pair that the form names, if this person may see its comments, or on the whole."""
    desk = Desk(find_review(request, pk), request.user)
    prompt = asked_number(request.POST, "prompt")
    if prompt is not None and not (prompt in desk.pairs and desk.is_revealed(prompt)):
        raise Http404(_("Vote on this pair first."))
    form = CommentForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("The comment is empty or too long: write what the others should know."))
    else:
        actions.comment(desk.review, by=request.user, text=form.cleaned_data["text"], prompt_id=prompt)
    if prompt is None:
        return redirect("training:review", pk=pk)
    return redirect("training:review_pair", pk=pk, prompt=prompt)


@login_required
@require_POST
def review_close(request: PersonRequest, pk: int) -> HttpResponse:
    desk = Desk(find_review(request, pk), request.user)
    form = CloseReviewForm(request.POST)
    if form.is_valid():
        try:
            actions.close_review(desk.review, by=request.user, **form.cleaned_data)
        except ValueError as error:  # somebody was faster: the page has no form any more to say it in
            messages.error(request, str(error))
        else:
            messages.success(request, _("The review is closed."))
        return redirect("training:review", pk=pk)
    return _page(request, desk, status=422, form=form)
