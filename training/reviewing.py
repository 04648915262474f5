"""What a reviewer may see of a review: nothing that tells the versions apart before the own vote."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from annotation.models import User
from training import actions, diffs
from training.diff_report import wilson
from training.models import Review, ReviewComment, ReviewVote
from training.reward_report import Share


@dataclass(frozen=True)
class Tally:
    """The votes on a review; a tie counts half. The interval is Wilson's over pairs, each at the mean of its votes."""

    num_votes: int
    num_pairs: int
    num_reviewers: int
    share: Share
    """Of votes for b."""


def tally(votes: list[ReviewVote]) -> Tally | None:
    by_pair: dict[int, list[float]] = {}
    worth = {ReviewVote.Choice.A: 0.0, ReviewVote.Choice.B: 1.0, ReviewVote.Choice.TIE: 0.5}
    for vote in votes:
        by_pair.setdefault(vote.prompt_id, []).append(worth[ReviewVote.Choice(vote.choice)])
    if not by_pair:
        return None
    mean = sum(sum(said) / len(said) for said in by_pair.values()) / len(by_pair)
    share = Share(mean, *wilson(mean, len(by_pair)))
    return Tally(len(votes), len(by_pair), len({vote.by_id for vote in votes}), share)


class Desk:
    """One review on one reviewer's desk."""

    def __init__(self, review: Review, user: User) -> None:
        self.review, self.user = review, user

    @cached_property
    def pairs(self) -> dict[int, diffs.PairDiff]:
        """Pairs whose answers differ, by prompt, in this reviewer's own order."""
        found = [pair for pair in diffs.diff_versions(self.review.a, self.review.b).pairs if pair.a.text != pair.b.text]
        return {pair.prompt_id: pair for pair in actions.in_own_order(self.review, found, self.user)}

    @cached_property
    def votes(self) -> list[ReviewVote]:
        return list(self.review.votes.select_related("by"))

    @cached_property
    def own_votes(self) -> dict[int, ReviewVote]:
        return {vote.prompt_id: vote for vote in self.votes if vote.by_id == self.user.pk}

    @property
    def next_pair(self) -> diffs.PairDiff | None:
        """The first that this reviewer has not voted on; None when all are done or the review is closed."""
        if not self.review.is_open:
            return None
        return next((pair for pair in self.pairs.values() if pair.prompt_id not in self.own_votes), None)

    def is_revealed(self, prompt_id: int) -> bool:
        """After the own vote, or when no vote can be given any more."""
        return prompt_id in self.own_votes or not self.review.is_open

    @property
    def tally(self) -> Tally | None:
        """What the votes come to; hidden from a reviewer who has not voted, so that nobody follows the others."""
        return tally(self.votes) if self.own_votes or not self.review.is_open else None

    @property
    def comments(self) -> list[ReviewComment]:
        """Those on the whole, and on pairs that this reviewer has voted on: a comment may tell the versions apart."""
        found = self.review.comments.select_related("by", "prompt")
        return [row for row in found if row.prompt_id is None or self.is_revealed(row.prompt_id)]

    def comments_on(self, prompt_id: int) -> list[ReviewComment]:
        return list(self.review.comments.filter(prompt=prompt_id).select_related("by"))

    def votes_on(self, prompt_id: int) -> list[tuple[str, int]]:
        """How often each choice was made, in words."""
        counts = Counter(vote.choice for vote in self.votes if vote.prompt_id == prompt_id)
        return [(str(choice.label), counts[choice]) for choice in ReviewVote.Choice if counts[choice]]
