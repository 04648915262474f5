"""Two versions side by side: the same prompts, both answers, what changed in the words, the reward and the length.

The pure part (word_diff, split_words, Diff and its figures) knows no database; diff_versions reads Generation rows into
it. Words are cut at whitespace; Chinese, Japanese and Korean text, which has none, by character. The words of a pair
are compared only when somebody looks at it: 2,000 pairs are read and sorted without.
"""

import difflib
import itertools
import math
import operator
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from django.db import transaction

from annotation.export.batches import batches
from annotation.models import Prompt
from annotation.progress import NOBODY, Telling
from training.models import Generation, ModelVersion
from training.models import Likelihood as LikelihoodRow

CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af\u3000-\u303f\uff00-\uffef"
WORD = re.compile(rf"[{CJK}]|\s+|[^\s{CJK}]+")

Order = Literal["loss", "gain", "change", "kl", "prompt"]


class Segment(NamedTuple):
    """A stretch of text that both answers have, or only one of them."""

    kind: Literal["same", "removed", "added"]
    text: str


class WordDiff(NamedTuple):
    """Each answer as segments: `before` has same and removed ones, `after` same and added ones."""

    before: list[Segment]
    after: list[Segment]


class Likelihood(NamedTuple):
    """What both versions say of one answer, in nats: sums over its tokens, and KLs over its positions."""

    logprob_a: float
    logprob_b: float
    kl_a: float
    """KL(a || b) along this answer."""
    kl_b: float


@dataclass(frozen=True)
class Answer:
    """One answer of one version."""

    response_id: int
    text: str
    reward: float | None
    scored_by: int | None
    """The reward model (its version's id) behind `reward`: two rewards compare only when it is the same."""
    num_tokens: int
    has_ended: bool
    settings: dict[str, Any] = field(default_factory=dict)
    likelihood: Likelihood | None = None
    """None until both versions have read it."""


@dataclass(frozen=True)
class PairDiff:
    """One prompt and what each version answered."""

    prompt_id: int
    messages: list[dict[str, str]]
    a: Answer
    b: Answer

    @property
    def reward_change(self) -> float | None:
        """Reward of b minus that of a; None unless one reward model scored both."""
        if self.a.reward is None or self.b.reward is None or self.a.scored_by != self.b.scored_by:
            return None
        return self.b.reward - self.a.reward

    @property
    def length_change(self) -> int:
        """In tokens."""
        return self.b.num_tokens - self.a.num_tokens

    @property
    def kl(self) -> float | None:
        """KL(b || a) in nats along b's answer: how far b has moved where b goes."""
        return self.b.likelihood.kl_b if self.b.likelihood else None

    @cached_property
    def words(self) -> WordDiff:
        return word_diff(self.a.text, self.b.text)


@dataclass(frozen=True)
class Diff:
    """All prompts that both versions have answered, and the figures over them."""

    pairs: list[PairDiff]
    num_only_a: int
    num_only_b: int

    @cached_property
    def reward_changes(self) -> list[float]:
        return [change for pair in self.pairs if (change := pair.reward_change) is not None]

    @property
    def mean_reward_change(self) -> float | None:
        return statistics.fmean(self.reward_changes) if self.reward_changes else None

    @property
    def win_rate(self) -> float | None:
        """Share of prompts on which b's reward is higher; equal rewards count half."""
        if not self.reward_changes:
            return None
        return statistics.fmean((change > 0) + 0.5 * (change == 0) for change in self.reward_changes)

    @property
    def mean_length_change(self) -> float | None:
        return statistics.fmean(pair.length_change for pair in self.pairs) if self.pairs else None

    @property
    def kls(self) -> list[float]:
        return [pair.kl for pair in self.pairs if pair.kl is not None]

    @property
    def num_unread(self) -> int:
        """Answers that the two have not read together yet."""
        return sum(answer.likelihood is None for pair in self.pairs for answer in (pair.a, pair.b))

    @property
    def num_unchanged(self) -> int:
        return sum(pair.a.text == pair.b.text for pair in self.pairs)

    def in_order(self, order: Order) -> list[PairDiff]:
        """By largest loss, gain or change of the reward or by largest KL (pairs without one last), or by prompt."""
        if order == "prompt":
            return self.pairs
        rank: dict[str, Callable[[float], float]] = {"loss": float, "change": lambda x: -abs(x)}

        def key(pair: PairDiff) -> float:
            value = pair.kl if order == "kl" else pair.reward_change
            return math.inf if value is None else rank.get(order, operator.neg)(value)

        return sorted(self.pairs, key=key)


def split_words(text: str) -> list[str]:
    """Words, stretches of whitespace and single CJK characters; joined they are the text again."""
    return WORD.findall(text)


def word_diff(before: str, after: str) -> WordDiff:
    """What `after` removed from and added to `before`, word by word."""
    old, new = split_words(before), split_words(after)
    left: list[Segment] = []
    right: list[Segment] = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            left.append(Segment("same", "".join(old[i1:i2])))
            right.append(Segment("same", "".join(new[j1:j2])))
            continue
        if i2 > i1:
            left.append(Segment("removed", "".join(old[i1:i2])))
        if j2 > j1:
            right.append(Segment("added", "".join(new[j1:j2])))
    return WordDiff(left, right)


@transaction.atomic(savepoint=False)
def diff_versions(
    a: ModelVersion,
    b: ModelVersion,
    *,
    prompt_ids: Sequence[int] | None = None,
    with_texts: bool = True,
    with_messages: bool = True,
    told: Telling = NOBODY,
) -> Diff:
    """The newest answers of both versions to the prompts that both answered (or to these prompts only).

    with_texts=False: to put pairs in order, and to tell which answers differ. Hashes stand for the texts, and there are
    no messages and settings: of 100,000 pairs these take most of the time. with_messages=False: texts, but no messages.
    Each answer is a step. In a transaction: a cursor outside of one would have the database write the whole result down
    first.
    """
    if prompt_ids is not None and not prompt_ids:
        return Diff([], 0, 0)
    known = read_likelihoods(a, b, prompt_ids=prompt_ids)
    answers_a, answers_b = (
        newest_answers(version, known, prompt_ids=prompt_ids, with_texts=with_texts, told=told) for version in (a, b)
    )
    both = [prompt for prompt in answers_a if prompt in answers_b]
    prompts = Prompt.objects.filter(pk__among=both).values_list("pk", "messages")
    messages = dict(itertools.chain.from_iterable(batches(prompts))) if with_texts and with_messages else {}
    return Diff(
        pairs=[PairDiff(prompt, messages.get(prompt, []), answers_a[prompt], answers_b[prompt]) for prompt in both],
        num_only_a=len(answers_a) - len(both),
        num_only_b=len(answers_b) - len(both),
    )


def read_likelihoods(
    a: ModelVersion, b: ModelVersion, *, prompt_ids: Sequence[int] | None = None
) -> dict[int, Likelihood]:
    """What the two have read together, by response, seen from a to b: the rows keep the older version as a."""
    names = ["logprob_a", "logprob_b", "kl_a", "kl_b"]
    if a.pk > b.pk:
        names = ["logprob_b", "logprob_a", "kl_b", "kl_a"]
    rows = LikelihoodRow.objects.of_pair(a, b)
    if prompt_ids is not None:
        rows = rows.filter(response__prompt__in=prompt_ids)
    return {pk: Likelihood(*values) for pk, *values in rows.values_list("response", *names)}


def newest_answers(
    version: ModelVersion,
    known: Mapping[int, Likelihood],
    *,
    prompt_ids: Sequence[int] | None = None,
    with_texts: bool = True,
    told: Telling = NOBODY,
) -> dict[int, Answer]:
    """The version's first answer in its newest run, by prompt, in the order of the prompts. with_texts=False: with the
    hash of its text in its place, and without settings.
    """
    rows = Generation.objects.filter(version=version)
    if prompt_ids is not None:
        rows = rows.filter(response__prompt__in=prompt_ids)
    newest = rows.order_by("response__prompt_id", "-run_id", "id").distinct("response__prompt_id")
    found = newest.values_list(
        *("response__prompt_id", "response_id", "response__text" if with_texts else "response__content_hash"),
        *("reward", "run__reward_model_id", "num_tokens", "has_ended", *(["settings"] if with_texts else [])),
    )
    answers: dict[int, Answer] = {}
    for batch in batches(found):
        for prompt, response, text, reward, scorer, num_tokens, has_ended, *settings in batch:
            said = settings[0] if settings else {}
            answers[prompt] = Answer(response, text, reward, scorer, num_tokens, has_ended, said, known.get(response))
        told.advance(len(batch))
    return answers
