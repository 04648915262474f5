"""Verbs of reviews: open, vote, comment, close. A state moves by one conditional UPDATE; the log keeps who did it."""

import hashlib

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.models import AuditEntry, User, Verb
from training.diffs import PairDiff
from training.models import ModelVersion, Review, ReviewComment, ReviewVote

LONGEST_TEXT = 5000


def open_review(a: ModelVersion, b: ModelVersion, *, by: User) -> Review:
    """The open review of the pair, a new one unless there is one; ValueError when no two answers could differ."""
    if a == b or a.project_id != b.project_id or ModelVersion.Kind.REWARD in (a.kind, b.kind):
        raise ValueError(_("A review is of two versions of one project that write answers: choose two."))
    try:
        with transaction.atomic():
            review = Review.objects.create(project=b.project, a=a, b=b, opened_by=by)
            AuditEntry.objects.record(Verb.REVIEW_OPENED, by=by, project=b.project, subject=f"{a.name} → {b.name}")
            return review
    except IntegrityError:  # one is open, perhaps since a moment ago
        return Review.objects.get(a=a, b=b, status=Review.Status.OPEN)


def is_swapped(review: Review, prompt_id: int, by: User) -> bool:
    """Whether this reviewer sees b's answer first: by chance, and the same however often the page is opened."""
    return _drawn(review, prompt_id, by)[0] % 2 == 1


def in_own_order(review: Review, pairs: list[PairDiff], by: User) -> list[PairDiff]:
    """The pairs in an order of this reviewer's own, so that a team that stops early has not all seen the same few."""
    return sorted(pairs, key=lambda pair: _drawn(review, pair.prompt_id, by)[1:])


def _drawn(review: Review, prompt_id: int, by: User) -> bytes:
    return hashlib.sha256(f"{review.pk}/{by.pk}/{prompt_id}".encode()).digest()


@transaction.atomic
def vote_on_pair(review: Review, pair: PairDiff, *, by: User, choice: str) -> ReviewVote:
    """choice: first, second (as this reviewer saw them) or tie. ValueError with a sentence when it comes too late."""
    swapped = is_swapped(review, pair.prompt_id, by)
    meant = {
        "first": ReviewVote.Choice.B if swapped else ReviewVote.Choice.A,
        "second": ReviewVote.Choice.A if swapped else ReviewVote.Choice.B,
        "tie": ReviewVote.Choice.TIE,
    }
    if choice not in meant:
        raise ValueError(_("Choose the first answer, the second, or no difference."))
    _lock_open(review)
    vote, is_new = ReviewVote.objects.get_or_create(
        review=review, prompt_id=pair.prompt_id, by=by,
        defaults={
            "response_a_id": pair.a.response_id, "response_b_id": pair.b.response_id,
            "is_swapped": swapped, "choice": meant[choice],
        },
    )  # fmt: skip
    if not is_new:
        raise ValueError(_("You have voted on this pair already: a vote stays, because the versions are known since."))
    # That somebody voted, and not for what: an admin who reads the log may have to vote on the pair, too.
    subject = f"review {review.pk}, prompt {pair.prompt_id}"
    AuditEntry.objects.record(Verb.REVIEW_VOTED, by=by, project=review.project, subject=subject)
    return vote


@transaction.atomic
def comment(review: Review, *, by: User, text: str, prompt_id: int | None = None) -> ReviewComment:
    """On a pair, or on the whole review. Also a closed review may be commented on."""
    text = text.strip()
    if not text:
        raise ValueError(_("The comment is empty: write what the others should know."))
    if len(text) > LONGEST_TEXT:
        raise ValueError(_("The comment is too long: use at most %(most)d characters.") % {"most": LONGEST_TEXT})
    AuditEntry.objects.record(Verb.REVIEW_COMMENTED, by=by, project=review.project, subject=f"review {review.pk}")
    return ReviewComment.objects.create(review=review, prompt_id=prompt_id, by=by, text=text)


@transaction.atomic
def close_review(review: Review, *, status: str, by: User, reason: str) -> Review:
    """Approve or reject; once."""
    if status not in (Review.Status.APPROVED, Review.Status.REJECTED):
        raise ValueError(_("Choose whether you approve or reject it."))
    if not reason.strip():
        raise ValueError(_("Say why: the reason is what the team reads when it asks how this was decided."))
    closed = Review.objects.filter(pk=review.pk, status=Review.Status.OPEN).update(
        status=status, reason=reason.strip()[:LONGEST_TEXT], closed_by=by, closed_at=timezone.now()
    )
    review.refresh_from_db()
    if not closed:
        raise ValueError(
            _("This review has been closed already (%(status)s).") % {"status": review.get_status_display()}
        )
    AuditEntry.objects.record(
        Verb.REVIEW_CLOSED, by=by, project=review.project, subject=f"{review.a.name} → {review.b.name}", status=status
    )
    return review


def _lock_open(review: Review) -> None:
    if not Review.objects.select_for_update(no_key=True).filter(pk=review.pk, status=Review.Status.OPEN).exists():
        raise ValueError(_("This review is closed: no votes are taken any more."))
