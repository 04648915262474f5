"""How often people prefer the one version's answer to the other's, where they have been asked."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from annotation.models import Judgment, Making, Task
from training.diff_report import wilson
from training.models import ModelVersion
from training.reward_report import Share


@dataclass(frozen=True)
class HumanWins:
    """Votes on comparisons of the two versions' answers. A tie and “both bad” count half."""

    num_votes: int
    num_prompts: int
    num_simulated: int
    """Votes by programs that follow a stated rule."""
    share: Share
    """Of votes for b, with a 95 % interval that knows that votes on one prompt are no news to each other."""


class Said(NamedTuple):
    """What people said of two versions; None where nobody has compared them so."""

    asked: HumanWins | None
    """Of pairs that they were asked about."""
    in_chats: HumanWins | None
    """Of what they said themselves: whoever votes there has chosen the prompts, and when to stop."""


def human_wins(a: ModelVersion, b: ModelVersion) -> Said:
    names = [a.name, b.name]
    votes = Judgment.objects.votes().filter(
        task__project=b.project,
        task__kind=Task.Kind.COMPARISON,
        task__response_a__source__in=names,
        task__response_b__source__in=names,
    )
    said: dict[bool, list[tuple[int, float, bool]]] = {True: [], False: []}
    for prompt, first, second, preferred, is_simulated, making in votes.values_list(
        "task__prompt", "task__response_a__source", "task__response_b__source", "preferred__source",
        "annotator__is_simulated", "task__making__kind",
    ):  # fmt: skip
        if first != second:  # else two answers of the same version
            vote = 0.5 if preferred is None else float(preferred == b.name)
            said[making == Making.CHAT].append((prompt, vote, is_simulated))
    return Said(counted(said[False]), counted(said[True]))


def counted(votes: Sequence[tuple[int, float, bool]]) -> HumanWins | None:
    """votes: prompt, 1 for b to 0 for a, whether by a program."""
    if not votes:
        return None
    by_prompt: dict[int, list[float]] = defaultdict(list)
    for prompt, vote, _is_simulated in votes:
        by_prompt[prompt].append(vote)
    num_simulated = sum(is_simulated for _prompt, _vote, is_simulated in votes)
    return HumanWins(len(votes), len(by_prompt), num_simulated, share_of_votes(by_prompt))


def share_of_votes(by_prompt: Mapping[int, Sequence[float]]) -> Share:
    """The mean vote with Wilson's interval for as many votes as these are worth, being clustered by prompt.

    With m votes on each of k prompts whose means vary as much as single votes do, they are worth k, not k·m: the
    number is divided by the design effect, the clustered variance of the mean over that of independent votes.
    """
    votes = [vote for of_prompt in by_prompt.values() for vote in of_prompt]
    num, share = len(votes), sum(votes) / len(votes)
    independent = share * (1 - share) / num
    clusters = len(by_prompt)
    residuals = sum(sum(vote - share for vote in of_prompt) ** 2 for of_prompt in by_prompt.values())
    clustered = residuals / num**2 * clusters / (clusters - 1) if clusters > 1 else 0.0
    effect = max(clustered / independent, 1.0) if independent else num / clusters
    return Share(share, *wilson(share, max(num / effect, 1.0)))
